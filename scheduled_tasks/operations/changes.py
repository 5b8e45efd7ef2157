"""Changing a task: enabling and disabling it, its schedule, its next run, and back to what code declares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django_celery_beat.models import IntervalSchedule

from .. import schedules, sync
from ..cron import CronExpression
from ..models import CodeDefault, PausedBy, ScheduledTask, TaskState, database_now
from ..overview import next_run
from ..task_fields import NAMES
from ..values import printable
from .locking import Actor, Conflict, Refused, locked, task_of


def enable(task_id: int, *, actor: Actor) -> ScheduledTask:
    """Let the task run on schedule again, from its next tick on: nothing past is caught up."""
    with locked(task_id) as task:
        if task.enabled:
            return task
        now = database_now()
        task.enabled = True
        _save(task, now, enabled_since=now, paused_by="", paused_by_name="", pause_note="", paused_at=None)
        actor.log(task, _("Enabled."))
    return task


def disable(task_id: int, *, actor: Actor, note: str | None = None) -> ScheduledTask:
    """Stop the task's schedule and keep it; Run now still works. ``note`` (500 characters) says why.

    Of a task that is disabled already a note replaces the one it has; without one nothing changes.
    """
    note = None if note is None else printable(note.strip())[:500]
    with locked(task_id) as task:
        if not task.enabled:
            _annotate(task, note, actor)
            return task
        now = database_now()
        task.enabled = False
        _save(
            task,
            now,
            paused_by=PausedBy.OPERATOR,
            paused_by_name=actor.name[:150],
            pause_note=note or "",
            paused_at=now,
            skip_next=False,
        )
        actor.log(task, _("Disabled: %(note)s") % {"note": note} if note else _("Disabled."))
    return task


def _annotate(task: ScheduledTask, note: str | None, actor: Actor) -> None:
    before = task.state.pause_note
    if note is None or note == before:
        return
    TaskState.objects.filter(task_id=task.pk).update(pause_note=note)
    actor.log(task, _("Note: %(before)s → %(after)s.") % {"before": before or "–", "after": note or "–"})


def reschedule(
    task_id: int, *, actor: Actor, expression: str, timezone: str, seen: str | None = None
) -> ScheduledTask:
    """Give the task a cron schedule in a time zone, from its next tick on: nothing past is caught up.

    ``seen`` is the :func:`schedule_token` the person was looking at. Raises
    :class:`..cron.InvalidCron`, :class:`Conflict` when somebody changed the schedule meanwhile, and
    :class:`Refused` for an unknown zone or a task that runs once at a fixed time.
    """
    cron = CronExpression.parse(expression)
    zone = _zone(timezone)
    with _rescheduled(task_id, actor, seen) as task:
        row = schedules.crontab_row(cron, zone)
        if task.crontab_id != row.pk:
            task.crontab, task.interval, task.solar = row, None, None
    return task


def reschedule_interval(
    task_id: int, *, actor: Actor, every: str, unit: str, seen: str | None = None
) -> ScheduledTask:
    """Let the task run every so many ``"seconds"``, ``"minutes"``, ``"hours"`` or ``"days"``, from now on.

    The first run is one interval away. ``every`` is the number as typed, ``seen`` as in :func:`reschedule`.
    Raises :class:`..schedules.InvalidInterval`, :class:`Conflict` and :class:`Refused` for a task that runs
    once at a fixed time.
    """
    typed = schedules.read_interval(every, unit)
    with _rescheduled(task_id, actor, seen) as task:
        if not _runs_every(task, schedules.interval(typed)):
            row = schedules.shared_row(IntervalSchedule, every=typed.every, period=typed.period)
            task.crontab, task.interval, task.solar = None, row, None
    return task


def _runs_every(task: ScheduledTask, length: timedelta) -> bool:
    try:
        return task.interval is not None and schedules.interval(task.interval) == length
    except schedules.Unschedulable:
        return False


@contextmanager
def _rescheduled(task_id: int, actor: Actor, seen: str | None) -> Iterator[ScheduledTask]:
    """The locked task, to be given another schedule in the block; saved and logged if it was."""
    with locked(task_id) as task:
        before = _described(task)
        if seen is not None and seen != before:
            message = _("Somebody changed the schedule of %(name)s meanwhile: it is now %(schedule)s.")
            raise Conflict(message % {"name": task.name, "schedule": before}, task)
        if task.clocked is not None:
            raise Refused("kind", _("%(name)s runs once at a fixed time.") % {"name": task.name})
        rows = (task.crontab_id, task.interval_id)
        yield task
        if rows == (task.crontab_id, task.interval_id):
            return
        _save(task, database_now(), broken_reason="")
        actor.log(
            task,
            _("Schedule: %(before)s → %(after)s.") % {"before": before, "after": _described(task)},
        )


def reset(task_id: int, *, actor: Actor) -> ScheduledTask:
    """Give the task what its code declares, in every field an operator changed."""
    with locked(task_id) as task:
        default: CodeDefault | None = task.code_default
        if default is None or default.gone_since is not None:
            raise Refused("no_default", _("No code declares %(name)s.") % {"name": task.name})
        edited = sync.edited_fields(task)
        if not edited:
            return task
        sync.apply_default(task)
        actor.log(
            task,
            _("Reset to default: %(fields)s.") % {"fields": ", ".join(str(NAMES[name]) for name in edited)},
        )
    return task_of(task_id)


def skip_next(task_id: int, *, actor: Actor, skip: bool = True) -> ScheduledTask:
    """Leave out the next run on schedule, once; or take that back."""
    with locked(task_id) as task:
        if not TaskState.objects.filter(task_id=task.pk, skip_next=not skip).update(skip_next=skip):
            return task
        actor.log(task, _("Skip the next run.") if skip else _("Do not skip the next run."))
    return task_of(task_id)


def schedule_token(task: ScheduledTask) -> str:
    """A text that changes whenever the task's schedule does."""
    return _described(task)


def _described(task: ScheduledTask) -> str:
    return f"{schedules.raw(task)} ({schedules.zone(task)})" if task.crontab else schedules.raw(task)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:  # not found, a directory, an absolute path
        message = _("“%(name)s” is not a known time zone. Choose one such as Europe/Paris.")
        raise Refused("timezone", message % {"name": name}) from error


def _save(task: ScheduledTask, now: datetime, **state: Any) -> None:
    """Save the task so that beat starts anew from ``now``, and its state with it."""
    task.last_run_at = now
    task.save()  # type: ignore[no-untyped-call]
    kept = TaskState.objects.get(task_id=task.pk)
    for name, value in state.items():
        setattr(kept, name, value)
    changed = set(state)
    if kept.accounted_until is not None:
        kept.accounted_until = now
        kept.next_run_at = None
        task.scheduled_state = kept
        kept.next_run_at = next_run(task, now)[0]
        changed |= {"accounted_until", "next_run_at"}
    kept.save(update_fields=changed)
    task.scheduled_state = kept
