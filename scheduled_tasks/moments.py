"""Times as people read them: one format in each language, wherever a page shows one."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _

MINUTE, HOUR = 60, 3600


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


def compact(moment: datetime, zone: ZoneInfo) -> str:
    """``"Wed 18 Nov 10:45"``, with the year when it is another one than now's."""
    this_year = in_zone(moment, zone).year == timezone.localtime(timezone=zone).year
    formats = pgettext("date format", "D j M H:i"), pgettext("date format", "D j M Y H:i")
    return _formatted(moment, zone, formats[0] if this_year else formats[1], get_language())


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


def minutes(begin: datetime, end: datetime, now: datetime, zone: ZoneInfo) -> str:
    """From minute to minute: ``"18 Nov, 10:45 – 11:00"``; the end has a day where it is not the begin's."""
    first = minute_of_day(begin, now, zone)
    if minute_of_day(end, now, zone) == first:
        return first
    return f"{first} – {minute_of_day(end, begin, zone)}"


def _with_day(text: str, moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    is_today = in_zone(moment, zone).date() == in_zone(now, zone).date()
    return text if is_today else f"{day(moment, zone)}, {text}"


def day(moment: datetime, zone: ZoneInfo) -> str:
    """``"18 Nov"``, with the year when it is another one than now's."""
    local = in_zone(moment, zone)
    this_year = local.year == timezone.localtime(timezone=zone).year
    formats = pgettext("date format", "j M"), pgettext("date format", "j M Y")
    return date_format(local, formats[0] if this_year else formats[1])


def weekday(of: date) -> str:
    """``"Wed 18 Nov"``."""
    return date_format(of, pgettext("date format", "D j M"))


def exact_span(duration: timedelta) -> str:
    """``"90 s"``, ``"14 min"``, ``"2 h"``: in the longest unit of which it is a whole number."""
    seconds = duration.total_seconds()
    if seconds % MINUTE:
        return _("%(s)s s") % {"s": f"{seconds:g}"}
    if seconds % HOUR:
        return _("%(m)s min") % {"m": round(seconds / MINUTE)}
    return _("%(h)s h") % {"h": round(seconds / HOUR)}
