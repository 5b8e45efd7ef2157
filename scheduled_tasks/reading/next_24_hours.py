"""What beat will start in the coming day: the planned runs of every enabled task, to the minute.

The first run of a task is beat's own answer; those after it follow from there as beat steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F

from ..models import Flag, ScheduledTask, ScheduledTaskQuerySet
from ..schedules import Unschedulable
from ..ticks import INSTANT, MINUTE, Ticks, ticks_between
from .machinery import Machinery
from .tasks import next_run

PERIOD = timedelta(hours=24)
MICROSECONDS = MINUTE // INSTANT
"""In a minute."""

MOST_TASKS = 1000
"""Tasks that are planned; of more, those that run next."""


@dataclass(frozen=True)
class Plan:
    """One task's planned runs: how many, and the minutes in which they start, counted from ``begin``."""

    task: ScheduledTask
    first: datetime
    """When it runs next, as the list says: overdue, or beyond the period, as may be."""
    minutes: Sequence[int]
    count: int

    @property
    def is_late(self) -> bool:
        """Whether the first is overdue."""
        return bool(getattr(self.task, "is_late", False))

    @property
    def estimated(self) -> bool:
        """Whether the runs after the first depend on when those before them start."""
        return self.task.interval is not None and self.count > 1

    @property
    def skips_first(self) -> bool:
        """Whether a person asked to leave out the first."""
        return bool(self.task.state.skip_next)


def plans(tasks: ScheduledTaskQuerySet, machinery: Machinery, begin: datetime) -> list[Plan]:
    """The plans of those of these tasks that are enabled for 24 hours, the next to run first: one statement.

    Minutes count from ``begin``, which is not after the machinery's ``now``. A task that will not run any
    more, or cannot, has no plan.
    """
    by_next_run = F("scheduled_state__next_run_at").asc(nulls_last=True)
    enabled = tasks.filter(enabled=True).order_by(by_next_run, "name").with_schedules()
    now = machinery.now
    flagged = enabled.with_flags(now, machinery.known_tasks, [Flag.LATE])[:MOST_TASKS]
    found = [each for task in flagged if (each := plan(task, now, begin))]
    return sorted(found, key=lambda each: (each.first, each.task.name))


def plan(task: ScheduledTask, now: datetime, begin: datetime) -> Plan | None:
    """One task's plan, or None when it will not run."""
    first, problem = next_run(task, now)
    if first is None or problem:
        return None
    start, until = max(first, now), now + PERIOD
    if task.expires is not None:
        until = min(until, task.expires)
    try:
        blocks = list(_blocks(task, start, until)) if start < until else []
    except Unschedulable:  # beat has a next run for it, and will find out then
        blocks = [Ticks(start, (0,))]
    minutes = {minute for block in blocks for minute in _minutes(block, begin)}
    return Plan(task, first, sorted(minutes), sum(map(len, blocks)))


def _blocks(task: ScheduledTask, start: datetime, until: datetime) -> Iterator[Ticks]:
    """The runs from ``start`` on, before ``until``."""
    yield Ticks(start, (0,))
    if not task.one_off:
        yield from ticks_between(task, start, until - INSTANT)


def _minutes(block: Ticks, begin: datetime) -> Iterator[int]:
    """The minutes in which the ticks are, counted from ``begin``; of several in a minute not all are read."""
    offsets = block.offsets
    step = offsets[1] - offsets[0] if isinstance(offsets, range) and len(offsets) > 1 else MICROSECONDS
    ahead = (block.start - begin) // INSTANT
    return ((ahead + offset) // MICROSECONDS for offset in offsets[:: max(1, MICROSECONDS // step)])
