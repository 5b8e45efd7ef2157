"""The stretch of time that the timeline shows: so long before and after now, or some hours of a day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, pgettext

from .. import moments, schedules
from ..ticks import DAY, MINUTE

WIDTH = 1200
"""Units of a lane from its begin to its end; on a wide screen one is a little less than a pixel."""

LENGTHS: Mapping[str, tuple[str | Promise, timedelta]] = {
    "1h": (gettext_lazy("1 h"), timedelta(hours=1)),
    "6h": (gettext_lazy("6 h"), timedelta(hours=6)),
    "24h": (gettext_lazy("24 h"), timedelta(hours=24)),
    "7d": (gettext_lazy("7 days"), timedelta(days=7)),
}
"""What may be shown before and after now."""

USUAL = "24h"

YEARS = range(1990, 2100)
"""In these every zone has every day, and no schedule is computed for a minute."""

LABELS = [timedelta(minutes=n) for n in (1, 5, 10, 15, 30, 60, 180, 360, 1440)]
"""Time from one label to the next: the first that makes :data:`MOST_LABELS` or fewer."""

MOST_LABELS = 16

ROOM = 45
"""Units that a label needs to either side."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Window:
    """From ``begin`` to ``end``; ``key`` is one of :data:`LENGTHS`, empty where a person chose the hours."""

    begin: datetime
    end: datetime
    now: datetime
    key: str = ""
    chosen: tuple[str, str, str] = ("", "", "")
    """Day and times as typed."""

    @classmethod
    def asked(cls, query: QueryDict, now: datetime) -> Window:
        """What the query string asks for; the usual one where it says nothing that can be read."""
        day, first, last = chosen = (query.get("day", ""), query.get("start", ""), query.get("stop", ""))
        if bounds := _hours_of_day(day, first, last):
            return cls(*bounds, now, "", chosen)
        key = query.get("window", "")
        key = key if key in LENGTHS else USUAL
        length = LENGTHS[key][1]
        # In whole steps, so that what is drawn stays where it is until the next one.
        step = max(MINUTE, 2 * length / (WIDTH - 1))
        begin = now - (now - EPOCH) % step - length
        return cls(begin, begin + 2 * length + step, now, key)

    @property
    def step(self) -> float:
        """Seconds in a unit."""
        return (self.end - self.begin).total_seconds() / WIDTH

    @property
    def version(self) -> str:
        """Moves with the time as far as the drawing does."""
        step = max(MINUTE, timedelta(seconds=self.step))
        return f"{self.begin} {self.end} {(self.now - EPOCH) // step if self.has_now else ''}"

    def place(self, seconds: float) -> float:
        """Where a moment is, in units; it comes in seconds after ``begin``."""
        return min(max(seconds / self.step, 0.0), float(WIDTH))

    def place_of(self, moment: datetime) -> float:
        """The same of a moment."""
        return self.place((moment - self.begin).total_seconds())

    @property
    def has_now(self) -> bool:
        """Whether now is in it."""
        return self.begin <= self.now < self.end

    def labels(self) -> Iterator[tuple[str, int, str]]:
        """``(css class, place in units, text)`` of now, of times of day and of days."""
        word = pgettext("on a timeline", "now")
        room = max(ROOM, 8 * len(word))  # one language has a long word for it
        here = round(self.place_of(self.now)) if self.has_now else -room
        if self.has_now:
            yield "st-tl-is-now", here, word
        for moment, is_day in self.marked():
            place = round(self.place_of(moment))
            from_now = abs(place - here) / (1.5 if is_day else 1)  # a day's text is the longer one
            if ROOM / 2 < place < WIDTH - ROOM / 2 and from_now > room:
                zone = schedules.current_zone()
                text = moments.day(moment, zone) if is_day else moments.minute_of_day(moment, moment, zone)
                yield "st-tl-day" if is_day else "st-tl-clock", place, text

    def marked(self) -> Iterator[tuple[datetime, bool]]:
        """The moments that have a label, and whether a day begins there."""
        length, zone = self.end - self.begin, schedules.current_zone()
        between = next((each for each in LABELS if length / each <= MOST_LABELS), DAY)
        stride = min(between, timedelta(hours=1))
        local = self.begin.astimezone(zone)
        midnight = timedelta(hours=local.hour, minutes=local.minute, seconds=local.second)
        moment = self.begin - (midnight % stride) - timedelta(microseconds=local.microsecond)
        while moment < self.end:
            local = moment.astimezone(zone)
            of_day = timedelta(hours=local.hour, minutes=local.minute)
            if moment >= self.begin and not of_day % between:
                yield moment, not of_day
            moment += stride


def _hours_of_day(day: str, first: str, last: str) -> tuple[datetime, datetime] | None:
    """From one time of a day to another, which is on the next day when it is not later; the whole day
    without times; None for what is no day.
    """
    try:
        on, begin, end = (
            date.fromisoformat(day),
            *(time.fromisoformat(each or "00:00") for each in (first, last)),
        )
    except ValueError:
        return None
    if on.year not in YEARS or begin.tzinfo or end.tzinfo:
        return None
    zone = schedules.current_zone()
    until = on if end > begin else on + DAY
    bounds = [datetime.combine(*each, zone).astimezone(UTC) for each in ((on, begin), (until, end))]
    return (bounds[0], bounds[1]) if bounds[0] < bounds[1] else None
