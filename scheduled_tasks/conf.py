"""The app's settings: the dict ``SCHEDULED_TASKS`` in the project's settings.

Values are read on every access, so ``override_settings`` works. One that cannot be used breaks nothing:
``manage.py check`` names it, a line of log tells of it, and another stands in for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings as django_settings

from . import validation
from .validation import Invalid

NAME = "SCHEDULED_TASKS"
MAX_SECONDS = 3600

logger = logging.getLogger("scheduled_tasks")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of ``SCHEDULED_TASKS`` with their defaults."""

    ACCESS_POLICY: str | None = None
    """Dotted path of a function ``(request: HttpRequest, action: str) -> bool`` that decides who may do what.
    ``action`` is ``"view"``, ``"change"``, ``"run"``, ``"add"`` or ``"delete"``. None: Django's model
    permissions decide."""

    OVERLAP: str = "skip"
    """What happens when a task is due while its last run is open: ``"skip"``, ``"allow"`` or ``"queue_one"``.
    The task's own setting wins. A task that was there before this app, or that ``CELERY_BEAT_SCHEDULE``
    declares, is left at ``"allow"`` until the project's settings have this key."""

    MISFIRE: str = "run_once"
    """What happens when beat could not start a run in time: ``"run_once"`` (one run, within the grace) or
    ``"ignore"``. The task's own setting wins."""

    GRACE: timedelta = timedelta(minutes=15)
    """How late a run may still start under ``"run_once"``. The task's own setting wins."""

    RETENTION: timedelta = timedelta(days=90)
    """How long finished runs are kept; the task's own setting wins. Closed incidents too, a day at least."""

    RETENTION_COUNT: int | None = None
    """How many finished runs of each task are kept, the newest ones. None: no limit. The task's own setting
    wins."""

    ALERTS: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Who is told of incidents: owner -> addresses (``"mailto:ops@example.com"``, ``"https://…"``, any other
    scheme of Apprise, or the dotted path of a function). ``"default"`` serves the machinery and every owner
    that is not named."""

    ALERT_AFTER: int = 1
    """After how many failures in a row somebody is told. The task's own setting wins."""

    RECOVER_AFTER: int = 1
    """After how many successes in a row a failing task has recovered. The task's own setting wins."""

    MAX_RUNTIME: timedelta | None = None
    """How long a run may take before somebody is told, besides what is unusual for its task. The task's own
    setting wins."""

    ALERT_ON: tuple[str, ...] = ("failing", "late", "slow")
    """The kinds of trouble of a task that somebody is told of. The task's own setting wins."""

    ALERT_SECRET: str | None = None
    """The key that signs messages to ``https://`` channels. None: one derived from ``SECRET_KEY``."""

    SITE_URL: str | None = None
    """Where the site is, such as ``"https://example.com"``: messages then carry links to it."""

    PAUSED: bool = False
    """Keeps beat from starting anything: ticks are recorded as skipped. Run now still works."""

    PING_URL: str | None = None
    """Requested once a minute while beat leads, ticks and sends."""

    RUN_LINKS: Mapping[str, str] = field(default_factory=dict)
    """Links shown with every run: label -> URL with ``{celery_id}``, ``{name}``, ``{worker}``,
    ``{started_at}`` or ``{finished_at}`` (ISO 8601, in UTC)."""

    METRICS_TOKEN: str | None = None
    """The bearer token that may read ``metrics/``. None: who may view the page may."""

    RECORD_WAIT: float = 2.0
    """The most seconds that a task waits until its run is recorded. Recording goes on in the background."""

    MASKED_WORDS: tuple[str, ...] = ()
    """More names whose values are masked wherever a run keeps them, such as ``"iban"`` or ``"card_number"``.
    They are matched as whole words of a name, in snake, kebab or camel case."""

    OWN_CONNECTION: bool = True
    """Whether the recorder opens its own database connection. Turn it off only if connections are scarce:
    each run then reconnects, because Celery closes Django's connections around tasks."""


