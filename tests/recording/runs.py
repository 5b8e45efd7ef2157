"""Messages, attempts and rows for the tests of recording."""

from __future__ import annotations

from uuid import uuid4

from scheduled_tasks.models import TaskRun
from scheduled_tasks.recording import statements
from scheduled_tasks.recording.header import Header


def message(celery_id: str = "", **options: object) -> statements.Message:
    return statements.Message(celery_id=celery_id or uuid4().hex, header=Header(name="a job"), **options)


def attempt(of: statements.Message, **options: object) -> statements.Attempt:
    return statements.Attempt(message=of, worker="w@host", process_id="boot", pid=7, **options)


def the_run(of: statements.Message) -> TaskRun:
    return TaskRun.objects.get(celery_id=of.celery_id)
