"""The read model: tasks with their runs, flags and next run, as the page and the commands show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import NamedTuple
from zlib import crc32
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.functional import cached_property
from django.utils.translation import get_language, gettext_lazy

from . import schedules, sync
from .facts import Facts
from .models import (
    OPEN,
    OUTCOMES,
    UNDER_WAY,
    CodeDefault,
    ScheduledTask,
    ScheduledTaskQuerySet,
    Status,
    TaskState,
    late_after,
)
from .reasons import UNKNOWN_TASK
from .recent import (
    RECENT_RUNS,
    OpenRun,
    RecentRun,
    newest_statuses,
    older_outcomes,
    open_runs,
    recent_runs,
)
from .schedules import Unschedulable
from .stamp_sql import Fingerprint

USUAL_NEEDS = 5
"""Successful recent runs needed before a duration is called usual."""


class State(models.TextChoices):
    """The one word a task is shown with: the first that applies, in this order."""

    RUNNING = "running", gettext_lazy("Running")
    PAUSED = "paused", gettext_lazy("Paused")
    BROKEN = "broken", gettext_lazy("Broken")
    FAILED = "failed", gettext_lazy("Failed")
    LATE = "late", gettext_lazy("Late")
    ACTIVE = "active", gettext_lazy("Active")
    IDLE = "idle", gettext_lazy("Idle")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One task as the page shows it."""

    task: ScheduledTask
    state: TaskState
    facts: Facts
    recent: Sequence[RecentRun]
    outcome: RecentRun | None
    next_run_at: datetime | None
    broken_reason: str
    late: bool

    @cached_property
    def label(self) -> str:
        """The schedule in plain words."""
        return schedules.label(self.task)

    @property
    def raw(self) -> str:
        """The schedule as stored, e.g. the cron expression."""
        return schedules.raw(self.task)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the schedule."""
        return schedules.zone(self.task)

    @property
    def code_default(self) -> CodeDefault | None:
        """What code declares for this task."""
        return self.task.code_default

    @property
    def gone(self) -> bool:
        """Whether code declared this task once and no longer does."""
        return self.code_default is not None and self.code_default.gone_since is not None

    @cached_property
    def edited(self) -> tuple[str, ...]:
        """Names of the fields in which the stored task differs from its code, in a stable order."""
        return sync.edited_fields(self.task)

    @cached_property
    def open_run(self) -> RecentRun | None:
        """The newest run under way, else the newest that waits to start."""
        open_runs = [run for run in self.recent if run.is_open]
        return next(
            (run for run in open_runs if run.status in UNDER_WAY), open_runs[0] if open_runs else None
        )

    @property
    def lost_contact(self) -> bool:
        """Whether a run under way belongs to a worker that no longer gives signs of life."""
        run = self.open_run
        return run is not None and run.status in UNDER_WAY and self.facts.lost_contact(run.process_id)

    @property
    def last_run(self) -> RecentRun | None:
        """The newest run, ended or not; ticks that did not run are not runs."""
        return next((run for run in self.recent if run.status not in (Status.SKIPPED, Status.MISSED)), None)

    @cached_property
    def usual(self) -> timedelta | None:
        """The median duration of its recent successful runs, when there are enough of them."""
        durations = [
            run.duration for run in self.recent if run.status == Status.SUCCEEDED and run.duration is not None
        ]
        return median(durations) if len(durations) >= USUAL_NEEDS else None  # type: ignore[type-var]

    @cached_property
    def streak(self) -> int:
        """How many outcomes in a row, newest first, were not a success."""
        count = 0
        for run in self.recent:
            if run.status == Status.SUCCEEDED:
                break
            count += run.status in OUTCOMES
        return count

    @cached_property
    def running(self) -> bool:
        """Whether a run is under way."""
        return any(run.status in UNDER_WAY for run in self.recent)

    @property
    def paused(self) -> bool:
        """Whether the task is disabled."""
        return not self.task.enabled

    @property
    def broken(self) -> bool:
        """Whether it cannot be scheduled, or no worker knows its task."""
        return bool(self.broken_reason)

    @property
    def failing(self) -> bool:
        """Whether its last outcome was not a success."""
        return self.outcome is not None and self.outcome.status != Status.SUCCEEDED

    @cached_property
    def key(self) -> str:
        """Changes whenever anything the row shows does, save what the browser keeps current itself."""
        return _key(
            self.task.fingerprint,  # type: ignore[attr-defined]
            [(run.id, run.status) for run in self.recent],
            [run for run in self.recent if run.is_open],
            self.facts,
            self.next_run_at,
            self.late,
            self.broken_reason,
        )

    @property
    def lasting_key(self) -> str:
        """The same as :func:`keys` tells it: empty where only the row can tell the next run."""
        state = self.state
        known = _has_account(state.accounted_until, state.next_run_at, state.broken_reason)
        return self.key if known or self.paused else ""

    @cached_property
    def word(self) -> State:
        """The one word for its state."""
        flags = (
            (self.running, State.RUNNING),
            (self.paused, State.PAUSED),
            (self.broken, State.BROKEN),
            (self.failing, State.FAILED),
            (self.late, State.LATE),
            (self.outcome is not None, State.ACTIVE),
        )
        return next((state for applies, state in flags if applies), State.IDLE)


def tasks() -> ScheduledTaskQuerySet:
    """Every task with its schedule, state, code default and fingerprint, by name."""
    return ScheduledTask.objects.with_schedules().annotate(fingerprint=Fingerprint()).order_by("name")


def rows(tasks: Iterable[ScheduledTask], facts: Facts, runs: int = RECENT_RUNS) -> list[Row]:
    """The given tasks, which come from :func:`tasks`, with that many of their newest runs.

    One statement per hundred tasks.
    """
    page = list(tasks)
    recent = recent_runs([task.pk for task in page], runs)
    older = older_outcomes(
        [pk for pk, found in recent.items() if _outcome(found) is None and len(found) == runs]
    )
    return [_row(task, recent[task.pk], older.get(task.pk), facts) for task in page]


class Stored(NamedTuple):
    """What a task's key is made of, but for its runs."""

    pk: int
    fingerprint: str
    task: str
    enabled: bool
    next_run_at: datetime | None
    accounted_until: datetime | None
    broken_reason: str | None
    grace: timedelta | None


