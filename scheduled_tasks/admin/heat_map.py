"""A calendar of a task's last 90 days: a cell a day in the colour of its worst outcome, and its runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from .. import moments, schedules
from ..models import OPEN, Status, word_of
from ..reading.run_days import RunDay, days_before, run_days
from . import formats
from .run_bars import DOTTED, HOLLOW, SOLID
from .run_filters import DATES, RunFilters

WORST = (
    (Status.FAILED, SOLID[Status.FAILED]),
    *((status, "b-lost") for status in sorted(HOLLOW)),
    *((status, DOTTED[status]) for status in sorted(DOTTED)),
    *((status, "b-busy") for status in sorted(OPEN)),
    (Status.SUCCEEDED, SOLID[Status.SUCCEEDED]),
)
"""From the worst on, each with its colour; a day of none of these has only runs that were left out."""

WEEK = 7


class Cell(NamedTuple):
    """One day: its colour (empty without runs), what it says, and the query string of its runs, if any."""

    day: date
    css: str
    text: str
    link: str
    current: bool
    is_newest: bool = False
    """Whether no later day has runs: the one that Tab goes to."""


class HeatMap:
    """The calendar of one task, whose runs are listed under these filters."""

    def __init__(self, task_id: int, now: datetime, filters: RunFilters) -> None:
        self._zone = schedules.current_zone()
        self._task_id, self._filters = task_id, filters
        self._asked = [filters.days.get(name) for name in DATES]
        self._days = days_before(now, self._zone)

    @property
    def weeks(self) -> Iterator[tuple[str, list[Cell | None]]]:
        """Each week with the month that begins in it, from Monday to Sunday; None is a day outside."""
        found = run_days(self._task_id, self._days[0], self._zone)
        cells: list[Cell | None] = [None] * self._days[0].weekday()
        cells += [
            self._cell(day, found.get(day, RunDay()), day == max(found, default=None)) for day in self._days
        ]
        for start in range(0, len(cells), WEEK):
            week = cells[start : start + WEEK]
            begins = next((cell.day for cell in week if cell and cell.day.day == 1), None)
            yield date_format(begins, "M") if begins else "", week

    def _cell(self, day: date, runs: RunDay, is_newest: bool) -> Cell:
        css = next((css for status, css in WORST if runs.statuses[status]), "b-skip" if runs.statuses else "")
        link = self._filters.day_link(day, runs.statuses) if runs.statuses else ""
        return Cell(day, css, self._text(day, runs), link, self._asked == [day, day], is_newest)

    def _text(self, day: date, runs: RunDay) -> str:
        """``"Wed 18 Nov: 287 Success, 1 Failed · 12 m 3 s in all"``."""
        counted = runs.statuses.most_common()
        parts = ", ".join(f"{formats.whole(number)} {word_of(Status, status)}" for status, number in counted)
        told = f"{moments.weekday(day)}: {parts or _('No runs')}"
        if not runs.seconds:
            return told
        took = formats.duration(timedelta(seconds=runs.seconds))
        return f"{told} · " + _("%(duration)s in all") % {"duration": took}

    @property
    def asked(self) -> str:
        """The days that the history shows, in words; empty when it shows any."""
        first, last = (day and moments.weekday(day) for day in self._asked)
        return str(first or "") if first == last else f"{first or ''} – {last or ''}"
