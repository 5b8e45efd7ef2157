"""When a task is due, and how many of its ticks lie in a stretch of time. No database."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import cast

from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from .. import schedules

INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Timetable:
    """The schedule of one or many tasks: one of the four rows, and the bounds the task sets."""

    crontab: CrontabSchedule | None = None
    interval: IntervalSchedule | None = None
    clocked: ClockedSchedule | None = None
    solar: SolarSchedule | None = None
    start_time: datetime | None = None
    expires: datetime | None = None

    def after(self, moment: datetime) -> datetime | None:
        """The first tick strictly after ``moment``, in UTC; None when there is none.

        Steps are taken from the last tick, not from now: in an hour that the clocks repeat the two differ.
        Raises :class:`scheduled_tasks.schedules.Unschedulable`.
        """
        return schedules.next_run(cast(PeriodicTask, self), moment)


@dataclass(frozen=True, slots=True)
class Span:
    """``count`` ticks from ``first`` to ``last``; ``but_last`` is the tick before the last, if any."""

    first: datetime
    last: datetime
    count: int = 1
    but_last: datetime | None = None

    def with_next(self, tick: datetime) -> Span:
        """These ticks and the one after them."""
        return Span(self.first, tick, self.count + 1, self.last)

    def without_last(self) -> Span | None:
        """The ticks before the last one."""
        return None if self.but_last is None else Span(self.first, self.but_last, self.count - 1)


def between(timetable: Timetable, after: datetime, until: datetime) -> Span | None:
    """The ticks after ``after`` up to and including ``until``, or None when there is none."""
    first = timetable.after(after)
    if first is None or first > until:
        return None
    if timetable.interval is not None:
        return _regular(timetable, first, until)
    if timetable.crontab is not None:
        return _by_days(timetable, first, until)
    span = Span(first, first)
    while (following := timetable.after(span.last)) is not None and following <= until:
        span = span.with_next(following)
    return span


def _regular(timetable: Timetable, first: datetime, until: datetime) -> Span:
    assert timetable.interval is not None
    length = schedules.interval(timetable.interval)
    if timetable.expires is not None:
        until = min(until, timetable.expires - INSTANT)
    steps = (until - first) // length
    last = first + steps * length
    return Span(first, last, steps + 1, last - length if steps else None)


def _by_days(timetable: Timetable, first: datetime, until: datetime) -> Span:
    """Ticks of a crontab, a day at a time: after a long outage there may be thousands for each task."""
    assert timetable.crontab is not None
    fields = schedules.crontab(timetable.crontab)
    day = _Day(sorted(fields.hour), sorted(fields.minute))
    if timetable.expires is not None:
        until = min(until, timetable.expires - INSTANT)
    span = Span(first, first)
    while True:
        local = span.last.astimezone(fields.tz)
        midnight = datetime.combine(local.date() + timedelta(days=1), time.min, fields.tz)
        if datetime.combine(local.date(), time.min, fields.tz).utcoffset() == midnight.utcoffset():
            span = day.rest(span, local, min(until.astimezone(fields.tz), midnight - INSTANT))
        following = timetable.after(span.last)
        if following is None or following > until:
            return span
        span = span.with_next(following)


@dataclass(frozen=True, slots=True)
class _Day:
    """The ticks of a day on which the clocks do not change, by number from 1."""

    hours: list[int]
    minutes: list[int]

    def rest(self, span: Span, local: datetime, until: datetime) -> Span:
        """``span``, whose last tick is ``local``, with the ticks up to ``until`` of the same day."""
        begun, end = self._number(local), self._number(until)
        if end == begun:
            return span
        before = span.last if end == begun + 1 else self._tick(end - 1, local)
        return Span(span.first, self._tick(end, local), span.count + end - begun, before)

    def _number(self, moment: datetime) -> int:
        """How many ticks there are up to and including ``moment``."""
        full_hours = bisect_left(self.hours, moment.hour)
        in_hour = bisect_right(self.minutes, moment.minute) if moment.hour in self.hours else 0
        return full_hours * len(self.minutes) + in_hour

    def _tick(self, number: int, local: datetime) -> datetime:
        hour, minute = divmod(number - 1, len(self.minutes))
        tick = local.replace(hour=self.hours[hour], minute=self.minutes[minute], second=0, microsecond=0)
        return tick.astimezone(UTC)
