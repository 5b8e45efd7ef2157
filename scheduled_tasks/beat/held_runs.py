"""Runs that wait until the one before them ends: overlap policy queue_one, and tasks that run once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q

from ..models import MaintenanceWindow, Overlap, ScheduledTask, Status, TaskRun, Trigger, Windows
from ..operations.publishing import message
from ..reasons import Code, Reason
from .pending_runs import PendingRun, close_runs


def releasable() -> list[TaskRun]:
    """The held runs whose task has no other open run any more, or is disabled.

    Also those that a person wants, while none of these is under way: where runs may overlap they start.
    """
    others = TaskRun.objects.open().filter(task_id=OuterRef("task_id")).exclude(status=Status.WAITING)
    is_wanted = Q(trigger=Trigger.RETRY) & ~Exists(others.filter(trigger=Trigger.RETRY))
    held = (
        TaskRun.objects.open()
        .filter(status=Status.WAITING)
        .only("task_id", "scheduled_for", "spread", "celery_id", "trigger", "actor", "retry_of_id")
    )
    return list(held.exclude(~is_wanted, Exists(others), task__enabled=True).order_by("pk"))


def release(held: Sequence[TaskRun], now: datetime, released: list[PendingRun]) -> None:
    """Queue those of these held runs that may start, and put them into ``released``; inside a transaction.

    A run whose task was disabled meanwhile is skipped; one whose task is in a maintenance goes on waiting.
    The tasks are locked before anything is read: where a transaction sees everything as at its first read,
    it would miss a run that was started meanwhile. Raises :class:`.operations.publishing.BadMessage` and what
    else a row may cause.
    """
    tasks = ScheduledTask.objects.filter(pk__in=[run.task_id for run in held]).order_by("pk")
    ids = list(tasks.select_for_update().values_list("pk", flat=True))
    found = tasks.with_schedules().in_bulk(ids)
    open_runs = TaskRun.objects.open().filter(task_id__in=ids).exclude(status=Status.WAITING)
    busy = {pk for pk, trigger in open_runs.values_list("task_id", "trigger") if _is_busy(found[pk], trigger)}
    windows = Windows.read(ids, now)
    for run in held:
        the_run = TaskRun.objects.filter(pk=run.pk, status=Status.WAITING)
        task = found.get(run.task_id or 0)
        if task is None or task.is_stopped:
            close_runs(the_run, Status.SKIPPED, Reason(Code.DISABLED_MEANWHILE), now)
        elif task.pk not in busy and not _is_held_back(run, windows.covering(task.pk, now)):
            pending = PendingRun(
                task,
                message(task),
                run.due_at or now,
                now,
                following=task.state.next_run_at,
                spread=run.spread or timedelta(0),
                held=run,
            )
            # The message carries the name of today, by which the worker finds the row.
            if the_run.update(status=Status.QUEUED, expires_at=pending.expires_at, name=task.name):
                released.append(pending)
                busy.add(task.pk)


def _is_busy(task: ScheduledTask, trigger: str) -> bool:
    """Whether an open run of the task, started by ``trigger``, keeps others waiting."""
    return trigger == Trigger.RETRY or task.state.effective_overlap != Overlap.ALLOW


def _is_held_back(run: TaskRun, windows: Sequence[MaintenanceWindow]) -> bool:
    """Whether these windows keep the run waiting. What a person wants waits for the setting PAUSED alone."""
    return any(run.trigger == Trigger.SCHEDULE or window.pk is None for window in windows)
