"""A moment as people type it: a date with a time, or words such as "in 2 h" and "tomorrow 9:00".

Words are taken in every language that the app speaks, whichever is active.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from .cron.phrases.vocabulary import plain
from .moments import weekday

LAST_YEAR = 2999
"""Of a moment that may be typed: the last ones of the calendar cannot be moved, or shown in every zone."""

DAY = timedelta(days=1)

NIGHT_ENDS = time(6)
"""Until when a time of day still belongs to tonight."""

UNITS = {
    timedelta(minutes=1): "m min mins minute minutes minuten minuto minutos",
    timedelta(hours=1): "h hr hrs hour hours std stunde stunden heure heures hora horas",
    timedelta(days=1): "d day days tag tage tagen j jour jours dia dias",
}

LENGTHS = {word: length for length, words in UNITS.items() for word in words.split()}

TODAY = ("today", "heute", "aujourd'hui", "hoy")
TONIGHT = ("tonight", "heute abend", "heute nacht", "ce soir", "cette nuit", "esta noche")
TOMORROW = ("tomorrow", "morgen", "demain", "manana")

SPAN = re.compile(r"(?:(?:in|dans|en) )?([1-9][0-9]{0,5}) ?([a-z]+)")
CLOCK = r"([0-9]{1,2})(?:[:.h]([0-5][0-9]))? ?(am|pm|h|uhr)?"
DAYS = "|".join(sorted((*TODAY, *TONIGHT, *TOMORROW), key=len, reverse=True))
OF_DAY = re.compile(rf"(?:({DAYS}),? ?)?(?:(?:at|um|a las|a la|a) )?{CLOCK}")
DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)


class InvalidMoment(ValueError):
    """What was typed is no moment; its text is one sentence in the active language."""


def read_moment(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """The moment that was typed, in the zone; one that comes twice there is the first of the two.

    It is a date with a time (``"2026-12-01 06:00"``), a span from ``now`` on (``"2h"``, ``"in 30 min"``,
    ``"1d"``), a time of day (``"06:00"``, the next one), or that with a day (``"tonight 23:00"``,
    ``"tomorrow 9 am"``). Raises :class:`InvalidMoment`, also for a time that a clock change leaves out.
    """
    typed = text.strip()
    try:
        found = _date(typed, zone) if DATE.fullmatch(typed) else _words(typed, now.astimezone(zone))
    except (ValueError, OverflowError) as error:
        if isinstance(error, InvalidMoment):
            raise
        found = None
    if found is None or found.year > LAST_YEAR:
        example = f"{(now + DAY).astimezone(zone):%Y-%m-%d} 06:00"
        raise InvalidMoment(_("This is no time. Write it as %(example)s.") % {"example": example})
    return found


def comes_twice(moment: datetime) -> bool:
    """Whether a clock change repeats this time of day."""
    first, second = moment.replace(fold=0), moment.replace(fold=1)
    return first.utcoffset() != second.utcoffset()


def _date(text: str, zone: ZoneInfo) -> datetime | None:
    found = parse_datetime(text)
    if found is None or found.year > LAST_YEAR:
        return None
    return _on_the_wall(found, zone) if found.tzinfo is None else found.astimezone(zone)


def _words(text: str, now: datetime) -> datetime | None:
    """``now`` is in the zone that is meant."""
    words = " ".join(plain(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")).split())
    if (span := SPAN.fullmatch(words)) and span[2] in LENGTHS:
        moment = now.astimezone(UTC) + int(span[1]) * LENGTHS[span[2]]
        return moment.replace(microsecond=0).astimezone(now.tzinfo)
    found = OF_DAY.fullmatch(words)
    if found is None or not (found[1] or found[3] or found[4]):
        return None
    return _on_day(found[1], _clock(found[2], found[3], found[4]), now)


def _clock(hour: str, minute: str | None, sign: str | None) -> time:
    number = int(hour)
    if sign in ("am", "pm"):
        if not 1 <= number <= 12:
            raise ValueError(hour)
        number = number % 12 + (12 if sign == "pm" else 0)
    return time(number, int(minute or 0))


def _on_day(day: str | None, clock: time, now: datetime) -> datetime:
    """The time of that day; without a day, and tonight, the next one."""
    zone = now.tzinfo
    assert isinstance(zone, ZoneInfo)
    today = now.date()
    if day in TODAY:
        return _on_the_wall(datetime.combine(today, clock), zone)
    if day in TOMORROW:
        return _on_the_wall(datetime.combine(today + DAY, clock), zone)
    is_over = clock <= now.time()
    if day is not None and is_over and clock >= NIGHT_ENDS:
        is_over = False  # tonight's time is past, and tomorrow's is not meant
    return _on_the_wall(datetime.combine(today + DAY if is_over else today, clock), zone)


def _on_the_wall(naive: datetime, zone: ZoneInfo) -> datetime:
    """When clocks in the zone show this time. Raises :class:`InvalidMoment` if they never do."""
    moment = naive.replace(tzinfo=zone)
    if moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive:
        text = _(
            "There is no %(time)s on %(day)s in %(zone)s: the clocks are put forward. Choose another time."
        )
        raise InvalidMoment(text % _told(moment))
    return moment


def twice_text(moment: datetime) -> str:
    """What is said of a time of day that a clock change repeats, before what follows from it."""
    text = _("%(time)s comes twice on %(day)s in %(zone)s: the clocks are put back.")
    return text % _told(moment)


def _told(moment: datetime) -> dict[str, str]:
    return {"time": f"{moment:%H:%M}", "day": weekday(moment.date()), "zone": str(moment.tzinfo)}
