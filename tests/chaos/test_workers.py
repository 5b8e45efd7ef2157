"""Workers that are killed, stopped and paused."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from example_project.celery import app
from scheduled_tasks.models import Status, TaskRun, UtcNow
from tests import tasks
from tests.live import Worker, wait_for
from tests.runs import ended, running, send, the_run

Start = Callable[..., Worker]


def lost(celery_id: str) -> TaskRun:
    wait_for(lambda: the_run(celery_id).status == Status.LOST, message="the loss")
    return the_run(celery_id)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_killed_worker(pool: str, start_impatient: Start, tmp_path: Path) -> None:
    victim, witness = start_impatient(pool=pool), start_impatient(pool="solo")
    celery_id = send(tasks.wait_for_file, str(tmp_path / "never"), queue=victim.queue)
    running(celery_id)
    victim.kill()
    run = lost(celery_id)
    assert run.reason
    assert run.finished_at is not None
    assert witness.running


def test_killed_worker_whose_message_comes_back(start_impatient: Start, tmp_path: Path) -> None:
    victim = start_impatient(concurrency=1)
    witness = start_impatient(queues=["witness", victim.queue], pool="solo")
    # The witness could take the message as well: the victim must be the one.
    witness.signal(signal.SIGSTOP)
    celery_id = send(tasks.wait_for_file_acks_late, str(tmp_path / "done"), queue=victim.queue)
    first = running(celery_id)
    victim.kill()
    witness.signal(signal.SIGCONT)
    (tmp_path / "done").touch()
    run = ended(celery_id)
    wait_for(lambda: the_run(celery_id).status == Status.SUCCEEDED, message=f"success, not {run.status}")
    run = the_run(celery_id)
    assert (run.attempts, run.started_at) == (2, first.started_at)
    assert run.process_id != first.process_id


def test_paused_worker_that_comes_back(start_impatient: Start, tmp_path: Path) -> None:
    paused, witness = start_impatient(pool="solo"), start_impatient(pool="solo")
    celery_id = send(tasks.wait_for_file, str(tmp_path / "done"), queue=paused.queue)
    running(celery_id)
    paused.signal(signal.SIGSTOP)
    lost(celery_id)
    paused.signal(signal.SIGCONT)
    wait_for(lambda: the_run(celery_id).status == Status.RUNNING, message="the run's return to life")
    (tmp_path / "done").touch()
    assert ended(celery_id).status == Status.SUCCEEDED
    assert witness.running


def test_process_that_dies_after_its_end(start_impatient: Start) -> None:
    own = start_impatient(concurrency=1)
    run = ended(send(tasks.die_after_the_end, queue=own.queue))
    assert (run.status, run.summary_data) == (Status.SUCCEEDED, {"rows": 3})


def test_warm_shutdown_lets_the_run_end(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(concurrency=1)
    celery_id = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    running(celery_id)
    own.signal(signal.SIGTERM)
    own.wait_for_log("Warm shutdown")
    (tmp_path / "done").touch()
    assert ended(celery_id).status == Status.SUCCEEDED
    wait_for(lambda: not own.running, message="the worker's end")


def test_cold_shutdown_is_a_loss_and_no_retry(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(concurrency=1)
    celery_id = send(tasks.wait_for_file, str(tmp_path / "never"), queue=own.queue)
    running(celery_id)
    own.signal(signal.SIGQUIT)
    assert lost(celery_id).reason


def test_cold_shutdown_of_a_run_whose_message_comes_back(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(concurrency=1)
    celery_id = send(tasks.wait_for_file_acks_late, str(tmp_path / "done"), queue=own.queue)
    running(celery_id)
    own.signal(signal.SIGQUIT)
    wait_for(lambda: not own.running, message="the worker's end")
    (tmp_path / "done").touch()
    start_impatient(queues=[own.queue], concurrency=1)
    wait_for(lambda: the_run(celery_id).status == Status.SUCCEEDED, message="the second attempt")
    assert the_run(celery_id).attempts == 2


def test_message_that_nobody_takes(start_impatient: Start) -> None:
    start_impatient(pool="solo")
    celery_id = send(tasks.add, 1, 1, queue="nobody", expires=1)
    run = ended(celery_id)
    assert (run.status, run.started_at) == (Status.EXPIRED, None)


def test_two_deliveries_at_once(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(concurrency=2)
    celery_id = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    running(celery_id)
    headers = {"scheduled_tasks": {"name": "a job", "recorded": True}}
    tasks.wait_for_file.apply_async(
        (str(tmp_path / "done"),), task_id=celery_id, queue=own.queue, headers=headers
    )
    running(celery_id, attempts=2)
    (tmp_path / "done").touch()
    run = ended(celery_id)
    assert (run.status, run.attempts) == (Status.SUCCEEDED, 2)
    assert run.reason


def test_run_cancelled_while_no_worker_listened_never_starts(start_impatient: Start, tmp_path: Path) -> None:
    first = start_impatient(concurrency=1)
    blocking = send(tasks.wait_for_file, str(tmp_path / "done"), queue=first.queue)
    running(blocking)
    first.signal(signal.SIGSTOP)
    cancelled = send(tasks.add, 1, 1, queue=first.queue)
    TaskRun.objects.filter(celery_id=cancelled).update(
        status=Status.CANCELLED, open_since=None, finished_at=UtcNow()
    )
    first.signal(signal.SIGCONT)
    first.wait_for_log(f"{tasks.add.name}[{cancelled}] received")
    inspect = app.control.inspect(destination=[first.node], timeout=5, limit=1)
    wait_for(lambda: cancelled in ((inspect.revoked() or {}).get(first.node) or ()), message="the word")
    (tmp_path / "done").touch()
    assert ended(blocking).status == Status.SUCCEEDED
    first.wait_for_log(f"Discarding revoked task: {tasks.add.name}[{cancelled}]")
    assert the_run(cancelled).attempts == 0
