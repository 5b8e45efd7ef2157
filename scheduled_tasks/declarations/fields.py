"""The fields of a stored task that code may declare and an operator may change, as plain JSON values.

A value is comparable on both sides: a schedule is its text (``"0 3 * * *"``, ``"every 30 seconds"``), a
duration its seconds, a time its ISO text in UTC, arguments are decoded, a policy left to the project's
settings is None. The kinds of trouble to alert on, and tags, are the text that is stored
(``"failing,late"``, ``"none"``).
"""

from __future__ import annotations

import json
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule

from .. import schedules
from ..cron import CronExpression
from ..models import PausedBy, ScheduledTask, Source, TaskState
from ..once import parse_once
from ..solar_events import parse_solar
from ..spread import spread_offset


@dataclass(frozen=True)
class Field:
    """A field: its name for people, the column that holds it, and its value in a task that was told nothing.

    The column is the task's, or its state's. A column of JSON holds ``blank``'s type, and a duration seconds.
    """

    label: str | Promise
    column: str
    blank: Any = None
    of_state: bool = False
    is_json: bool = False
    is_duration: bool = False
    is_moment: bool = False

    def read(self, task: ScheduledTask) -> Any:
        """The task's value."""
        value = getattr(task.state if self.of_state else task, self.column)
        if self.is_duration:
            return None if value is None else value.total_seconds()
        if self.is_moment:
            return None if value is None else value.astimezone(UTC).isoformat()
        if self.is_json:
            value = _decoded(value)
        return self.blank if value in (None, "") else value

    def write(self, task: ScheduledTask, value: Any) -> None:
        """Set the column, not saved."""
        if self.is_duration and value is not None:
            value = timedelta(seconds=value)
        if self.is_moment and value is not None:
            value = datetime.fromisoformat(value)
        if self.is_json:
            value = json.dumps(value)
        row = task.state if self.of_state else task
        if value is None and not row._meta.get_field(self.column).null:
            value = ""
        setattr(row, self.column, value)


FIELDS = {
    "schedule": Field(_("schedule"), "", blank=""),
    "timezone": Field(_("time zone"), ""),
    "enabled": Field(_("enabled"), "enabled", blank=True),
    "overlap": Field(_("overlap"), "overlap", of_state=True),
    "misfire": Field(_("misfire"), "misfire", of_state=True),
    "grace": Field(_("grace"), "grace", of_state=True, is_duration=True),
    "spread": Field(_("spread"), "spread", of_state=True, is_duration=True),
    "retention": Field(_("retention"), "retention", of_state=True, is_duration=True),
    "retention_count": Field(_("runs kept"), "retention_count", of_state=True),
    "alert_after": Field(_("alert after failures in a row"), "alert_after", of_state=True),
    "recover_after": Field(_("recovered after successes in a row"), "recover_after", of_state=True),
    "max_runtime": Field(_("longest run time"), "max_runtime", of_state=True, is_duration=True),
    "alert_on": Field(_("alert on"), "alert_on", of_state=True),
    "owner": Field(_("owner"), "owner", of_state=True),
    "runbook": Field(_("runbook"), "runbook", of_state=True),
    "tags": Field(_("tags"), "tags", of_state=True),
    "description": Field(_("description"), "description", blank=""),
    "args": Field(_("arguments"), "args", blank=[], is_json=True),
    "kwargs": Field(_("keyword arguments"), "kwargs", blank={}, is_json=True),
    "queue": Field(_("queue"), "queue"),
    "priority": Field(_("priority"), "priority"),
    "expires": Field(_("expiry"), "expire_seconds"),
    "starts": Field(_("not before"), "start_time", is_moment=True),
    "ends": Field(_("not after"), "expires", is_moment=True),
    "exchange": Field(_("exchange"), "exchange"),
    "routing_key": Field(_("routing key"), "routing_key"),
    "headers": Field(_("headers"), "headers", blank={}, is_json=True),
}
"""Every field, in the order shown to people. A schedule and its zone are rows of their own, not columns."""

NOT_PAUSED = {"paused_by": "", "paused_by_name": "", "paused_at": None, "pause_note": ""}
"""What a task's state says of a task that nobody paused."""


@dataclass(frozen=True)
class Declared:
    """One task as code declares it; `values` are those of the fields, not necessarily all.

    `task` is Celery's name of it, and `formerly` are names of either kind that it had before.
    """

    name: str
    task: str
    source: Source
    values: dict[str, Any]
    formerly: tuple[str, ...] = ()

    @property
    def stored(self) -> dict[str, Any]:
        """What is kept of it for the next sync: its values, and its Celery task's name."""
        return {**self.values, "task": self.task}


def values_of(task: ScheduledTask) -> dict[str, Any]:
    """What the database says, for every field. A pause by the sync does not count as disabled."""
    schedule, zone = _schedule(task)
    columns = {name: field.read(task) for name, field in FIELDS.items() if field.column}
    enabled = task.enabled or task.state.paused_by == PausedBy.SYNC
    return {**columns, "schedule": schedule, "timezone": zone, "enabled": enabled}


