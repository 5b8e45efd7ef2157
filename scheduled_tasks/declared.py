"""What this process's code declares: ``@scheduled_task`` and the entries of ``CELERY_BEAT_SCHEDULE``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo

from celery import Celery, _state, schedules
from celery.backends.base import DisabledBackend
from celery.loaders.default import Loader as FallbackLoader
from django.conf import settings

from .cron import CronExpression, InvalidCron
from .cron_grammar import COLUMNS, FIELDS
from .models import Source
from .registry import TaskDefinition, registry
from .task_fields import interval_text

CLEANUP = "celery.backend_cleanup"
KEYS = ("task", "schedule", "args", "kwargs", "options", "enabled", "description", "relative", "name")
"""Of an entry of ``CELERY_BEAT_SCHEDULE``. As in django-celery-beat, ``relative`` has no meaning."""
OPTIONS = ("queue", "exchange", "routing_key", "priority", "expires", "headers")
STORED_OPTIONS = {*OPTIONS, "expire_seconds"}
"""Of an entry's options: those a stored task has a place for."""
MOST_VALUES = {column.key: column.high - column.low + 1 for column in COLUMNS}


class CodeUnreadable(Exception):
    """This process cannot tell what the code declares; the text is one sentence that says why."""


class _Unsupported(Exception):
    pass


@dataclass(frozen=True)
class Declared:
    """One task as code declares it; `values` are those of ``task_fields``, not necessarily all."""

    name: str
    task: str
    source: Source
    values: dict[str, Any]


@dataclass(frozen=True)
class Code:
    """Everything declared. `names` includes those whose entry is unusable, which `problems` explains."""

    tasks: tuple[Declared, ...]
    names: frozenset[str]
    problems: tuple[str, ...]

    def has(self, source: Source) -> bool:
        """Whether anything is declared there."""
        return any(task.source == source for task in self.tasks)


def read(app: Celery | None = None) -> Code:
    """Import the task modules of the project's Celery app (default: the current one) and read what they say.

    Raises:
        CodeUnreadable: when there is no such app, or a module cannot be imported.
    """
    app = app or _project_app()
    try:
        app.loader.import_default_modules()
        app.finalize(auto=True)  # periodic tasks may be added by its signals
    except Exception as error:  # a task module may fail in any way
        raise CodeUnreadable(
            f"A task module could not be imported ({type(error).__name__}: {error}). Nothing was synced."
        ) from error
    found, problems = _entries(app)
    for definition in registry.definitions():
        if definition.name in found:
            problems[definition.name] = (
                f"“{definition.name}” is in CELERY_BEAT_SCHEDULE too; its @scheduled_task counts. "
                "Remove one of them."
            )
        found[definition.name] = _of_definition(definition, _zone_name(app.timezone))
    tasks = tuple(found[name] for name in sorted(found))
    return Code(tasks, frozenset([*found, *problems]), tuple(problems.values()))


def _project_app() -> Celery:
    # Asking Celery for the current app would make an empty one where there is none.
    app = _state._tls.current_app or _state.default_app
    if app is None or isinstance(app.loader, FallbackLoader):
        raise CodeUnreadable(
            "This process has no Celery app of the project. Import it in the project's __init__.py."
        )
    return app


def _of_definition(definition: TaskDefinition, zone: str) -> Declared:
    return Declared(
        name=definition.name,
        task=definition.task_name,
        source=Source.DECORATOR,
        values={
            "schedule": definition.schedule.canonical,
            "timezone": definition.timezone or zone,
            "enabled": definition.enabled,
            "overlap": definition.overlap,
            "misfire": definition.misfire,
            "grace": _seconds(definition.grace),
            "retention": _seconds(definition.retention),
            "retention_count": definition.retention_count,
            "description": definition.description,
            "args": json.loads(definition.args),
            "kwargs": json.loads(definition.kwargs),
            "queue": definition.queue,
            "priority": definition.priority,
            "expires": definition.expires,
        },
    )


def _entries(app: Celery) -> tuple[dict[str, Declared], dict[str, str]]:
    found, problems = {}, {}
    for name, entry in {**_cleanup(app), **(app.conf.beat_schedule or {})}.items():
        try:
            found[name] = _of_entry(name, entry, app)
            if lost := _without_place(entry):
                problems[name] = (
                    f"The entry “{name}” of CELERY_BEAT_SCHEDULE has options that no stored task keeps: "
                    f"{', '.join(lost)}. It keeps {', '.join(OPTIONS)}; "
                    "give others to the task's own decorator, such as @shared_task(time_limit=60)."
                )
        except (_Unsupported, AttributeError, LookupError, TypeError, ValueError) as error:
            reason = error if isinstance(error, _Unsupported) else repr(error)
            problems[name] = f"The entry “{name}” of CELERY_BEAT_SCHEDULE is unusable: {reason}"
    return found, problems


