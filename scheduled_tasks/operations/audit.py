"""What a person did to a task, as Django's history keeps it: a code with parameters, in no language.

An entry is a change message of :class:`django.contrib.admin.models.LogEntry`: a JSON list that Django reads
by itself ("Changed schedule."), with one more key that tells this app the whole sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import TextChoices
from django.utils.translation import gettext, override
from django.utils.translation import gettext_lazy as _

from ..alerts.sentences import exact_span
from ..declarations.fields import FIELDS
from ..declarations.validation import NO_KINDS
from ..models import Flag
from ..reasons import sentence

KEY = "scheduled_tasks"
"""The key of a change message that Django does not know."""


class Event(TextChoices):
    """Everything that is logged: the code that is stored, and its sentence."""

    ENABLED = "enabled", _("Enabled.")
    DISABLED = "disabled", _("Disabled.")
    DISABLED_WITH_NOTE = "disabled_with_note", _("Disabled: %(note)s")
    NOTED = "noted", _("Note: %(before)s → %(after)s.")
    RESCHEDULED = "rescheduled", _("Schedule: %(before)s → %(after)s.")
    POLICY = "alert_policy", _("Alerts: %(changes)s.")
    RESET = "reset", _("Reset to default: %(fields)s.")
    SKIPPED_NEXT = "skipped_next", _("Skip the next run.")
    UNSKIPPED_NEXT = "unskipped_next", _("Do not skip the next run.")
    RUN_NOW = "run_now", _("Run now.")
    RETRIED = "retried", _("Retry of run %(id)s.")
    CANCELLED = "cancelled", _("Cancelled run %(id)s.")


@dataclass(frozen=True)
class AuditEntry:
    """One thing that a person did; ``str()`` is its sentence in the active language."""

    event: Event
    params: dict[str, Any]
    change: dict[str, Any]
    """What Django reads: ``{"changed": …}`` or ``{"added": …}``; its words are msgids."""

    @property
    def change_message(self) -> list[dict[str, Any]]:
        """What ``ModelAdmin.log_change()`` stores."""
        return [{**self.change, KEY: {"code": self.event.value, "params": self.params}}]

    def __str__(self) -> str:
        params = dict(self.params)
        if isinstance(names := params.get("fields"), list):
            params["fields"] = ", ".join(
                str(FIELDS[name].label if name in FIELDS else name) for name in names
            )
        if isinstance(policy := params.get("policy"), dict):
            params["changes"] = "; ".join(
                f"{FIELDS[name].label}: {policy_value(name, before)} → {policy_value(name, after)}"
                for name, (before, after) in policy.items()
            )
        return sentence(self.event.label, params)

    @classmethod
    def of(cls, change_message: str) -> AuditEntry | None:
        """The entry behind a stored change message; None when this version has not written it."""
        try:
            (change,) = json.loads(change_message)
            kept = change.pop(KEY)
            return cls(Event(kept["code"]), dict(kept["params"]), change)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def changed(event: Event, fields: Sequence[str], /, **params: Any) -> AuditEntry:
    """A change of the task's ``fields``, which are given by msgids."""
    return AuditEntry(event, params, {"changed": {"fields": list(fields)}})


def reset_to_default(fields: Sequence[str]) -> AuditEntry:
    """The task got back what code declares in these fields."""
    with override(None):
        names = [str(FIELDS[name].label) for name in fields]
    return changed(Event.RESET, names, fields=list(fields))


def policy_changed(policy: Mapping[str, list[Any]]) -> AuditEntry:
    """The task's alert policy was changed: the value before and after, by the name of each field."""
    with override(None):
        names = [str(FIELDS[name].label) for name in policy]
    return changed(Event.POLICY, names, policy=dict(policy))


def policy_value(name: str, value: Any) -> str:
    """A field's value of an alert policy in words of the active language; a dash for None."""
    if value is None:
        return "–"
    if name == "max_runtime":
        return exact_span(timedelta(seconds=value))
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
