"""Cron expressions: text in, a canonical form, a label and the coming runs out. No model, no setting."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

from . import labels
from .grammar import FIELDS, read, tidy
from .occurrences import meets_clock_change, occurrences

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
    def parse(cls, text: object) -> "CronExpression":
        """Read `text`, five fields or a macro such as ``@daily``. Reading the same text again is a look-up.

        Raises:
            InvalidCron: for everything else, whatever its type.
        """
        return _parsed(tidy(text))

    @property
    def fields(self) -> dict[str, str]:
        """The canonical text by ``CrontabSchedule`` field: minute, hour, day_of_month and so on."""
        return dict(zip(FIELDS, self.canonical.split(" "), strict=True))

    @property
    def label(self) -> str:
        """Plain words in the active language: ``"Weekdays at 9 AM"``."""
        return labels.label(self.canonical, self.values)

    @property
    def shortest_gap(self) -> timedelta:
        """The least time from one run to the next, as if it ran every day; clock changes left out."""
        minutes = sorted(hour * 60 + minute for hour in self.values[1] for minute in self.values[0])
        following = [*minutes[1:], minutes[0] + 24 * 60]
        return timedelta(minutes=min(b - a for a, b in zip(minutes, following, strict=True)))

    def next_runs(self, after: datetime, timezone: tzinfo | str, count: int = 1) -> list[datetime]:
        """The `count` runs strictly after `after`, in UTC, as beat starts them.

        `after` is aware; `timezone` is the zone the fields are read in.
        """
        if after.tzinfo is None:
            raise ValueError("next_runs() needs an aware datetime.")
        return list(islice(occurrences(self.values, after, _zone(timezone)), count))

    def notices_for(self, after: datetime, timezone: tzinfo | str) -> tuple[str, ...]:
        """`notices`, and those that depend on the moment and the zone: ``far`` (the first run is more than
        a year away) and ``clock_change`` (within a year it meets an hour that is repeated or left out).
        """
        found = list(self.notices)
        if self.next_runs(after, timezone)[0] - after > FAR:
            found.append("far")
        if meets_clock_change(self.values, after, after + FAR, _zone(timezone)):
            found.append("clock_change")
        return tuple(found)


@lru_cache(maxsize=1000)
def known_zone(name: str) -> ZoneInfo | None:
    """The time zone of that name, or None when this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # not found, an absolute path, a directory
        return None


def _zone(timezone: tzinfo | str) -> tzinfo:
    return ZoneInfo(timezone) if isinstance(timezone, str) else timezone


@lru_cache(maxsize=2048)
def _parsed(line: str) -> CronExpression:
    canonical, values, days_typed = read(line)
    every_day = len(values[2]) == 31 and len(values[4]) == 7
    both_days = not every_day and all(not day.startswith("*") for day in days_typed)
    return CronExpression(canonical, values, ("both_days",) if both_days else ())
