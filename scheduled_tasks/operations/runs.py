"""Starting a run at a person's word, starting it again, and cancelling it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from ..models import Overlap, ScheduledTask, Status, TaskRun, Trigger, UtcNow, database
from ..reasons import Code, Reason
from ..recording.connection import keepable
from ..recording.ended import ended
from ..values import NotKept, restored, stored
from . import publishing
from .audit import Event, cancelled, started
from .locking import Actor, Refused, locked, locked_run, run_of, task_of


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
    no worker knows the task or the broker cannot be reached; the last two leave a run that says so,
    and its id is refused again.
    """
    with locked(task_id) as task:
        existing = TaskRun.objects.filter(celery_id=celery_id).first()
        if existing is not None:
            if existing.task_id != task.pk:
                raise Refused("invalid", _("This form belongs to another task. Reload the page."))
            if not (existing.is_open or existing.sent_at or existing.started_at):
                raise Refused("message", existing.reason_text, run=existing)
            return existing
        message = _message(task, args, kwargs)
        _refuse_overlap(task)
        run = TaskRun.objects.create(
            celery_id=celery_id,
            task_id=task.pk,
            name=task.name,
            trigger=trigger,
            actor=keepable(actor.name)[:150],
            retry_of=retry_of,
            queued_at=UtcNow(),
            open_since=UtcNow(),
            expires_at=UtcNow() + publishing.expires(task),
            queue=task.queue or "",
            args=keepable(stored(message.args)),
            kwargs=keepable(stored(message.kwargs)),
        )
        if retry_of is None:
            actor.log(task, started(Event.RUN_NOW, run.pk))
        else:
            actor.log(task, started(Event.RETRIED, run.pk, id=retry_of.pk))
    _send(task, run, message)
    run.refresh_from_db()
    return run


def _message(
    task: ScheduledTask, args: list[Any] | None, kwargs: dict[str, Any] | None
) -> publishing.Message:
    try:
        return publishing.message(task, args=args, kwargs=kwargs)
    except publishing.BadMessage as error:
        raise Refused("arguments", str(error)) from error


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
    except publishing.Unsendable as error:
        _close_unsent(run, error)
        raise Refused(error.code, str(error), run=run) from error
    TaskRun.objects.filter(pk=run.pk).update(sent_at=UtcNow())


def _close_unsent(run: TaskRun, error: publishing.Unsendable) -> None:
    with transaction.atomic(using=database()):
        the_run = locked_run(run)
        if the_run.filter(status=Status.QUEUED).exists():
            the_run.update(status=error.status, **error.reason.columns, finished_at=UtcNow(), open_since=None)
            ended(pk=run.pk)


def retry(run_id: int, *, actor: Actor, celery_id: str) -> TaskRun:
    """Start an ended run's task again with the same arguments, as a new run linked to the old one.

    Raises :class:`Refused` as :func:`run_now` does, and when the old arguments were not kept in full.
    """
    run = run_of(run_id)
    if run.is_open:
        raise Refused("ended", _("This run has not ended yet."), run=run)
    task = task_of(run.task_id or 0)
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
    run = run_of(run_id)
    if not run.is_open:
        raise Refused("ended", _("This run has already ended."), run=run)
    task = run.task_or_none
    with _cancellation_noted(run, actor):
        try:
            publishing.revoke(run)
        except publishing.Unsendable as error:
            raise Refused(error.code, str(error), run=run) from error
    with transaction.atomic(using=database()):
        _cancelled(run)
        if task is not None:
            actor.log(task, cancelled(run.pk))
    run.refresh_from_db()
    return run


@contextmanager
def _cancellation_noted(run: TaskRun, actor: Actor) -> Iterator[None]:
    """The worker may be faster than the next statement: it finds the reason, unless the block fails."""
    params = Reason.of(Code.CANCELLED_BY, name=actor.name[:150]).params
    the_run = TaskRun.objects.filter(pk=run.pk)
    the_run.update(cancellation=params)
    try:
        yield
    except Refused:
        the_run.filter(cancellation=params).update(cancellation=run.cancellation)
        raise


def _cancelled(run: TaskRun) -> None:
    """Close the run unless its task is running; then its worker does."""
    the_run = locked_run(run)
    if the_run.open().exclude(status=Status.RUNNING).exists():
        the_run.update(
            status=Status.CANCELLED,
            finished_at=UtcNow(),
            open_since=None,
            reason=Code.CANCELLED_BY,
            reason_params=F("cancellation"),
        )
        ended(pk=run.pk)
