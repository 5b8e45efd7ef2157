"""The ticks of a schedule in a stretch of time: beat accounts for them, the timeline draws them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from django_celery_beat.models import CrontabSchedule, PeriodicTask
from django_celery_beat.tzcrontab import TzAwareCrontab

from . import schedules
from .spread import spread_offset

INSTANT = timedelta(microseconds=1)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Ticks:
    """Consecutive ticks of one schedule, ascending: ``start`` plus each of ``offsets``, in microseconds."""

    start: datetime
    offsets: Sequence[int]

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: int) -> datetime:
        return self.start + timedelta(microseconds=self.offsets[index])

    def __iter__(self) -> Iterator[datetime]:
        return (self[index] for index in range(len(self)))


def ticks_between(task: PeriodicTask, after: datetime, until: datetime) -> Iterator[Ticks]:
    """The ticks after ``after`` up to and including ``until``, in UTC, as few blocks as possible.

    ``task`` is a task, or what has a task's schedules, ``start_time`` and ``expires``. Of an interval
    ``after`` is the last due time it counts from. A block is never empty. The cost is that of one
    :func:`.schedules.next_run` per block: an interval is one block, a crontab one block per day.
    Raises :class:`.schedules.Unschedulable`.
    """
    if task.expires is not None:
        until = min(until, task.expires - INSTANT)
    first = schedules.next_run(task, after)
    while first is not None and first <= until:
        block = _block(task, first, until)
        yield block
        first = schedules.next_run(task, block[-1])


def _block(task: PeriodicTask, first: datetime, until: datetime) -> Ticks:
    if task.crontab is not None:
        offset = spread_offset(task)
        block = _rest_of_day(task.crontab, first - offset, until - offset)
        return Ticks(block.start + offset, block.offsets)
    if task.interval is not None:
        length = schedules.interval(task.interval)
        count = (until - first) // length + 1
        step = length // INSTANT
        return Ticks(first, range(0, count * step, step))
    return Ticks(first, (0,))


def _rest_of_day(row: CrontabSchedule, first: datetime, until: datetime) -> Ticks:
    """``first`` and the ticks after it on the same day.

    Only ``first`` on a day that changes the clocks, and where a change delayed it into a day without ticks.
    """
    fields = schedules.crontab(row)
    local = first.astimezone(fields.tz)
    midnight = datetime.combine(local.date(), time.min, fields.tz).astimezone(UTC)
    following = datetime.combine(local.date() + DAY, time.min, fields.tz).astimezone(UTC)
    if following - midnight != DAY or not _runs_on(fields, local):
        return Ticks(first, (0,))
    minute = MINUTE // INSTANT
    offsets = [(hour * 60 + at) * minute for hour in sorted(fields.hour) for at in sorted(fields.minute)]
    offset = (first - midnight) // INSTANT
    begin = bisect_left(offsets, offset)
    if begin == len(offsets) or offsets[begin] != offset:
        return Ticks(first, (0,))
    return Ticks(midnight, offsets[begin : bisect_right(offsets, (until - midnight) // INSTANT)])


def _runs_on(fields: TzAwareCrontab, local: datetime) -> bool:
    return (
        local.month in fields.month_of_year
        and local.day in fields.day_of_month
        and local.isoweekday() % 7 in fields.day_of_week
    )


@dataclass(frozen=True, slots=True)
class Span:
    """``count`` ticks from ``first`` to ``last``; ``but_last`` is the tick before the last, if any."""

    first: datetime
    last: datetime
    count: int = 1
    but_last: datetime | None = None

    def without_last(self) -> Span | None:
        """The ticks before the last one."""
        return None if self.but_last is None else Span(self.first, self.but_last, self.count - 1)


def span_between(task: PeriodicTask, after: datetime, until: datetime) -> Span | None:
    """The ticks of :func:`ticks_between` counted, or None when there is none."""
    first = last = but_last = None
    count = 0
    for block in ticks_between(task, after, until):
        first = first or block[0]
        but_last = block[-2] if len(block) > 1 else last
        last = block[-1]
        count += len(block)
    return None if first is None or last is None else Span(first, last, count, but_last)
