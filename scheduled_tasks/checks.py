"""System checks of the project's settings, each with an id and a hint; docs/settings.md lists them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from difflib import get_close_matches
from inspect import iscoroutinefunction, signature
from typing import Any

from celery import _state
from django.apps import AppConfig, apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections, router
from django.utils.module_loading import import_string

from .conf import DEFAULTS, NAME
from .declarable import GREATEST, LONGEST

SCHEDULER = "scheduled_tasks.beat:Scheduler"
CELERYS_SCHEDULER = "Celery's own scheduler does not know the tasks in the database: none of them starts."
MOST_SECONDS = 3600
KINDS = {
    str: "a text",
    bool: "True or False",
    float: f"a number of seconds from 0 to {MOST_SECONDS}",
    timedelta: f"a timedelta from 0 to {LONGEST.days} days",
}
OTHER_SCHEDULER = "Another scheduler fires the tasks: runs are recorded, but missed and skipped ones are not."


def check_settings(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Every message about the project's settings."""
    return [*_apps(), *_own_settings(), *_scheduler(), *_time_zones()]


def check_databases(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Every message about the databases that the routers name for the tasks."""
    aliases = _aliases()
    return [*_one_database(aliases), *_clocks(aliases), *_sqlite(aliases)]


def _aliases() -> list[str]:
    from django_celery_beat.models import PeriodicTask

    from .models import Process, ScheduledTask, TaskRun, TaskState

    models = (PeriodicTask, ScheduledTask, TaskState, TaskRun, Process)
    return sorted({ask(model) for model in models for ask in (router.db_for_write, router.db_for_read)})


def _one_database(aliases: list[str]) -> Iterator[CheckMessage]:
    if len(aliases) > 1:
        yield Error(
            f"The database routers spread scheduled tasks over several databases: {', '.join(aliases)}.",
            hint="Let them name one for django_celery_beat and scheduled_tasks, for reading and writing: a "
            "replica that lags behind would show beat what it has just changed.",
            id="scheduled_tasks.E009",
        )


def _clocks(aliases: list[str]) -> Iterator[CheckMessage]:
    for alias in aliases:
        connection = connections[alias]
        zone = connection.settings_dict["TIME_ZONE"]
        if zone not in (None, "UTC") and not connection.features.supports_timezones:
            yield Error(
                f"The TIME_ZONE of the database {alias!r} shifts every time that is taken from its clock.",
                hint="Leave TIME_ZONE out of this entry of DATABASES: times are kept in UTC then.",
                id="scheduled_tasks.E010",
            )


def _sqlite(aliases: list[str]) -> Iterator[CheckMessage]:
    for alias in aliases:
        connection = connections[alias]
        options = connection.settings_dict["OPTIONS"]
        if connection.vendor == "sqlite" and options.get("transaction_mode") != "IMMEDIATE":
            yield Warning(
                f"The SQLite database {alias!r} will be locked when web, worker and beat write at once.",
                hint='Set its OPTIONS to {"transaction_mode": "IMMEDIATE", "timeout": 20, '
                '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}.',
                id="scheduled_tasks.W002",
            )


def _apps() -> Iterator[CheckMessage]:
    if not apps.is_installed("django_htmx"):
        yield Error(
            "scheduled_tasks needs 'django_htmx'.",
            hint="Add 'django_htmx' to INSTALLED_APPS.",
            id="scheduled_tasks.E001",
        )


def _own_settings() -> Iterator[CheckMessage]:
    chosen = getattr(django_settings, NAME, {})
    if not isinstance(chosen, dict):
        yield Error(f"{NAME} must be a dict.", id="scheduled_tasks.E003")
        return
    yield from _unknown(chosen)
    for key, default in DEFAULTS.items():
        if key in chosen and default is not None and not _fits(chosen[key], default):
            yield Error(
                f"{NAME}[{key!r}] must be {KINDS[type(default)]}, not {chosen[key]!r}.",
                id="scheduled_tasks.E005",
            )
    yield from _choices(chosen)
    yield from _retention_count(chosen.get("RETENTION_COUNT"))
    yield from _access_policy(chosen.get("ACCESS_POLICY"))


def _unknown(chosen: dict[Any, Any]) -> Iterator[CheckMessage]:
    for key in chosen:
        if key in DEFAULTS:
            continue
        meant = get_close_matches(str(key).upper(), DEFAULTS, n=1)
        yield Error(
            f"{NAME} has no setting {key!r}.",
            hint=f"Did you mean {meant[0]!r}?" if meant else f"It knows {', '.join(sorted(DEFAULTS))}.",
            id="scheduled_tasks.E004",
        )


def _fits(value: Any, default: Any) -> bool:
    """Whether a value is of the default's kind and within the bounds that :data:`KINDS` names."""
    if isinstance(default, float):
        return type(value) in (int, float) and 0 <= value <= MOST_SECONDS
    if isinstance(default, timedelta):
        return isinstance(value, timedelta) and timedelta(0) <= value <= LONGEST
    return isinstance(value, type(default))


def _choices(chosen: dict[str, Any]) -> Iterator[CheckMessage]:
    from .models import Misfire, Overlap

    for key, choices in (("OVERLAP", Overlap), ("MISFIRE", Misfire)):
        value = chosen.get(key)
        if isinstance(value, str) and value not in choices.values:
            yield Error(
                f"{NAME}[{key!r}] is {value!r}.",
                hint=f"Choose one of {', '.join(choices.values)}.",
                id="scheduled_tasks.E006",
            )


def _retention_count(value: Any) -> Iterator[CheckMessage]:
    if value is not None and (type(value) is not int or not 1 <= value <= GREATEST):
        yield Error(
            f"{NAME}['RETENTION_COUNT'] must be a whole number from 1 to {GREATEST}, or None, not {value!r}.",
            id="scheduled_tasks.E005",
        )


def _access_policy(path: Any) -> Iterator[CheckMessage]:
    problem = None if path is None else _policy_problem(path)
    if problem:
        yield Error(
            f"{NAME}['ACCESS_POLICY'] {problem}.",
            hint="Give the dotted path of a function (request, action) -> bool.",
            id="scheduled_tasks.E007",
        )


def _policy_problem(path: Any) -> str | None:
    if not isinstance(path, str):
        return f"is no dotted path: {path!r}"
    try:
        policy = import_string(path)
    except ImportError as error:
        return f"cannot be imported: {error}"
    if not callable(policy):
        return f"is not callable: {path}"
    if iscoroutinefunction(policy):
        return f"must not be async: {path}"
    try:
        signature(policy).bind(None, "view")
    except TypeError:
        return f"does not take (request, action): {path}"
    except ValueError:  # something built in, of which Python does not know the arguments
        return None
    return None


def _scheduler() -> Iterator[CheckMessage]:
    chosen = getattr(django_settings, "CELERY_BEAT_SCHEDULER", None) or _celery_apps_scheduler()
    hint = f'Set CELERY_BEAT_SCHEDULER = "{SCHEDULER}".'
    if chosen == "scheduled_tasks":
        yield Error(
            "The scheduler's short name in this setting breaks django-celery-beat's admin.",
            hint=hint,
            id="scheduled_tasks.E008",
        )
    elif chosen is not None and str(chosen).replace(":", ".") != SCHEDULER.replace(":", "."):
        message = CELERYS_SCHEDULER if str(chosen).startswith("celery.beat") else OTHER_SCHEDULER
        yield Warning(message, hint=hint, id="scheduled_tasks.W001")


def _celery_apps_scheduler() -> str | None:
    """The scheduler in the Celery app's own configuration; None in a process without an app."""
    app = _state.default_app  # asking Celery for the current app would make an empty one
    return None if app is None else app.conf.beat_scheduler


def _time_zones() -> Iterator[CheckMessage]:
    if not django_settings.USE_TZ:
        yield Error(
            "Scheduled tasks need times with a zone.",
            hint="Set USE_TZ = True.",
            id="scheduled_tasks.E002",
        )
    elif not getattr(django_settings, "DJANGO_CELERY_BEAT_TZ_AWARE", True):
        yield Warning(
            "Beat ignores the time zone of schedules.",
            hint="Leave DJANGO_CELERY_BEAT_TZ_AWARE out.",
            id="scheduled_tasks.W003",
        )
