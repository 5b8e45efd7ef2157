"""The kinds of schedules that the editor makes, each with its form."""

from __future__ import annotations

from datetime import datetime

from django.http import QueryDict

from ..models import ScheduledTask
from .forms import CronForm, IntervalForm, ScheduleForm
from .once_form import OnceForm
from .solar_form import SolarForm

FORMS: dict[str, type[ScheduleForm]] = {
    form.kind: form for form in (CronForm, IntervalForm, OnceForm, SolarForm)
}


def schedule_form(task: ScheduledTask, now: datetime, typed: QueryDict) -> ScheduleForm:
    """The form of the kind that ``kind`` asks for, else of that which was typed, else the task's own."""
    kind = typed.get("kind") or _typed_kind(typed) or _kind_of(task)
    return FORMS.get(kind, CronForm)(task, now, typed.dict())


def filled(typed: QueryDict) -> QueryDict:
    """What was typed, changed as the button says that was pressed: another kind, or a preset."""
    found = typed.copy()
    found.update(QueryDict(typed.get("fill", "")).dict())
    return found


def _typed_kind(typed: QueryDict) -> str:
    names = {"every": "interval", "cron": "cron", "at": "once", "words": "once", "event": "solar"}
    return next((kind for name, kind in names.items() if name in typed), "")


def _kind_of(task: ScheduledTask) -> str:
    rows = {"interval": task.interval, "once": task.clocked, "solar": task.solar}
    return next((kind for kind, row in rows.items() if row is not None), "cron")
