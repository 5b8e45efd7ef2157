"""Acknowledging an incident, and who is not to be told of it for a while.

The process that watches closes incidents and counts their runs; it never writes these columns. The incident's
row is locked meanwhile, and no other.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta

from django.db import transaction
from django.db.models import F, TextChoices
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..masking import printable
from ..models import Incident, database, database_now
from ..recording.connection import keepable
from .audit import AuditEntry, Event, of_incident
from .locking import Actor, Refused

MORNING = time(9)
"""When a mute until tomorrow ends, in the current time zone."""

SAME_MOMENT = timedelta(minutes=1)
"""A form that is sent twice mutes until moments that are closer than this."""


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


def acknowledge(incident_id: int, *, actor: Actor, note: str = "", seen: str = "") -> Incident:
    """Say that somebody looks after the incident; ``note`` (500 characters) says how.

    Of an incident that is acknowledged already a new note replaces the old one, and its author the person.
    An empty note removes the one that the person has ``seen``, but none that somebody wrote meanwhile. Raises
    :class:`Refused` when the incident is over.
    """
    note = keepable(printable(note.strip()))[:500]
    with transaction.atomic(using=database()):
        incident = _open_incident(incident_id)
        is_removal = not note and seen.strip() == incident.note
        if incident.acknowledged_at is not None and (note == incident.note or not (note or is_removal)):
            return incident
        by = {"acknowledged_by": keepable(actor.name)[:150], "acknowledged_at": database_now()}
        _change(incident, **by, note=note)
        if note:
            _log(actor, incident, Event.ACKNOWLEDGED_WITH_NOTE, "acknowledged by", "note", note=note)
        else:
            _log(actor, incident, Event.ACKNOWLEDGED, "acknowledged by")
    return incident


def mute(incident_id: int, *, actor: Actor, span: str) -> Incident:
    """Tell nobody of the incident for a :class:`MuteSpan`. Muting it anew replaces what was chosen before.

    Raises :class:`Refused` for any other span, and when the incident is over.
    """
    if span not in MuteSpan.values:
        raise Refused("span", _("Choose how long to mute it: 1 h, until tomorrow or until resolved."))
    with transaction.atomic(using=database()):
        incident = _open_incident(incident_id)
        until = MuteSpan(span).until(database_now())
        if _is_muted_until(incident, until):
            return incident
        by = keepable(actor.name)[:150]
        _change(incident, muted_until=until, muted_for_good=until is None, muted_by=by)
        if until is None:
            _log(actor, incident, Event.MUTED_FOR_GOOD, "muted until resolved")
        else:
            _log(actor, incident, Event.MUTED, "muted until", until=until.isoformat())
    return incident


def unmute(incident_id: int, *, actor: Actor) -> Incident:
    """Tell people of the incident again. Raises :class:`Refused` when it is over."""
    with transaction.atomic(using=database()):
        incident = _open_incident(incident_id)
        if incident.is_muted(database_now()):
            _change(incident, muted_until=None, muted_for_good=False, muted_by="")
            _log(actor, incident, Event.UNMUTED, "muted until")
    return incident


def _open_incident(incident_id: int) -> Incident:
    """The incident, its row locked until the transaction ends; on SQLite only a write waits its turn."""
    incidents = Incident.objects.using(database()).filter(pk=incident_id)
    if not incidents.open().update(key=F("key")):
        raise _why_not_open(incidents.exists())
    return incidents.get()


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
