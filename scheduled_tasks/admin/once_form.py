"""The schedule editor for a task that runs once, at a time."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from urllib.parse import urlencode

from django import forms
from django.utils.translation import gettext as _
from django_celery_beat.models import ClockedSchedule

from .. import operations, schedules
from ..models import ScheduledTask
from ..once import check_once
from ..operations import Actor
from ..schedules import Unschedulable, current_zone
from ..typed_moments import InvalidMoment, comes_twice, read_moment, twice_text
from .forms import ScheduleForm
from .moment_field import MomentText, field_text, kept

PRESETS = ("1h", "today 23:00", "tomorrow 9:00")


class OnceForm(ScheduleForm):
    """Once, at a time in the page's zone."""

    kind = "once"
    fields_template = "admin/scheduled_tasks/_once_fields.html"

    at, words = MomentText("words"), forms.CharField(required=False)

    @staticmethod
    def stored(task: ScheduledTask, now: datetime) -> dict[str, str]:
        at = task.clocked.clocked_time if task.clocked else _next_run(task, now)
        return {"at": field_text(at) if at else "", "words": ""}

    def row(self) -> ClockedSchedule:
        text, clocked = self.cleaned_data.get("at", ""), self.task.clocked
        if not text:
            raise InvalidMoment(_("Enter a time, or words such as “tomorrow 9:00”."))
        moment = read_moment(text, self.now, current_zone())
        if clocked:
            moment = kept(clocked.clocked_time, text) or moment
        row = check_once(moment, self.now)
        if comes_twice(moment) and not moment.fold:
            self.notices = [f"{twice_text(moment)} {_('It runs at the first one.')}"]
        return row

    def save(self, actor: Actor) -> ScheduledTask:
        at, seen = self.row().clocked_time, self.cleaned_data["seen"]
        return operations.reschedule_once(self.task.pk, actor=actor, at=at, seen=seen)

    @property
    def error_field(self) -> str:
        """The field that is wrong, if it is not the first one."""
        return "words" if self["words"].data.strip() else ""

    @property
    def presets(self) -> list[tuple[str, str]]:
        """Times offered: in words, and as the query string that fills the fields."""
        labels = (_("In 1 hour"), _("Today 23:00"), _("Tomorrow 9:00"))
        moments = [read_moment(text, self.now, current_zone()) for text in PRESETS]
        return [
            (label, urlencode({"at": field_text(at), "words": ""}))
            for label, at in zip(labels, moments, strict=True)
            if at > self.now
        ]


def _next_run(task: ScheduledTask, now: datetime) -> datetime | None:
    try:
        return next(islice(schedules.next_runs(task, now), 1), None)
    except Unschedulable:
        return None
