"""What beat will start in the coming day: the planned runs of every enabled task, to the minute.

The first run of a task is beat's own answer; those after it follow from there as beat steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import product, takewhile

from django.db.models import F
from django_celery_beat.models import CrontabSchedule

from . import overview, schedules
from .models import ScheduledTask
from .schedules import Unschedulable

PERIOD = timedelta(hours=24)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)

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
    def estimated(self) -> bool:
        """Whether the runs after the first depend on when those before them start."""
        return self.task.interval is not None and self.count > 1

    @property
    def skips_first(self) -> bool:
        """Whether a person asked to leave out the first."""
        return bool(self.task.state.skip_next)


def plans(now: datetime, begin: datetime) -> list[Plan]:
    """The plans of the enabled tasks for the 24 hours after ``now``, the next to run first: one statement.

    Minutes count from ``begin``, which is not after ``now``. A task that will not run any more, or cannot,
    has no plan.
    """
    by_next_run = F("scheduled_state__next_run_at").asc(nulls_last=True)
    tasks = overview.tasks().filter(enabled=True).order_by(by_next_run, "name")[:MOST_TASKS]
    found = [each for task in tasks if (each := plan(task, now, begin))]
    return sorted(found, key=lambda each: (each.first, each.task.name))


def plan(task: ScheduledTask, now: datetime, begin: datetime) -> Plan | None:
    """One task's plan, or None when it will not run."""
    first, problem = overview.next_run(task, now)
    if first is None or problem:
        return None
    start, until = max(first, now), now + PERIOD
    if task.expires is not None:
        until = min(until, task.expires)
    try:
        ticks = list(_ticks(task, start, until)) if start < until else []
    except Unschedulable:  # beat has a next run for it, and will find out then
        ticks = [start]
    count = len(ticks)
    if task.interval is not None and count > 1:
        count = -((start - until) // schedules.interval(task.interval))
    return Plan(task, first, sorted({(tick - begin) // MINUTE for tick in ticks}), count)


def _ticks(task: ScheduledTask, start: datetime, until: datetime) -> Iterator[datetime]:
    """The runs from ``start`` on, before ``until``; of an interval's several in a minute, one."""
    if task.one_off:
        yield start
    elif task.crontab is not None:
        yield from _cron_ticks(task.crontab, start, until)
    elif task.interval is not None:
        step = max(schedules.interval(task.interval), MINUTE)
        yield from (start + n * step for n in range(-((start - until) // step)))
    else:
        yield start
        yield from takewhile(until.__gt__, schedules.next_runs(task, start))


def _cron_ticks(row: CrontabSchedule, tick: datetime, until: datetime) -> Iterator[datetime]:
    """Celery's answer for the first of each day; on a day on which no clock changes the rest is plain."""
    fields = schedules.crontab(row)
    times = [timedelta(hours=hour, minutes=minute) for hour, minute in product(fields.hour, fields.minute)]
    while tick < until:
        yield tick
        midnight, following = _day(tick.astimezone(fields.tz))
        if following - midnight == DAY:
            rest = sorted(at for at in times if tick < midnight + at < until)
            yield from (midnight + at for at in rest)
            tick = max(tick, following - MINUTE)
        tick = schedules.next_cron_tick(row, tick)


def _day(local: datetime) -> tuple[datetime, datetime]:
    """When the day of a local time begins and ends, in UTC."""
    midnight = datetime.combine(local.date(), time.min, local.tzinfo)
    following = datetime.combine(local.date() + DAY, time.min, local.tzinfo)
    return midnight.astimezone(UTC), following.astimezone(UTC)
