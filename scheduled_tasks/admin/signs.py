"""Small things shown beside a task or a run: a status, a moment, a badge, a progress."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from ..models import Status, Trigger
from ..recent import RecentRun

GLYPHS = {
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
}
"""Shape and tone of each run status."""

TRIGGER_ICONS = {Trigger.MANUAL: "person", Trigger.RETRY: "retry", Trigger.COMMAND: "terminal"}
"""The icon beside what made a run start; a schedule has none."""


def started_by(trigger: str, actor: str) -> str:
    """``"schedule"``, ``"by anna"``, ``"by root on the command line"``."""
    if not actor:
        return str(Trigger(trigger).label)
    by = _("by %(name)s on the command line") if trigger == Trigger.COMMAND else _("by %(name)s")
    return by % {"name": actor}


@dataclass(frozen=True)
class Sign:
    """A status as shown: a shape, a tone (``ok``, ``bad``, ``warn``, ``busy``, ``off``), a word, a note."""

    glyph: str
    tone: str
    word: str
    note: str = ""

    @classmethod
    def of_run(cls, status: str, note: str = "") -> Sign:
        """The sign of a run's status."""
        glyph, tone = GLYPHS[Status(status)]
        return cls(glyph, tone, str(Status(status).label), note)


@dataclass(frozen=True)
class Moment:
    """A time with its exact text; shown relative to now."""

    at: datetime
    relative: str
    exact: str
    kind: str = ""
    """``"next"`` for a time to come, ``"late"`` for one overdue, empty for one past."""

    @property
    def iso(self) -> str:
        """For machines."""
        return self.at.isoformat()


@dataclass(frozen=True)
class Badge:
    """A small mark beside the name."""

    text: str
    title: str
    warn: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a run is: ``done`` of ``total`` (None when not known), and its own words."""

    done: float
    total: float | None
    text: str

    @classmethod
    def of(cls, run: RecentRun) -> Progress | None:
        """The progress a run reported, or None when it reported none that can be shown."""
        data = run.progress_data or {}
        done, total = data.get("done"), data.get("total")
        if not isinstance(done, int | float):
            return None
        known = isinstance(total, int | float) and total > 0
        return cls(done, total if known else None, str(data.get("text") or ""))

    @property
    def percent(self) -> int | None:
        """Whole percent done, 0 to 100, or None when the total is not known."""
        return None if self.total is None else max(0, min(100, int(100 * self.done / self.total)))

    @property
    def label(self) -> str:
        """``"41 of 66: certificates"``."""
        of = (
            f"{self.done:g}"
            if self.total is None
            else _("%(done)s of %(total)s")
            % {
                "done": f"{self.done:g}",
                "total": f"{self.total:g}",
            }
        )
        return f"{of}: {self.text}" if self.text else of