def stored(tasks: ScheduledTaskQuerySet) -> list[Stored]:
    """What is stored of these tasks, which come from :func:`tasks`, in their order: one statement."""
    own, state = Stored._fields[:4], Stored._fields[4:]
    found = tasks.values_list(*own, *(f"scheduled_state__{name}" for name in state))
    return [Stored._make(values) for values in found]


def keys(tasks: Sequence[Stored], facts: Facts) -> dict[int, str]:
    """The :attr:`Row.key` of each of these tasks, in their order, at a fraction of what the rows cost.

    Empty for a task whose next run only its row can tell.
    """
    statuses = newest_statuses([task.pk for task in tasks])
    opened = open_runs([pk for runs in statuses.values() for pk, status in runs if status in OPEN])
    return {task.pk: _stored_key(task, statuses[task.pk], opened, facts) for task in tasks}


def _stored_key(
    task: Stored, statuses: Sequence[tuple[int, str]], opened: Mapping[int, OpenRun], facts: Facts
) -> str:
    if task.enabled and not _has_account(task.accounted_until, task.next_run_at, task.broken_reason):
        return ""
    runs = [opened[run] for run, _status in statuses if run in opened] if opened else []
    late = _is_late(task.enabled, task.next_run_at, late_after(task.grace), runs, facts.now)
    planned = task.next_run_at if task.enabled else None
    problem = task.broken_reason or (_unknown(task.task, facts) if task.enabled else "")
    return _key(task.fingerprint, statuses, runs, facts, planned, late, problem)


def row(task_id: int, facts: Facts, runs: int = RECENT_RUNS) -> Row | None:
    """One task's row, or None when there is no such task."""
    return next(iter(rows(tasks().filter(pk=task_id), facts, runs)), None)


def _row(
    task: ScheduledTask,
    recent: Sequence[RecentRun],
    older_outcome: RecentRun | None,
    facts: Facts,
) -> Row:
    state = task.state
    next_run_at, problem = next_run(task, facts.now)
    if not problem and task.enabled:
        problem = _unknown(task.task, facts)
    opened = [run for run in recent if run.is_open]
    return Row(
        task=task,
        state=state,
        facts=facts,
        recent=recent,
        outcome=_outcome(recent) or older_outcome,
        next_run_at=next_run_at,
        broken_reason=problem,
        late=_is_late(task.enabled, state.next_run_at, state.late_after, opened, facts.now),
    )


def _unknown(name: str, facts: Facts) -> str:
    """Why a task cannot run whose name no living worker knows; empty when one does, or none is alive."""
    known = facts.known_tasks
    return "" if known is None or name in known else UNKNOWN_TASK % {"task": name}


def next_run(task: ScheduledTask, now: datetime) -> tuple[datetime | None, str]:
    """When beat will next run the task, and why it cannot: ``(moment, "")``, ``(None, reason)``.

    Beat's own answer where it keeps one; otherwise computed as django-celery-beat's scheduler would:
    from the last run, because in a repeated hour the step from now would differ.
    """
    state = task.state
    if not task.enabled:
        return None, state.broken_reason
    if _has_account(state.accounted_until, state.next_run_at, state.broken_reason):
        return state.next_run_at, state.broken_reason
    try:
        moment = schedules.next_run(task, task.last_run_at or task.date_changed or now)
        if moment is not None and moment <= now:
            moment = schedules.next_run(task, now)
    except Unschedulable as reason:
        return None, str(reason)
    return moment, ""


def _has_account(
    accounted_until: datetime | None, next_run_at: datetime | None, broken_reason: str | None
) -> bool:
    """Whether our beat keeps the task's account, so that its word on the next run counts."""
    return accounted_until is not None and (next_run_at is not None or bool(broken_reason))


def _is_late(
    enabled: bool, next_run_at: datetime | None, after: timedelta, opened: Iterable[OpenRun], now: datetime
) -> bool:
    limit = now - after
    overdue = enabled and next_run_at is not None and next_run_at < limit
    return overdue or any(run.status in OPEN - UNDER_WAY and run.queued_at < limit for run in opened)


def _key(
    fingerprint: str,
    statuses: Sequence[tuple[int, str]],
    opened: Iterable[OpenRun],
    facts: Facts,
    next_run_at: datetime | None,
    late: bool,
    problem: str,
) -> str:
    live = [(run.id, run.progress, facts.lost_contact(run.process_id)) for run in opened]
    due = next_run_at is not None and next_run_at <= facts.now
    shown = (fingerprint, statuses, live, next_run_at, due, late, problem, get_language())
    return f"{crc32(repr(shown).encode()):08x}"


def _outcome(runs: Iterable[RecentRun]) -> RecentRun | None:
    return next((run for run in runs if run.status in OUTCOMES), None)
