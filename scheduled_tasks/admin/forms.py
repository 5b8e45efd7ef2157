"""What people type into the schedule editor, and the ids of the runs that forms start."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4
from zoneinfo import available_timezones

from django import forms
from django.utils.crypto import salted_hmac
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule

from .. import moments, operations, schedules
from ..cron import InvalidCron
from ..cron.labels import NOTICES
from ..cron.phrases import EXAMPLE, is_phrase, read_schedule
from ..models import ScheduledTask
from ..moments import exact_span
from ..operations import Actor, schedule_token
from ..schedules import InvalidInterval, UnknownZone, Unschedulable
from ..solar_events import InvalidSolar
from ..spread import InvalidSpread, check_spread, spread_of, stored_spread
from ..typed_moments import InvalidMoment
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


KINDS = {
    "cron": gettext_lazy("Cron expression"),
    "interval": gettext_lazy("Interval"),
    "once": gettext_lazy("Once"),
    "solar": gettext_lazy("Sun"),
}
"""The kinds of schedules, as their form's ``kind``, and what their buttons say."""

COLUMNS = {
    CrontabSchedule: "crontab",
    IntervalSchedule: "interval",
    ClockedSchedule: "clocked",
    SolarSchedule: "solar",
}
"""Where a task has its schedule, by the schedule's class."""

TYPED = ("cron", "zone", "spread", "every", "unit", "at", "words", "event", "latitude", "longitude")
"""The fields of all kinds: what was typed for another kind goes along."""


class ScheduleForm(forms.Form):
    """The schedule editor: what was typed, and the stored schedule where nothing was.

    ``seen`` is the token of the schedule the person was looking at, ``shown`` what the preview said the typed
    one will be stored as.
    """

    kind: str
    fields_template: str
    kinds = KINDS.items()

    seen = forms.CharField(required=False, strip=False)
    shown = forms.CharField(required=False)

    def __init__(self, task: ScheduledTask, now: datetime, typed: Mapping[str, Any]) -> None:
        super().__init__({**self.stored(task, now), "seen": schedule_token(task), **typed})
        self.task = task
        self.kept = [(name, typed[name]) for name in TYPED if name in typed and name not in self.fields]
        """What was typed for other kinds, by the names of their fields."""
        self.scheduled = task
        """The task with the typed schedule, where that is one."""
        self.now = now
        self.label = ""
        self.next_runs: Sequence[Moment] = ()
        self.notices: Sequence[str] = ()
        self.conflict = ""
        self.stored_as = ""
        """The cron expression to be stored, where it is not what was typed."""
        self.full_clean()

    @staticmethod
    def stored(task: ScheduledTask, now: datetime) -> dict[str, str]:
        """The fields of the task's schedule; of one of another kind, what comes closest from now on."""
        raise NotImplementedError

    @property
    def typed_spread(self) -> timedelta | None:
        """The time within which its runs are to start; None for at once."""
        return None

    def row(self) -> CrontabSchedule | IntervalSchedule | ClockedSchedule | SolarSchedule:
        """The typed schedule, not stored. What it raises says in one sentence why it is none."""
        raise NotImplementedError

    def save(self, actor: Actor) -> ScheduledTask:
        """Give the task the typed schedule. Raises what its operation raises."""
        raise NotImplementedError

    def clean(self) -> None:
        """Work out what the task would do with the typed schedule."""
        task = copy(self.task)
        task.scheduled_state = copy(task.state)
        try:
            row = self.row()
            task.crontab = task.interval = task.clocked = task.solar = None
            setattr(task, COLUMNS[type(row)], row)
            task.scheduled_state.spread = self.typed_spread
            runs = list(islice(schedules.next_runs(task, self.now), PREVIEW_RUNS))
        except InvalidSpread as error:
            raise forms.ValidationError({"spread": str(error)}) from error
        except InvalidSolar as error:
            raise forms.ValidationError({error.field: str(error)}) from error
        except (InvalidCron, InvalidInterval, InvalidMoment, UnknownZone, Unschedulable) as error:
            raise forms.ValidationError(str(error)) from error
        self.scheduled = task
        zone = schedules.zone(task)
        self.label = schedules.label(task)
        self.next_runs = [Moment(at, formats.relative(at, self.now), moments.short(at, zone)) for at in runs]

    def compare_with(self, task: ScheduledTask, text: str) -> None:
        """Lay what was typed over the schedule somebody else saved meanwhile; ``text`` says who and what."""
        self.task = task
        self.data = {**self.data, "seen": schedule_token(task)}
        self.conflict = text

    @property
    def is_unseen(self) -> bool:
        """Whether the typed schedule is stored as one that the person has not been shown."""
        return False

    @property
    def stored_label(self) -> str:
        """The schedule that is kept until another one is saved."""
        return schedules.label(self.task)

    @property
    def error_field(self) -> str:
        """The field that alone is wrong, if it is not the schedule's first one."""
        wrong = (name for name in self.fields if self.has_error(name))
        return "" if self.non_field_errors() else next(wrong, "")

    @property
    def error(self) -> str:
        """The errors: why the typed schedule is none, or was not saved."""
        return " ".join(str(text) for texts in self.errors.values() for text in texts)


