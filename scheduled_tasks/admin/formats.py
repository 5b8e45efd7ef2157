"""Times and durations in the words of the page. The browser says relative times with the same patterns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import get_language, ngettext, pgettext, pgettext_lazy
from django.utils.translation import gettext as _

MINUTE, HOUR, DAY = 60, 3600, 86_400
MONTH, YEAR = 30 * DAY, 365 * DAY


def duration(value: timedelta | None) -> str:
    """``"340 ms"``, ``"2.4 s"``, ``"3 m 12 s"``, ``"1 h 4 m"``, ``"2 d 3 h"``; an empty text for None."""
    if value is None:
        return ""
    seconds = value.total_seconds()
    if seconds < 0.9995:
        return _("%(n)s ms") % {"n": round(seconds * 1000)}
    if seconds < 59.95:
        digits = number_format(round(seconds, 1), decimal_pos=1 if seconds < 99 else 0)
        return _("%(n)s s") % {"n": digits}
    return _two_units(round(seconds))


def _two_units(seconds: int) -> str:
    if seconds < HOUR:
        minutes, rest = divmod(seconds, MINUTE)
        return _("%(m)s m %(s)s s") % {"m": minutes, "s": rest}
    if seconds < DAY:
        hours, rest = divmod(round(seconds / MINUTE), MINUTE)
        return _("%(h)s h %(m)s m") % {"h": hours, "m": rest}
    days, rest = divmod(round(seconds / HOUR), 24)
    return _("%(d)s d %(h)s h") % {"d": days, "h": rest}


UNITS: tuple[tuple[int, int, Callable[[int], str]], ...] = (
    (2 * YEAR, YEAR, lambda n: ngettext("%s year", "%s years", n)),
    (2 * MONTH, MONTH, lambda n: ngettext("%s month", "%s months", n)),
    (2 * DAY, DAY, lambda n: ngettext("%s day", "%s days", n)),
    (HOUR, HOUR, lambda n: ngettext("%s h", "%s h", n)),
    (MINUTE, MINUTE, lambda n: ngettext("%s min", "%s min", n)),
    (0, 1, lambda n: ngettext("%s s", "%s s", n)),
)
"""Units of relative time, the longest first: from how many seconds each is used, its length, its words."""

DIRECTIONS = {
    "in": pgettext_lazy("a time to come", "in %s"),
    "ago": pgettext_lazy("a time past", "%s ago"),
    "late": pgettext_lazy("an overdue time", "%s late"),
}


def script_words() -> dict[str, object]:
    """Every word the page's script says, in the active language, relative times included."""
    return {
        **{direction: str(pattern) for direction, pattern in DIRECTIONS.items()},
        "units": [(limit, length, words(1), words(2)) for limit, length, words in UNITS],
        "durations": [_("%(n)s s"), _("%(m)s m %(s)s s"), _("%(h)s h %(m)s m"), _("%(d)s d %(h)s h")],
        "now": _("Now"),
        "updated": _("Updated %s"),
        "paused": _("Refresh paused"),
        "stale": _("Not updated: the server does not answer"),
        "error": _("The server returned an error (%s). The page was not updated."),
        "offline": _("The server cannot be reached. The page was not updated."),
        "forbidden": _("You do not have permission, or your session has changed. Reload the page."),
        "gone": _("This no longer exists. Reload the page."),
        "copied": _("Copied"),
        "selected": _("%(n)s of %(total)s selected"),
    }


def relative(moment: datetime, now: datetime, *, overdue: str = "ago") -> str:
    """``"in 12 min"``, ``"3 days ago"``; ``overdue`` is ``"ago"`` or ``"late"``, said of past moments."""
    seconds = round((moment - now).total_seconds())
    return str(DIRECTIONS["in" if seconds > 0 else overdue]) % length(abs(seconds))


def length(seconds: int) -> str:
    """A number of seconds in its largest whole unit, rounded down: ``"12 min"``."""
    _limit, unit, words = next(each for each in UNITS if seconds >= each[0])
    number = seconds // unit
    return words(number) % number


def in_zone(moment: datetime, zone: ZoneInfo) -> datetime:
    """A moment in a zone; as it is at the ends of the calendar, where some zones have no such day."""
    try:
        return timezone.localtime(moment, zone)
    except OverflowError:
        return moment


def exact(moment: datetime, zone: ZoneInfo) -> str:
    """``"Wed 18 Nov 2026, 10:45:00 CET (Europe/Paris)"``: to the second, comparable with logs."""
    text = _formatted(moment, zone, pgettext("date format", "D j M Y, H:i:s T"), get_language())
    return text if zone.key in text else f"{text} ({zone.key})"


def short(moment: datetime, zone: ZoneInfo) -> str:
    """``"Wed 18 Nov 2026, 10:45 CET"``."""
    return _formatted(moment, zone, pgettext("date format", "D j M Y, H:i T"), get_language())


def clock(moment: datetime, zone: ZoneInfo) -> str:
    """``"10:45:00"``."""
    return _formatted(moment, zone, pgettext("date format", "H:i:s"), get_language())


@lru_cache(maxsize=4096)
def _formatted(moment: datetime, zone: ZoneInfo, pattern: str, language: str | None) -> str:
    return date_format(in_zone(moment, zone), pattern)


def clock_of_day(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """``"10:45:00"``, with the day when it is not that of ``now``: ``"18 Nov, 10:45:00"``."""
    return _with_day(clock(moment, zone), moment, now, zone)


def minute_of_day(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """The same to the minute: ``"10:45"``."""
    text = _formatted(moment, zone, pgettext("date format", "H:i"), get_language())
    return _with_day(text, moment, now, zone)


def _with_day(text: str, moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    is_today = in_zone(moment, zone).date() == in_zone(now, zone).date()
    return text if is_today else f"{day(moment, zone)}, {text}"


def day(moment: datetime, zone: ZoneInfo) -> str:
    """``"18 Nov"``, with the year when it is another one than now's."""
    local = in_zone(moment, zone)
    this_year = local.year == timezone.localtime(timezone=zone).year
    formats = pgettext("date format", "j M"), pgettext("date format", "j M Y")
    return date_format(local, formats[0] if this_year else formats[1])


def number(value: float, digits: int) -> str:
    """A number with that many decimals, in the active language's notation."""
    return number_format(round(value, digits), decimal_pos=digits)
