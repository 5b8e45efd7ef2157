"""What a person did to a task, as Django's history keeps it: a code with parameters, in no language.

An entry is a change message of :class:`django.contrib.admin.models.LogEntry`: a JSON list that Django reads
by itself ("Changed schedule."), with one more key that tells this app the whole sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from django.db.models import Field as ModelField
from django.db.models import TextChoices
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext, override
from django.utils.translation import gettext_lazy as _

from ..declarations.fields import FIELDS
from ..models import Flag, Incident, IncidentKind, MaintenanceWindow, TaskState, word_of
from ..moments import exact_span, short
from ..reasons import sentence
from ..schedules import current_zone
from ..validation import NO_KINDS

KEY = "scheduled_tasks"
"""The key of a change message that Django does not know."""

STATE_COLUMNS = ("pause_note", "skip_next", "paused_by", "paused_by_name", "paused_at", "runs_as_before")
"""What a person changes of a task that code does not declare: columns of its state."""

CHOSEN = "chosen"
"""The fields that :attr:`.models.CodeDefault.chosen` names: they stay the operator's."""

UNTOLD = frozenset({"paused_by", "paused_by_name", "paused_at", CHOSEN})
"""What is put back without saying."""


MOMENTS = frozenset({"since", "until", "earlier"})
"""Parameters that are moments."""


class Event(TextChoices):
    """Everything that is logged: the code that is stored, and its sentence."""

    ADDED = "added", _("Added.")
    DELETED = "deleted", _("Deleted.")
    UNDELETED = "undeleted", _("The deletion was undone.")
    ENABLED = "enabled", _("Enabled.")
    DISABLED = "disabled", _("Disabled.")
    DISABLED_WITH_NOTE = "disabled_with_note", _("Disabled: %(note)s")
    NOTED = "noted", _("Note: %(before)s → %(after)s.")
    RESCHEDULED = "rescheduled", _("Schedule: %(before)s → %(after)s.")
    DETAILS = "details", _("Changed: %(changes)s.")
    POLICY = "alert_policy", _("Alerts: %(changes)s.")
    ARGUMENTS = "arguments", _("Arguments changed: %(changes)s.")
    RESTORED = "restored", _("Put back: %(changes)s.")
    RESET = "reset", _("Reset to default: %(fields)s.")
    SKIPPED_NEXT = "skipped_next", _("Skip the next run.")
    UNSKIPPED_NEXT = "unskipped_next", _("Do not skip the next run.")
    POLICIES_CHOSEN = "policies_chosen", _("Follow the project's policies.")
    RUN_NOW = "run_now", _("Run now.")
    RETRIED = "retried", _("Retry of run %(id)s.")
    RUN_LATER = "run_later", _("Run later what run %(id)s stands for: %(n)s scheduled times.")
    CANCELLED = "cancelled", _("Cancelled run %(id)s.")
    MAINTENANCE = "maintenance", _("Paused from %(since)s until %(until)s. %(note)s")
    MAINTENANCE_END_MOVED = (
        "maintenance_end_moved",
        _("The end of the maintenance: %(earlier)s → %(until)s."),
    )
    MAINTENANCE_ENDED = "maintenance_ended", _("The maintenance was ended.")
    ACKNOWLEDGED = "acknowledged", _("Acknowledged incident %(id)s (%(kind)s).")
    ACKNOWLEDGED_WITH_NOTE = (
        "acknowledged_with_note",
        _("Acknowledged incident %(id)s (%(kind)s): %(note)s"),
    )
    UNACKNOWLEDGED = "unacknowledged", _("Took back the acknowledgement of incident %(id)s (%(kind)s).")
    MUTED = "muted", _("Muted incident %(id)s (%(kind)s) until %(until)s.")
    MUTED_FOR_GOOD = "muted_for_good", _("Muted incident %(id)s (%(kind)s) until it is resolved.")
    UNMUTED = "unmuted", _("Unmuted incident %(id)s (%(kind)s).")


@dataclass(frozen=True)
class AuditEntry:
    """One thing that a person did; ``str()`` is its sentence in the active language."""

    event: Event
    params: dict[str, Any]
    change: dict[str, Any]
    """What Django reads: ``{"changed": …}``, ``{"added": …}`` or ``{"deleted": …}``; its words are msgids."""

    @property
    def values(self) -> dict[str, list[Any]]:
        """What can be put back: ``[before, after]`` by the name of a field, a column or :data:`CHOSEN`."""
        found = self.params.get("values")
        if not isinstance(found, dict) or not found.keys() <= {*FIELDS, *STATE_COLUMNS, CHOSEN}:
            return {}
        return found if all(isinstance(pair, list) and len(pair) == 2 for pair in found.values()) else {}

    @property
    def can_end_window(self) -> bool:
        """Whether it tells of a maintenance window whose end an Undo can put back."""
        return self.event in (Event.MAINTENANCE, Event.MAINTENANCE_END_MOVED, Event.MAINTENANCE_ENDED)

    @property
    def row(self) -> dict[str, Any] | None:
        """The row of a deleted task that can be brought back."""
        found = self.params.get("row")
        return found if isinstance(found, dict) else None

    @property
    def can_unmake(self) -> bool:
        """Whether it tells that a task was added or restored, and how that was left."""
        return self.event in (Event.ADDED, Event.UNDELETED) and "left" in self.params

    @property
    def is_undoable(self) -> bool:
        """Whether Undo can put back what was before."""
        return bool(self.values) or self.row is not None or self.can_end_window or self.can_unmake

    @property
    def change_message(self) -> list[dict[str, Any]]:
        """What ``ModelAdmin.log_change()`` stores."""
        return [{**self.change, KEY: {"code": self.event.value, "params": self.params}}]

    def __str__(self) -> str:
        params = dict(self.params)
        if isinstance(names := params.get("fields"), list):
            params["fields"] = ", ".join(map(_label, names))
        if isinstance(kind := params.get("kind"), str):
            params["kind"] = word_of(IncidentKind, kind)
        for name in MOMENTS & params.keys():
            params[name] = _moment(params[name])
        told = "; ".join(
            f"{_label(name)}: {value_text(name, before)} → {value_text(name, after)}"
            for name, (before, after) in self.values.items()
            if before != after and name not in UNTOLD
        )
        params["changes"] = told or params.get("fields", "")
        return sentence(self.event.label, params).strip()

    @classmethod
    def of(cls, change_message: str) -> AuditEntry | None:
        """The entry behind a stored change message; None when this version has not written it."""
        try:
            (change,) = json.loads(change_message)
            kept = change.pop(KEY)
            return cls(Event(kept["code"]), dict(kept["params"]), change)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def brought_in(event: Event, left: str, run: int | None) -> AuditEntry:
    """The task was added or restored: ``left`` is a token of how, ``run`` the key of its newest run."""
    return AuditEntry(event, {"left": left, "run": run}, {"added": {}})


