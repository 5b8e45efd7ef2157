"""One task as a list shows it: its flags, state, runs and schedule in words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
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
    FAILURES,
    UNDER_WAY,
    CodeDefault,
    Flag,
    Incident,
    MaintenanceWindow,
    ScheduledTask,
    Status,
    TaskState,
    Trigger,
    Windows,
)
from ..once import once_label
from ..reasons import Reason
from .machinery import Machinery
from .recent_runs import RECENT_RUNS, RecentRun
from .version import INCIDENT_SHOWN, WINDOW_SHOWN, stored_columns

USUAL_NEEDS = 5
"""Successful recent runs needed before a duration is called usual."""

NO_WINDOWS = Windows()

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
    outcomes: Sequence[RecentRun]
    """Its newest outcomes, newest first: of failures in a row at least :data:`.recent_runs.RECENT_RUNS`."""
    next_run_at: datetime | None
    problem: Reason
    """Why it cannot run, if so."""

    incidents: Sequence[Incident] = ()
    """Its open incidents, oldest first."""

    windows: Windows = NO_WINDOWS
    """The maintenance windows that are not over and cover it, among others."""

    @cached_property
    def pauses(self) -> Sequence[MaintenanceWindow]:
        """The windows that keep it from starting now; none of a task that is disabled."""
        return self.windows.covering(self.task.pk, self.machinery.now) if self.task.enabled else ()

    @property
    def paused_until(self) -> datetime | None:
        """When these windows, and those that follow without a gap, have ended; None for an open end."""
        return self.windows.clear_from(self.task.pk, self.machinery.now)

    @property
    def next_is_skipped(self) -> bool:
        """Whether its next tick lies in a window."""
        at = self.next_run_at
        return at is not None and bool(self.windows.covering(self.task.pk, at))

    @property
    def state(self) -> TaskState:
        """What beat and operators know about it."""
        return self.task.state

    @cached_property
    def label(self) -> str:
        """The schedule in plain words; of a task that runs once also that it has run."""
        newest = next((run for run in self.recent if run.trigger == Trigger.SCHEDULE), None)
        if not (self.is_over and self.task.clocked and newest and newest.started_at):
            return schedules.label(self.task)
        return once_label(self.task.clocked.clocked_time, schedules.current_zone(), has_run=True)

    @property
    def is_over(self) -> bool:
        """Whether it was to run once, and the time is past."""
        return self.task.is_over(self.machinery.now)

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
    def waits_since(self) -> datetime | None:
        """Since when the oldest of its runs waits for a worker, while none is under way."""
        if self.open_run is None or self.is_running:
            return None
        return [run for run in self.recent if run.is_open][-1].queued_at

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

    @property
    def outcome(self) -> RecentRun | None:
        """The newest run that says how the task is doing."""
        return next(iter(self.outcomes), None)

    @cached_property
    def streak(self) -> int:
        """How many outcomes in a row, newest first, were failures; not counted further than
        :data:`.recent_runs.RECENT_RUNS`, however many runs were read.
        """
        statuses = [run.status for run in self.outcomes[:RECENT_RUNS]]
        return next((n for n, status in enumerate(statuses) if status not in FAILURES), len(statuses))

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
            stored_columns(self.task),
            [self.has(flag) for flag in Flag],
            [(run.id, run.status) for run in self.recent],
            self.streak,
            [(run.id, run.progress, lost(run.process_id)) for run in self.recent if run.is_open],
            self.next_run_at,
            self.next_run_at is not None and self.next_run_at <= now,
            self.problem,
            self.machinery.runs_elsewhere(self.task),
            [[getattr(each, name) for name in INCIDENT_SHOWN] for each in self.incidents],
            [each.is_muted(now) for each in self.incidents],
            [[getattr(each, name) for name in WINDOW_SHOWN] for each in self.windows.of(self.task.pk)],
            [getattr(each, "task_count", 0) for each in self.pauses],
            get_language(),
        )
        return f"{crc32(repr(shown).encode()):08x}"