class CronForm(ScheduleForm):
    """A cron expression in a time zone."""

    kind = "cron"
    fields_template = "admin/scheduled_tasks/_cron_fields.html"

    cron = forms.CharField(required=False, strip=False)
    zone = forms.CharField(required=False)
    spread = forms.CharField(required=False)
    """In minutes."""

    @staticmethod
    def stored(task: ScheduledTask, now: datetime) -> dict[str, str]:
        cron, spread = schedules.raw(task) if task.crontab else "", spread_of(task)
        minutes = f"{spread / timedelta(minutes=1):g}" if spread else ""
        return {"cron": cron, "zone": schedules.zone(task).key, "spread": minutes}

    @property
    def typed_spread(self) -> timedelta | None:
        found: timedelta | None = self.cleaned_data.get("spread")
        return found

    def clean_spread(self) -> timedelta | None:
        """The spread that was typed."""
        typed = self.cleaned_data["spread"].replace(",", ".")
        if not re.fullmatch(r"[0-9]{0,4}(\.[0-9]{0,6})?", typed):
            raise forms.ValidationError(_("Enter the spread in minutes, such as 10."))
        minutes = float(typed.strip(".") or 0)
        spread = timedelta(seconds=round(minutes * 60))
        if minutes and not spread:
            raise forms.ValidationError(_("The shortest spread is one second."))
        return spread or None

    def row(self) -> CrontabSchedule:
        typed = self.cleaned_data.get("cron", "")
        cron = read_schedule(typed, get_language() or "en")
        check_spread(cron, self.typed_spread)
        self.stored_as = "" if cron.canonical == typed.strip() else cron.canonical
        zone = schedules.read_zone(self.cleaned_data.get("zone", ""))
        self.notices = [str(NOTICES[code]) for code in cron.notices_for(self.now, zone)]
        stored, kept = stored_spread(self.task), spread_of(self.task)
        if stored and kept and stored > kept:
            text = _(
                "A spread of %(stored)s is stored, which counts as %(kept)s: longer would reach the next run."
            )
            self.notices.append(text % {"stored": exact_span(stored), "kept": exact_span(kept)})
        return CrontabSchedule(**cron.fields, timezone=zone)

    def save(self, actor: Actor) -> ScheduledTask:
        typed = self.cleaned_data
        expression = self.stored_as or typed["cron"]
        return operations.reschedule(
            self.task.pk,
            actor=actor,
            expression=expression,
            timezone=typed["zone"],
            spread=self.typed_spread,
            seen=typed["seen"],
        )

    @property
    def is_unseen(self) -> bool:
        """Whether words were typed whose cron expression the person has not been shown."""
        return is_phrase(self.cleaned_data["cron"]) and self.stored_as != self.cleaned_data["shown"]

    @property
    def example(self) -> str:
        """Words that the field takes, in the active language."""
        return schedules.text_label(EXAMPLE)

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

    kind = "interval"
    fields_template = "admin/scheduled_tasks/_interval_fields.html"

    every = forms.CharField(required=False)
    unit = forms.CharField(required=False)

    @staticmethod
    def stored(task: ScheduledTask, now: datetime) -> dict[str, str]:
        try:
            length = schedules.interval(task.interval) if task.interval else _usual_distance(task, now)
            every, unit = schedules.tidy_interval(length)
        except Unschedulable:
            row = task.interval or IntervalSchedule(every=1, period=IntervalSchedule.HOURS)
            every, unit = row.every, row.period
        return {"every": str(every), "unit": unit}

    def row(self) -> IntervalSchedule:
        return schedules.read_interval(self.cleaned_data.get("every", ""), self.cleaned_data.get("unit", ""))

    def save(self, actor: Actor) -> ScheduledTask:
        every, unit, seen = (self.cleaned_data[name] for name in ("every", "unit", "seen"))
        return operations.reschedule_interval(self.task.pk, actor=actor, every=every, unit=unit, seen=seen)

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
        if self.stored(self.task, self.now)["unit"] != IntervalSchedule.MICROSECONDS:
            del names[IntervalSchedule.MICROSECONDS]
        return [(unit, str(name)) for unit, name in names.items()]


def _usual_distance(task: ScheduledTask, now: datetime) -> timedelta:
    """The shortest time between two of the next runs; an hour where there are none."""
    runs = list(islice(schedules.next_runs(task, now), PREVIEW_RUNS))
    return min((after - before for before, after in pairwise(runs)), default=timedelta(hours=1))


@lru_cache(maxsize=1)
def _zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))


def celery_id(key: str) -> str:
    """The Celery task id of the run that a form starts, from the form's key.

    The same for a form sent twice, another for every form, and none that a client can choose.
    """
    return str(UUID(bytes=salted_hmac("scheduled_tasks.run", key or str(uuid4())).digest()[:16]))
