"""System checks of the project's settings. docs/settings.md lists their ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from inspect import signature
from typing import Any

from celery.utils.imports import symbol_by_name
from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from . import links
from .access import access_policy, takes_task
from .alerts.channels import DEFAULT
from .alerts.problems import alert_problems
from .conf import DEFAULTS, NAME, problem_of, settings
from .declarations import registry
from .declarations.beat_schedule import path_of
from .private import broker_problem, namespace, project_app

SCHEDULER = "scheduled_tasks.beat:Scheduler"
CHOICES = ("OVERLAP", "MISFIRE")


def check_settings(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check the settings of this app, of Celery beat, of its broker and of time zones."""
    return [*_own_settings(), *alert_problems(), *_owners(), *_scheduler(), *_broker(), *_time_zones()]


def check_databases(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check the databases that the routers choose for scheduled tasks."""
    aliases = _aliases()
    return [*_one_database(aliases), *_clocks(aliases), *_sqlite(aliases)]


def _aliases() -> list[str]:
    from django_celery_beat.models import PeriodicTask

    from .models import Process, ScheduledTask, TaskRun, TaskState

    models = (PeriodicTask, ScheduledTask, TaskState, TaskRun, Process)
    return sorted({choose(model) for model in models for choose in (router.db_for_write, router.db_for_read)})


def _one_database(aliases: list[str]) -> Iterator[CheckMessage]:
    if len(aliases) > 1:
        yield Error(
            f"The database routers spread scheduled tasks over several databases: {', '.join(aliases)}.",
            hint="Route django_celery_beat and scheduled_tasks to one database, for reading and for writing. "
            "Beat would not see its own writes on a replica that lags behind.",
            id="scheduled_tasks.E009",
        )


def _clocks(aliases: list[str]) -> Iterator[CheckMessage]:
    for alias in aliases:
        connection = connections[alias]
        zone = connection.settings_dict["TIME_ZONE"]
        if zone not in (None, "UTC") and not connection.features.supports_timezones:
            yield Error(
                f"The TIME_ZONE of the database {alias!r} shifts the times that are read from its clock.",
                hint="Remove TIME_ZONE from this entry of DATABASES. Django then stores times in UTC.",
                id="scheduled_tasks.E010",
            )


def _sqlite(aliases: list[str]) -> Iterator[CheckMessage]:
    for alias in aliases:
        connection = connections[alias]
        options = connection.settings_dict["OPTIONS"]
        if connection.vendor == "sqlite" and options.get("transaction_mode") != "IMMEDIATE":
            yield Warning(
                f"The SQLite database {alias!r} raises “database is locked” when several processes write.",
                hint='Set its OPTIONS to {"transaction_mode": "IMMEDIATE", "timeout": 20, '
                '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}.',
                id="scheduled_tasks.W002",
            )


def _own_settings() -> Iterator[CheckMessage]:
    chosen = getattr(django_settings, NAME, {})
    if not isinstance(chosen, dict):
        yield Error(f"{NAME} must be a dict.", id="scheduled_tasks.E003")
        return
    for key, value in chosen.items():
        if key not in DEFAULTS:
            yield _unknown(key)
        elif problem := problem_of(key, value):
            code = "E006" if key in CHOICES and isinstance(value, str) else "E005"
            yield Error(problem, id=f"scheduled_tasks.{code}")
    yield from _access_policy(chosen.get("ACCESS_POLICY"))
    yield from _run_links()
    yield from _ping_url(settings.PING_URL)


def _run_links() -> Iterator[CheckMessage]:
    wrong = [(label, links.problem_of(template)) for label, template in settings.RUN_LINKS.items()]
    for label, problem in wrong:
        if not problem:
            continue
        yield Error(
            f'{NAME}["RUN_LINKS"][{label!r}] {problem}.',
            hint='Map labels to addresses, such as {"Logs": "https://logs.example.com/?id={celery_id}"}.',
            id="scheduled_tasks.E014",
        )


def _ping_url(url: str | None) -> Iterator[CheckMessage]:
    if url is not None and not links.is_web_address(url):
        yield Error(
            f'{NAME}["PING_URL"] is no http or https address.',
            hint="Set it to the address that the monitoring service gave you.",
            id="scheduled_tasks.E015",
        )


def _owners() -> Iterator[CheckMessage]:
    """Tasks whose owner is misspelt, or was never set up; only those that this process has imported."""
    alerts = settings.ALERTS
    if not alerts:
        return
    for name, definition in registry.definitions.items():
        owner = definition.values.get("owner")
        if owner is None or owner in alerts:
            continue
        heard = f'Its alerts go to "{DEFAULT}".' if alerts.get(DEFAULT) else "Nobody gets its alerts."
        yield Warning(
            f'The owner "{owner}" of the scheduled task "{name}" is not in {NAME}["ALERTS"].',
            hint=f"{heard} Add the owner to ALERTS, or correct its name: {definition.origin}.",
            id="scheduled_tasks.W006",
        )


def _unknown(key: object) -> CheckMessage:
    meant = get_close_matches(str(key).upper(), DEFAULTS, n=1)
    return Error(
        f"{NAME} has no setting {key!r}.",
        hint=f"Did you mean {meant[0]!r}?" if meant else f"Settings are {', '.join(sorted(DEFAULTS))}.",
        id="scheduled_tasks.E004",
    )


def _access_policy(path: object) -> Iterator[CheckMessage]:
    if problem := "" if path is None else _policy_problem(path):
        yield Error(
            problem,
            hint="Set it to the dotted path of a function (request, action, task=None) -> bool.",
            id="scheduled_tasks.E007",
        )


def _policy_problem(path: object) -> str:
    setting = f'{NAME}["ACCESS_POLICY"] = {path!r}'
    if not isinstance(path, str):
        return f"{setting} is not a dotted path."
    try:
        policy = access_policy()
        if policy is None or not takes_task(policy):
            signature(policy).bind(None, "view")  # type: ignore[arg-type]
    except ImproperlyConfigured as error:
        return str(error)
    except TypeError:  # also of what is not callable
        return f"{setting} does not take (request, action) or (request, action, task)."
    except ValueError:  # a builtin without a signature
        return ""
    return ""


def _scheduler() -> Iterator[CheckMessage]:
    if getattr(django_settings, "CELERY_BEAT_SCHEDULER", None) == "scheduled_tasks":
        yield Error(
            "django-celery-beat's admin cannot import the scheduler by its short name.",
            hint=f'Set CELERY_BEAT_SCHEDULER = "{SCHEDULER}".',
            id="scheduled_tasks.E008",
        )
        return
    scheduler, setting = configured_scheduler()
    if scheduler is None or _is_ours(scheduler):
        return
    if scheduler.startswith("celery.beat"):
        message = "Beat uses Celery's default scheduler, which does not start tasks from the database."
    else:
        message = "Beat uses another scheduler, which does not record missed and skipped runs."
    yield Warning(message, hint=f'Set {setting} = "{SCHEDULER}".', id="scheduled_tasks.W001")


def configured_scheduler() -> tuple[str | None, str]:
    """The scheduler that beat will use, and the setting that chooses it.

    The Celery app decides, because its namespace need not be ``CELERY``. A process that does not import the
    app has only the usual setting.
    """
    app = project_app()
    if app is None:
        chosen = getattr(django_settings, "CELERY_BEAT_SCHEDULER", None)
        return None if chosen is None else path_of(chosen), "CELERY_BEAT_SCHEDULER"
    prefix = namespace(app)
    setting = f"{prefix}_BEAT_SCHEDULER" if prefix else f"{app.main}.conf.beat_scheduler"
    return path_of(app.conf.beat_scheduler), setting


def _is_ours(scheduler: str) -> bool:
    """Whether it is this app's scheduler or a subclass; only another one is imported to see."""
    if scheduler.replace(":", ".") in (SCHEDULER.replace(":", "."), "scheduled_tasks"):
        return True
    if scheduler.startswith(("celery.", "django_celery_beat.")):
        return False
    try:
        return issubclass(symbol_by_name(scheduler), symbol_by_name(SCHEDULER))
    except Exception:  # noqa: BLE001 - a module that cannot be imported; beat says so itself
        return False


def _broker() -> Iterator[CheckMessage]:
    """What the broker needs of other packages, which pip leaves alone where they are installed already."""
    app = project_app()
    if app is not None and (problem := broker_problem(app)):
        yield Warning(
            f"This process cannot send to the broker. {problem}",
            hint='Install Celery with what the broker needs. For Redis: pip install -U "celery[redis]".',
            id="scheduled_tasks.W007",
        )


def _time_zones() -> Iterator[CheckMessage]:
    if not django_settings.USE_TZ:
        yield Error(
            "Scheduled tasks need time zone support.",
            hint="Set USE_TZ = True.",
            id="scheduled_tasks.E002",
        )
    elif not getattr(django_settings, "DJANGO_CELERY_BEAT_TZ_AWARE", True):
        yield Warning(
            "Beat ignores the time zones of schedules.",
            hint="Remove DJANGO_CELERY_BEAT_TZ_AWARE.",
            id="scheduled_tasks.W003",
        )
