"""Databases and brokers that are away, hang, restart or are locked while tasks run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from scheduled_tasks.models import Status, TaskRun
from tests import tasks
from tests.chaos.proxy import Proxy
from tests.live import Worker, wait_for
from tests.runs import ended, running, send, the_run

Start = Callable[..., Worker]


def behind(door: Proxy) -> dict[str, str]:
    return {"DATABASE_URL": door.url}


@pytest.mark.parametrize("trouble", ["refuse", "hang"])
def test_database_that_is_away_delays_no_task_for_long(
    trouble: str, start_impatient: Start, database_door: Proxy
) -> None:
    own = start_impatient(env=behind(database_door), concurrency=2)
    assert ended(send(tasks.add, 1, 1, queue=own.queue)).status == Status.SUCCEEDED
    getattr(database_door, trouble)()
    began = time.monotonic()
    ids = [send(tasks.add, 1, number, queue=own.queue) for number in range(20)]
    for celery_id in ids:
        assert tasks.add.AsyncResult(celery_id).get(timeout=60) is not None
    assert time.monotonic() - began < 30
    assert {the_run(celery_id).status for celery_id in ids} == {Status.QUEUED}
    database_door.restore()
    for celery_id in ids:
        run = ended(celery_id)
        assert (run.status, run.attempts) == (Status.SUCCEEDED, 1)


def test_database_that_restarts_while_a_task_runs(
    start_impatient: Start, database_door: Proxy, tmp_path: Path
) -> None:
    own = start_impatient(env=behind(database_door), concurrency=1)
    path = tmp_path / "using"
    celery_id = send(tasks.break_connection_and_go_on, str(path), queue=own.queue)
    running(celery_id)
    wait_for(path.exists, message="the task's own connection")
    database_door.reset()
    Path(f"{path}.broken").touch()
    assert ended(celery_id).status == Status.SUCCEEDED


def test_broker_that_is_away_while_a_task_ends(
    start_impatient: Start, broker_door: Proxy, tmp_path: Path
) -> None:
    own = start_impatient(env={"CELERY_BROKER_URL": broker_door.url}, concurrency=1)
    celery_id = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    running(celery_id)
    broker_door.refuse()
    (tmp_path / "done").touch()
    run = ended(celery_id)
    broker_door.restore()
    assert run.status == Status.SUCCEEDED
    # Celery calls it failed, because its result could not be stored.
    own.wait_for_log("ConnectionError")
    assert the_run(celery_id).status == Status.SUCCEEDED


def test_result_backend_that_is_away_while_a_task_fails(
    start_impatient: Start, broker_door: Proxy, tmp_path: Path
) -> None:
    own = start_impatient(env={"RESULT_BACKEND": broker_door.url}, concurrency=1)
    celery_id = send(tasks.wait_for_file_and_fail, str(tmp_path / "done"), queue=own.queue)
    running(celery_id)
    broker_door.refuse()
    (tmp_path / "done").touch()
    run = ended(celery_id)
    assert (run.status, run.error_type, run.error) == (Status.FAILED, "ValueError", "as meant")
    assert "in wait_for_file_and_fail" in run.traceback
    # Celery's main process calls it failed too, for another reason.
    own.wait_for_log("ConnectionError")
    assert the_run(celery_id).error == "as meant"


def test_result_backend_that_is_away_while_a_task_asks_for_its_retry(
    start_impatient: Start, broker_door: Proxy
) -> None:
    own = start_impatient(env={"RESULT_BACKEND": broker_door.url}, concurrency=1)
    broker_door.refuse()
    celery_id = send(tasks.succeed_at_attempt, 2, queue=own.queue)
    run = ended(celery_id)
    assert (run.status, run.attempts, run.retries) == (Status.SUCCEEDED, 2, 1)
    # Celery's main process calls the first attempt failed when its words come too late.
    own.wait_for_log("ConnectionError")
    assert the_run(celery_id).status == Status.SUCCEEDED


def test_task_that_holds_a_transaction_is_neither_failed_nor_delayed(start_impatient: Start) -> None:
    own = start_impatient(concurrency=2)
    began = time.monotonic()
    ids = [send(tasks.write_slowly, f"user{number}", 4, queue=own.queue) for number in range(2)]
    runs = [ended(celery_id) for celery_id in ids]
    assert [run.status for run in runs] == [Status.SUCCEEDED] * 2
    assert User.objects.count() == 2
    assert time.monotonic() - began < 40
    assert all(run.progress_data == {"done": 20, "total": 20, "text": "Writing"} for run in runs)


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="only SQLite has one lock for all writers")
def test_database_that_others_keep_locked(start_impatient: Start) -> None:
    own = start_impatient(concurrency=1)
    ids = []
    with transaction.atomic():
        User.objects.create(username="keeps the lock")
        ids = [
            tasks.add.apply_async((1, number), queue=own.queue, headers={"periodic_task_name": "a job"}).id
            for number in range(3)
        ]
        for celery_id in ids:
            assert tasks.add.AsyncResult(celery_id).get(timeout=30) is not None
    wait_for(lambda: TaskRun.objects.filter(status=Status.SUCCEEDED).count() == 3, message="the runs")
    assert connection.vendor == "sqlite"
