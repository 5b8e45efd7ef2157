"""What people type: the schedule editor's forms with their preview, and the arguments of a run."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo, available_timezones

from django.http import QueryDict
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.models import IntervalSchedule

from .. import operations, schedules
from ..cron import CronExpression, InvalidCron
from ..cron_labels import NOTICES
from ..models import ScheduledTask, database_now
from ..operations import Actor, Conflict, schedule_token
from ..schedules import InvalidInterval
from . import words
from .signs import Moment

PREVIEW_RUNS = 5
LONGEST = 1000
"""Characters of a typed expression that are looked at; longer ones are refused by their length anyway."""

CRON_PRESETS = (
    "*/5 * * * *",
    "*/15 * * * *",
    "0 * * * *",
    "0 3 * * *",
    "0 9 * * 1-5",
    "0 4 * * 0",
    "0 0 1 * *",
)

INTERVAL_PRESETS = (
    (30, "seconds"),
    (1, "minutes"),
    (5, "minutes"),
    (15, "minutes"),
    (1, "hours"),
    (1, "days"),
)


@dataclass(frozen=True)
class Preview:
    """What a typed schedule means: its label and next runs, or the error."""

    label: str
    runs: Sequence[Moment]
    notices: Sequence[str]
    error: str = ""


@dataclass(frozen=True)
class Preset:
    """A schedule offered: its label, and the fields it fills as a query string."""

    label: str
    query: str


def known_zone(name: str) -> ZoneInfo:
    """The zone of that name. Raises LookupError with one sentence for an unknown one."""
    if name not in zones():
        text = _("“%(name)s” is not a known time zone. Choose one such as Europe/Paris.")
        raise LookupError(text % {"name": name[:60]})
    return ZoneInfo(name)


@lru_cache(maxsize=1)
def zones() -> tuple[str, ...]:
    """Every time zone's name, in order."""
    return tuple(sorted(available_timezones()))


class ScheduleForm(ABC):
    """The editor's fields as typed, with what they mean.

    ``typed`` are the fields' values by name; what is missing is as stored. ``seen`` is the token of the
    schedule the person was looking at.
    """

    fields_template: str

    def __init__(self, task: ScheduledTask, typed: Mapping[str, Any], *, seen: str | None = None) -> None:
        self.task = task
        self.typed = typed
        self.seen = schedule_token(task) if seen is None else seen
        self.error = ""
        self.conflict = ""

    @staticmethod
    def of(task: ScheduledTask, typed: Mapping[str, Any], *, seen: str | None = None) -> ScheduleForm:
        """The form of the kind that was typed or asked for by ``kind``; without either the task's own."""
        kind = typed.get("kind") or ("cron" if task.interval_id is None else "interval")
        is_interval = "every" in typed or (kind == "interval" and "cron" not in typed)
        return (IntervalForm if is_interval else CronForm)(task, typed, seen=seen)

    @abstractmethod
    def save(self, actor: Actor) -> ScheduledTask:
        """Give the task the typed schedule. Raises what its operation raises."""

    @abstractmethod
    def read(self, now: datetime) -> Preview:
        """What the typed schedule means. What it raises says in one sentence why it is none."""

    def against(self, conflict: Conflict, text: str) -> ScheduleForm:
        """The same typed text over the schedule somebody else saved meanwhile; ``text`` says who and what."""
        form = type(self)(conflict.task, self.typed)
        form.conflict = text
        return form

    @property
    def stored_label(self) -> str:
        """The schedule that is kept until another one is saved."""
        return str(schedules.label(self.task))

    @property
    def shown_error(self) -> str:
        """Why the typed text would be or was refused."""
        return self.error or self.preview.error

    @cached_property
    def preview(self) -> Preview:
        """What the typed schedule means, or why it is none; never raises."""
        try:
            return self.read(database_now())
        except (InvalidCron, InvalidInterval, LookupError) as error:
            return Preview("", (), (), str(error))


