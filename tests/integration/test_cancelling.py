"""Real workers: a person cancels a run, and its row says who and what came of it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from example_project.celery import app
from scheduled_tasks import operations
from scheduled_tasks.models import Status, TaskRun
from scheduled_tasks.reasons import Code
from tests import tasks
from tests.live import PATIENCE, Worker, wait_for
from tests.run_rows import NAME, ended, running, send, the_run

ANNA = operations.Actor("anna", log=lambda task, message: None)


@pytest.fixture(autouse=True)
def job(transactional_db: None) -> PeriodicTask:
    every_day, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.DAYS)
    return PeriodicTask.objects.create(name=NAME, task=tasks.wait_for_file.name, interval=every_day)


def cancel(celery_id: str) -> TaskRun:
    return operations.cancel(the_run(celery_id).pk, actor=ANNA)


def taken(worker: Worker, celery_id: str) -> None:
    wait_for(lambda: celery_id in worker.holds("reserved"), message="the message in the worker's hands")


@pytest.mark.smoke
def test_run_under_way(worker: Worker) -> None:
    celery_id = send(tasks.wait, 60)
    running(celery_id)
    cancel(celery_id)
    wait_for(lambda: the_run(celery_id).status == Status.CANCELLED, message="the cancellation")
    assert the_run(celery_id).reason_text == "Cancelled by anna."
    worker.wait_for_log(f"Terminating {celery_id}")


def test_run_that_ends_by_itself_before_the_word_arrives(worker: Worker, tmp_path: Path) -> None:
    celery_id = send(tasks.wait_for_file, str(tmp_path / "done"))
    running(celery_id)
    worker.pause()
    try:
        cancel(celery_id)
        (tmp_path / "done").touch()  # the process that runs the task is not stopped
        run = ended(celery_id)
    finally:
        worker.signal(signal.SIGCONT)
    assert (run.status, run.reason) == (Status.SUCCEEDED, "")
    assert tasks.add.delay(1, 1).get(timeout=PATIENCE) == 2
    assert the_run(celery_id).status == Status.SUCCEEDED


def test_run_that_a_worker_has_taken_but_not_started(start_worker, tmp_path: Path) -> None:
    own = start_worker(concurrency=1)
    blocking = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    running(blocking)
    celery_id = send(tasks.add, 1, 1, queue=own.queue)
    taken(own, celery_id)
    assert cancel(celery_id).status == Status.CANCELLED
    wait_for(lambda: celery_id in revoked(own), message="the worker's knowledge")
    (tmp_path / "done").touch()
    own.wait_for_log(f"Discarding revoked task: {tasks.add.name}[{celery_id}]")
    assert ended(blocking).status == Status.SUCCEEDED
    run = the_run(celery_id)
    assert (run.status, run.reason_text, run.attempts) == (Status.CANCELLED, "Cancelled by anna.", 0)


def test_run_that_the_threads_pool_starts_all_the_same(start_worker, tmp_path: Path) -> None:
    own = start_worker(pool="threads", concurrency=1)
    blocking = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    running(blocking)
    celery_id = send(tasks.add, 1, 1, queue=own.queue)
    taken(own, celery_id)
    cancel(celery_id)
    wait_for(lambda: celery_id in revoked(own), message="the worker's knowledge")
    (tmp_path / "done").touch()
    wait_for(lambda: the_run(celery_id).attempts, message="the start")
    run = ended(celery_id)
    assert (run.status, run.reason, run.attempts) == (Status.SUCCEEDED, Code.CANCELLED_TOO_LATE, 1)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_run_that_waits_for_its_retry(pool: str, start_worker) -> None:
    own = start_worker(pool=pool, concurrency=1)
    celery_id = send(tasks.succeed_at_attempt, 2, 3600, queue=own.queue)
    wait_for(lambda: the_run(celery_id).status == Status.RETRYING, message="the retry")
    run = cancel(celery_id)
    assert (run.status, run.reason_text, run.is_open) == (Status.CANCELLED, "Cancelled by anna.", False)
    wait_for(lambda: celery_id in revoked(own), message="the worker's knowledge")


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_pool_that_cannot_stop_a_task(pool: str, start_worker, tmp_path: Path) -> None:
    own = start_worker(pool=pool, concurrency=1)
    celery_id = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    running(celery_id)
    with pytest.raises(operations.Refused, match="cannot be stopped: its worker uses the"):
        cancel(celery_id)
    (tmp_path / "done").touch()
    assert ended(celery_id).status == Status.SUCCEEDED


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_celerys_own_termination_where_the_pool_cannot(pool: str, start_worker, tmp_path: Path) -> None:
    own = start_worker(pool=pool, concurrency=1)
    celery_id = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    running(celery_id)
    app.control.revoke(celery_id, terminate=True, destination=[own.node])
    if pool == "threads":  # solo listens to nobody until the task has ended
        own.wait_for_log("does not implement kill_job")
    assert the_run(celery_id).status == Status.RUNNING
    (tmp_path / "done").touch()
    run = ended(celery_id)
    assert (run.status, run.reason, run.attempts) == (Status.SUCCEEDED, "", 1)
    wait_for(lambda: celery_id in revoked(own), message="the worker's knowledge")
    assert ended(send(tasks.add, 1, 1, queue=own.queue)).status == Status.SUCCEEDED
    run.refresh_from_db()
    assert (run.status, run.reason, run.attempts) == (Status.SUCCEEDED, "", 1)


def revoked(worker: Worker) -> list[str]:
    return worker.says("revoked")
