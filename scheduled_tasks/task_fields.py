"""The fields of a stored task that code may declare and an operator may change, as plain JSON values.

A value is comparable on both sides: a schedule is its text (``"0 3 * * *"``, ``"every 30 seconds"``), a
duration its seconds, arguments are decoded, a policy left to the project's settings is None.
"""

from __future__ import annotations

import json
import re
from copy import copy
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import IntervalSchedule, SolarSchedule

from . import schedules
from .cron import CronExpression, InvalidCron
from .models import PausedBy, ScheduledTask, TaskState

BLANK: dict[str, Any] = {
    "schedule": "",
    "timezone": None,
    "enabled": True,
    "overlap": None,
    "misfire": None,
    "grace": None,
    "retention": None,
    "retention_count": None,
    "description": "",
    "args": [],
    "kwargs": {},
    "queue": None,
    "priority": None,
    "expires": None,
    "exchange": None,
    "routing_key": None,
    "headers": {},
}
"""Every field, in the order shown to people, with the value of a task that was told nothing."""

NAMES = {
    "schedule": _("schedule"),
    "timezone": _("time zone"),
    "enabled": _("enabled"),
    "overlap": _("overlap"),
    "misfire": _("misfire"),
    "grace": _("grace"),
    "retention": _("retention"),
    "retention_count": _("runs kept"),
    "description": _("description"),
    "args": _("arguments"),
    "kwargs": _("keyword arguments"),
    "queue": _("queue"),
    "priority": _("priority"),
    "expires": _("expiry"),
    "exchange": _("exchange"),
    "routing_key": _("routing key"),
    "headers": _("headers"),
}
"""What people call each field."""

COLUMNS = {
    "description": "description",
    "queue": "queue",
    "priority": "priority",
    "expires": "expire_seconds",
    "exchange": "exchange",
    "routing_key": "routing_key",
}
JSON_COLUMNS = ("args", "kwargs", "headers")
POLICIES = ("overlap", "misfire")
DURATIONS = ("grace", "retention")
STARTS_ANEW = frozenset({"schedule", "timezone", "enabled"})
"""Fields whose change lets the task count from now: a slot that is past must not fire."""

SOLAR = re.compile(r"(\w+) at (\S+), (\S+)")


def values_of(task: ScheduledTask) -> dict[str, Any]:
    """What the database says, for every field. A pause by the sync does not count as disabled."""
    state = task.state
    return {
        "schedule": _schedule_text(task),
        "timezone": None if task.crontab is None else str(task.crontab.timezone),
        "enabled": task.enabled or state.paused_by == PausedBy.SYNC,
        **{name: getattr(state, name) or None for name in POLICIES},
        **{name: _seconds(getattr(state, name)) for name in DURATIONS},
        "retention_count": state.retention_count,
        **{name: _blank_as(BLANK[name], getattr(task, column)) for name, column in COLUMNS.items()},
        **{name: _decoded(getattr(task, name), BLANK[name]) for name in JSON_COLUMNS},
    }


def change(task: ScheduledTask, changes: dict[str, Any], now: datetime, *, resume: bool = False) -> None:
    """Write `changes` and save, so that nothing past fires: beat counts a changed schedule from `now`.

    `resume` enables the task unless `changes` say otherwise. Lock the task's row first.

    Raises:
        django.core.exceptions.ValidationError: what django-celery-beat's model refuses.
        InvalidCron, schedules.Unschedulable: for a schedule that is none.
    """
    state = task.state
    before = copy(state)
    was_enabled = task.enabled and task.pk is not None
    if resume:
        changes = {"enabled": True, **changes}
    _write(task, state, changes)
    if STARTS_ANEW & changes.keys():
        task.last_run_at = now
        state.accounted_until = state.accounted_until and now
        state.next_run_at, state.broken_reason = None, ""
    if task.enabled and not was_enabled:
        state.enabled_since, state.paused_at = now, None
        state.paused_by = state.paused_by_name = state.pause_note = ""
    task.save()  # type: ignore[no-untyped-call]
    state.task_id = task.pk
    save_state(state, before)


def save_state(state: TaskState, before: TaskState) -> None:
    """Write the columns in which ``state`` differs from ``before``; beat may be writing the others."""
    if state._state.adding:
        state.save()
        return
    names = [field.attname for field in TaskState._meta.concrete_fields]
    changed = [name for name in names if getattr(state, name) != getattr(before, name)]
    state.save(update_fields=changed)


def _write(task: ScheduledTask, state: TaskState, values: dict[str, Any]) -> None:
    for name, column in COLUMNS.items():
        if name in values:
            setattr(task, column, values[name])
    for name in JSON_COLUMNS:
        if name in values:
            setattr(task, name, json.dumps(values[name]))
    for name in POLICIES:
        if name in values:
            setattr(state, name, values[name] or "")
    for name in DURATIONS:
        if name in values:
            setattr(state, name, None if values[name] is None else timedelta(seconds=values[name]))
    if "retention_count" in values:
        state.retention_count = values["retention_count"]
    if "enabled" in values:
        task.enabled = values["enabled"]
    if "schedule" in values or "timezone" in values:
        stored = values_of(task) if task.pk else BLANK
        merged = {**stored, **values}
        _reschedule(task, merged["schedule"], merged["timezone"])


def _reschedule(task: ScheduledTask, text: str, zone: str | None) -> None:
    interval, solar = schedules.INTERVAL.fullmatch(text), SOLAR.fullmatch(text)
    task.crontab = task.interval = task.solar = task.clocked = None
    if interval:
        task.interval = schedules.shared_row(IntervalSchedule, every=int(interval[1]), period=interval[2])
    elif solar:
        place = {"latitude": Decimal(solar[2]), "longitude": Decimal(solar[3])}
        task.solar = schedules.shared_row(SolarSchedule, event=solar[1], **place)
    else:
        task.crontab = schedules.crontab_row(CronExpression.parse(text), ZoneInfo(zone or "UTC"))


def _schedule_text(task: ScheduledTask) -> str:
    text = schedules.raw(task)
    try:
        if task.interval is not None:
            return interval_text(schedules.interval(task.interval))
        if task.crontab is not None:
            schedules.crontab(task.crontab)
            return CronExpression.parse(text).canonical
    except (InvalidCron, schedules.Unschedulable):  # what beat cannot run equals nothing declared
        pass
    return text


def interval_text(length: timedelta) -> str:
    """An interval as it is compared: alike for 900 seconds and for 15 minutes."""
    return "every {} {}".format(*schedules.tidy_interval(length))


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()


def _blank_as(blank: Any, value: Any) -> Any:
    return blank if value in (None, "") else value


def _decoded(text: str | None, blank: Any) -> Any:
    try:
        value = json.loads(text or "null")
    except ValueError:
        return text
    return blank if value is None else value
