"""The enabled tasks as beat keeps them in memory, and up to when the ticks of each are explained."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..models import Misfire, ScheduledTask, TaskState
from ..operations.publishing import Message
from ..schedules import next_run
from ..ticks import INSTANT, span_between
from .pending_runs import ON_TIME

CLOCK_TOLERANCE = timedelta(minutes=1)
"""How far ahead of the clock a task may be accounted for before the clock counts as set back."""

LONGEST_GAP = timedelta(days=400)
"""How far back ticks are counted one day after the other: a date of long ago must not hold beat up."""


@dataclass(slots=True, eq=False)
class Entry:
    """One enabled task as last read, its message, and where its ticks stand.

    All ticks up to ``accounted_until`` are explained; ``next_run`` is the first after it, if any.
    ``resumes_at`` is when a run may start that a maintenance holds back; None for no such run, or no end.
    """

    task: ScheduledTask
    message: Message
    accounted_until: datetime
    next_run: datetime | None
    resumes_at: datetime | None = None

    @property
    def due(self) -> datetime | None:
        """When there is something to do: at the next tick, after a maintenance, or when the task expires."""
        moments = filter(None, (self.next_run or self.task.expires, self.resumes_at))
        return min(moments, default=None)


def allowed_delay(policy: TaskState) -> timedelta:
    """How late a tick may be that still starts a run."""
    runs_late = policy.effective_misfire == Misfire.RUN_ONCE
    return max(ON_TIME, policy.effective_grace) if runs_late else ON_TIME


def accounted_until(
    task: ScheduledTask, state: TaskState, now: datetime, looked_at: datetime | None
) -> datetime:
    """Up to when the task's ticks are explained: what comes after is due, what lies before never runs.

    Usually beat's own note. Where that note does not fit the schedule any more, or the task was disabled,
    the past belongs to what was before the change: then it is the moment of the change. ``looked_at`` is
    when a change would have been noticed last, None when no look at the tasks went before.
    """
    noted, since, last = state.accounted_until, state.enabled_since, task.last_run_at
    if noted is not None and not state.broken_reason and since and next_run(task, noted) == state.next_run_at:
        # A later last run is that of another scheduler, or the moment of a change through the page; one that
        # is still to come is from a time when the clock was ahead.
        moment = max(noted, since, noted if last is None or last > now else last)
    elif noted is None and since is not None:
        moment = max(since, last or since)
    elif noted is None and task.clocked is not None and last is None:
        moment = task.clocked.clocked_time - INSTANT
    elif noted is None and looked_at is None:
        moment = last or task.date_changed or now
    else:
        moment = _changed_at(task, noted, now, looked_at)
    if task.crontab is not None or task.solar is not None:
        moment = max(moment, now - LONGEST_GAP)
    return now if moment > now + CLOCK_TOLERANCE else moment


def _changed_at(
    task: ScheduledTask, noted: datetime | None, now: datetime, looked_at: datetime | None
) -> datetime:
    """When the task was changed, as closely as can be told: never before it was."""
    saved: datetime | None = task.date_changed
    if saved is None or saved > now:
        return looked_at or now
    if looked_at is not None:
        return max(looked_at, saved)
    return saved if noted is None or saved > noted else now


def adopted(task: ScheduledTask, moment: datetime, now: datetime) -> datetime:
    """Where the account of a task begins whose ticks after ``moment`` were not for this app's beat to start.

    They were not missed, so they get no rows. Only the last one counts, if it may still start a run. Of a
    clocked task the last one is all: it is told as missed, and the task retired.
    """
    if task.clocked is not None:
        return moment
    in_time = now - allowed_delay(task.state)
    if task.interval is None:  # which keeps its rhythm
        moment = max(moment, in_time)
    span = span_between(task, moment, now)
    if span is None:
        return moment
    return (span.but_last or moment) if span.last >= in_time else span.last
