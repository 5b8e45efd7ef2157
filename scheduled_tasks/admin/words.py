"""Times and durations in the words of the page. The browser says relative times with the same patterns."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import get_language, ngettext, pgettext
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


class Unit(NamedTuple):
    """A unit of relative time: from how many seconds it is used, its length, its two patterns."""

    limit: int
    length: int
    one: str
    many: str


def units() -> list[Unit]:
    """The units of relative time in the active language, the longest first."""
    return _units(get_language())


@lru_cache(maxsize=64)
def _units(language: str | None) -> list[Unit]:
    return [
        Unit(2 * YEAR, YEAR, *(ngettext("%s year", "%s years", n) for n in (1, 2))),
        Unit(2 * MONTH, MONTH, *(ngettext("%s month", "%s months", n) for n in (1, 2))),
        Unit(2 * DAY, DAY, *(ngettext("%s day", "%s days", n) for n in (1, 2))),
        Unit(HOUR, HOUR, *(ngettext("%s h", "%s h", n) for n in (1, 2))),
        Unit(MINUTE, MINUTE, *(ngettext("%s min", "%s min", n) for n in (1, 2))),
        Unit(0, 1, *(ngettext("%s s", "%s s", n) for n in (1, 2))),
    ]


def script_words() -> dict[str, object]:
    """Every word the page's script says, in the active language, relative times included."""
    return {
        **_directions(),
        "units": units(),
        "durations": [
            _("%(n)s ms"),
            _("%(n)s s"),
            _("%(m)s m %(s)s s"),
            _("%(h)s h %(m)s m"),
            _("%(d)s d %(h)s h"),
        ],
        "now": _("Now"),
        "updated": _("Updated %s"),
        "paused": _("Refresh paused"),
        "stale": _("Not updated: the server does not answer"),
        "error": _("The server answered with an error (%s). What you see is as it was before."),
        "offline": _("The server cannot be reached. What you see is as it was before."),
        "forbidden": _("You may not do that, or your session has changed. Reload the page."),
        "gone": _("That is no longer there. Reload the page."),
        "copied": _("Copied"),
        "close": _("Close"),
        "loading": _("Loading…"),
        "selected": _("%(n)s of %(total)s selected"),
    }


def _directions() -> dict[str, str]:
    return _directions_in(get_language())


@lru_cache(maxsize=64)
def _directions_in(language: str | None) -> dict[str, str]:
    return {
        "in": pgettext("a time to come", "in %s"),
        "ago": pgettext("a time past", "%s ago"),
        "late": pgettext("an overdue time", "%s late"),
    }


def relative(moment: datetime, now: datetime, *, overdue: str = "ago") -> str:
    """``"in 12 min"``, ``"3 days ago"``; ``overdue`` is ``"ago"`` or ``"late"``, said of past moments."""
    seconds = round((moment - now).total_seconds())
    pattern = _directions()["in" if seconds > 0 else overdue]
    return pattern % length(abs(seconds))


def length(seconds: int) -> str:
    """A number of seconds in its largest whole unit, rounded down: ``"12 min"``."""
    unit = next(unit for unit in units() if seconds >= unit.limit)
    number = seconds // unit.length
    return (unit.one if number == 1 else unit.many) % number


def exact(moment: datetime, zone: ZoneInfo) -> str:
    """``"Wed 18 Nov 2026, 10:45:00 CET (Europe/Paris)"``: to the second, comparable with logs."""
    return _exact(moment, zone, get_language())


@lru_cache(maxsize=4096)
def _exact(moment: datetime, zone: ZoneInfo, language: str | None) -> str:
    text = date_format(timezone.localtime(moment, zone), pgettext("date format", "D j M Y, H:i:s T"))
    return text if zone.key in text else f"{text} ({zone.key})"


def short(moment: datetime, zone: ZoneInfo) -> str:
    """``"Wed 18 Nov 2026, 10:45 CET"``."""
    return _short(moment, zone, get_language())


@lru_cache(maxsize=4096)
def _short(moment: datetime, zone: ZoneInfo, language: str | None) -> str:
    return date_format(timezone.localtime(moment, zone), pgettext("date format", "D j M Y, H:i T"))


def day(moment: datetime, zone: ZoneInfo) -> str:
    """``"18 Nov"``, with the year when it is another one than now's."""
    local = timezone.localtime(moment, zone)
    this_year = local.year == timezone.localtime(timezone=zone).year
    formats = pgettext("date format", "j M"), pgettext("date format", "j M Y")
    return date_format(local, formats[0] if this_year else formats[1])


def clock(moment: datetime, zone: ZoneInfo) -> str:
    """``"10:45:00"``."""
    return date_format(timezone.localtime(moment, zone), pgettext("date format", "H:i:s"))


def number(value: float, digits: int) -> str:
    """A number with that many decimals, in the active language's notation."""
    return number_format(round(value, digits), decimal_pos=digits)


def row_words() -> dict[str, str]:
    """Words that every row of the list has, in the active language."""
    return _row_words(get_language())


@lru_cache(maxsize=64)
def _row_words(language: str | None) -> dict[str, str]:
    return {
        "on": _("On"),
        "off": _("Off"),
        "never": _("Never"),
        "next_run": _("Next run"),
        "last_run": _("Last run"),
        "duration": _("Duration"),
        "none": _("none recorded"),
        "late": _("late"),
        "run_now": _("Run now"),
        "history": pgettext("runs of a task", "History"),
        "view_history": _("View history"),
        "more": _("More"),
        "run_with": _("Run with arguments…"),
        "skip": _("Skip next run"),
        "no_skip": _("Do not skip next run"),
        "pause": _("Disable with a note…"),
        "note": _("Edit the note…"),
        "reset": _("Reset to default"),
        "changes": _("Changes"),
        "changes_note": _("who changed what, when"),
        "edit_in_beat": _("Edit in django-celery-beat"),
    }


def row_labels() -> dict[str, str]:
    """Patterns of the names of a row's controls, in the active language."""
    return _row_labels(get_language())


@lru_cache(maxsize=64)
def _row_labels(language: str | None) -> dict[str, str]:
    return {
        "select": _("Select %(name)s"),
        "edit": _("Edit schedule of %(name)s"),
        "enabled": _("Enabled: %(name)s"),
        "strip": _("%(runs)s. Open the history of %(name)s"),
        "run": _("Run %(name)s now"),
        "history": _("View history of %(name)s"),
        "more": _("More actions for %(name)s"),
    }
