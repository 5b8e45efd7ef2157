"""Acknowledging an incident, and who is not to be told of it for a while.

The process that watches closes incidents and counts their runs; it never writes these columns. The incident's
row is locked meanwhile, and no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta

from django.db import transaction
from django.db.models import F, TextChoices
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..masking import printable
from ..models import Incident, database, database_now
from ..reading.version import digest
from ..recording.connection import keepable
from .audit import AuditEntry, Event, of_incident
from .locking import Actor, Refused

MORNING = time(9)
"""When a mute until tomorrow ends, in the current time zone."""

SAME_MOMENT = timedelta(minutes=1)
"""A form that is sent twice mutes until moments that are closer than this."""


ACKNOWLEDGEMENT = ("acknowledged_by", "acknowledged_at", "note")
MUTE = ("muted_until", "muted_for_good", "muted_by")
"""What two people may change at the same time, without touching each other's."""


class MuteSpan(TextChoices):
    """For how long an incident can be muted."""

    HOUR = "hour", gettext_lazy("1 h")
    TOMORROW = "tomorrow", gettext_lazy("Until tomorrow")
    RESOLVED = "resolved", gettext_lazy("Until resolved")

    def until(self, now: datetime) -> datetime | None:
        """When a mute that begins ``now`` ends; None for one that ends with the incident."""
        if self == MuteSpan.HOUR:
            return now + timedelta(hours=1)
        if self == MuteSpan.RESOLVED:
            return None
        tomorrow = timezone.localtime(now).date() + timedelta(days=1)
        return timezone.make_aware(datetime.combine(tomorrow, MORNING))


def handling_token(incident: Incident) -> str:
    """A text that changes whenever somebody acknowledges, mutes or unmutes the incident."""
    return ".".join(_token(incident, columns) for columns in (ACKNOWLEDGEMENT, MUTE))


def acknowledge(incident_id: int, *, actor: Actor, note: str = "", seen: str | None = None) -> Incident:
    """Say that somebody looks after the incident; ``note`` (500 characters) says how.

    Of an incident that is acknowledged already a new note replaces the old one, and its author the person.
    ``seen`` is the :func:`handling_token` the person was looking at: without it, an empty note removes none.
    Raises :class:`Refused` when the incident is over, and when somebody acknowledged it meanwhile.
    """
    note = keepable(printable(note.strip()))[:500]
    with transaction.atomic(using=database()):
        incident = _open_incident(incident_id)
        is_kept = note == incident.note or (seen is None and not note)
        if incident.acknowledged_at is not None and is_kept:
            return incident
        _check_unchanged(incident, ACKNOWLEDGEMENT, seen)
        by = {"acknowledged_by": keepable(actor.name)[:150], "acknowledged_at": database_now()}
        _change(incident, **by, note=note)
        if note:
            _log(actor, incident, Event.ACKNOWLEDGED_WITH_NOTE, "acknowledged by", "note", note=note)
        else:
            _log(actor, incident, Event.ACKNOWLEDGED, "acknowledged by")
    return incident


def unacknowledge(incident_id: int, *, actor: Actor, seen: str | None = None) -> Incident:
    """Take an acknowledgement back, with its note. Raises :class:`Refused` as :func:`acknowledge` does."""
    with transaction.atomic(using=database()):
        incident = _open_incident(incident_id)
        if incident.acknowledged_at is not None:
            _check_unchanged(incident, ACKNOWLEDGEMENT, seen)
            _change(incident, acknowledged_by="", acknowledged_at=None, note="")
            _log(actor, incident, Event.UNACKNOWLEDGED, "acknowledged by")
    return incident


def mute(incident_id: int, *, actor: Actor, span: str, seen: str | None = None) -> Incident:
    """Tell nobody of the incident for a :class:`MuteSpan`. Muting it anew replaces what was chosen before.

    ``seen`` is the :func:`handling_token` the person was looking at. Raises :class:`Refused` for any other
    span, when the incident is over, and when somebody muted or unmuted it meanwhile.
    """
    if span not in MuteSpan.values:
        raise Refused("span", _("Choose how long to mute it: 1 h, until tomorrow or until resolved."))
    with transaction.atomic(using=database()):
        incident = _open_incident(incident_id)
        until = MuteSpan(span).until(database_now())
        if _is_muted_until(incident, until):
            return incident
        _check_unchanged(incident, MUTE, seen)
        by = keepable(actor.name)[:150]
        _change(incident, muted_until=until, muted_for_good=until is None, muted_by=by)
        if until is None:
            _log(actor, incident, Event.MUTED_FOR_GOOD, "muted until resolved")
        else:
            _log(actor, incident, Event.MUTED, "muted until", until=until.isoformat())
    return incident


def unmute(incident_id: int, *, actor: Actor, seen: str | None = None) -> Incident:
    """Tell people of the incident again. Raises :class:`Refused` as :func:`mute` does."""
    with transaction.atomic(using=database()):
        incident = _open_incident(incident_id)
        if incident.is_muted(database_now()):
            _check_unchanged(incident, MUTE, seen)
            _change(incident, muted_until=None, muted_for_good=False, muted_by="")
            _log(actor, incident, Event.UNMUTED, "muted until")
    return incident


def _open_incident(incident_id: int) -> Incident:
    """The incident, its row locked until the transaction ends; on SQLite only a write waits its turn."""
    incidents = Incident.objects.using(database()).filter(pk=incident_id)
    if not incidents.open().update(key=F("key")):
        raise _why_not_open(incidents.exists())
    return incidents.get()


def _token(incident: Incident, columns: Sequence[str]) -> str:
    return digest(*(getattr(incident, name) for name in columns))


def _check_unchanged(incident: Incident, columns: Sequence[str], seen: str | None) -> None:
    if seen is not None and _token(incident, columns) not in seen.split("."):
        raise Refused("conflict", _("Somebody changed this incident meanwhile."))


def _why_not_open(exists: bool) -> Refused:
    if exists:
        return Refused("ended", _("This incident is over. There is nothing to acknowledge or mute."))
    return Refused("gone", _("This incident no longer exists."))


def _change(incident: Incident, **columns: object) -> None:
    for name, value in columns.items():
        setattr(incident, name, value)
    Incident.objects.using(database()).filter(pk=incident.pk).update(**columns)


def _is_muted_until(incident: Incident, until: datetime | None) -> bool:
    if until is None or incident.muted_until is None:
        return incident.muted_for_good and until is None
    return abs(incident.muted_until - until) < SAME_MOMENT


def _log(actor: Actor, incident: Incident, event: Event, *fields: str, **params: object) -> None:
    entry: AuditEntry = of_incident(event, incident, fields, **params)
    actor.log(incident.task_or_none or incident, entry)
