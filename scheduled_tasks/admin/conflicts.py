"""Who made the change that a person's edit met, as far as Django's history knows."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model

from ..models import Incident, ScheduledTask
from ..operations import AuditEntry

ENTRIES_READ = 20
"""Newest entries of a history in which the author of a change is looked for."""


def newest_entry(
    about: ScheduledTask | Incident, is_it: Callable[[AuditEntry], bool]
) -> tuple[str, AuditEntry] | tuple[str, None]:
    """The user and the newest entry of a history for which ``is_it``; ``("", None)`` for none."""
    entries = LogEntry.objects.filter(content_type=get_content_type_for_model(about), object_id=str(about.pk))
    for logged in entries.select_related("user").order_by("-pk")[:ENTRIES_READ]:
        entry = AuditEntry.of(logged.change_message)
        if entry and is_it(entry):
            return logged.user.get_username(), entry
    return "", None
