"""Tasks whose result Celery cannot store: it calls them failed, their runs say what they did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from celery import Task

from scheduled_tasks.models import Status
from scheduled_tasks.reasons import Code
from tests import tasks
from tests.chaos.proxy import Proxy
from tests.live import Worker
from tests.run_rows import ended, running, send, the_run

Start = Callable[..., Worker]


@pytest.mark.parametrize(
    ("pool", "task"),
    [
        ("prefork", tasks.wait_for_file),
        ("prefork", tasks.wait_for_file_acks_late),
        ("threads", tasks.wait_for_file_acks_late),
    ],
    ids=["prefork, early", "prefork, late", "threads, late"],
)
def test_success(pool: str, task: Task, start_impatient: Start, result_door: Proxy, tmp_path: Path) -> None:
    own = start_impatient(env={"RESULT_BACKEND": result_door.url}, pool=pool, concurrency=1)
    celery_id = send(task, str(tmp_path / "done"), queue=own.queue)
    running(celery_id)
    result_door.refuse()
    (tmp_path / "done").touch()
    run = ended(celery_id)
    assert (run.status, run.error, run.attempts) == (Status.SUCCEEDED, "", 1)
    assert run.reason == Code.NOT_STORED
    own.wait_for_log("Exception raised outside body")
    assert the_run(celery_id).status == Status.SUCCEEDED


def test_failure(start_impatient: Start, result_door: Proxy, tmp_path: Path) -> None:
    own = start_impatient(env={"RESULT_BACKEND": result_door.url}, concurrency=1)
    celery_id = send(tasks.wait_for_file_and_fail, str(tmp_path / "done"), queue=own.queue)
    running(celery_id)
    result_door.refuse()
    (tmp_path / "done").touch()
    run = ended(celery_id)
    assert (run.status, run.error_type, run.error) == (Status.FAILED, "ValueError", "as meant")
    assert "in wait_for_file_and_fail" in run.traceback
    assert run.reason == Code.NOT_STORED
