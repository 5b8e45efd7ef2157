"""Tasks with their flags, runs and next run, as the page shows them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from zlib import crc32
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.functional import cached_property
from django.utils.translation import get_language, gettext_lazy

from .. import schedules
from ..declarations import sync
from ..models import (
    OUTCOMES,
    UNDER_WAY,
    CodeDefault,
    Flag,
    Incident,
    ScheduledTask,
    ScheduledTaskQuerySet,
    Status,
    TaskState,
)
from ..reasons import NO_REASON, Code, Reason
from ..schedules import Unschedulable
from .machinery import Machinery
from .recent_runs import RECENT_RUNS, RecentRun, recent_runs
from .version import INCIDENT_SHOWN, stored_task

USUAL_NEEDS = 5
"""Successful recent runs needed before a duration is called usual."""

FLAG_COLUMNS = {flag: f"is_{flag}" for flag in Flag}
"""Names of the annotations that :meth:`ScheduledTaskQuerySet.with_flags` makes."""

logger = logging.getLogger(__name__)


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
class ListedTask:
    """One task with what a list shows of it; ``recent`` are its newest runs, newest first."""

    task: ScheduledTask
    machinery: Machinery
    recent: Sequence[RecentRun]
    outcome: RecentRun | None
    next_run_at: datetime | None
    problem: Reason
    """Why it cannot run, if so."""

    incidents: Sequence[Incident] = ()
    """Its open incidents, oldest first."""

    @property
    def state(self) -> TaskState:
        """What beat and operators know about it."""
        return self.task.state

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
    def is_gone(self) -> bool:
        """Whether code declared this task once and no longer does."""
        return self.code_default is not None and self.code_default.gone_since is not None

    @cached_property
    def edited(self) -> tuple[str, ...]:
        """Names of the fields in which the stored task differs from its code, in a stable order."""
        try:
            return sync.edited_fields(self.task)
        except Exception:  # other code wrote the row
            logger.exception("Task %s cannot be compared with its code.", self.task.pk)
            return ()

    @cached_property
    def open_run(self) -> RecentRun | None:
        """The newest run under way, else the newest that waits to start."""
        runs = [run for run in self.recent if run.is_open]
        return next((run for run in runs if run.status in UNDER_WAY), runs[0] if runs else None)

    @property
    def lost_contact(self) -> bool:
        """Whether a run under way belongs to a worker that no longer keeps its heartbeat."""
        run = self.open_run
        return run is not None and run.status in UNDER_WAY and self.machinery.lost_contact(run.process_id)

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

    def has(self, flag: Flag) -> bool:
        """Whether the task has a flag, as the database answered."""
        return bool(getattr(self.task, FLAG_COLUMNS[flag]))

    @property
    def is_running(self) -> bool:
        """Whether a run is under way."""
        return self.has(Flag.RUNNING)

    @property
    def is_late(self) -> bool:
        """Whether its start is overdue."""
        return self.has(Flag.LATE)

    @property
    def is_broken(self) -> bool:
        """Whether it cannot run; also where no beat has looked at an unreadable schedule yet."""
        return self.has(Flag.BROKEN) or bool(self.problem)

    @cached_property
    def word(self) -> State:
        """The one word for its state."""
        flags = (
            (self.is_running, State.RUNNING),
            (self.has(Flag.PAUSED), State.PAUSED),
            (self.is_broken, State.BROKEN),
            (self.has(Flag.FAILING), State.FAILED),
            (self.is_late, State.LATE),
            (self.outcome is not None, State.ACTIVE),
        )
        return next((state for applies, state in flags if applies), State.IDLE)

    @cached_property
    def key(self) -> str:
        """Changes whenever anything the row shows does, save what the browser keeps current itself."""
        now, lost = self.machinery.now, self.machinery.lost_contact
        shown = (
            self.task.stored,  # type: ignore[attr-defined]
            [self.has(flag) for flag in Flag],
            [(run.id, run.status) for run in self.recent],
            [(run.id, run.progress, lost(run.process_id)) for run in self.recent if run.is_open],
            self.next_run_at,
            self.next_run_at is not None and self.next_run_at <= now,
            self.problem,
            [[getattr(each, name) for name in INCIDENT_SHOWN] for each in self.incidents],
            [each.is_muted(now) for each in self.incidents],
            get_language(),
        )
        return f"{crc32(repr(shown).encode()):08x}"


def tasks() -> ScheduledTaskQuerySet:
    """Every task with its schedule, state and code default, by name."""
    return ScheduledTask.objects.with_schedules().order_by("name")


def listed_tasks(
    queryset: ScheduledTaskQuerySet, machinery: Machinery, runs: int = RECENT_RUNS
) -> list[ListedTask]:
    """These tasks with that many of their newest runs: two statements for up to a hundred.

    Where any has an open incident, one more reads those.
    """
    flagged = queryset.with_schedules().with_flags(machinery.now, machinery.known_tasks)
    found = list(flagged.annotate(stored=stored_task()))
    recent = recent_runs([task.pk for task in found], runs)
    has_older = [task.pk for task in found if task.outcome_status and not _outcome(recent[task.pk])]  # type: ignore[attr-defined]
    outcomes = recent_runs(has_older, 1, OUTCOMES)
    troubled = [task.pk for task in found if task.is_incident]  # type: ignore[attr-defined]
    incidents = open_incidents_of(troubled)
    return [
        _listed(task, machinery, recent[task.pk], outcomes.get(task.pk, []), incidents.get(task.pk, ()))
        for task in found
    ]


def open_incidents_of(task_ids: Collection[int]) -> Mapping[int, Sequence[Incident]]:
    """The open incidents of these tasks, oldest first; one statement, none for no tasks."""
    found: dict[int, list[Incident]] = defaultdict(list)
    if task_ids:
        for incident in Incident.objects.open().filter(task__in=task_ids).order_by("pk"):
            found[incident.task_id or 0].append(incident)
    return found


def _listed(
    task: ScheduledTask,
    machinery: Machinery,
    recent: Sequence[RecentRun],
    older: Sequence[RecentRun],
    incidents: Sequence[Incident],
) -> ListedTask:
    next_run_at, problem = next_run(task, machinery.now)
    known = machinery.known_tasks
    if not problem and task.enabled and known is not None and task.task not in known:
        problem = Reason.of(Code.UNKNOWN_TASK, task=task.task)
    return ListedTask(
        task=task,
        machinery=machinery,
        recent=recent,
        outcome=_outcome([*recent, *older]),
        next_run_at=next_run_at,
        problem=problem,
        incidents=incidents,
    )


def _outcome(runs: Iterable[RecentRun]) -> RecentRun | None:
    return next((run for run in runs if run.status in OUTCOMES), None)


def next_run(task: ScheduledTask, now: datetime) -> tuple[datetime | None, Reason]:
    """When beat will next run the task, and why it cannot: ``(moment, no reason)``, ``(None, reason)``.

    Beat's own answer where it keeps one; otherwise computed as django-celery-beat's scheduler would:
    from the last run, because in a repeated hour the step from now would differ.
    """
    state = task.state
    if not task.enabled:
        return None, state.problem
    if state.accounted_until is not None and (state.next_run_at is not None or state.problem):
        return state.next_run_at, state.problem
    try:
        moment = schedules.next_run(task, task.last_run_at or task.date_changed or now)
        if moment is not None and moment <= now:
            moment = schedules.next_run(task, now)
    except Unschedulable as error:
        return None, error.reason
    except Exception as error:  # noqa: BLE001 - other code wrote the row, and no row takes a page down
        return None, Reason.of(Code.UNREADABLE_ROW, error=error)
    return moment, NO_REASON