class CronForm(ScheduleForm):
    """A cron expression in a time zone."""

    fields_template = "admin/scheduled_tasks/_cron_fields.html"

    @property
    def expression(self) -> str:
        """The cron expression as typed."""
        stored = schedules.raw(self.task) if self.task.crontab else ""
        return str(self.typed.get("cron", stored))

    @property
    def zone(self) -> str:
        """The time zone it is read in."""
        return str(self.typed.get("zone") or schedules.zone(self.task).key)

    def save(self, actor: Actor) -> ScheduledTask:
        return operations.reschedule(
            self.task.pk, actor=actor, expression=self.expression, timezone=self.zone, seen=self.seen
        )

    def read(self, now: datetime) -> Preview:
        cron = CronExpression.parse(self.expression[:LONGEST])
        zone = known_zone(self.zone)
        notices = [str(NOTICES[code]) for code in cron.notices_for(now, zone)]
        return Preview(str(cron.label), _moments(cron.next_runs(now, zone, PREVIEW_RUNS), now, zone), notices)

    @property
    def presets(self) -> list[Preset]:
        """Expressions offered."""
        labelled = [(text, str(CronExpression.parse(text).label)) for text in CRON_PRESETS]
        return [Preset(label, urlencode({"cron": text})) for text, label in labelled]

    @property
    def zones(self) -> Sequence[str]:
        """Every zone to choose from; a stored one that is not known here is kept."""
        return zones() if self.zone in zones() else (self.zone, *zones())


class IntervalForm(ScheduleForm):
    """Every so many seconds, minutes, hours or days."""

    fields_template = "admin/scheduled_tasks/_interval_fields.html"

    @property
    def every(self) -> str:
        """How many units, as typed."""
        return str(self.typed.get("every", self._stored[0]))

    @property
    def unit(self) -> str:
        """The unit's name, such as ``"minutes"``."""
        return str(self.typed.get("unit", self._stored[1]))

    @cached_property
    def _stored(self) -> tuple[int | str, str]:
        if self.task.interval is None:
            return "", str(IntervalSchedule.HOURS)
        try:
            return schedules.tidy_interval(schedules.interval(self.task.interval))
        except schedules.Unschedulable:
            return self.task.interval.every, self.task.interval.period

    def save(self, actor: Actor) -> ScheduledTask:
        return operations.reschedule_interval(
            self.task.pk, actor=actor, every=self.every, unit=self.unit, seen=self.seen
        )

    def read(self, now: datetime) -> Preview:
        interval = schedules.read_interval(self.every, self.unit)
        task = copy(self.task)
        task.crontab, task.interval, task.solar = None, interval, None
        runs = islice(schedules.next_runs(task, now), PREVIEW_RUNS)
        return Preview(schedules.interval_label(interval), _moments(runs, now, schedules.zone(task)), ())

    @property
    def presets(self) -> list[Preset]:
        """Intervals offered."""
        offered = [IntervalSchedule(every=every, period=unit) for every, unit in INTERVAL_PRESETS]
        return [
            Preset(schedules.interval_label(each), urlencode({"every": each.every, "unit": each.period}))
            for each in offered
        ]

    @property
    def units(self) -> list[tuple[str, str]]:
        """The units to choose from, each with its name; microseconds only where they are stored."""
        names = {**UNIT_NAMES}
        if self._stored[1] != IntervalSchedule.MICROSECONDS:
            del names[IntervalSchedule.MICROSECONDS]
        return [(code, str(name)) for code, name in names.items()]


UNIT_NAMES = {
    IntervalSchedule.SECONDS: gettext_lazy("seconds"),
    IntervalSchedule.MINUTES: gettext_lazy("minutes"),
    IntervalSchedule.HOURS: gettext_lazy("hours"),
    IntervalSchedule.DAYS: gettext_lazy("days"),
    IntervalSchedule.MICROSECONDS: gettext_lazy("microseconds"),
}


def _moments(runs: Iterable[datetime], now: datetime, zone: ZoneInfo) -> list[Moment]:
    return [Moment(at, words.relative(at, now), words.short(at, zone)) for at in runs]


class RunForm:
    """Run now as sent: the run's id and, where given, arguments in JSON."""

    def __init__(
        self, key: str, args: list[Any] | None, kwargs: dict[str, Any] | None, error: str = ""
    ) -> None:
        self.key = key
        self.args = args
        self.kwargs = kwargs
        self.error = error

    @classmethod
    def sent(cls, data: QueryDict) -> RunForm:
        """Read a posted form: a ``run`` that is no UUID is replaced; ``args``, ``kwargs`` are optional."""
        try:
            args = _json(data.get("args"), list, _("Arguments must be a list in JSON, such as [1, 2]."))
            example = _("Keyword arguments must be an object in JSON, such as %(example)s.")
            kwargs = _json(data.get("kwargs"), dict, example % {"example": '{"a": 1}'})
        except ValueError as error:
            return cls("", None, None, str(error))
        return cls(_uuid(data.get("run", "")), args, kwargs)


def _json(text: str | None, kind: type, sentence: str) -> Any:
    if text is None:
        return None
    try:
        value = json.loads(text.strip() or "null")
    except (ValueError, RecursionError) as error:
        raise ValueError(sentence) from error
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise ValueError(sentence)  # noqa: TRY004 - a person typed it
    return value


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return str(uuid4())
