"""One incident as lists, a task's drawer and its own page show it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from .. import moments
from ..alerts.sentences import name_of
from ..models import Closing, Incident, IncidentKind, word_of
from ..operations import MuteSpan, handling_token
from . import formats
from .badges import Moment, StatusBadge


class IncidentMark(NamedTuple):
    """What the list shows beside a task with open incidents: a shape, a tone, and all of it in words."""

    glyph: str
    tone: str
    text: str


class IncidentRow:
    """One incident, with times in ``zone``; ``told`` says who heard of it, or why nobody did."""

    def __init__(self, incident: Incident, zone: ZoneInfo, now: datetime, told: str = "") -> None:
        self.incident = incident
        self.zone = zone
        self.now = now
        self.told = told
        self.pk: int = incident.pk
        self.id = str(incident.pk)
        self.is_open = incident.is_open
        self.is_muted = incident.is_open and incident.is_muted(now)
        self.is_acknowledged = incident.acknowledged_at is not None
        self.title = name_of(incident)
        self.kind = word_of(IncidentKind, incident.kind)
        self.note: str = incident.note
        self.since = Moment.of(incident.opened_at, now, zone)
        at = incident.acknowledged_at
        self.acknowledged_at = Moment.of(at, now, zone) if at else None

    @property
    def key(self) -> tuple[object, ...]:
        """What is shown of it, besides the time that passes."""
        incident = self.incident
        row = self.pk, self.title, self.status, self.closing, incident.closed_at, incident.owner, self.opened
        return *row, incident.run_count, self.acknowledged, self.note, self.muted, self.told, self.token

    @cached_property
    def token(self) -> str:
        """See :func:`.operations.handling_token`."""
        return handling_token(self.incident)

    @property
    def status(self) -> StatusBadge:
        """Open, muted or over, as shown."""
        if not self.is_open:
            tone = "ok" if self.incident.closing == Closing.RECOVERED else "off"
            return StatusBadge("ok" if tone == "ok" else "skipped", tone, self.closing)
        if self.is_muted:
            return StatusBadge("muted", "off", _("Muted"))
        tone = "off" if self.is_acknowledged else "bad"
        return StatusBadge("incident", tone, pgettext("an incident", "Open"))

    @property
    def closing(self) -> str:
        """Why it was closed; empty while it is open."""
        word = word_of(Closing, self.incident.closing) if self.incident.closing else ""
        return word[:1].upper() + word[1:]

    @property
    def opened(self) -> str:
        """``"13:02:11"``, with the day when it is not today."""
        return moments.clock_of_day(self.incident.opened_at, self.now, self.zone)

    @property
    def counts_since(self) -> str:
        """From when on the browser counts how long it has lasted; empty once it is over."""
        return self.incident.opened_at.isoformat() if self.is_open else ""

    @property
    def lasted(self) -> str:
        """How long it lasted, or has lasted so far."""
        until = self.incident.closed_at or self.now
        return formats.duration(max(until - self.incident.opened_at, timedelta(0)))

    @cached_property
    def runs(self) -> str:
        """``"3 runs"``; empty for the machinery's, which have none."""
        count = self.incident.run_count
        return ngettext("%(n)s run", "%(n)s runs", count) % {"n": count} if count else ""

    @property
    def acknowledged(self) -> str:
        """``"Acknowledged by anna"``."""
        if not self.is_acknowledged:
            return ""
        return _("Acknowledged by %(name)s") % {"name": self.incident.acknowledged_by}

    @property
    def muted(self) -> str:
        """``"Muted until 14:05 by anna"``; empty when it is not."""
        if not self.is_muted:
            return ""
        if self.incident.muted_for_good or self.incident.muted_until is None:
            return _("Muted until resolved by %(name)s") % {"name": self.incident.muted_by}
        until = moments.minute_of_day(self.incident.muted_until, self.now, self.zone)
        return _("Muted until %(time)s by %(name)s") % {"time": until, "name": self.incident.muted_by}

    @property
    def spans(self) -> list[tuple[str, str, str]]:
        """How long it can be muted: value, words, and until when exactly."""
        found = []
        for span in MuteSpan:
            until = span.until(self.now)
            exact = moments.short(until, self.zone) if until else _("Until it is resolved")
            found.append((span.value, str(span.label), exact))
        return found

    @property
    def sentence(self) -> str:
        """All of it in words: what, since when, acknowledged by whom, muted until when."""
        since = moments.minute_of_day(self.incident.opened_at, self.now, self.zone)
        text = _("%(incident)s, open since %(time)s") % {"incident": self.kind, "time": since}
        acknowledged = ": ".join(filter(None, (self.acknowledged, self.note)))
        return ". ".join(filter(None, (text, acknowledged, self.muted)))


def mark_of(rows: list[IncidentRow]) -> IncidentMark | None:
    """The mark of a task with these open incidents: as loud as the one that most needs somebody."""
    if not rows:
        return None
    text = "\n".join(row.sentence for row in rows)
    if all(row.is_muted for row in rows):
        return IncidentMark("muted", "off", text)
    is_handled = all(row.is_muted or row.is_acknowledged for row in rows)
    return IncidentMark("incident", "off" if is_handled else "bad", text)
