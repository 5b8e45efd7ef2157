"""Sending tasks as beat does, and waiting for what becomes of their runs."""

from __future__ import annotations

from uuid import uuid4

from celery import Task

from scheduled_tasks.models import Status, TaskRun
from tests.live import wait_for

NAME = "a job"


def send(task: Task, *args: object, queue: str = "celery", **options: object) -> str:
    """Send ``task`` as stock beat does, with nothing but the job's name, and return the run's task id."""
    headers = {"periodic_task_name": NAME, "celery_beat_task": True}
    sent = task.apply_async(args, queue=queue, headers=headers, task_id=uuid4().hex, **options)
    return sent.id


def the_run(celery_id: str) -> TaskRun:
    return TaskRun.objects.get(celery_id=celery_id)


def ended(celery_id: str) -> TaskRun:
    """The run once it has ended; while the database is away it may have no row yet."""
    the_end = TaskRun.objects.filter(celery_id=celery_id, open_since=None)
    wait_for(the_end.exists, message=f"the end of run {celery_id}")
    return the_run(celery_id)


def running(celery_id: str, *, attempts: int = 1) -> TaskRun:
    """The run once it has started."""
    started = TaskRun.objects.filter(celery_id=celery_id, status=Status.RUNNING, attempts=attempts)
    wait_for(started.exists, message=f"the start of run {celery_id}")
    return the_run(celery_id)
