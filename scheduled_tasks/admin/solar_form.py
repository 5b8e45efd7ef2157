"""The schedule editor for events of the sun at a place."""

from __future__ import annotations

from datetime import datetime

from django import forms
from django_celery_beat.models import SolarSchedule

from .. import operations
from ..models import ScheduledTask
from ..operations import Actor
from ..solar_events import EVENTS, read_solar
from .forms import ScheduleForm


class SolarForm(ScheduleForm):
    """An event of the sun at a latitude and a longitude, each day that has it."""

    kind = "solar"
    fields_template = "admin/scheduled_tasks/_solar_fields.html"

    event = forms.CharField(required=False)
    latitude = forms.CharField(required=False)
    longitude = forms.CharField(required=False)

    @staticmethod
    def stored(task: ScheduledTask, now: datetime) -> dict[str, str]:
        row = task.solar
        if row is None:
            return {"event": "sunrise", "latitude": "", "longitude": ""}
        place = {"latitude": f"{row.latitude.normalize():f}", "longitude": f"{row.longitude.normalize():f}"}
        return {"event": row.event, **place}

    def row(self) -> SolarSchedule:
        return read_solar(*(self.cleaned_data.get(name, "") for name in ("event", "latitude", "longitude")))

    def save(self, actor: Actor) -> ScheduledTask:
        names = ("event", "latitude", "longitude", "seen")
        return operations.reschedule_solar(
            self.task.pk, actor=actor, **{name: self.cleaned_data[name] for name in names}
        )

    @property
    def events(self) -> list[tuple[str, str]]:
        """The events to choose from."""
        return [(code, str(label)) for code, label in EVENTS.items()]

    @property
    def presets(self) -> list[tuple[str, str]]:
        """None: a place is typed."""
        return []
