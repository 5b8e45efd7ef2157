"""Runs as small bars: server-rendered SVG of the list's last runs and the history's chart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from math import sqrt
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import moments
from ..models import OPEN, Status, word_of
from ..reading.recent_runs import RECENT_RUNS, RecentRun
from . import formats

SHORT = 3
"""Pixels: the shortest bar."""

SOLID: Mapping[str, str] = {Status.SUCCEEDED: "b-ok", Status.FAILED: "b-bad"}
HOLLOW = {Status.TIMED_OUT, Status.LOST}
DOTTED: Mapping[str, str] = {Status.MISSED: "b-warn", Status.EXPIRED: "b-warn"}
PROBLEMS = {Status.FAILED, *HOLLOW, *DOTTED}


@dataclass(frozen=True)
class Bars:
    """Measures of a row of bars, in pixels. Heights go with the square root of the duration."""

    base: int
    tall: int
    pitch: int
    width: int
    longest: float

    def height(self, seconds: float) -> int:
        """How tall a duration's bar is."""
        return max(SHORT, round(self.tall * sqrt(seconds / self.longest))) if self.longest else SHORT

    def paths(self, bars: Iterable[tuple[str, float]], first: int) -> str:
        """The bars from place ``first`` on, as one path per kind; each comes as status and seconds."""
        drawn: dict[str, str] = {}
        for place, (status, seconds) in enumerate(bars, first):
            for css, shape in self.bar(status, seconds, place * self.pitch):
                drawn[css] = drawn.get(css, "") + shape
        return "".join(f'<path class="{css}" d="{shape}"/>' for css, shape in drawn.items())

    def bar(self, status: str, seconds: float, x: int) -> Iterator[tuple[str, str]]:
        """One bar as CSS classes and shapes; a mark under the baseline tells a problem without colour."""
        height = self.height(seconds)
        if status in SOLID:
            yield SOLID[status], self.rect(x, self.base - height, height)
        elif status in OPEN:
            yield "b-busy", self.stripes(x, 3)
        elif status in HOLLOW:
            yield "b-lost", self.hollow(x, max(height, 6))
        elif status in DOTTED:
            yield DOTTED[status], self.stripes(x, 4)
        else:
            yield "b-skip", self.rect(x, self.base - 2, 2)
        if status in PROBLEMS:
            yield DOTTED.get(status, "b-bad"), self.rect(x, self.base + 2, 3)

    def hollow(self, x: int, height: int) -> str:
        """A bar that is only an outline."""
        width = self.width - 1
        return f"M{x + 0.5} {self.base - height + 0.5}h{width}v{height - 1}h-{width}z"

    def stripes(self, x: int, step: int) -> str:
        """A bar of four dashes."""
        return "".join(self.rect(x, self.base - 2 - n * step, 2) for n in range(4))

    def rect(self, x: int, y: int, height: int) -> str:
        """A filled rectangle, as wide as a bar."""
        return f"M{x} {y}h{self.width}v{height}h-{self.width}z"


def recent_bars(runs: Sequence[RecentRun]) -> SafeString:
    """The newest runs as bars, oldest first; ``runs`` come newest first."""
    return _recent_bars(tuple([(run.status, _seconds(run)) for run in reversed(runs[:RECENT_RUNS])]))


@lru_cache(maxsize=1024)
def _recent_bars(shown: tuple[tuple[str, float], ...]) -> SafeString:
    bars = Bars(22, 20, 4, 3, max((seconds for _status, seconds in shown), default=0.0))
    first = RECENT_RUNS - len(shown)
    none = "".join(bars.rect(place * bars.pitch, bars.base - 1, 1) for place in range(first))
    drawn = f'<path class="b-none" d="{none}"/>' if none else ""
    width = RECENT_RUNS * bars.pitch - 1
    return mark_safe(  # noqa: S308 - numbers and class names only
        f'<svg width="{width}" height="28" viewBox="0 0 {width} 28" aria-hidden="true">'
        f"{drawn}{bars.paths(shown, first)}</svg>"
    )


CHART_RUNS = 60
"""How many runs the history's chart shows."""


def chart(runs: Sequence[RecentRun], lines: Sequence[tuple[timedelta, str]], spoken: str) -> SafeString:
    """The newest runs as wider bars with a dotted line and a text at each of some durations."""
    shown = [(run.status, _seconds(run)) for run in reversed(runs[:CHART_RUNS])]
    bars = Bars(58, 44, 10, 7, max((seconds for _status, seconds in shown), default=0.0))
    drawn = bars.paths(shown, CHART_RUNS - len(shown))
    marks, texts, lowest = "", SafeString(""), bars.base + 11
    for length, text in lines:
        y = bars.base - bars.height(length.total_seconds())
        marks += f"M0 {y + 0.5}H600"
        lowest = min(y + 4, lowest - 12)
        texts += format_html('<text x="608" y="{}">{}</text>', lowest, text)
    return format_html(
        '<svg width="660" height="66" viewBox="0 0 660 66" role="img" aria-label="{}">{}'
        '<path class="l2" d="M0 58.5H600"/><path class="l" d="{}"/>{}</svg>',
        spoken,
        mark_safe(drawn),  # noqa: S308 - numbers and class names only
        marks,
        texts,
    )


class BarTip(NamedTuple):
    """What one bar is: when, status and duration; the beginning of the error or the reason."""

    run_id: str
    what: str
    cause: str


def tips(runs: Sequence[RecentRun], now: datetime, zone: ZoneInfo) -> list[BarTip]:
    """What each bar of these runs is, oldest first; ``runs`` come newest first."""
    found = []
    for run in reversed(runs):
        started = moments.clock_of_day(run.started_at or run.queued_at, now, zone)
        what = " · ".join(
            filter(None, (started, word_of(Status, run.status), formats.duration(run.duration)))
        )
        found.append(BarTip(str(run.id), what, run_cause(run)))
    return found


def run_cause(run: RecentRun) -> str:
    """The beginning of a run's error, or else its reason."""
    return formats.error_line(run.error_type, run.error) or run.reason_text


def spoken(runs: Sequence[RecentRun]) -> str:
    """What the strip shows, in words: ``"Last 30 runs: 28 Success, 2 Failed"``."""
    if not runs:
        return _("No runs yet")
    counted = Counter([run.status for run in runs])
    parts = ", ".join([f"{count} {word_of(Status, status)}" for status, count in counted.most_common()])
    text = ngettext("Last run: %(parts)s", "Last %(total)s runs: %(parts)s", len(runs))
    return text % {"total": len(runs), "parts": parts}


def _seconds(run: RecentRun) -> float:
    return run.duration.total_seconds() if run.duration else 0.0
