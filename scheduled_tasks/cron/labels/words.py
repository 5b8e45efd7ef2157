"""The pieces of a label: names, dates and times of day, lists of them, and what kind of set values form."""

from collections.abc import Iterable
from itertools import pairwise

from django.utils.dates import MONTHS
from django.utils.formats import get_format
from django.utils.translation import gettext, gettext_lazy, npgettext, pgettext, pgettext_lazy

Values = frozenset[int]

EVERY_MINUTE, EVERY_HOUR = frozenset(range(60)), frozenset(range(24))
EVERY_DAY, EVERY_MONTH = frozenset(range(1, 32)), frozenset(range(1, 13))
EVERY_WEEKDAY = frozenset(range(7))
ODD_DAYS, EVEN_DAYS = frozenset(range(1, 32, 2)), frozenset(range(2, 32, 2))
WORKING_DAYS, WEEKEND = frozenset(range(1, 6)), frozenset({0, 6})
MOST_LISTED = 6
"""Longer lists are put as a range or left to the fallback."""

WEEKDAYS = (
    gettext_lazy("Sundays"), gettext_lazy("Mondays"), gettext_lazy("Tuesdays"), gettext_lazy("Wednesdays"),
    gettext_lazy("Thursdays"), gettext_lazy("Fridays"), gettext_lazy("Saturdays"),
)  # fmt: skip


def weekday_names(weekdays: Values) -> str:
    return all_of(str(WEEKDAYS[day]) for day in sorted(weekdays, key=lambda day: day or 7))


def month_names(months: Values) -> str:
    return all_of(str(MONTHS[month]) for month in sorted(months))


def clock(hour: int, minute: int) -> str:
    """A time of day as the active language says it; English as "3 AM", "noon"."""
    if minute == 0 and hour in (0, 12):
        return pgettext("time of day", "noon") if hour else pgettext("time of day", "midnight")
    if get_format("TIME_FORMAT") != "P":
        return _of_24_hours(hour, minute)
    text = f"{hour % 12 or 12}:{minute:02d}" if minute else str(hour % 12 or 12)
    if hour < 12:
        return pgettext("time of day", "%(time)s AM") % {"time": text}
    return pgettext("time of day", "%(time)s PM") % {"time": text}


def _of_24_hours(hour: int, minute: int) -> str:
    """The plural is the hour's: "a la 1:00", "a las 2:00"."""
    if minute == 0:
        return npgettext("time of day", "%(hour)d:00", "%(hour)d:00", hour) % {"hour": hour}
    pattern = npgettext("time of day", "%(hour)d:%(minute)02d", "%(hour)d:%(minute)02d", hour)
    return pattern % {"hour": hour, "minute": minute}


def past(minute: int) -> str:
    return pgettext("minute of the hour", ":%(minute)02d") % {"minute": minute}


def ordinal(day: int) -> str:
    if day == 1:
        return pgettext("day of the month", "1st")
    pattern = ORDINALS[0 if day in (11, 12, 13) else min(day % 10, 4) % 4]
    return str(pattern) % {"day": day}


def date_of_month(day: int) -> str:
    """The day of a date with its month: "March 1", "1er mars"."""
    return npgettext("day beside its month", "%(day)d", "%(day)d", day) % {"day": day}


ORDINALS = (
    pgettext_lazy("day of the month", "%(day)dth"),
    pgettext_lazy("day of the month", "%(day)dst"),
    pgettext_lazy("day of the month", "%(day)dnd"),
    pgettext_lazy("day of the month", "%(day)drd"),
)


def all_of(items: Iterable[str]) -> str:
    return _joined(list(items), gettext("%(items)s and %(last)s"))


def any_of(items: Iterable[str]) -> str:
    return _joined(list(items), gettext("%(items)s or %(last)s"))


def _joined(items: list[str], pattern: str) -> str:
    if len(items) == 1:
        return items[0]
    return pattern % {"items": pgettext("between list items", ", ").join(items[:-1]), "last": items[-1]}


def is_run(values: Values, modulus: int = 0) -> bool:
    """Whether the values follow one another without a gap, across the end of the day or year if `modulus`."""
    gaps = sum(after - before > 1 for before, after in pairwise(sorted(values)))
    wraps = modulus and min(values) % modulus == (max(values) + 1) % modulus
    return gaps == 0 or bool(gaps == 1 and wraps)


def is_span(days: Values) -> bool:
    return len(days) > 2 and is_run(days)


def even_gap(ordered: list[int]) -> int:
    """The one distance between neighbours, 0 when they differ."""
    gaps = {after - before for before, after in pairwise(ordered)}
    return gaps.pop() if len(gaps) == 1 else 0


def run_ends(values: Values, modulus: int) -> tuple[int, int]:
    ordered = sorted(values)
    for before, after in pairwise(ordered):
        if after - before > 1:
            return after, before
    return ordered[0], ordered[-1]
