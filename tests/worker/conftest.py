"""A recorded run in the test's own process."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from celery import shared_task

from scheduled_tasks.models import TaskRun
from scheduled_tasks.worker import logs


@shared_task
def work(body: Callable[[], Any]) -> Any:
    return body()


@pytest.fixture
def run(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., TaskRun]]:
    """Runs a function as a recorded task, in this process, and gives its run."""

    def recorded(body: Callable[[], Any]) -> TaskRun:
        celery_id = uuid4().hex
        work.apply((body,), task_id=celery_id, headers={"scheduled_tasks": {"name": "a job"}})
        return TaskRun.objects.get(celery_id=celery_id)

    caplog.set_level(logging.INFO)
    logs.capture_logs()
    yield recorded
    for name in (None, "celery.task"):
        logging.getLogger(name).removeHandler(logs.handler)
