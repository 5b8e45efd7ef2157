"""What people type: the schedule editor's forms, and the arguments of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4
from zoneinfo import available_timezones

from django import forms
from django.http import QueryDict
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.models import CrontabSchedule, IntervalSchedule

from .. import operations, schedules
from ..cron import CronExpression, InvalidCron
from ..cron.labels import NOTICES
from ..models import ScheduledTask
from ..operations import Actor, schedule_token
from ..schedules import InvalidInterval, UnknownZone, Unschedulable
from . import formats
from .badges import Moment

PREVIEW_RUNS = 5

CRON_PRESETS = (
    "*/5 * * * *", "*/15 * * * *", "0 * * * *", "0 3 * * *", "0 9 * * 1-5", "0 4 * * 0", "0 0 1 * *",
)  # fmt: skip

INTERVAL_PRESETS = (
    (30, "seconds"), (1, "minutes"), (5, "minutes"), (15, "minutes"), (1, "hours"), (1, "days"),
)  # fmt: skip

UNIT_NAMES = {
    IntervalSchedule.SECONDS: gettext_lazy("seconds"),
    IntervalSchedule.MINUTES: gettext_lazy("minutes"),
    IntervalSchedule.HOURS: gettext_lazy("hours"),
    IntervalSchedule.DAYS: gettext_lazy("days"),
    IntervalSchedule.MICROSECONDS: gettext_lazy("microseconds"),
}


class ScheduleForm(forms.Form):
    """The schedule editor: what was typed, and the stored schedule where nothing was.

    ``seen`` is the token of the schedule the person was looking at.
    """

    fields_template: str

    seen = forms.CharField(required=False, strip=False)

    def __init__(self, task: ScheduledTask, now: datetime, typed: Mapping[str, Any]) -> None:
        super().__init__({**self.stored(task), "seen": schedule_token(task), **typed})
        self.task = task
        self.now = now
        self.label = ""
        self.next_runs: Sequence[Moment] = ()
        self.notices: Sequence[str] = ()
        self.conflict = ""
        self.full_clean()

    @staticmethod
    def stored(task: ScheduledTask) -> dict[str, str]:
        """The fields of the task's schedule."""
        raise NotImplementedError

    def row(self) -> CrontabSchedule | IntervalSchedule:
        """The typed schedule, not stored. What it raises says in one sentence why it is none."""
        raise NotImplementedError

    def save(self, actor: Actor) -> ScheduledTask:
        """Give the task the typed schedule. Raises what its operation raises."""
        raise NotImplementedError

    def clean(self) -> None:
        """Work out what the task would do with the typed schedule."""
        task = copy(self.task)
        try:
            row = self.row()
            task.crontab = row if isinstance(row, CrontabSchedule) else None
            task.interval = row if isinstance(row, IntervalSchedule) else None
            runs = list(islice(schedules.next_runs(task, self.now), PREVIEW_RUNS))
        except (InvalidCron, InvalidInterval, UnknownZone, Unschedulable) as error:
            raise forms.ValidationError(str(error)) from error
        zone = schedules.zone(task)
        self.label = schedules.label(task)
        self.next_runs = [Moment(at, formats.relative(at, self.now), formats.short(at, zone)) for at in runs]

    def compare_with(self, task: ScheduledTask, text: str) -> None:
        """Lay what was typed over the schedule somebody else saved meanwhile; ``text`` says who and what."""
        self.task = task
        self.data = {**self.data, "seen": schedule_token(task)}
        self.conflict = text

    @property
    def stored_label(self) -> str:
        """The schedule that is kept until another one is saved."""
        return schedules.label(self.task)

    @property
    def error(self) -> str:
        """The first of the errors: why the typed schedule is none, or was not saved."""
        return next((str(text) for texts in self.errors.values() for text in texts), "")


