"""The entries of ``CELERY_BEAT_SCHEDULE`` and of the app's own signals, read as declarations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from celery import Celery, schedules
from django.conf import settings
from kombu.utils.json import JSONEncoder

from .. import validation
from ..cron import CronExpression, InvalidCron, known_zone
from ..cron.grammar import COLUMNS, Column, canonical_field
from ..models import Source
from ..private import DisabledBackend, typed_cron_field
from ..schedules import InvalidInterval, check_interval
from ..validation import UNSTORABLE, Invalid
from .fields import Declared, interval_text

CLEANUP = "celery.backend_cleanup"
KNOWN_SCHEDULERS = ("celery", "django_celery_beat", "scheduled_tasks")
"""Packages whose schedulers take no keys of an entry but :data:`KEYS`."""
KEYS = (
    *("task", "schedule", "args", "kwargs", "options", "enabled", "description", "tags", "relative", "name"),
    *validation.ALERT_POLICY,
)
"""Of an entry of ``CELERY_BEAT_SCHEDULE``. As in django-celery-beat, ``relative`` has no meaning."""
OPTIONS = ("queue", "exchange", "routing_key", "priority", "expires", "headers")
STORED_OPTIONS = {*OPTIONS, "expire_seconds"}
"""Of an entry's options: those a stored task has a place for."""


def entries(app: Celery) -> tuple[dict[str, Declared], dict[str, str]]:
    """The declarations by name, and a sentence by name for each entry of which something cannot be kept."""
    found: dict[str, Declared] = {}
    problems: dict[str, str] = {}
    for name, entry in {**_cleanup(app), **(app.conf.beat_schedule or {})}.items():
        try:
            declared = of_entry(name, entry, app)
            found[declared.name] = declared
            if lost := without_place(entry):
                problems[declared.name] = (
                    f"The entry “{name}” of CELERY_BEAT_SCHEDULE has options that no stored task keeps: "
                    f"{', '.join(lost)}. It keeps {', '.join(OPTIONS)}; "
                    "give others to the task's own decorator, such as @shared_task(time_limit=60)."
                )
        except Exception as error:  # noqa: BLE001 - an entry may be anything, and must not stop the others
            reason = str(error) if isinstance(error, Invalid | InvalidInterval) else repr(error)
            shown = name if isinstance(name, str) and not UNSTORABLE.search(name) else ascii(name)
            problems[shown] = f"The entry “{shown}” of CELERY_BEAT_SCHEDULE is unusable: {reason}"
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


def of_entry(name: object, entry: Mapping[str, Any], app: Celery) -> Declared:
    """What one entry declares.

    Raises:
        Invalid, InvalidCron, InvalidInterval: for one that cannot be stored.
    """
    _check_keys(entry, only_known=not has_keys_of_its_own(path_of(app.conf.beat_scheduler)))
    options = dict(entry.get("options") or {})
    schedule, zone = _schedule(entry["schedule"], app)
    values: dict[str, Any] = {
        "schedule": schedule,
        "timezone": zone,
        "enabled": bool(entry.get("enabled", True)),
        "args": list(entry.get("args") or ()),
        "kwargs": dict(entry.get("kwargs") or {}),
        "priority": validation.whole("priority", options.get("priority"), 0, 255),
        "expires": _expires(options),
        "headers": dict(options.get("headers") or {}),
        **validation.alert_policy(*map(entry.get, validation.ALERT_POLICY)),
        "tags": validation.tags("tags", entry.get("tags", ())),
    }
    for option in ("queue", "exchange", "routing_key"):
        values[option] = _routing_name(option, options.get(option))
    if "description" in entry:
        values["description"] = validation.text("description", str(entry["description"]), longest=None)
    return Declared(
        name=validation.text("its name", name, required=True),
        task=validation.text("task", str(entry["task"]), required=True),
        source=Source.BEAT_SCHEDULE,
        values=validation.as_stored("it", values, JSONEncoder),  # which also has dates, decimals and UUIDs
    )


def without_place(entry: Mapping[str, Any]) -> list[str]:
    """Names of an entry's options that no stored task keeps."""
    given = {str(key): value for key, value in (entry.get("options") or {}).items()}
    return [key for key, value in given.items() if key not in STORED_OPTIONS and value is not None]


def path_of(scheduler: Any) -> str:
    """The path of the scheduler that a configuration names; it may be the class itself."""
    return (
        f"{scheduler.__module__}:{scheduler.__qualname__}" if isinstance(scheduler, type) else str(scheduler)
    )


def has_keys_of_its_own(scheduler: str) -> bool:
    """Whether entries may have keys that only this scheduler knows: a project's own subclass may read any."""
    return re.split("[.:]", scheduler)[0] not in KNOWN_SCHEDULERS


def _check_keys(entry: Mapping[str, Any], *, only_known: bool) -> None:
    for key in entry:
        if only_known and key not in KEYS:
            meant = get_close_matches(str(key), KEYS, n=1)
            asked = f'; did you mean "{meant[0]}"?' if meant else "."
            raise Invalid(f'its key "{key}" is not known{asked}')
    for key in ("task", "schedule"):
        if entry.get(key) is None:
            raise Invalid(f"it has no {key}.")


def _schedule(value: Any, app: Celery) -> tuple[str, str | None]:
    """The text of a Celery schedule, and a crontab's zone."""
    if isinstance(value, str):
        raise _unstorable(value)
    schedule = schedules.maybe_schedule(value, app=app)
    if isinstance(schedule, schedules.crontab):
        return _cron_text(schedule), zone_name(schedule.tz)
    if isinstance(schedule, schedules.solar):
        place = (f"{Decimal(str(degrees)):.6f}" for degrees in (schedule.lat, schedule.lon))
        return f"{schedule.event} at {', '.join(place)}", None
    if type(schedule) is schedules.schedule and schedule.run_every > timedelta(0):
        check_interval(schedule.run_every)
        return interval_text(schedule.run_every), None
    raise _unstorable(value)


def _unstorable(value: Any) -> Invalid:
    return Invalid(f"its schedule {value!r} is of no kind that can be stored.")


def _cron_text(crontab: schedules.crontab) -> str:
    return CronExpression.parse(" ".join(_cron_field(crontab, column) for column in COLUMNS)).canonical


def _cron_field(crontab: schedules.crontab, column: Column) -> str:
    try:
        return canonical_field(column, typed_cron_field(crontab, column.key).replace(" ", ""))
    except InvalidCron:  # Celery also takes sets, "monday" and ranges that wrap
        values = getattr(crontab, column.key)
        return "*" if len(values) > column.high - column.low else ",".join(map(str, sorted(values)))


def _expires(options: Mapping[str, Any]) -> int | None:
    value = options.get("expire_seconds", options.get("expires"))
    if value is not None and not isinstance(value, int | float | timedelta):
        raise Invalid("its expiry must be a number of seconds.")
    return validation.seconds("expires", value or None)  # none at all: as in django-celery-beat, no expiry


def _routing_name(option: str, value: Any) -> str | None:
    """The name of a queue or an exchange, which may be given as an object; of a routing key the key."""
    return validation.text(option, str(getattr(value, "name", value))) if value else None


def zone_name(zone: Any) -> str:
    """The name of Celery's zone to store: Django's where it has none."""
    known = known_zone(str(zone))  # not "local time", which has no name to store
    return settings.TIME_ZONE if known is None else known.key