def _cleanup(app: Celery) -> dict[str, Any]:
    """Celery's own daily removal of expired results, where the result backend does not do it by itself."""
    try:
        backend = app.backend
    except Exception:  # noqa: BLE001 - a backend that cannot be loaded has nothing to clean up
        return {}
    if not app.conf.result_expires or backend.supports_autoexpire or isinstance(backend, DisabledBackend):
        return {}
    options = {"expires": 12 * 3600}
    return {CLEANUP: {"task": CLEANUP, "schedule": schedules.crontab("0", "4"), "options": options}}


def _of_entry(name: str, entry: Mapping[str, Any], app: Celery) -> Declared:
    _check_keys(entry)
    options = dict(entry.get("options") or {})
    values: dict[str, Any] = {
        **dict(zip(("schedule", "timezone"), _schedule(entry["schedule"], app), strict=True)),
        "enabled": bool(entry.get("enabled", True)),
        "args": list(entry.get("args") or ()),
        "kwargs": dict(entry.get("kwargs") or {}),
        "queue": _queue_name(options.get("queue")),
        "priority": options.get("priority"),
        "expires": _expires(options),
        "exchange": options.get("exchange") or None,
        "routing_key": options.get("routing_key") or None,
        "headers": dict(options.get("headers") or {}),
    }
    if "description" in entry:
        values["description"] = str(entry["description"])
    # Through JSON, as the database will give them back.
    plain = json.loads(json.dumps(values, allow_nan=False))
    return Declared(name=name, task=str(entry["task"]), source=Source.BEAT_SCHEDULE, values=plain)


def _without_place(entry: Mapping[str, Any]) -> list[str]:
    given = {str(key): value for key, value in (entry.get("options") or {}).items()}
    return [key for key, value in given.items() if key not in STORED_OPTIONS and value is not None]


def _check_keys(entry: Mapping[str, Any]) -> None:
    for key in entry:
        if key not in KEYS:
            meant = get_close_matches(str(key), KEYS, n=1)
            asked = f'; did you mean "{meant[0]}"?' if meant else "."
            raise _Unsupported(f'its key "{key}" is not known{asked}')
    for key in ("task", "schedule"):
        if key not in entry:
            raise _Unsupported(f"it has no {key}.")


def _schedule(value: Any, app: Celery) -> tuple[str, str | None]:
    """The text of a Celery schedule, and a crontab's zone."""
    if isinstance(value, str):
        raise _unstorable(value)
    schedule = schedules.maybe_schedule(value, app=app)
    if isinstance(schedule, schedules.crontab):
        return _cron_text(schedule), _zone_name(schedule.tz)
    if isinstance(schedule, schedules.solar):
        place = (f"{Decimal(str(degrees)):.6f}" for degrees in (schedule.lat, schedule.lon))
        return f"{schedule.event} at {', '.join(place)}", None
    if type(schedule) is schedules.schedule and schedule.run_every > timedelta(0):
        return interval_text(schedule.run_every), None
    raise _unstorable(value)


def _unstorable(value: Any) -> _Unsupported:
    return _Unsupported(f"its schedule {value!r} is of no kind that can be stored.")


def _cron_text(crontab: schedules.crontab) -> str:
    return CronExpression.parse(" ".join(_cron_field(crontab, name) for name in FIELDS)).canonical


def _cron_field(crontab: schedules.crontab, name: str) -> str:
    typed = str(getattr(crontab, f"_orig_{name}")).replace(" ", "")
    try:
        return CronExpression.parse(" ".join(typed if each == name else "*" for each in FIELDS)).fields[name]
    except InvalidCron:  # Celery also takes sets, "monday" and ranges that wrap
        values = getattr(crontab, name)
        return "*" if len(values) == MOST_VALUES[name] else ",".join(map(str, sorted(values)))


def _expires(options: Mapping[str, Any]) -> int | None:
    value = options.get("expire_seconds", options.get("expires"))
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if value is None or isinstance(value, int | float):
        return None if value is None else int(value)
    raise _Unsupported("its expiry must be a number of seconds.")


def _queue_name(queue: Any) -> str | None:
    return str(getattr(queue, "name", queue)) if queue else None


def _zone_name(zone: Any) -> str:
    try:
        return ZoneInfo(str(zone)).key
    except (OSError, LookupError, ValueError):  # "local time", which has no name to store
        return settings.TIME_ZONE


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()