def _number_of_seconds(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SECONDS:
        raise Invalid(f"{what} must be a number of seconds from 0 to {MAX_SECONDS}, not {value!r}.")


def _address_or_secret(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise Invalid(f"{what} must be text.")  # without the value, which may be a secret


def _mapping(what: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise Invalid(f"{what} must be a dict.")


def _texts(what: str, value: object) -> None:
    if not isinstance(value, tuple | list) or not all(isinstance(item, str) for item in value):
        raise Invalid(f"{what} must be a tuple or list of strings, not {value!r}.")


def _time(what: str, value: object) -> None:
    validation.duration(what, value)


def _time_above_none(what: str, value: object) -> None:
    validation.duration(what, value, positive=True)


def _count(what: str, value: object) -> None:
    validation.whole(what, value, 1)


def _one_of(choices: tuple[str, ...]) -> Callable[[str, Any], object]:
    return lambda what, value: validation.choice(what, validation.text(what, value), choices)


RULES: Mapping[str, Callable[[str, Any], object]] = {
    "OVERLAP": _one_of(validation.OVERLAPS),
    "MISFIRE": _one_of(validation.MISFIRES),
    "GRACE": _time,
    "RETENTION": _time,
    "RETENTION_COUNT": _count,
    "ALERTS": _mapping,
    "ALERT_AFTER": _count,
    "RECOVER_AFTER": _count,
    "MAX_RUNTIME": _time_above_none,
    "ALERT_ON": validation.kinds,
    "ALERT_SECRET": _address_or_secret,
    "SITE_URL": _address_or_secret,
    "PAUSED": validation.flag,
    "PING_URL": _address_or_secret,
    "RUN_LINKS": _mapping,
    "METRICS_TOKEN": _address_or_secret,
    "RECORD_WAIT": _number_of_seconds,
    "MASKED_WORDS": _texts,
    "OWN_CONNECTION": validation.flag,
}
"""Each raises Invalid for a value that cannot be used. ``ACCESS_POLICY`` has none: whoever it was to keep out
must not come in because it is wrong.
"""


def _its_texts(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list | tuple | set | frozenset) else (value,)
    return tuple(item for item in listed if isinstance(item, str))


STAND_INS: Mapping[str, Callable[[object], Any]] = {
    "RETENTION": lambda value: validation.LONGEST,
    "MASKED_WORDS": _its_texts,
    "PAUSED": bool,
}
"""What stands in for a value that cannot be used, where the default would delete, show or start too much."""


def problem_of(key: str, value: object) -> str:
    """Why a value of a setting cannot be used, in one sentence; empty when it can."""
    what = f"{NAME}[{key!r}]"
    try:
        if value is None and DEFAULTS[key] is not None:
            return f"{what} must not be None."
        if value is not None and key in RULES:
            RULES[key](what, value)
    except Invalid as error:
        return str(error)
    return ""


def is_chosen(key: str) -> bool:
    """Whether the project's settings say anything of this key."""
    chosen: object = getattr(django_settings, NAME, {})
    return isinstance(chosen, Mapping) and key in chosen


class _LiveSettings:
    """Gives the project's value of a setting, or what stands in for it."""

    def __init__(self) -> None:
        self._told: dict[str, object] = {}

    def __getattr__(self, key: str) -> Any:
        if key not in DEFAULTS:
            raise AttributeError(f"{NAME} has no setting {key!r}")
        chosen: object = getattr(django_settings, NAME, {})
        if not isinstance(chosen, Mapping):
            self._tell(NAME, chosen, f"{NAME} must be a dict.")
            return chosen if key == "ACCESS_POLICY" else DEFAULTS[key]  # which then lets nobody in
        if key not in chosen:
            return DEFAULTS[key]
        value = chosen[key]
        if not (problem := problem_of(key, value)):
            return value
        instead = STAND_INS[key](value) if key in STAND_INS else DEFAULTS[key]
        self._tell(key, value, f"{problem} {instead!r} is used instead.")
        return instead

    def _tell(self, key: str, value: object, problem: str) -> None:
        if self._told.get(key, DEFAULTS) is not value:
            self._told[key] = value
            logger.error(problem)


DEFAULTS: dict[str, Any] = {
    each.name: each.default if each.default_factory is MISSING else each.default_factory()
    for each in fields(Settings)
}

if TYPE_CHECKING:
    settings = cast(Settings, object())
else:
    settings = _LiveSettings()
