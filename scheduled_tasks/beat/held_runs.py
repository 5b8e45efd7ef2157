"""Runs that wait until the one before them ends: overlap policy queue_one, and tasks that run once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Exists, OuterRef

from ..models import PausedBy, ScheduledTask, Status, TaskRun
from ..operations.publishing import message
from ..reasons import Code, Reason
from .pending_runs import PendingRun, close_runs


def releasable() -> list[TaskRun]:
    """The held runs whose task has no other open run any more, or is disabled."""
    others = TaskRun.objects.open().filter(task_id=OuterRef("task_id")).exclude(status=Status.WAITING)
    held = TaskRun.objects.open().filter(status=Status.WAITING).only("task_id", "scheduled_for", "celery_id")
    return list(held.exclude(Exists(others), task__enabled=True).order_by("pk"))


def release(held: Sequence[TaskRun], now: datetime, released: list[PendingRun]) -> None:
    """Queue those of these held runs that may start, and put them into ``released``; inside a transaction.

    A run whose task was disabled meanwhile is skipped. The tasks are locked before anything is read: where a
    transaction sees everything as at its first read, it would miss a run that was started meanwhile. Raises
    :class:`.operations.publishing.BadMessage` and what else a row may cause.
    """
    tasks = ScheduledTask.objects.filter(pk__in=[run.task_id for run in held]).order_by("pk")
    ids = list(tasks.select_for_update().values_list("pk", flat=True))
    found = tasks.with_schedules().in_bulk(ids)
    open_runs = TaskRun.objects.open().filter(task_id__in=ids).exclude(status=Status.WAITING)
    busy = set(open_runs.values_list("task_id", flat=True))
    for run in held:
        the_run = TaskRun.objects.filter(pk=run.pk, status=Status.WAITING)
        task = found.get(run.task_id or 0)
        if task is None or not _may_start(task):
            close_runs(the_run, Status.SKIPPED, Reason(Code.DISABLED_MEANWHILE), now)
        elif task.pk not in busy:
            pending = PendingRun(
                task,
                message(task),
                run.scheduled_for or now,
                now,
                following=task.state.next_run_at,
                celery_id=run.celery_id,
            )
            # The message carries the name of today, by which the worker finds the row.
            if the_run.update(status=Status.QUEUED, expires_at=pending.expires_at, name=task.name):
                released.append(pending)


def _may_start(task: ScheduledTask) -> bool:
    """Whether nobody has disabled the task; one that runs once is disabled as soon as it was due."""
    runs_once = task.one_off or task.clocked_id is not None
    return bool(task.enabled or (runs_once and task.state.paused_by != PausedBy.OPERATOR))
