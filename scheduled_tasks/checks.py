"""System checks of the project's settings, each with an id and a hint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning
from django.utils.module_loading import import_string

from .conf import DEFAULTS, NAME

SCHEDULER = "scheduled_tasks.beat:Scheduler"
REQUIRED_APPS = ("django_celery_beat", "django_htmx")


def check_settings(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Every message about the project's settings."""
    return [*_apps(), *_own_settings(), *_scheduler(), *_time_zones()]


def check_databases(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Warn of a SQLite database that processes writing at once will find locked."""
    return [
        Warning(
            f"The SQLite database {alias!r} will be locked when web, worker and beat write at once.",
            hint='Set its OPTIONS to {"transaction_mode": "IMMEDIATE", "timeout": 20, '
            '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}.',
            id="scheduled_tasks.W002",
        )
        for alias, options in _sqlite_options()
        if options.get("transaction_mode") != "IMMEDIATE"
    ]


def _sqlite_options() -> Iterator[tuple[str, dict[str, Any]]]:
    for alias, database in django_settings.DATABASES.items():
        if database.get("ENGINE") == "django.db.backends.sqlite3":
            yield alias, database.get("OPTIONS") or {}


def _apps() -> Iterator[CheckMessage]:
    for number, name in enumerate(REQUIRED_APPS, start=1):
        if not apps.is_installed(name):
            yield Error(
                f"scheduled_tasks needs {name!r}.",
                hint=f"Add {name!r} to INSTALLED_APPS.",
                id=f"scheduled_tasks.E00{number}",
            )


def _own_settings() -> Iterator[CheckMessage]:
    chosen = getattr(django_settings, NAME, {})
    if not isinstance(chosen, dict):
        yield Error(f"{NAME} must be a dict.", id="scheduled_tasks.E003")
        return
    for key in chosen.keys() - DEFAULTS.keys():
        yield Error(
            f"{NAME} has no setting {key!r}.",
            hint=f"It knows {', '.join(sorted(DEFAULTS))}.",
            id="scheduled_tasks.E004",
        )
    for key, default in DEFAULTS.items():
        if key in chosen and default is not None and not isinstance(chosen[key], _accepted(default)):
            yield Error(
                f"{NAME}[{key!r}] must be a {type(default).__name__}, not {chosen[key]!r}.",
                id="scheduled_tasks.E005",
            )
    yield from _choices(chosen)
    yield from _retention_count(chosen.get("RETENTION_COUNT"))
    yield from _access_policy(chosen.get("ACCESS_POLICY"))


def _accepted(default: Any) -> tuple[type, ...]:
    return (int, float) if type(default) is float else (type(default),)


def _choices(chosen: dict[str, Any]) -> Iterator[CheckMessage]:
    from .models import Misfire, Overlap

    for key, choices in (("OVERLAP", Overlap), ("MISFIRE", Misfire)):
        if key in chosen and chosen[key] not in choices.values:
            yield Error(
                f"{NAME}[{key!r}] is {chosen[key]!r}.",
                hint=f"Choose one of {', '.join(choices.values)}.",
                id="scheduled_tasks.E006",
            )


def _retention_count(value: Any) -> Iterator[CheckMessage]:
    if value is not None and (type(value) is not int or value < 1):
        yield Error(
            f"{NAME}['RETENTION_COUNT'] must be a whole number from 1 on, or None, not {value!r}.",
            id="scheduled_tasks.E005",
        )


def _access_policy(path: str | None) -> Iterator[CheckMessage]:
    if path is None:
        return
    try:
        policy = import_string(path)
    except (ImportError, AttributeError, TypeError) as error:
        yield Error(
            f"{NAME}['ACCESS_POLICY'] cannot be imported: {error}.",
            hint="Give the dotted path of a function (request, action) -> bool.",
            id="scheduled_tasks.E007",
        )
        return
    if not callable(policy):
        yield Error(f"{NAME}['ACCESS_POLICY'] is not callable: {path}.", id="scheduled_tasks.E007")


def _scheduler() -> Iterator[CheckMessage]:
    chosen = getattr(django_settings, "CELERY_BEAT_SCHEDULER", None)
    if chosen == "scheduled_tasks":
        yield Error(
            "The scheduler's short name in this setting breaks django-celery-beat's admin.",
            hint=f'Set CELERY_BEAT_SCHEDULER = "{SCHEDULER}".',
            id="scheduled_tasks.E008",
        )
    elif chosen is not None and str(chosen).replace(":", ".") != SCHEDULER.replace(":", "."):
        yield Warning(
            "Another scheduler fires the tasks: runs are recorded, but missed and skipped ones are not.",
            hint=f'Set CELERY_BEAT_SCHEDULER = "{SCHEDULER}".',
            id="scheduled_tasks.W001",
        )


def _time_zones() -> Iterator[CheckMessage]:
    if not django_settings.USE_TZ or not getattr(django_settings, "DJANGO_CELERY_BEAT_TZ_AWARE", True):
        yield Warning(
            "Beat ignores the time zone of schedules.",
            hint="Set USE_TZ = True and leave DJANGO_CELERY_BEAT_TZ_AWARE out.",
            id="scheduled_tasks.W003",
        )
