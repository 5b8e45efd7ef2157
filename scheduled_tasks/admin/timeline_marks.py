"""The marks of a lane: runs that were and runs that are planned, few enough to point at, drawn as SVG.

Length is duration. Colour and shape are the outcome, as in :mod:`.run_bars`: what is a problem has a foot
below the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from django.utils.functional import Promise
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import moments, schedules
from ..models import OPEN, Status, word_of
from . import formats
from .run_bars import DOTTED, HOLLOW, PROBLEMS, SOLID
from .timeline_window import WIDTH, Window

MOST = 2500
"""Marks of a page, shared by its lanes."""

GAPS = (3, 6, 12, 24, 48, 96, 2 * WIDTH)
"""Units: marks alike that are closer together become one, by the first that leaves few enough."""

WIDE = 90
"""Units that the number of a mark's runs has room in."""

PLANNED, LEFT_OUT = "planned", "left_out"
"""Beside the statuses of runs: a run to come, and one that a person asked to skip."""

WORDS: Mapping[str, str | Promise] = {
    PLANNED: gettext_lazy("Planned"),
    LEFT_OUT: gettext_lazy("will be skipped"),
}

CSS: Mapping[str, str] = {
    PLANNED: "st-tl-plan",
    LEFT_OUT: "st-tl-left",
    **SOLID,
    **DOTTED,
    **dict.fromkeys(HOLLOW, "b-lost"),
    **dict.fromkeys(OPEN, "b-busy"),
}
"""What is not named is a run that was left out: a low mark."""

LOW = "b-skip"

LEGEND = (
    Status.SUCCEEDED,
    Status.FAILED,
    Status.LOST,
    Status.MISSED,
    Status.SKIPPED,
    Status.RUNNING,
    PLANNED,
)
"""One of each kind."""

LAYERS = ("st-tl-plan", "b-ok", "st-tl-left", LOW, "b-busy", "b-warn", "b-lost", "b-bad")
"""From the back to the front: no success hides a failure."""


class Mark(NamedTuple):
    """Runs alike, side by side: from ``left`` to ``right`` in units, ``begin`` to ``end``.

    ``run_id`` is that of the first, 0 of one to come.
    """

    status: str
    left: float
    right: float
    runs: int
    begin: datetime
    end: datetime
    run_id: int = 0

    @property
    def css(self) -> str:
        """The class that gives its colour."""
        return CSS.get(self.status, LOW)

    @property
    def word(self) -> str:
        """What became of it."""
        return str(WORDS[self.status]) if self.status in WORDS else word_of(Status, self.status)

    @property
    def shape(self) -> str:
        """What is drawn, in units across and pixels down: a line where it has no width."""
        left, width = round(self.left), round(self.right) - round(self.left)
        top, height = (13, 6) if self.css == LOW else (4, 15)
        body = f"M{left} {top}h{width}v{height}h-{width}z" if width else f"M{left} {top}v{height}"
        return f"{body}M{left} 21v3" if self.status in PROBLEMS else body

    def with_next(self, other: Mark) -> Mark:
        """Both as one."""
        right, end = max(self.right, other.right), max(self.end, other.end)
        return self._replace(right=right, end=end, runs=self.runs + other.runs)


def fewer(marks: Iterable[Mark], most: int) -> list[Mark]:
    """At most ``most`` marks, or as few as can be, that can be told apart and pointed at, by their place."""
    found = sorted(marks, key=lambda mark: mark.left)
    for gap in GAPS:
        found = _joined(found, gap)
        if len(found) <= most:
            break
    return found


def _joined(marks: Sequence[Mark], gap: float) -> list[Mark]:
    last: dict[str, int] = {}
    found: list[Mark] = []
    for mark in marks:
        at = last.get(mark.status)
        if at is not None and mark.left - found[at].right < gap:
            found[at] = found[at].with_next(mark)
        else:
            last[mark.status] = len(found)
            found.append(mark)
    return found


class Drawing:
    """The marks of a task's lane as SVG. ``usual`` is how long a run takes, where that is known."""

    def __init__(
        self, marks: Sequence[Mark], window: Window, pk: int, usual: timedelta | None, about: str
    ) -> None:
        self.marks = marks
        self._window, self._pk, self._about = window, pk, about
        self._usual = _("usually %(duration)s") % {"duration": formats.duration(usual)} if usual else ""

    @property
    def html(self) -> SafeString:
        """A group for each colour, runs that were as links."""
        drawn: dict[str, str] = {}
        for mark in self.marks:
            key = f"{mark.css} st-tl-many" if mark.runs > 1 else mark.css
            drawn[key] = drawn.get(key, "") + self._mark(mark)
        ordered = sorted(drawn, key=lambda css: ("many" not in css, LAYERS.index(css.split()[0])))
        return mark_safe("".join(f'<g class="{css}">{drawn[css]}</g>' for css in ordered))  # noqa: S308 - escaped

    @property
    def numbers(self) -> Iterator[tuple[str, str]]:
        """``(place in percent, number of runs)`` of each wide mark that no other lies on. They may touch."""
        for mark in self.marks:
            alone = all(
                other is mark or other.left > mark.right - 1 or other.right < mark.left + 1
                for other in self.marks
            )
            if alone and mark.runs > 1 and mark.right - mark.left >= WIDE:
                about = self._about if mark.status == PLANNED else ""
                yield f"{50 * (mark.left + mark.right) / WIDTH:.2f}", about + runs_text(mark.runs)

    def _mark(self, mark: Mark) -> str:
        drawn = f'<path d="{mark.shape}"><title>{escape(self.text(mark))}</title></path>'
        return f'<a href="{escape(self._link(mark))}" tabindex="-1">{drawn}</a>' if mark.run_id else drawn

    def _link(self, mark: Mark) -> str:
        """The run in the task's history; of several, the history of their days."""
        if mark.runs == 1:
            return f"../{self._pk}/change/?run={mark.run_id}"
        zone = schedules.current_zone()
        days = [moments.in_zone(at, zone).date() for at in (mark.begin, mark.end)]
        return f"../{self._pk}/change/?{urlencode({'from': days[0], 'to': days[1]})}"

    def text(self, mark: Mark) -> str:
        """``"10:45:00 · Success · 2.4 s"``, ``"10:45 – 11:45 · 60 × Success"``."""
        now, zone = self._window.now, schedules.current_zone()
        begin, end = mark.begin, mark.end
        word = mark.word
        about = self._about if mark.status == PLANNED else ""
        took = (
            "" if mark.run_id and mark.status not in SOLID and mark.status not in HOLLOW else self._took(mark)
        )
        if mark.runs > 1:
            when = moments.minutes(begin, end, now, zone)
            word, took = f"{formats.whole(mark.runs)} × {word}", "" if mark.run_id else self._usual
        else:
            when = moments.clock_of_day(begin, now, zone)
        return " · ".join(filter(None, (about + when, word, took)))

    def _took(self, mark: Mark) -> str:
        return formats.duration(mark.end - mark.begin) if mark.run_id else self._usual


def runs_text(number: int) -> str:
    """``"1,439 runs"``."""
    return ngettext("%(n)s run", "%(n)s runs", number) % {"n": formats.whole(number)}
