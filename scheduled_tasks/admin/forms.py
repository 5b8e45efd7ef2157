"""The schedule editor's form and its preview."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo, available_timezones

from django.http import QueryDict
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from .. import schedules
from ..cron import CronExpression, InvalidCron
from ..cron_labels import NOTICES
from ..models import ScheduledTask, database_now
from ..operations import Conflict, schedule_token
from . import words
from .signs import Moment

PREVIEW_RUNS = 5
LONGEST = 1000
"""Characters of a typed expression that are looked at; longer ones are refused by their length anyway."""

PRESETS = (
    "*/5 * * * *",
    "*/15 * * * *",
    "0 * * * *",
    "0 3 * * *",
    "0 9 * * 1-5",
    "0 4 * * 0",
    "0 0 1 * *",
)


@dataclass(frozen=True)
class Preview:
    """What a typed expression means: its label and next runs, or the error."""

    label: str
    runs: Sequence[Moment]
    notices: Sequence[str]
    error: str = ""


def preview(expression: str, zone_name: str) -> Preview:
    """Read a typed expression and say when it would run in the zone; never raises."""
    try:
        cron = CronExpression.parse(expression[:LONGEST])
        zone = known_zone(zone_name)
    except InvalidCron as error:
        return Preview("", (), (), str(error))
    except LookupError as error:
        return Preview("", (), (), str(error.args[0]))
    now = database_now()
    codes = cron.notices_for(now, zone)
    moments = [_moment(at, now, zone) for at in cron.next_runs(now, zone, PREVIEW_RUNS)]
    return Preview(str(cron.label), moments, [str(NOTICES[code]) for code in codes])


def _moment(at: datetime, now: datetime, zone: ZoneInfo) -> Moment:
    return Moment(at, words.relative(at, now), words.short(at, zone))


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


class ScheduleForm:
    """The editor's fields as typed, with what they mean."""

    def __init__(
        self,
        task: ScheduledTask,
        *,
        expression: str | None = None,
        zone: str | None = None,
        seen: str | None = None,
    ) -> None:
        self.task = task
        self.expression = schedules.raw(task) if expression is None else expression
        self.zone = zone or schedules.zone(task).key
        self.seen = schedule_token(task) if seen is None else seen
        self.error = ""
        self.conflict = ""

    def against(self, conflict: Conflict, text: str) -> ScheduleForm:
        """The same typed text over the schedule somebody else saved meanwhile; ``text`` says who and what."""
        form = ScheduleForm(conflict.task, expression=self.expression, zone=self.zone)
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
        """What the typed expression means."""
        return preview(self.expression, self.zone)

    @property
    def presets(self) -> list[tuple[str, str]]:
        """Expressions offered, each with its label."""
        return [(text, str(CronExpression.parse(text).label)) for text in PRESETS]

    @property
    def zones(self) -> Sequence[str]:
        """Every zone to choose from; a stored one that is not known here is kept."""
        return zones() if self.zone in zones() else (self.zone, *zones())


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
