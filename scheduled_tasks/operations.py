"""What a person can do to a task: the only writers of a person's intent.

Each operation takes the task's row lock, changes everything or nothing, and reports it to the actor's log
inside the same transaction. Call them outside a transaction: a run's row must be committed before its
message leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _
from django_celery_beat.models import IntervalSchedule

from . import publishing, schedules, sync
from .cron import CronExpression
from .models import (
    CodeDefault,
    Overlap,
    PausedBy,
    ScheduledTask,
    Status,
    TaskRun,
    TaskState,
    Trigger,
    UtcNow,
    database,
    database_now,
)
from .overview import next_run
from .reasons import CANCELLED_BY, said
from .task_fields import NAMES
from .values import NotKept, printable, restored, stored


@dataclass(frozen=True)
class Actor:
    """Who acts: ``name`` is kept with runs; ``log`` writes a task and a sentence to an audit trail."""

    name: str
    log: Callable[[ScheduledTask, str], None]


class Refused(Exception):
    """An operation that was not carried out; its text is one sentence for the person.

    ``code`` is one of ``"gone"``, ``"overlap"``, ``"arguments"``, ``"broker"``, ``"message"``,
    ``"unknown_task"``, ``"timezone"``, ``"kind"``, ``"conflict"``, ``"no_default"``, ``"ended"``, ``"pool"``,
    ``"invalid"``.
    ``run`` is the run concerned, where there is one.
    """

    def __init__(self, code: str, message: str, *, run: TaskRun | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.run = run


class Conflict(Refused):
    """Somebody changed the task meanwhile; ``task`` is as it is now."""

    def __init__(self, message: str, task: ScheduledTask) -> None:
        super().__init__("conflict", message)
        self.task = task


def run_now(
    task_id: int,
    *,
    actor: Actor,
    celery_id: str,
    args: list[Any] | None = None,
    kwargs: dict[str, Any] | None = None,
    trigger: Trigger = Trigger.MANUAL,
    retry_of: TaskRun | None = None,
) -> TaskRun:
    """Start the task at once, whatever its schedule says, and return its run.

    ``celery_id`` is the run's Celery task id: the same id twice is one run. ``args`` and ``kwargs`` replace
    the task's own. Raises :class:`Refused` when the overlap policy forbids it, the arguments are not JSON,
    no worker knows the task or the broker cannot be reached; the last two leave a run that says so.
    """
    with _locked(task_id) as task:
        existing = TaskRun.objects.filter(celery_id=celery_id).first()
        if existing is not None:
            return existing
        message = _message(task, args, kwargs)
        _refuse_overlap(task)
        run = TaskRun.objects.create(
            celery_id=celery_id,
            task_id=task.pk,
            name=task.name,
            trigger=trigger,
            actor=actor.name[:150],
            retry_of=retry_of,
            queued_at=UtcNow(),
            open_since=UtcNow(),
            expires_at=UtcNow() + publishing.expires(task),
            queue=task.queue or "",
            args=stored(message.args),
            kwargs=stored(message.kwargs),
        )
        actor.log(
            task, _("Run now.") if retry_of is None else _("Retry of run %(id)s.") % {"id": retry_of.pk}
        )
    _send(task, run, message)
    run.refresh_from_db()
    return run


def _message(
    task: ScheduledTask, args: list[Any] | None, kwargs: dict[str, Any] | None
) -> publishing.Message:
    try:
        return publishing.message(task, args=args, kwargs=kwargs)
    except publishing.BadMessage as error:
        raise Refused("arguments", said(str(error))) from error


def _refuse_overlap(task: ScheduledTask) -> None:
    if task.state.effective_overlap == Overlap.ALLOW:
        return
    blocking = TaskRun.objects.open().filter(task_id=task.pk).newest_first().first()
    if blocking is None:
        return
    status = Status(blocking.status).label
    raise Refused(
        "overlap",
        _("%(name)s was not started: its last run is still %(status)s and runs may not overlap.")
        % {"name": task.name, "status": str(status).lower()},
        run=blocking,
    )


def _send(task: ScheduledTask, run: TaskRun, message: publishing.Message) -> None:
    try:
        publishing.send(task, run, message)
    except publishing.UnknownTask as error:
        _close_unsent(run, Status.FAILED, str(error))
        raise Refused("unknown_task", said(str(error)), run=run) from error
    except publishing.Unreachable as error:
        _close_unsent(run, Status.MISSED, str(error))
        raise Refused("broker", said(str(error)), run=run) from error
    except publishing.BadMessage as error:
        _close_unsent(run, Status.FAILED, str(error))
        raise Refused("message", said(str(error)), run=run) from error
    TaskRun.objects.filter(pk=run.pk).update(sent_at=UtcNow())


def _close_unsent(run: TaskRun, status: Status, reason: str) -> None:
    unsent = TaskRun.objects.filter(pk=run.pk, status=Status.QUEUED)
    unsent.update(status=status, reason=reason, finished_at=UtcNow(), open_since=None)


def retry(run_id: int, *, actor: Actor, celery_id: str) -> TaskRun:
    """Start an ended run's task again with the same arguments, as a new run linked to the old one.

    Raises :class:`Refused` as :func:`run_now` does, and when the old arguments were not kept in full.
    """
    run = _run(run_id)
    if run.is_open:
        raise Refused("ended", _("This run has not ended yet."), run=run)
    task = _task(run.task_id or 0)
    args, kwargs = _kept_arguments(task, run)
    return run_now(
        task.pk,
        actor=actor,
        celery_id=celery_id,
        args=args,
        kwargs=kwargs,
        trigger=Trigger.RETRY,
        retry_of=run,
    )


def _kept_arguments(task: ScheduledTask, run: TaskRun) -> tuple[list[Any] | None, dict[str, Any] | None]:
    message = _message(task, None, None)
    same = (stored(message.args), stored(message.kwargs)) == (run.args, run.kwargs)
    if same or not (run.args or run.kwargs):
        return None, None
    try:
        return restored(run.args, []), restored(run.kwargs, {})
    except NotKept as error:
        raise Refused("arguments", str(error), run=run) from error


def cancel(run_id: int, *, actor: Actor) -> TaskRun:
    """Cancel a run: one that waits never starts, one under way is stopped where the worker's pool can.

    The run of a deleted task, too: only its history is gone. Raises :class:`Refused` when the run has ended,
    the pool cannot stop a task or the broker is down.
    """
    run = _run(run_id)
    if not run.is_open:
        raise Refused("ended", _("This run has already ended."), run=run)
    task = run.task_or_none
    with _cancellation_noted(run, CANCELLED_BY % {"name": actor.name[:150]}):
        try:
            publishing.revoke(run)
        except publishing.CannotStop as error:
            raise Refused("pool", str(error), run=run) from error
        except publishing.Unreachable as error:
            raise Refused("broker", said(str(error)), run=run) from error
        except publishing.BadMessage as error:
            raise Refused("message", said(str(error)), run=run) from error
    with transaction.atomic(using=database()):
        _cancelled(run)
        if task is not None:
            actor.log(task, _("Cancelled run %(id)s.") % {"id": run.pk})
    run.refresh_from_db()
    return run


@contextmanager
def _cancellation_noted(run: TaskRun, reason: str) -> Iterator[None]:
    """The worker may be faster than the next statement: it finds the reason, unless the block fails."""
    the_run = TaskRun.objects.filter(pk=run.pk)
    the_run.update(cancellation=reason)
    try:
        yield
    except Refused:
        the_run.filter(cancellation=reason).update(cancellation=run.cancellation)
        raise


def _cancelled(run: TaskRun) -> None:
    """Close the run unless its task is running; then its worker does."""
    the_run = TaskRun.objects.filter(pk=run.pk)
    # This locks it by its id alone. MariaDB would look for an open one by another index, and lock that first,
    # which the recorder locks last: a deadlock.
    the_run.update(cancellation=F("cancellation"))
    if the_run.open().exclude(status=Status.RUNNING).exists():
        the_run.update(
            status=Status.CANCELLED, finished_at=UtcNow(), open_since=None, reason=F("cancellation")
        )


def enable(task_id: int, *, actor: Actor) -> ScheduledTask:
    """Let the task run on schedule again, from its next tick on: nothing past is caught up."""
    with _locked(task_id) as task:
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
    with _locked(task_id) as task:
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
    :class:`.cron.InvalidCron`, :class:`Conflict` when somebody changed the schedule meanwhile, and
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
    Raises :class:`.schedules.InvalidInterval`, :class:`Conflict` and :class:`Refused` for a task that runs
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
    with _locked(task_id) as task:
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
    with _locked(task_id) as task:
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
    return _task(task_id)


def skip_next(task_id: int, *, actor: Actor, skip: bool = True) -> ScheduledTask:
    """Leave out the next run on schedule, once; or take that back."""
    with _locked(task_id) as task:
        if not TaskState.objects.filter(task_id=task.pk, skip_next=not skip).update(skip_next=skip):
            return task
        actor.log(task, _("Skip the next run.") if skip else _("Do not skip the next run."))
    return _task(task_id)


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


@contextmanager
def _locked(task_id: int) -> Iterator[ScheduledTask]:
    """The task, its row locked until the block ends.

    The state row is written first: on SQLite only a transaction that begins with a write waits its turn.
    Raises :class:`Refused` when there is no such task, or django-celery-beat does not let it be saved.
    """
    name = _task(task_id).name
    try:
        with transaction.atomic(using=database()):
            TaskState.objects.bulk_create([TaskState(task_id=task_id)], ignore_conflicts=True)
            ScheduledTask.objects.select_for_update().filter(pk=task_id).values_list("pk").first()
            yield _task(task_id)
    except ValidationError as error:  # the row is as only a bulk write past django-celery-beat leaves it
        message = _("%(name)s cannot be saved: %(error)s Correct it in django-celery-beat's admin first.")
        raise Refused("invalid", message % {"name": name, "error": " ".join(error.messages)}) from error


def _task(task_id: int) -> ScheduledTask:
    task = ScheduledTask.objects.with_schedules().filter(pk=task_id).first()
    if task is None:
        raise Refused("gone", _("This task does not exist any more."))
    return task


def _run(run_id: int) -> TaskRun:
    run = TaskRun.objects.filter(pk=run_id).first()
    if run is None:
        raise Refused("gone", _("This run does not exist any more."))
    return run
