"""Relative times, durations and numbers in the words of the page, and of its script."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext_lazy

from ..models import CodeDefault
from ..schedules import text_label
from ..spread import spread_label

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"

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
    "next": pgettext_lazy("an overdue time", "due %s ago"),
    "queued": pgettext_lazy("a run that waits", "queued %s"),
}

FAR_FROM_USUAL = 2.0
"""A duration this many times the usual one is worth saying."""

AT_ONCE = 10
"""Seconds in which a run that is due is expected to start: until then its time is said to be now."""


def script_words() -> dict[str, object]:
    """Every word the page's script says, in the active language, relative times included."""
    return {
        **{direction: str(pattern) for direction, pattern in DIRECTIONS.items()},
        "units": [(limit, length, words(1), words(2)) for limit, length, words in UNITS],
        "durations": [_("%(n)s s"), _("%(m)s m %(s)s s"), _("%(h)s h %(m)s m"), _("%(d)s d %(h)s h")],
        "now": _("Now"),
        "atOnce": AT_ONCE,
        "far": FAR_FROM_USUAL,
        "usual": _("%(factor)s× usual"),
        "updated": _("Updated %s"),
        "paused": _("Refresh paused"),
        "stale": _("Not updated: the server does not answer"),
        "error": _("The server returned an error (%s). The page was not updated."),
        "unsent": _("The server cannot be reached. Your change may not have been made: try again."),
        "offline": _("The server cannot be reached. The page was not updated."),
        "forbidden": _("You do not have permission, or your session has changed. Reload the page."),
        "gone": _("This no longer exists: it was deleted meanwhile."),
        "copied": _("Copied"),
        "discard": _("Discard what you have typed?"),
        "selected": _("%(n)s of %(total)s selected"),
    }


def relative(moment: datetime, now: datetime, kind: str = "") -> str:
    """``"in 12 min"``, ``"3 days ago"``; of the next run ``"Now"``, ``"due 3 min ago"`` (``kind`` is
    ``"next"``), of a run that waits ``"queued 3 min"`` (``"queued"``).
    """
    seconds = round((moment - now).total_seconds())
    if seconds > 0 and kind != "queued":
        return str(DIRECTIONS["in"]) % length(seconds)
    if kind and -seconds < AT_ONCE:
        return _("Now")
    return str(DIRECTIONS[kind or "ago"]) % length(-seconds)


def length(seconds: int) -> str:
    """A number of seconds in its largest whole unit, rounded down: ``"12 min"``."""
    _limit, unit, words = next(each for each in UNITS if seconds >= each[0])
    number = seconds // unit
    return words(number) % number


def error_line(error_type: str, error: str) -> str:
    """``"RatesUnavailable: no answer"``: an error's type without its module, and its text, where known."""
    return f"{error_type.rpartition('.')[2]}: {error}".rstrip(": ") if error_type else error


def unbroken(label: str) -> str:
    """The label of a schedule with no line break in a time: ``2 PM`` stays together."""
    return re.sub(r"(?<=\d) (?=[AP]M\b)", NO_BREAK_SPACE, label)


def declared_schedule(default: CodeDefault | None) -> str:
    """The schedule that code declares, in plain words; empty where none does, or none that can be read."""
    declared = default.declared if default and isinstance(default.declared, dict) else {}
    schedule, spread = declared.get("schedule"), declared.get("spread")
    if not isinstance(schedule, str):
        return ""
    within = timedelta(seconds=spread) if isinstance(spread, int | float) else None
    return spread_label(text_label(schedule), within)


def whole(value: int) -> str:
    """A whole number with its thousands apart: ``"1,439"``."""
    return str(number_format(value, force_grouping=True))


def number(value: float, digits: int) -> str:
    """A number with that many decimals, in the active language's notation."""
    return number_format(round(value, digits), decimal_pos=digits)


def and_more(text: str, more: int) -> str:
    """``"purge, report and 10 more"``; the text alone where there are no more."""
    if more <= 0:
        return text
    sentence = ngettext("%(some)s and %(n)s more", "%(some)s and %(n)s more", more)
    return sentence % {"some": text, "n": whole(more)}