def change(task: ScheduledTask, changes: dict[str, Any], now: datetime, **state: Any) -> None:
    """Write `changes` of fields, and these columns of the task's state, and save both.

    Nothing past fires: beat counts a task that is enabled, or has another schedule, from `now`. Lock the
    task's row first. Of its state only what changes is written: beat may be writing the rest.

    Raises:
        django.core.exceptions.ValidationError: what django-celery-beat's model refuses.
        InvalidCron, schedules.Unschedulable: for a schedule that is none.
    """
    task.scheduled_state = kept = task.state
    before, offset = copy(kept), spread_offset(task)
    was_enabled = task.enabled and task.pk is not None
    for name in changes.keys() - {"schedule", "timezone"}:
        FIELDS[name].write(task, changes[name])
    reschedules = bool(changes.keys() & {"schedule", "timezone"})
    if reschedules:
        schedule, timezone = _schedule(task)
        task.enabled |= task.is_over(now) and "enabled" not in changes  # nobody has paused it
        _reschedule(task, changes.get("schedule", schedule), changes.get("timezone", timezone))
    if task.enabled and not was_enabled:
        state = {"enabled_since": now, **NOT_PAUSED, **state}
    if not task.enabled:
        state = {"next_run_at": None, "run_after_maintenance": False, **state}
    for name, value in state.items():
        setattr(kept, name, value)
    if reschedules or changes.get("enabled"):
        _start_anew(task, kept, now)
    elif "spread" in changes:
        _move_ticks(task, kept, offset)
    elif changes.keys() & {"starts", "ends"}:
        _go_on(task, kept, now)
    task.save()  # type: ignore[no-untyped-call]
    kept.task_id = task.pk
    _save_changed(kept, before)


def _start_anew(task: ScheduledTask, state: TaskState, now: datetime) -> None:
    task.last_run_at = now
    state.broken_reason = state.broken_params = ""
    state.next_run_at = None
    state.run_after_maintenance = False
    if state.accounted_until is None:  # this app's beat does not run the task
        return
    state.accounted_until = now
    if task.enabled:
        with suppress(schedules.Unschedulable):
            state.next_run_at = schedules.next_run(task, now)


def _move_ticks(task: ScheduledTask, state: TaskState, offset: timedelta) -> None:
    """Go on after the same tick of the crontab as with the spread before, which was later by ``offset``."""
    if state.accounted_until is None or not task.enabled:
        return
    state.accounted_until += spread_offset(task) - offset
    with suppress(schedules.Unschedulable):
        state.next_run_at = schedules.next_run(task, state.accounted_until)


def _go_on(task: ScheduledTask, state: TaskState, now: datetime) -> None:
    """Go on after the same tick with another start and end. What was due before ``now`` does not run."""
    if state.accounted_until is None or not task.enabled:
        return
    with suppress(schedules.Unschedulable):
        at = schedules.next_run(task, state.accounted_until)
        if at is not None and at <= now:
            state.accounted_until = now
            at = schedules.next_run(task, now)
        state.next_run_at = at


def _save_changed(state: TaskState, before: TaskState) -> None:
    if state._state.adding:
        state.save()
        return
    names = [field.attname for field in TaskState._meta.concrete_fields]
    state.save(update_fields=[name for name in names if getattr(state, name) != getattr(before, name)])


def _reschedule(task: ScheduledTask, schedule: str, timezone: str | None) -> None:
    column, model, fields = _schedule_row(schedule, timezone)
    if column == "clocked" or task.clocked is not None:  # django-celery-beat asks for it
        task.one_off = column == "clocked"
    task.crontab = task.interval = task.solar = task.clocked = None
    setattr(task, column, schedules.shared_row(model, **fields))


def _schedule_row(schedule: str, timezone: str | None) -> tuple[str, Any, dict[str, Any]]:
    """The task's column, the model and the fields of the row that keeps a schedule."""
    if interval := schedules.parse_interval(schedule):
        return "interval", IntervalSchedule, {"every": interval.every, "period": interval.period}
    if at := parse_once(schedule):
        return "clocked", ClockedSchedule, {"clocked_time": at}
    if solar := parse_solar(schedule):
        return "solar", SolarSchedule, solar
    cron = {**CronExpression.parse(schedule).fields, "timezone": ZoneInfo(timezone or "UTC")}
    return "crontab", CrontabSchedule, cron


def unstored(declared: Declared) -> ScheduledTask:
    """The task as it would be stored, with its schedule; needs no database.

    Raises :class:`InvalidCron` for a schedule that is none.
    """
    column, model, fields = _schedule_row(declared.values["schedule"], declared.values.get("timezone"))
    task = ScheduledTask(name=declared.name, task=declared.task, **{column: model(**fields)})
    task.scheduled_state = TaskState()
    FIELDS["spread"].write(task, declared.values.get("spread"))
    return task


def _schedule(task: ScheduledTask) -> tuple[str, str | None]:
    """The text and the zone of the stored schedule; of a row that cannot be read no text."""
    text, zone = "", None
    try:
        text = schedules.raw(task)
        if task.interval is not None:
            text = interval_text(schedules.interval(task.interval))
        elif task.crontab is not None:
            zone = str(task.crontab.timezone)
            schedules.crontab(task.crontab)
            text = CronExpression.parse(text).canonical
    except (ValueError, ValidationError):  # what beat cannot run equals nothing declared
        pass
    return text, zone


def interval_text(length: timedelta) -> str:
    """An interval as it is compared: alike for 900 seconds and for 15 minutes."""
    every, period = schedules.tidy_interval(length)
    return schedules.interval_text(IntervalSchedule(every=every, period=period))


def _decoded(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return text