class CronForm(ScheduleForm):
    """A cron expression in a time zone."""

    fields_template = "admin/scheduled_tasks/_cron_fields.html"

    cron = forms.CharField(required=False, strip=False)
    zone = forms.CharField(required=False)

    @staticmethod
    def stored(task: ScheduledTask) -> dict[str, str]:
        return {"cron": schedules.raw(task) if task.crontab else "", "zone": schedules.zone(task).key}

    def row(self) -> CrontabSchedule:
        cron = CronExpression.parse(self.cleaned_data.get("cron", ""))
        zone = schedules.read_zone(self.cleaned_data.get("zone", ""))
        self.notices = [str(NOTICES[code]) for code in cron.notices_for(self.now, zone)]
        return CrontabSchedule(**cron.fields, timezone=zone)

    def save(self, actor: Actor) -> ScheduledTask:
        typed = self.cleaned_data
        return operations.reschedule(
            self.task.pk, actor=actor, expression=typed["cron"], timezone=typed["zone"], seen=typed["seen"]
        )

    @property
    def presets(self) -> list[tuple[str, str]]:
        """Expressions offered: in words, and as the query string that fills the field."""
        return [(schedules.text_label(text), urlencode({"cron": text})) for text in CRON_PRESETS]

    @property
    def zones(self) -> Sequence[str]:
        """Every zone to choose from; a typed or stored one that is none of them is kept."""
        zone = str(self["zone"].value())
        return _zones() if zone in _zones() else (zone, *_zones())


class IntervalForm(ScheduleForm):
    """Every so many seconds, minutes, hours or days."""

    fields_template = "admin/scheduled_tasks/_interval_fields.html"

    every = forms.CharField(required=False)
    unit = forms.CharField(required=False)

    @staticmethod
    def stored(task: ScheduledTask) -> dict[str, str]:
        if task.interval is None:
            return {"every": "", "unit": str(IntervalSchedule.HOURS)}
        try:
            every, unit = schedules.tidy_interval(schedules.interval(task.interval))
        except Unschedulable:
            every, unit = task.interval.every, task.interval.period
        return {"every": str(every), "unit": unit}

    def row(self) -> IntervalSchedule:
        return schedules.read_interval(self.cleaned_data.get("every", ""), self.cleaned_data.get("unit", ""))

    def save(self, actor: Actor) -> ScheduledTask:
        return operations.reschedule_interval(self.task.pk, actor=actor, **self.cleaned_data)

    @property
    def presets(self) -> list[tuple[str, str]]:
        """Intervals offered: in words, and as the query string that fills the fields."""
        rows = [IntervalSchedule(every=every, period=unit) for every, unit in INTERVAL_PRESETS]
        return [
            (schedules.interval_label(row), urlencode({"every": row.every, "unit": row.period}))
            for row in rows
        ]

    @property
    def units(self) -> list[tuple[str, str]]:
        """The units to choose from, each with its name; microseconds only where they are stored."""
        names = dict(UNIT_NAMES)
        if self.stored(self.task)["unit"] != IntervalSchedule.MICROSECONDS:
            del names[IntervalSchedule.MICROSECONDS]
        return [(unit, str(name)) for unit, name in names.items()]


def schedule_form(task: ScheduledTask, now: datetime, typed: QueryDict) -> ScheduleForm:
    """The form of the kind that was typed or asked for by ``kind``; without either the task's own."""
    kind = typed.get("kind") or ("cron" if task.interval_id is None else "interval")
    is_interval = "every" in typed or (kind == "interval" and "cron" not in typed)
    return (IntervalForm if is_interval else CronForm)(task, now, typed.dict())


@lru_cache(maxsize=1)
def _zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))


class InvalidArguments(ValueError):
    """What was typed as arguments is none; its text is one sentence."""


def read_arguments(data: QueryDict) -> dict[str, Any]:
    """The ``args`` and ``kwargs`` typed as JSON, None for one that the form does not have.

    Raises :class:`InvalidArguments`.
    """
    kwargs_error = _("Keyword arguments must be a JSON object, such as %(example)s.")
    return {
        "args": _json(data.get("args"), list, _("Arguments must be a JSON list, such as [1, 2].")),
        "kwargs": _json(data.get("kwargs"), dict, kwargs_error % {"example": '{"a": 1}'}),
    }


def _json(text: str | None, kind: type, sentence: str) -> Any:
    if text is None:
        return None
    try:
        value = json.loads(text.strip() or "null")
    except (ValueError, RecursionError) as error:
        raise InvalidArguments(sentence) from error
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise InvalidArguments(sentence)
    return value


def celery_id(key: str) -> str:
    """The Celery task id of the run that a form starts, from the form's key.

    The same for a form sent twice, another for every form, and none that a client can choose.
    """
    return str(UUID(bytes=salted_hmac("scheduled_tasks.run", key or str(uuid4())).digest()[:16]))