def deleted(name: str, row: Mapping[str, Any] | None) -> AuditEntry:
    """The task of this name was deleted; ``row`` is its own, where that may be kept."""
    return AuditEntry(Event.DELETED, {"row": row}, {"deleted": {"name": "scheduled task", "object": name}})


def changed(event: Event, fields: Sequence[str], /, **params: Any) -> AuditEntry:
    """A change of the task's ``fields``, which are given by msgids."""
    return AuditEntry(event, params, {"changed": {"fields": list(fields)}})


def of_incident(event: Event, incident: Incident, fields: Sequence[str], **params: Any) -> AuditEntry:
    """A change of an incident's ``fields``, which are given by msgids."""
    changes = {"fields": list(fields), "name": "incident", "object": f"#{incident.pk}"}
    return AuditEntry(event, {"id": incident.pk, "kind": incident.kind, **params}, {"changed": changes})


def of_window(event: Event, window: MaintenanceWindow, **params: Any) -> AuditEntry:
    """A maintenance window was made, or its end moved."""
    changes = {"fields": ["ends"], "name": "maintenance window", "object": f"#{window.pk}"}
    return AuditEntry(event, {"id": window.pk, **params}, {"changed": changes})


def _moment(stored: object) -> str:
    """A stored time as it is read: in the current time zone, to the minute; none is an end that is open."""
    if not isinstance(stored, str):
        return gettext("somebody ends it")
    try:
        at = parse_datetime(stored)
    except ValueError:
        return stored
    return stored if at is None else short(at, current_zone())


def reset_to_default(fields: Sequence[str], values: Mapping[str, list[Any]]) -> AuditEntry:
    """The task got back what code declares in these fields."""
    with override(None):
        names = [str(FIELDS[name].label) for name in fields]
    return changed(Event.RESET, names, fields=list(fields), values=dict(values))


def policy_changed(values: Mapping[str, list[Any]]) -> AuditEntry:
    """The task's alert policy was changed: the value before and after, by the name of each field."""
    return _of_values(Event.POLICY, values)


def details_changed(values: Mapping[str, list[Any]], names: Sequence[str]) -> AuditEntry:
    """The task's owner, tags, priority, start or end were changed: as :func:`arguments_changed` has it."""
    return _of_values(Event.DETAILS, values, names)


def arguments_changed(values: Mapping[str, list[Any]], names: Sequence[str]) -> AuditEntry:
    """The task's own arguments were changed: before and after by name; only ``names`` where one is secret."""
    return _of_values(Event.ARGUMENTS, values, names)


def restored(values: Mapping[str, list[Any]], names: Sequence[str]) -> AuditEntry:
    """The task got back earlier values: before and after by name; only ``names`` where none are kept."""
    return _of_values(Event.RESTORED, values, names)


def _of_values(event: Event, values: Mapping[str, list[Any]], names: Sequence[str] = ()) -> AuditEntry:
    told = [name for name in values or names if name not in UNTOLD]
    with override(None):
        labels = [_label(name) for name in told]
    return changed(event, labels, values=dict(values), **({} if values else {"fields": told}))


def _label(name: str) -> str:
    if name in STATE_COLUMNS:
        return str(state_field(name).verbose_name)
    return str(FIELDS[name].label if name in FIELDS else name)


def state_field(name: str) -> ModelField[Any, Any]:
    """The field of one of :data:`STATE_COLUMNS`."""
    return cast("ModelField[Any, Any]", TaskState._meta.get_field(name))


def value_text(name: str, value: Any) -> str:
    """A value of a field or a column in words of the active language; a dash for None and nothing."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if name in FIELDS and FIELDS[name].is_duration:
        return exact_span(timedelta(seconds=value))
    if name in FIELDS and FIELDS[name].is_moment:
        return _moment(value)
    if name == "tags":
        return str(value).replace(",", ", ")
    if name == "alert_on":
        kinds = [str(Flag(kind).label) for kind in str(value).split(",") if kind in Flag.values]
        return ", ".join(kinds) if value != NO_KINDS else gettext("none")
    return str(value)


def started(event: Event, run_id: int, **params: Any) -> AuditEntry:
    """A new run of the task."""
    return AuditEntry(event, params, {"added": {"name": "task run", "object": f"#{run_id}"}})


def cancelled(run_id: int) -> AuditEntry:
    """A run of the task was cancelled."""
    run = {"fields": ["status"], "name": "task run", "object": f"#{run_id}"}
    return AuditEntry(Event.CANCELLED, {"id": run_id}, {"changed": run})
