"""Changing a task: enabling and disabling it, its schedule, its next run, and back to what code declares."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from .. import schedules
from ..cron import CronExpression
from ..declarations import sync
from ..declarations.fields import FIELDS, change, interval_text, values_of
from ..masking import printable
from ..models import CodeDefault, PausedBy, ScheduledTask, TaskState, database_now
from ..once import check_once, once_text
from ..recording.connection import keepable
from ..solar_events import read_solar, solar_text
from ..spread import check_spread, spread_of
from .audit import Event, changed, reset_to_default
from .locking import Actor, Conflict, Refused, locked, task_of
from .restoring import changes_since, refuse_past, snapshot

OVER = " (over)"
"""What the token of a task that ran once ends with."""


def enable(task_id: int, *, actor: Actor) -> ScheduledTask:
    """Let the task run on schedule again, from its next tick on: nothing past is caught up.

    Raises :class:`Refused` for one that was to run once, at a time that is past.
    """
    with locked(task_id) as task:
        if not task.enabled:
            refuse_past(task, database_now())
            before = snapshot(task)
            change(task, {"enabled": True}, database_now())
            actor.log(task, changed(Event.ENABLED, ["enabled"], values=changes_since(before, task)))
    return task


def disable(task_id: int, *, actor: Actor, note: str | None = None) -> ScheduledTask:
    """Stop the task's schedule and keep it; Run now still works. ``note`` (500 characters) says why.

    Of a task that is disabled already a note replaces the one it has; without one nothing changes.
    """
    note = None if note is None else keepable(printable(note.strip()))[:500]
    with locked(task_id) as task:
        if not task.enabled:
            _annotate(task, note, actor)
            return task
        now, before = database_now(), snapshot(task)
        by = keepable(actor.name)[:150]
        pause = {"paused_by": PausedBy.OPERATOR, "paused_by_name": by, "paused_at": now}
        change(task, {"enabled": False}, now, **pause, pause_note=note or "", skip_next=False)
        values = changes_since(before, task)
        if note:
            fields = ["enabled", "pause note"]
            actor.log(task, changed(Event.DISABLED_WITH_NOTE, fields, note=note, values=values))
        else:
            actor.log(task, changed(Event.DISABLED, ["enabled"], values=values))
    return task


def _annotate(task: ScheduledTask, note: str | None, actor: Actor) -> None:
    before = task.state.pause_note
    if note is None or note == before:
        return
    TaskState.objects.filter(task_id=task.pk).update(pause_note=note)
    values = {"pause_note": [before, note]}
    told = {"before": before or "–", "after": note or "–", "values": values}
    actor.log(task, changed(Event.NOTED, ["pause note"], **told))


def reschedule(
    task_id: int,
    *,
    actor: Actor,
    expression: str,
    timezone: str,
    spread: timedelta | None = None,
    seen: str | None = None,
) -> ScheduledTask:
    """Give the task a cron schedule in a time zone, from its next tick on: nothing past is caught up.

    Its runs start within ``spread`` of their scheduled times. ``seen`` is the :func:`schedule_token` the
    person was looking at. Raises :class:`..cron.InvalidCron`, :class:`..spread.InvalidSpread` for a
    spread that reaches the next run, :class:`Conflict` when somebody changed the schedule meanwhile, and
    :class:`Refused` for an unknown zone.
    """
    cron = CronExpression.parse(expression)
    try:
        zone = schedules.read_zone(timezone)
    except schedules.UnknownZone as error:
        raise Refused("timezone", str(error)) from error
    check_spread(cron, spread)
    seconds = spread.total_seconds() if spread else None
    values = {"schedule": cron.canonical, "timezone": zone.key, "spread": seconds}
    return _reschedule(task_id, actor, seen, values)


def reschedule_interval(
    task_id: int, *, actor: Actor, every: str, unit: str, seen: str | None = None
) -> ScheduledTask:
    """Let the task run every so many ``"seconds"``, ``"minutes"``, ``"hours"`` or ``"days"``, from now on.

    The first run is one interval away. ``every`` is the number as typed, ``seen`` as in :func:`reschedule`.
    Raises :class:`..schedules.InvalidInterval` and :class:`Conflict`.
    """
    typed = schedules.read_interval(every, unit)
    values = {"schedule": interval_text(schedules.interval(typed)), "timezone": None}
    return _reschedule(task_id, actor, seen, values)


def reschedule_once(task_id: int, *, actor: Actor, at: datetime, seen: str | None = None) -> ScheduledTask:
    """Let the task run once, at this time; then beat disables it. ``seen`` is as in :func:`reschedule`.

    Raises :class:`..typed_moments.InvalidMoment` for a time that is past, and :class:`Conflict`.
    """
    check_once(at, database_now())
    return _reschedule(task_id, actor, seen, {"schedule": once_text(at), "timezone": None})


def reschedule_solar(
    task_id: int, *, actor: Actor, event: str, latitude: str, longitude: str, seen: str | None = None
) -> ScheduledTask:
    """Let the task run at an event of the sun, such as ``"sunset"``, at a place in degrees, as typed.

    ``seen`` is as in :func:`reschedule`. Raises :class:`..solar_events.InvalidSolar` and :class:`Conflict`.
    """
    row = read_solar(event, latitude, longitude)
    return _reschedule(task_id, actor, seen, {"schedule": solar_text(row), "timezone": None})


def _reschedule(task_id: int, actor: Actor, seen: str | None, values: dict[str, Any]) -> ScheduledTask:
    with locked(task_id) as task:
        before = schedule_token(task)
        if seen is not None and seen != before:
            message = _("Somebody changed the schedule of %(name)s meanwhile: it is now %(schedule)s.")
            if before == f"{seen}{OVER}":
                message = _("%(name)s was due meanwhile, and is over.")
            raise Conflict(message % {"name": task.name, "schedule": before}, task)
        stored = values_of(task)
        if changes := {name: value for name, value in values.items() if stored[name] != value}:
            was = snapshot(task)
            change(task, changes, database_now())
            told = {"before": before, "after": schedule_token(task), "values": changes_since(was, task)}
            actor.log(task, changed(Event.RESCHEDULED, ["schedule"], **told))
    return task


def reset(task_id: int, *, actor: Actor, only: Collection[str] = tuple(FIELDS)) -> ScheduledTask:
    """Give the task what its code declares, in every field of ``only`` that an operator changed."""
    with locked(task_id) as task:
        default: CodeDefault | None = task.code_default
        if default is None or default.gone_since is not None:
            raise Refused("no_default", _("No code declares %(name)s.") % {"name": task.name})
        before = snapshot(task)
        try:
            edited = sync.apply_default(task, only)
        except ValidationError:  # the row's fault, not the declaration's
            raise
        except schedules.UNREADABLE as error:
            message = _(
                "What code declares for %(name)s cannot be used (%(error)s). "
                "Run manage.py sync_scheduled_tasks, then try again."
            )
            raise Refused("declaration", message % {"name": task.name, "error": error}) from error
        if edited:
            actor.log(task, reset_to_default(edited, changes_since(before, task)))
    return task_of(task_id)


def skip_next(task_id: int, *, actor: Actor, skip: bool = True) -> ScheduledTask:
    """Leave out the next run on schedule, once; or take that back."""
    with locked(task_id) as task:
        if not TaskState.objects.filter(task_id=task.pk, skip_next=not skip).update(skip_next=skip):
            return task
        event = Event.SKIPPED_NEXT if skip else Event.UNSKIPPED_NEXT
        actor.log(task, changed(event, ["skip next run"], values={"skip_next": [not skip, skip]}))
    return task_of(task_id)


def follow_policies(task_id: int, *, actor: Actor) -> ScheduledTask:
    """Let the project's policies for overlapping and waiting runs hold for a task that runs as before."""
    with locked(task_id) as task:
        if not TaskState.objects.filter(task_id=task.pk, runs_as_before=True).update(runs_as_before=False):
            return task
        values = {"runs_as_before": [True, False]}
        actor.log(task, changed(Event.POLICIES_CHOSEN, ["runs as before"], values=values))
    return task_of(task_id)


def schedule_token(task: ScheduledTask) -> str:
    """A text that changes whenever the task's schedule does, or one that runs once is over."""
    if not task.crontab:
        is_over = task.clocked is not None and not task.enabled and not task.is_stopped
        return f"{schedules.raw(task)}{OVER if is_over else ''}"
    spread = spread_of(task)
    within = f", within {spread.total_seconds():g} s" if spread else ""
    return f"{schedules.raw(task)} ({schedules.zone(task)}{within})"
