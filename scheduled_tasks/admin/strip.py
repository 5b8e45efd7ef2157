"""Runs as small bars: server-rendered SVG of the list's strip and the history's chart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import sqrt
from typing import Protocol

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..models import Status
from ..recent import RECENT_RUNS

SHORT = 3
"""Pixels: the shortest bar."""

SOLID = {Status.SUCCEEDED: "b-ok", Status.FAILED: "b-bad"}
HOLLOW = {Status.TIMED_OUT, Status.LOST}
DOTTED = {Status.MISSED: "b-warn", Status.EXPIRED: "b-warn"}
OPEN = {Status.RUNNING, Status.RETRYING, Status.QUEUED, Status.WAITING}
PROBLEMS = {Status.FAILED, *HOLLOW, *DOTTED}


class Run(Protocol):
    """What a bar needs to know of a run."""

    @property
    def status(self) -> str:
        """One of :class:`~scheduled_tasks.models.Status`."""
        ...

    @property
    def duration(self) -> timedelta | None:
        """How long it took."""
        ...


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

    def bar(self, run: Run, place: int) -> str:
        """One run's bar; a mark under the baseline tells a problem without colour."""
        status, x = Status(run.status), place * self.pitch
        height = self.height(_seconds(run))
        mark = self.mark(status, x) if status in PROBLEMS else ""
        if status in OPEN:
            return self.stripes("b-busy", x, 3)
        if status in SOLID:
            return self.rect(SOLID[status], x, self.base - height, height) + mark
        if status in HOLLOW:
            return self.hollow(x, max(height, 6)) + mark
        if status in DOTTED:
            return self.stripes(DOTTED[status], x, 4) + mark
        return self.rect("b-skip", x, self.base - 2, 2)

    def mark(self, status: Status, x: int) -> str:
        """The mark under the baseline."""
        return self.rect(DOTTED.get(status, "b-bad"), x, self.base + 2, 3)

    def hollow(self, x: int, height: int) -> str:
        """A bar that is only an outline."""
        y = self.base - height
        size = f'width="{self.width - 1}" height="{height - 1}"'
        return f'<rect class="b-lost" x="{x + 0.5}" y="{y + 0.5}" {size}/>'

    def stripes(self, css: str, x: int, step: int) -> str:
        """A bar of four dashes."""
        return "".join(self.rect(css, x, self.base - 2 - n * step, 2) for n in range(4))

    def rect(self, css: str, x: int, y: int, height: int) -> str:
        """A filled rectangle, as wide as a bar."""
        return f'<rect class="{css}" x="{x}" y="{y}" width="{self.width}" height="{height}"/>'


def strip(runs: Sequence[Run]) -> SafeString:
    """The newest runs as bars, oldest first; ``runs`` come newest first."""
    shown = list(reversed(runs[:RECENT_RUNS]))
    bars = Bars(22, 20, 4, 3, max(map(_seconds, shown), default=0.0))
    first = RECENT_RUNS - len(shown)
    drawn = [bars.rect("b-none", place * bars.pitch, bars.base - 1, 1) for place in range(first)]
    drawn += [bars.bar(run, first + n) for n, run in enumerate(shown)]
    width = RECENT_RUNS * bars.pitch - 1
    return mark_safe(  # noqa: S308 - numbers and class names only
        f'<svg width="{width}" height="28" viewBox="0 0 {width} 28" aria-hidden="true">{"".join(drawn)}</svg>'
    )


CHART_RUNS = 60
"""How many runs the history's chart shows."""


def chart(runs: Sequence[Run], lines: Sequence[tuple[timedelta, str]], spoken: str) -> SafeString:
    """The newest runs as wider bars with a dotted line and a text at each of some durations."""
    shown = list(reversed(runs[:CHART_RUNS]))
    bars = Bars(58, 44, 9, 6, max(map(_seconds, shown), default=0.0))
    first = CHART_RUNS - len(shown)
    drawn = "".join(bars.bar(run, first + n) for n, run in enumerate(shown))
    marks, texts, lowest = "", SafeString(""), bars.base + 11
    for length, text in lines:
        y = bars.base - bars.height(length.total_seconds())
        marks += f"M0 {y + 0.5}H540"
        lowest = min(y + 4, lowest - 12)
        texts += format_html('<text x="548" y="{}">{}</text>', lowest, text)
    return format_html(
        '<svg width="600" height="66" viewBox="0 0 600 66" role="img" aria-label="{}">{}'
        '<path class="l2" d="M0 58.5H540"/><path class="l" d="{}"/>{}</svg>',
        spoken,
        mark_safe(drawn),  # noqa: S308 - numbers and class names only
        marks,
        texts,
    )


def spoken(runs: Iterable[Run]) -> str:
    """What the strip shows, in words: ``"Last 30 runs: 28 Success, 2 Failed"``."""
    counted = Counter(run.status for run in runs)
    if not counted:
        return _("No runs yet")
    total = sum(counted.values())
    parts = ", ".join(f"{count} {Status(status).label}" for status, count in counted.most_common())
    return ngettext("Last run: %(parts)s", "Last %(total)s runs: %(parts)s", total) % {
        "total": total,
        "parts": parts,
    }


def _seconds(run: Run) -> float:
    return run.duration.total_seconds() if run.duration else 0.0
