"""Cron expressions: text in, a canonical form, a label and the runs beat will really start out.

Nothing here knows a model or a setting. Reading is strict and our own (``cron_grammar``), because every
existing reader accepts something beat cannot run; the runs are celery's own, because nobody else's agree
with beat around daylight-saving changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Self
from zoneinfo import ZoneInfo

from django_celery_beat.tzcrontab import TzAwareCrontab

from scheduled_tasks import cron_labels
from scheduled_tasks.cron_grammar import FIELDS, InvalidCron, read, tidy

__all__ = ["CronExpression", "InvalidCron"]

FAR = timedelta(days=365)
"""A first run further away than this earns the notice ``far``."""


@dataclass(frozen=True)
class CronExpression:
    """One valid cron expression. Two are equal when their canonical texts are."""

    canonical: str
    """Five fields of plain numbers, as stored in a ``CrontabSchedule``: ``"0 9 * * 1-5"``."""
    values: tuple[frozenset[int], ...] = field(compare=False, repr=False)
    """What each field matches, in the order of ``FIELDS``; Sunday is 0."""
    notices: tuple[str, ...] = field(compare=False)
    """Codes of what is worth knowing about the typed text itself: ``both_days`` or nothing."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read `text`, five fields or a macro such as ``@daily``. Reading the same text again is a look-up.

        Raises:
            InvalidCron: for everything else, whatever its type.
        """
        return cls(*_parts(tidy(text)))

    @property
    def fields(self) -> dict[str, str]:
        """The canonical text by ``CrontabSchedule`` field: minute, hour, day_of_month and so on."""
        return dict(zip(FIELDS, self.canonical.split(" "), strict=True))

    @property
    def label(self) -> str:
        """Plain words in the active language: ``"Weekdays at 9 AM"``."""
        return cron_labels.label(self.canonical, self.values)

    def next_runs(self, after: datetime, timezone: tzinfo | str, count: int = 1) -> list[datetime]:
        """The `count` runs strictly after `after`, in UTC, as celery's own schedule computes them for beat.

        `after` is aware; `timezone` is the zone the fields are read in.
        """
        zone = ZoneInfo(timezone) if isinstance(timezone, str) else timezone
        runs = self._runs(after, zone)
        return [next(runs) for _ in range(count)]

    def notices_for(self, after: datetime, timezone: tzinfo | str) -> tuple[str, ...]:
        """`notices`, and those that depend on the moment and the zone: ``far`` (the first run is more than
        a year away) and ``clock_change`` (within a year it meets an hour that is repeated or left out).
        """
        zone = ZoneInfo(timezone) if isinstance(timezone, str) else timezone
        found = list(self.notices)
        if self.next_runs(after, zone)[0] - after > FAR:
            found.append("far")
        if any(self._meets(change) for change in _clock_changes(after, zone)):
            found.append("clock_change")
        return tuple(found)

    def _runs(self, after: datetime, zone: tzinfo) -> Iterator[datetime]:
        if after.tzinfo is None:
            raise ValueError("next_runs() needs an aware datetime.")
        schedule = TzAwareCrontab(**self.fields, tz=zone)
        while True:
            start, delta, _ = schedule.remaining_delta(after.astimezone(zone))
            # To UTC before anything is compared: around a clock change local times do not order.
            after = (start + delta).astimezone(UTC)
            yield after

    def _meets(self, local_minutes: list[datetime]) -> bool:
        minutes, hours, days, months, weekdays = self.values
        return any(
            at.minute in minutes
            and at.hour in hours
            and at.day in days
            and at.month in months
            and at.isoweekday() % 7 in weekdays
            for at in local_minutes
        )


@lru_cache(maxsize=2048)
def _parts(text: str) -> tuple[str, tuple[frozenset[int], ...], tuple[str, ...]]:
    canonical, values, days_typed = read(text)
    both_days = all(not day.startswith("*") for day in days_typed) and not (
        len(values[2]) == 31 and len(values[4]) == 7
    )
    return canonical, values, ("both_days",) if both_days else ()


def _clock_changes(after: datetime, zone: tzinfo) -> Iterator[list[datetime]]:
    """The naive local minutes that each clock change of the coming year repeats or leaves out."""
    day = after.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    for _ in range(FAR.days):
        following = day + timedelta(days=1)
        if _offset(day, zone) != _offset(following, zone):
            yield _changed_minutes(day, following, zone)
        day = following


def _changed_minutes(before: datetime, until: datetime, zone: tzinfo) -> list[datetime]:
    while until - before > timedelta(minutes=1):
        middle = before + (until - before) // 2
        middle = middle.replace(second=0, microsecond=0)
        if _offset(middle, zone) == _offset(before, zone):
            before = middle
        else:
            until = middle
    edges = sorted((until.replace(tzinfo=None) + _offset(moment, zone)) for moment in (before, until))
    return [edges[0] + timedelta(minutes=n) for n in range(int((edges[1] - edges[0]).total_seconds() // 60))]


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()
