"""Databases and brokers that are away, hang, restart or are locked while tasks run."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from scheduled_tasks.conf import DEFAULTS
from scheduled_tasks.models import Status, TaskRun
from scheduled_tasks.reasons import Code
from tests import tasks
from tests.chaos import servers
from tests.chaos.proxy import Proxy
from tests.live import PATIENCE, Worker, wait_for
from tests.run_rows import ended, running, send, the_run

Start = Callable[..., Worker]

RECORD_WAIT = DEFAULTS["RECORD_WAIT"]

OUTAGE = 60
"""Seconds for which a database is down."""

LOAD = 15
"""Seconds that a loaded machine may add to any delay. Tasks that waited one after another would add more."""


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
        assert tasks.add.AsyncResult(celery_id).get(timeout=PATIENCE) is not None
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


def test_result_backend_that_is_away_while_a_task_asks_for_its_retry(
    start_impatient: Start, result_door: Proxy
) -> None:
    own = start_impatient(env={"RESULT_BACKEND": result_door.url}, concurrency=1)
    result_door.refuse()
    celery_id = send(tasks.succeed_at_attempt, 2, queue=own.queue)
    run = ended(celery_id)
    assert (run.status, run.attempts, run.retries) == (Status.SUCCEEDED, 2, 1)
    # Celery's main process calls the first attempt failed when its words come too late.
    own.wait_for_log("ConnectionError")
    assert the_run(celery_id).status == Status.SUCCEEDED


@pytest.mark.timeout(OUTAGE + 300)
def test_database_down_for_a_minute_under_load(start_impatient: Start, tmp_path: Path) -> None:
    with ExitStack() as stack:
        home = stack.enter_context(servers.public_directory())
        server = stack.enter_context(servers.own_database(home))
        if server is not None and server.server is None:
            pytest.skip("this machine has no MariaDB that could be stopped")
        own = start_impatient(env={"DATABASE_URL": server.url} if server else None, concurrency=3)
        through = send(tasks.wait_for_file, str(tmp_path / "done"), OUTAGE + 120, queue=own.queue)
        running(through)
        sent: dict[str, float] = {}
        with server.down() if server else transaction.atomic():
            if server is None:
                User.objects.create(username="keeps the lock")
            until = time.monotonic() + OUTAGE
            while time.monotonic() < until:
                celery_id = uuid4().hex
                sent[celery_id] = time.time()
                headers = {"periodic_task_name": "a job"}
                args = (str(tmp_path / celery_id),)
                tasks.stamp.apply_async(args, task_id=celery_id, queue=own.queue, headers=headers)
                time.sleep(0.2)
            wait_for(lambda: all((tmp_path / each).exists() for each in sent), message="the tasks meanwhile")
        (tmp_path / "done").touch()
        wait_for(lambda: everything_succeeded(len(sent) + 1), message="the accounts of all runs")
        ran = {celery_id: float((tmp_path / celery_id).read_text()) for celery_id in sent}
        delays = sorted(ran[celery_id] - at for celery_id, at in sent.items())
        print(f"\n{len(sent)} tasks in {OUTAGE} s without the database, delays up to {delays[-1]:.2f} s")
        assert delays[-1] < RECORD_WAIT + LOAD
        for run in TaskRun.objects.filter(celery_id__in=sent):
            assert (run.attempts, run.reason) == (1, "")
            assert abs(run.started_at.timestamp() - ran[str(run.celery_id)]) < RECORD_WAIT + LOAD
        assert the_run(through).reason == ""  # nobody took its process for dead
        # Its connections end before the server does.
        own.stop()


def everything_succeeded(count: int) -> bool:
    return TaskRun.objects.filter(status=Status.SUCCEEDED).count() == count


def test_tasks_that_hold_transactions_are_neither_failed_nor_delay_others(
    start_impatient: Start, tmp_path: Path
) -> None:
    quick = start_impatient(concurrency=2)
    # Before there is a worker that keeps the lock, for which this process, too, would wait.
    ids = [send(tasks.write_slowly, f"user{number}", 5, queue="writing") for number in range(4)]
    start_impatient(concurrency=1, queues=["writing"])
    sent: dict[str, float] = {}
    while TaskRun.objects.filter(celery_id__in=ids).open().exists():
        # As from a transaction: this process does not wait for the lock.
        celery_id = uuid4().hex
        sent[celery_id] = time.time()
        headers = {"scheduled_tasks": {"name": "a job", "recorded": True}}
        args = (str(tmp_path / celery_id),)
        tasks.stamp.apply_async(args, task_id=celery_id, queue=quick.queue, headers=headers)
        time.sleep(0.2)
    # A main process, which looks every second here, may hear of an end from the result backend while the
    # process that ran the task still waits for the lock.
    told = TaskRun.objects.filter(celery_id__in=ids, reason=Code.TOLD_BY_BACKEND)
    wait_for(lambda: not told.exists(), message="the tasks' own words")
    runs = [the_run(celery_id) for celery_id in ids]
    assert [(run.status, run.error) for run in runs] == [(Status.SUCCEEDED, "")] * 4
    assert [run.progress_data for run in runs] == [{"done": 20, "total": 20, "text": "Writing"}] * 4
    assert User.objects.count() == 4
    wait_for(lambda: everything_succeeded(len(sent) + 4), message="the accounts of all runs")
    delays = sorted(float((tmp_path / celery_id).read_text()) - at for celery_id, at in sent.items())
    longest = max((run.finished_at - run.started_at).total_seconds() for run in runs)
    print(
        f"\n{len(sent)} tasks beside, delays up to {delays[-1]:.2f} s; 5 s transactions took {longest:.2f} s"
    )
    assert delays[-1] < 2 * RECORD_WAIT + LOAD
    assert longest < 5 + RECORD_WAIT + LOAD


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
            assert tasks.add.AsyncResult(celery_id).get(timeout=PATIENCE) is not None
    wait_for(lambda: TaskRun.objects.filter(status=Status.SUCCEEDED).count() == 3, message="the runs")
    assert connection.vendor == "sqlite"
