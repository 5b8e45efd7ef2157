"""A pool that forks while threads of the worker's main process use the database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection

from scheduled_tasks.models import Status, TaskRun
from tests import tasks
from tests.live import Worker, wait_for
from tests.run_rows import send

TASKS = 100


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="only a file can be broken by a fork")
def test_forks_leave_the_file_whole(start_worker: Callable[..., Worker]) -> None:
    options = ["-I", "tests.often_looking", "--max-tasks-per-child", "1"]
    worker = start_worker(options=options)
    for _ in range(TASKS):
        send(tasks.add, 1, 2, queue=worker.queue)
    done = TaskRun.objects.filter(status=Status.SUCCEEDED)
    wait_for(lambda: done.count() == TASKS, timeout=120, message="the end of all runs")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        assert cursor.fetchall() == [("ok",)]
