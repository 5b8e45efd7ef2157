"""When a cron expression occurs: the one rule that beat, page, timeline and editor share.

Each local time that matches occurs once, at the moment when the zone's clocks first show it. Of the matching
times that one clock change leaves out, the first occurs as much later as the clocks moved. The moments depend
on the expression and the zone alone, never on the last run, so a later question never gets an earlier answer.
"""

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Collection, Iterator, Sequence
from datetime import MAXYEAR, UTC, date, datetime, time, timedelta, tzinfo

Values = Collection[int]

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def occurrences(values: Sequence[Values], after: datetime, zone: tzinfo) -> Iterator[datetime]:
    """The moments after `after`, ascending, in UTC; none for a date that no month has.

    `values` are those of minute, hour, day of month, month and weekday, where Sunday is 0. `after` is aware.
    """
    latest = after.astimezone(UTC)
    for moment in _moments(values, _first_wall(latest, zone), zone):
        if moment > latest:
            yield moment
            latest = moment


def _moments(values: Sequence[Values], start: datetime, zone: tzinfo) -> Iterator[datetime]:
    delayed, delayed_wall = None, start
    for wall in _walls(values, start):
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
        shown = _wall(moment, zone)
        if shown == wall:
            if delayed is not None and delayed <= moment:
                yield delayed
                delayed = None
            yield moment
        elif delayed is None or wall >= delayed_wall:  # the first of those that this change leaves out
            if delayed is not None:
                yield delayed
            delayed, delayed_wall = moment, shown
    if delayed is not None:
        yield delayed


def _first_wall(after: datetime, zone: tzinfo) -> datetime:
    """The local time from which to look: earlier when a time that was left out may still be to come."""
    wall, offset = _wall(after, zone), _offset(after, zone)
    gap = offset - _offset(after - DAY, zone)
    return wall - 2 * gap if gap > timedelta(0) and _offset(after - gap, zone) != offset else wall


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _wall(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _walls(values: Sequence[Values], start: datetime) -> Iterator[datetime]:
    """The local times that match after `start`, whether or not the clocks show them."""
    minutes, hours, *days = map(sorted, values)
    today, now = start.date(), start.time()
    for day in _dates(days, today):
        for hour in hours:
            if day == today and hour < now.hour:
                continue
            for minute in minutes:
                at = time(hour, minute)
                if day > today or at > now:
                    yield datetime.combine(day, at)


def _dates(values: Sequence[list[int]], first: date) -> Iterator[date]:
    """The matching dates from `first` on."""
    days, months, weekdays = values
    for year in range(first.year, MAXYEAR):
        for month in months:
            if (year, month) < (first.year, first.month):
                continue
            last = monthrange(year, month)[1]
            for day in (date(year, month, number) for number in days if number <= last):
                if day >= first and day.isoweekday() % 7 in weekdays:
                    yield day


def meets_clock_change(values: Sequence[Values], after: datetime, until: datetime, zone: tzinfo) -> bool:
    """Whether a local time that matches is repeated or left out when the zone's clocks are set."""
    changes = _clock_changes(after, until, zone)
    return any(next(_walls(values, begin - MINUTE), end) < end for begin, end in changes)


def _clock_changes(after: datetime, until: datetime, zone: tzinfo) -> Iterator[tuple[datetime, datetime]]:
    """The local times that each change repeats or leaves out: the first of them, and the first after them.

    A day is searched when its ends differ: no zone sets its clocks twice a day.
    """
    day = after.astimezone(UTC).replace(second=0, microsecond=0)
    while day < until:
        offset = _offset(day, zone)
        if offset != _offset(day + DAY, zone):
            minutes = [day + n * MINUTE for n in range(DAY // MINUTE + 1)]
            change = minutes[bisect_left(minutes, True, key=lambda at: _offset(at, zone) != offset)]
            first, end = sorted(change.replace(tzinfo=None) + at for at in (offset, _offset(change, zone)))
            yield first, end
        day += DAY
