"""Small things shown beside a task or a run: a status, a moment, a badge, a progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import isfinite
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from .. import moments
from ..models import Flag, Status, Trigger, word_of
from ..reading.recent_runs import RecentRun
from . import formats

GLYPHS: Mapping[str, tuple[str, str]] = {
    Status.QUEUED: ("queued", "busy"),
    Status.WAITING: ("queued", "busy"),
    Status.RUNNING: ("running", "busy"),
    Status.RETRYING: ("retrying", "busy"),
    Status.SUCCEEDED: ("ok", "ok"),
    Status.FAILED: ("failed", "bad"),
    Status.TIMED_OUT: ("failed", "bad"),
    Status.CANCELLED: ("skipped", "off"),
    Status.EXPIRED: ("missed", "warn"),
    Status.IGNORED: ("skipped", "off"),
    Status.SKIPPED: ("skipped", "off"),
    Status.MISSED: ("missed", "warn"),
    Status.LOST: ("lost", "bad"),
    Status.ELSEWHERE: ("skipped", "off"),
}
"""Shape and tone of each run status."""

FLAG_ICONS: Mapping[str, tuple[str, str]] = {
    Flag.RUNNING: ("running", "busy"),
    Flag.FAILING: ("failed", "bad"),
    Flag.LATE: ("late", "warn"),
    Flag.SLOW: ("running", "warn"),
    Flag.BROKEN: ("broken", "bad"),
    Flag.PAUSED: ("paused", "off"),
    Flag.INCIDENT: ("incident", "bad"),
}
"""Shape and tone of what may be true of a task, in the order of the header's counts."""

TRIGGER_ICONS: Mapping[str, str] = {
    Trigger.MANUAL: "person",
    Trigger.RETRY: "retry",
    Trigger.COMMAND: "terminal",
    Trigger.IMPORTED: "copy",
}
"""The icon beside what made a run start; a schedule has none."""


def started_by(trigger: str, actor: str) -> str:
    """``"schedule"``, ``"by anna"``, ``"by root on the command line"``."""
    if not actor:
        return word_of(Trigger, trigger)
    by = _("by %(name)s on the command line") if trigger == Trigger.COMMAND else _("by %(name)s")
    return by % {"name": actor}


@dataclass(frozen=True)
class StatusBadge:
    """A status as shown: a shape, a tone (``ok``, ``bad``, ``warn``, ``busy``, ``off``), a word, a note.

    ``cause`` is the beginning of the error, or the reason, of the run ``run_id``; ``streak`` tells how many
    failed in a row, when several.
    """

    glyph: str
    tone: str
    word: str
    note: str = ""
    cause: str = ""
    run_id: str = ""
    streak: str = ""

    @classmethod
    def of_run(cls, status: str, note: str = "", **more: str) -> StatusBadge:
        """A run's status as shown."""
        glyph, tone = GLYPHS.get(status, ("skipped", "off"))
        return cls(glyph, tone, word_of(Status, status), note, **more)


@dataclass(frozen=True)
class Moment:
    """A time with its exact text; shown relative to now."""

    at: datetime
    relative: str
    exact: str
    kind: str = ""
    """See :func:`.formats.relative`."""
    is_late: bool = False

    @classmethod
    def of(
        cls, at: datetime, now: datetime, zone: ZoneInfo, kind: str = "", *, is_late: bool = False
    ) -> Moment:
        """A moment as it is shown at ``now``."""
        return cls(at, formats.relative(at, now, kind), moments.exact(at, zone), kind, is_late)

    @cached_property
    def html(self) -> SafeString:
        """An element that the page's script keeps current."""
        css = mark_safe(' class="st-late"') if self.is_late else ""
        return format_html(
            '<time{} datetime="{}" title="{}" data-st-rel="{}">{}</time>',
            css,
            self.at.isoformat(),
            self.exact,
            self.kind,
            self.relative,
        )


class Progress(NamedTuple):
    """How far a run is: whole percent, None when the total is not known; ``"41 of 66: certificates"``."""

    percent: int | None
    label: str

    @classmethod
    def of(cls, run: RecentRun) -> Progress | None:
        """The progress a run reported, or None when it reported none that can be shown."""
        data = run.progress_data or {}
        if not isinstance(data.get("done", ""), int | float | None):
            return None
        done, total, text = _finite(data["done"]), _finite(data.get("total")), str(data.get("text") or "")
        if done is None:
            return cls(None, text or str(Status.RUNNING.label))
        percent, label = None, f"{done:g}"
        if total and total > 0:
            percent = int(100 * max(0.0, min(1.0, done / total)))
            label = _("%(done)s of %(total)s") % {"done": label, "total": f"{total:g}"}
        return cls(percent, f"{label}: {text}" if text else label)


def _finite(value: object) -> float | None:
    """A reported number, or None for what is none: a text, NaN, infinity, more than a float holds."""
    try:
        return value if isinstance(value, int | float) and isfinite(value) else None
    except OverflowError:
        return None
