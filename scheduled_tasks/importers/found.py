"""What an importer finds, in this app's words, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.apps import apps
from django.conf import settings
from django.db.models import Model, TextChoices

from ..declarations.fields import interval_text
from ..schedules import check_interval
from ..validation import Invalid

CRONS = (
    (timedelta(minutes=1), 60, "*/{} * * * *"),
    (timedelta(hours=1), 24, "0 */{} * * *"),
    (timedelta(days=1), 2, "0 0 * * *"),
)
"""A unit, how many of it make the next one, and how cron says every few of it."""


class Result(TextChoices):
    """What became of a schedule, or of past results."""

    IMPORTED = "imported", "imported"
    CODE = "code", "needs code"
    THERE = "there", "already there"
    LEFT_OUT = "left_out", "left out"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One line of the report; ``why`` is one sentence, ``code`` what to paste."""

    result: Result
    origin: str
    name: str = ""
    schedule: str = ""
    timezone: str = ""
    runs: str = ""
    """The name of its Celery task."""
    why: str = ""
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """One schedule, and the Celery task or the function that it runs."""

    name: str
    schedule: str
    """A cron expression, or an interval as :func:`every` writes it."""
    path: str
    """The name of a Celery task, or the dotted path of a function or class."""
    timezone: str | None = None
    enabled: bool = True
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    """More fields of the stored task by name, such as its queue."""
    method: str = ""
    """The method to call on what the path returns: the path is that of a class."""
    either_day: bool = False
    """Whether a day has to match only one of day of month and day of week, as crontab(5) has it."""
    next_run: datetime | None = None
    """When it runs next, where its scheduler tells."""
    note: str = ""
    """A sentence about what is left out of it."""


class Importer(Protocol):
    """A module that reads one kind of scheduler. The scheduler's package is optional."""

    def items(self, place: str, zone: str) -> Iterable[tuple[str, Any]]:
        """What there is to read, each with where it was found.

        ``place`` is what the command was given, or empty; ``zone`` the time zone of a scheduler that has none
        of its own. Raises :class:`~scheduled_tasks.validation.Invalid` when nothing can be read.
        """

    def find(self, item: Any) -> Iterable[Found]:
        """The schedules of one item. Whatever it raises leaves the item out."""


def listed(name: str) -> Sequence[Any]:
    """A setting that is a list or tuple. Raises :class:`Invalid` when it is neither, or empty."""
    value = getattr(settings, name, None)
    if not value:
        raise Invalid(f"the settings have no {name}.")
    if not isinstance(value, list | tuple):
        raise Invalid(f"the setting {name} must be a list or tuple, not {value!r}.")
    return value


def shown(text: str) -> str:
    """``text`` on one line; what steers a terminal or the direction of writing becomes an escape sequence."""
    line = " ".join(text.split())
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


def model_of(app: str, model: str) -> type[Model]:
    """A model of another app. Raises :class:`Invalid` when the project does not have that app."""
    try:
        return apps.get_model(app, model)
    except LookupError:
        raise Invalid(
            f"{app} is not in INSTALLED_APPS, so its rows cannot be read. Import before you remove it."
        ) from None


def every(length: timedelta) -> str:
    """The text of an interval. Raises :class:`..schedules.InvalidInterval`."""
    check_interval(length)
    return interval_text(length)


def cron_of(length: timedelta) -> str:
    """The cron expression that runs as often as this interval. Raises :class:`Invalid` when none does."""
    for unit, most, text in CRONS:
        count, rest = divmod(length, unit)
        if not rest and 1 <= count < most and not most % count:
            return text.format(count)
    raise Invalid(
        f"no cron expression says “{interval_text(length)}”; make it a @shared_task and import again."
    )
