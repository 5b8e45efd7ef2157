"""Rows for tests, each with sensible values where none are given."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django_celery_beat.models import CrontabSchedule

from scheduled_tasks.models import OPEN, Process, ProcessKind, ScheduledTask, Status, TaskRun, database_now


def make_task(name: str = "purge", cron: str | None = "0 3 * * *", zone: str = "UTC", **values: Any) -> Any:
    """A stored task with a cron schedule, unless ``cron`` is None and ``values`` bring another."""
    if cron is not None:
        names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        fields = dict(zip(names, cron.split(), strict=True))
        values["crontab"] = CrontabSchedule.objects.create(**fields, timezone=zone)
    return ScheduledTask.objects.create(name=name, task=values.pop("task", "tests.add"), **values)


def make_run(
    task: Any, status: Status = Status.SUCCEEDED, *, ago: float = 60, took: float = 1, **values: Any
) -> TaskRun:
    """A run of ``task`` that was queued ``ago`` seconds ago and, when ended, ``took`` seconds long."""
    queued = database_now() - timedelta(seconds=ago)
    started = None if status in (Status.QUEUED, Status.WAITING, Status.SKIPPED, Status.MISSED) else queued
    fields: dict[str, Any] = {
        "celery_id": str(uuid.uuid4()),
        "task_id": task.pk,
        "name": task.name,
        "status": status,
        "queued_at": queued,
        "started_at": started,
        "finished_at": None if status in OPEN else queued + timedelta(seconds=took),
        "open_since": queued if status in OPEN else None,
        "attempts": int(started is not None),
    }
    return TaskRun.objects.create(**{**fields, **values})


def make_process(kind: ProcessKind = ProcessKind.WORKER, *, silent: float = 0, **values: Any) -> Process:
    """A process whose last sign of life is ``silent`` seconds old."""
    seen = database_now() - timedelta(seconds=silent)
    fields: dict[str, Any] = {
        "boot_id": uuid.uuid4().hex,
        "kind": kind,
        "node": f"{kind}@host",
        "pool": "prefork" if kind == ProcessKind.WORKER else "",
        "queues": ["celery"],
        "task_names": ["tests.add"],
        "started_at": seen - timedelta(hours=1),
        "last_seen_at": seen,
        "broker_ok_at": seen,
    }
    return Process.objects.create(**{**fields, **values})
