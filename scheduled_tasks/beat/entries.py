"""The enabled tasks as beat keeps them in memory, and what it must write about them after a look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from sys import intern
from typing import Any

from celery import current_app
from celery.utils.log import get_logger
from django_celery_beat.models import PeriodicTask

from ..models import Misfire, Overlap, ScheduledTask, TaskState
from ..publishing import ROUTING, BadMessage, message
from ..reasons import NOT_SCHEDULABLE
from ..schedules import Unschedulable
from .ticks import INSTANT, Timetable

CLOCK_TOLERANCE = timedelta(minutes=1)
"""How far ahead of the clock a task may be accounted for before the clock counts as set back."""

logger = get_logger(__name__)


@dataclass(slots=True, eq=False)
class Entry:
    """One enabled task: what to send, when it is due, and the policies in force.

    All ticks up to ``accounted_until`` are explained; ``due`` is the first after it. ``fingerprint`` changes
    with the rows behind it.
    """

    task_id: int
    name: str
    task: str
    args: list[Any] | tuple[()]
    kwargs: dict[str, Any]
    headers: dict[str, Any]
    options: dict[str, Any]
    expire_seconds: float | None
    one_off: bool
    overlap: Overlap
    misfire: Misfire
    grace: timedelta
    timetable: Timetable
    accounted_until: datetime
    due: datetime | None
    fingerprint: int


def entry_of(
    task: ScheduledTask,
    timetable: Timetable,
    *,
    fingerprint: int,
    known: Entry | None,
    now: datetime,
    seen_at: datetime | None,
) -> Entry:
    """The entry of an enabled task. Raises :class:`Unschedulable`, :class:`BadMessage` and what else its
    row may cause."""
    state = task.state
    content = message(task)
    if known is not None and state.accounted_until and state.accounted_until < known.accounted_until:
        # Somebody saved a state read before the last claim: what beat itself remembers is newer.
        state.accounted_until, state.next_run_at = known.accounted_until, known.due
    accounted_until = accounted(task, state, timetable, now=now, seen_at=seen_at)
    return Entry(
        task_id=task.pk,
        name=task.name,
        task=intern(task.task),
        args=content.args or (),
        kwargs=content.kwargs or EMPTY,
        headers=content.headers or EMPTY,
        options=_options(task),
        expire_seconds=_expire_seconds(task),
        one_off=task.one_off,
        overlap=state.effective_overlap,
        misfire=state.effective_misfire,
        grace=state.effective_grace,
        timetable=timetable,
        accounted_until=accounted_until,
        due=timetable.after(accounted_until),
        fingerprint=fingerprint,
    )


EMPTY: dict[str, Any] = {}


def _options(task: PeriodicTask) -> dict[str, Any]:
    """Where the task's messages go."""
    return _routing(*(getattr(task, name) for name in ROUTING))


@lru_cache(1000)
def _routing(*values: Any) -> dict[str, Any]:
    """Without what is empty; one dict, to be left as it is, serves all tasks that say the same."""
    return {name: value for name, value in zip(ROUTING, values, strict=True) if value not in (None, "")}


def _expire_seconds(task: PeriodicTask) -> float | None:
    """The task's own setting, or that of the Celery task behind it."""
    if task.expire_seconds is not None:
        return float(task.expire_seconds)
    declared = getattr(current_app.tasks.get(task.task), "expires", None)
    return float(declared) if isinstance(declared, int | float) else None


def accounted(
    task: PeriodicTask, state: TaskState, timetable: Timetable, *, now: datetime, seen_at: datetime | None
) -> datetime:
    """Up to when the task's ticks are explained: what comes after is due, what lies before never runs.

    Usually beat's own note. Where that note does not fit the schedule any more, or the task was disabled,
    the past belongs to what was before the change: then it is the moment of the change.
    """
    kept = state.accounted_until
    if kept is None:
        moment = _first_accounted(task, state, timetable, now=now, seen_at=seen_at)
    elif state.broken_reason or state.enabled_since is None or timetable.after(kept) != state.next_run_at:
        moment = _changed(task, kept, now=now, seen_at=seen_at)
    else:
        # Whoever saved the task meanwhile, django-celery-beat's own scheduler among them, left a trace.
        moment = max(kept, state.enabled_since, task.last_run_at or task.date_changed)
    return now if moment > now + CLOCK_TOLERANCE else moment


def _first_accounted(
    task: PeriodicTask, state: TaskState, timetable: Timetable, *, now: datetime, seen_at: datetime | None
) -> datetime:
    if state.enabled_since is not None:
        return max(state.enabled_since, task.last_run_at or state.enabled_since)
    if timetable.clocked is not None and task.last_run_at is None:
        return timetable.clocked.clocked_time - INSTANT
    if seen_at is None:
        return task.last_run_at or task.date_changed or now
    return _changed(task, None, now=now, seen_at=seen_at)


def _changed(
    task: PeriodicTask, kept: datetime | None, *, now: datetime, seen_at: datetime | None
) -> datetime:
    """When the task was changed, as closely as can be told: never before it was."""
    saved = task.date_changed
    if saved is None or saved > now:
        return seen_at or now
    if seen_at is not None:
        return max(seen_at, saved)
    return saved if kept is None or saved > kept else now


def planned(before: TaskState, entry: Entry, now: datetime) -> TaskState:
    """The state of a task that beat has understood."""
    return TaskState(
        task_id=entry.task_id,
        accounted_until=entry.accounted_until,
        next_run_at=entry.due,
        enabled_since=before.enabled_since or min(entry.accounted_until, now),
        broken_reason="",
    )


def broken(task_id: int, name: str, error: Exception, before: TaskState) -> TaskState:
    """The state of a task that cannot be scheduled; a new reason is logged once."""
    known = isinstance(error, Unschedulable | BadMessage)
    reason = str(error) if known else NOT_SCHEDULABLE % {"error": repr(error)}
    if reason != before.broken_reason:
        logger.error("Beat leaves out the task %s: %s", name, reason, exc_info=None if known else error)
    return TaskState(
        task_id=task_id,
        accounted_until=before.accounted_until,
        next_run_at=None,
        enabled_since=before.enabled_since,
        broken_reason=reason,
    )
