"""Changing a task: enabling and disabling it, its schedule, its next run, and back to what code declares."""

from __future__ import annotations

from collections.abc import Collection

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from .. import schedules
from ..cron import CronExpression
from ..declarations import sync
from ..declarations.fields import FIELDS, change, interval_text, values_of
from ..masking import printable
from ..models import CodeDefault, PausedBy, ScheduledTask, TaskState, database_now
from ..recording.connection import keepable
from .audit import Event, changed, reset_to_default
from .locking import Actor, Conflict, Refused, locked, task_of


def enable(task_id: int, *, actor: Actor) -> ScheduledTask:
    """Let the task run on schedule again, from its next tick on: nothing past is caught up."""
    with locked(task_id) as task:
        if not task.enabled:
            change(task, {"enabled": True}, database_now())
            actor.log(task, changed(Event.ENABLED, ["enabled"]))
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
        now = database_now()
        by = keepable(actor.name)[:150]
        pause = {"paused_by": PausedBy.OPERATOR, "paused_by_name": by, "paused_at": now}
        change(task, {"enabled": False}, now, **pause, pause_note=note or "", skip_next=False)
        if note:
            actor.log(task, changed(Event.DISABLED_WITH_NOTE, ["enabled", "pause note"], note=note))
        else:
            actor.log(task, changed(Event.DISABLED, ["enabled"]))
    return task


def _annotate(task: ScheduledTask, note: str | None, actor: Actor) -> None:
    before = task.state.pause_note
    if note is None or note == before:
        return
    TaskState.objects.filter(task_id=task.pk).update(pause_note=note)
    actor.log(task, changed(Event.NOTED, ["pause note"], before=before or "–", after=note or "–"))


def reschedule(
    task_id: int, *, actor: Actor, expression: str, timezone: str, seen: str | None = None
) -> ScheduledTask:
    """Give the task a cron schedule in a time zone, from its next tick on: nothing past is caught up.

    ``seen`` is the :func:`schedule_token` the person was looking at. Raises
    :class:`..cron.InvalidCron`, :class:`Conflict` when somebody changed the schedule meanwhile, and
    :class:`Refused` for an unknown zone or a task that runs once at a fixed time.
    """
    cron = CronExpression.parse(expression)
    try:
        zone = schedules.read_zone(timezone)
    except schedules.UnknownZone as error:
        raise Refused("timezone", str(error)) from error
    return _reschedule(task_id, actor, seen, cron.canonical, zone.key)


def reschedule_interval(
    task_id: int, *, actor: Actor, every: str, unit: str, seen: str | None = None
) -> ScheduledTask:
    """Let the task run every so many ``"seconds"``, ``"minutes"``, ``"hours"`` or ``"days"``, from now on.

    The first run is one interval away. ``every`` is the number as typed, ``seen`` as in :func:`reschedule`.
    Raises :class:`..schedules.InvalidInterval`, :class:`Conflict` and :class:`Refused` for a task that runs
    once at a fixed time.
    """
    typed = schedules.read_interval(every, unit)
    return _reschedule(task_id, actor, seen, interval_text(schedules.interval(typed)), None)


def _reschedule(
    task_id: int, actor: Actor, seen: str | None, schedule: str, timezone: str | None
) -> ScheduledTask:
    with locked(task_id) as task:
        before = schedule_token(task)
        if seen is not None and seen != before:
            message = _("Somebody changed the schedule of %(name)s meanwhile: it is now %(schedule)s.")
            raise Conflict(message % {"name": task.name, "schedule": before}, task)
        if task.clocked is not None:
            raise Refused("kind", _("%(name)s runs once at a fixed time.") % {"name": task.name})
        stored = values_of(task)
        if (schedule, timezone) != (stored["schedule"], stored["timezone"]):
            change(task, {"schedule": schedule, "timezone": timezone}, database_now())
            after = schedule_token(task)
            actor.log(task, changed(Event.RESCHEDULED, ["schedule"], before=before, after=after))
    return task


def reset(task_id: int, *, actor: Actor, only: Collection[str] = tuple(FIELDS)) -> ScheduledTask:
    """Give the task what its code declares, in every field of ``only`` that an operator changed."""
    with locked(task_id) as task:
        default: CodeDefault | None = task.code_default
        if default is None or default.gone_since is not None:
            raise Refused("no_default", _("No code declares %(name)s.") % {"name": task.name})
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
            actor.log(task, reset_to_default(edited))
    return task_of(task_id)


def skip_next(task_id: int, *, actor: Actor, skip: bool = True) -> ScheduledTask:
    """Leave out the next run on schedule, once; or take that back."""
    with locked(task_id) as task:
        if not TaskState.objects.filter(task_id=task.pk, skip_next=not skip).update(skip_next=skip):
            return task
        event = Event.SKIPPED_NEXT if skip else Event.UNSKIPPED_NEXT
        actor.log(task, changed(event, ["skip next run"]))
    return task_of(task_id)


def schedule_token(task: ScheduledTask) -> str:
    """A text that changes whenever the task's schedule does."""
    return f"{schedules.raw(task)} ({schedules.zone(task)})" if task.crontab else schedules.raw(task)
