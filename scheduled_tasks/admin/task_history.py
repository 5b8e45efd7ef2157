"""Who changed what of a task, as the drawer lists it: newest first, schedules in plain words too."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model

from .. import schedules
from ..models import ScheduledTask
from ..operations import AuditEntry, Event
from ..spread import spread_label
from .badges import Moment
from .undo import restorable

CHANGES_SHOWN = 10
"""Newest changes that the drawer lists; Django's own history has all."""

STORED = re.compile(r"(.*?)(?: \([^()]*?(?:, within ([0-9.]+) s)?\))?")
"""A schedule as :func:`.operations.schedule_token` writes it: its text, of a cron expression the zone and the
spread too.
"""


class LoggedChange:
    """One entry of a task's history."""

    def __init__(self, task: ScheduledTask, logged: LogEntry, now: datetime, zone: ZoneInfo) -> None:
        self.pk = logged.pk
        self.entry = AuditEntry.of(logged.change_message)
        self.text = str(self.entry or logged.get_change_message())
        self.person = logged.user.get_username()
        self.at = Moment.of(logged.action_time, now, zone)
        self.restorable = restorable(task, logged.pk, self.entry)

    @property
    def words(self) -> str:
        """A change of the schedule in plain words: ``"Daily at 3 AM → Daily at 4 AM"``."""
        if self.entry is None or self.entry.event != Event.RESCHEDULED:
            return ""
        before, after = (_in_words(str(self.entry.params.get(name, ""))) for name in ("before", "after"))
        return f"{before} → {after}"


def _in_words(token: str) -> str:
    found = STORED.fullmatch(token)
    if found is None:
        return schedules.text_label(token)
    spread = timedelta(seconds=float(found[2])) if found[2] else None
    return spread_label(schedules.text_label(found[1]), spread)


def newest_changes(task: ScheduledTask, now: datetime, zone: ZoneInfo) -> list[LoggedChange]:
    """The newest changes of a task, newest first. One statement."""
    entries = LogEntry.objects.filter(content_type=get_content_type_for_model(task), object_id=str(task.pk))
    found = entries.select_related("user").order_by("-pk")[:CHANGES_SHOWN]
    return [LoggedChange(task, logged, now, zone) for logged in found]
