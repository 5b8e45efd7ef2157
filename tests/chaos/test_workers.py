"""Workers that are killed, stopped and paused."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from scheduled_tasks.models import Process, Status, TaskRun, UtcNow
from scheduled_tasks.reasons import Code
from tests import tasks
from tests.chaos.proxy import Proxy
from tests.live import Worker, wait_for
from tests.run_rows import ended, running, send, the_run
from tests.versions import CELERY_57

Start = Callable[..., Worker]

WATCHED = timedelta(seconds=15)
"""Longer than an impatient worker takes to call another one dead."""


def lost(celery_id: str) -> TaskRun:
    wait_for(lambda: the_run(celery_id).status == Status.LOST, message="the loss")
    return the_run(celery_id)


def in_the_hands_of(own: Worker, celery_id: str) -> TaskRun:
    """The run once it has started and the worker's main process knows so, which is a little later.

    What a worker does on a signal goes by what its main process knows.
    """
    run = running(celery_id)
    wait_for(lambda: own.holds("active") == [celery_id], message=f"run {celery_id} in the worker's hands")
    return run


def outlive_suspicion(*workers: Worker) -> None:
    """Wait until each worker has been heard for longer than it takes to be taken for dead."""
    began = {worker: heard(worker) for worker in workers}
    for worker in workers:
        limit = began[worker] + WATCHED
        wait_for(partial(lambda worker, limit: heard(worker) > limit, worker, limit), message="its heartbeat")


def heard(worker: Worker) -> datetime:
    return Process.objects.filter(node=worker.node).latest("started_at").last_seen_at


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


def test_worker_killed_before_its_warm_shutdown_was_over(start_impatient: Start, tmp_path: Path) -> None:
    victim, witness = start_impatient(concurrency=1), start_impatient(pool="solo")
    celery_id = send(tasks.wait_for_file, str(tmp_path / "never"), queue=victim.queue)
    running(celery_id)
    victim.signal(signal.SIGTERM)
    victim.wait_for_log("Warm shutdown")
    victim.kill()
    assert lost(celery_id).reason == Code.WORKER_SILENT
    assert witness.running


def test_namesake_of_a_killed_worker_keeps_its_runs(start_impatient: Start, tmp_path: Path) -> None:
    if os.environ["CELERY_BROKER_URL"].startswith("amqp"):
        pytest.skip("RabbitMQ lets no second worker of a name start: its queue of commands is exclusive")
    node = f"namesake@{uuid4().hex}"
    victim, survivor = start_impatient(node=node, concurrency=1), start_impatient(node=node, concurrency=1)
    killed = send(tasks.wait_for_file, str(tmp_path / "never"), queue=victim.queue)
    kept = send(tasks.wait_for_file, str(tmp_path / "done"), queue=survivor.queue)
    assert {running(killed).worker, running(kept).worker} == {node}
    victim.kill()
    assert lost(killed).reason == Code.WORKER_SILENT
    assert the_run(kept).status == Status.RUNNING
    (tmp_path / "done").touch()
    assert ended(kept).status == Status.SUCCEEDED


def test_worker_without_celerys_heartbeat(start_impatient: Start, tmp_path: Path) -> None:
    quiet = start_impatient(concurrency=1, options=("--without-heartbeat",))
    witness = start_impatient(pool="solo")
    celery_id = send(tasks.wait_for_file, str(tmp_path / "never"), queue=quiet.queue)
    running(celery_id)
    outlive_suspicion(quiet, witness)
    assert the_run(celery_id).status == Status.RUNNING
    quiet.kill()
    assert lost(celery_id).reason == Code.WORKER_SILENT


def test_killed_worker_whose_message_comes_back(start_impatient: Start, tmp_path: Path) -> None:
    victim = start_impatient(concurrency=1)
    celery_id = send(tasks.wait_for_file_acks_late, str(tmp_path / "done"), queue=victim.queue)
    first = running(celery_id)
    # Only now: a worker that is there before, even a paused one, may be who the broker gives the message to.
    start_impatient(queues=["witness", victim.queue], pool="solo")
    victim.kill()
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
    paused.pause()
    lost(celery_id)
    paused.signal(signal.SIGCONT)
    wait_for(lambda: the_run(celery_id).status == Status.RUNNING, message="the run's return to life")
    (tmp_path / "done").touch()
    assert ended(celery_id).status == Status.SUCCEEDED
    assert witness.running


def test_paused_worker_whose_process_ends_its_task(start_impatient: Start, tmp_path: Path) -> None:
    paused, witness = start_impatient(concurrency=1), start_impatient(pool="solo")
    celery_id = send(tasks.wait_for_file, str(tmp_path / "done"), queue=paused.queue)
    running(celery_id)
    paused.pause()
    try:
        lost(celery_id)
        (tmp_path / "done").touch()
        wait_for(lambda: the_run(celery_id).status == Status.SUCCEEDED, message="the true end")
    finally:
        paused.signal(signal.SIGCONT)
    assert witness.running


def test_process_that_dies_after_its_end(start_impatient: Start, result_door: Proxy) -> None:
    own = start_impatient(env={"RESULT_BACKEND": result_door.url}, concurrency=1)
    run = ended(send(tasks.die_after_the_end, queue=own.queue))
    if not CELERY_57:
        assert (run.status, run.reason) == (Status.LOST, Code.KILLED)
        return
    assert (run.status, run.summary_data) == (Status.SUCCEEDED, {"rows": 3})


def test_warm_shutdown_lets_threads_end(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(pool="threads", concurrency=1)
    celery_id = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    in_the_hands_of(own, celery_id)
    own.signal(signal.SIGTERM)
    own.wait_for_log("Warm shutdown")
    (tmp_path / "done").touch()
    assert ended(celery_id).status == Status.SUCCEEDED
    wait_for(lambda: not own.running, message="the worker's end")


def test_warm_shutdown_puts_back_what_has_not_started(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(concurrency=1)
    first = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    running(first)
    second = send(tasks.add, 1, 1, queue=own.queue)
    wait_for(lambda: second in own.holds("reserved"), message="the message in the worker's hands")
    own.signal(signal.SIGTERM)
    own.wait_for_log("Warm shutdown")
    (tmp_path / "done").touch()
    wait_for(lambda: not own.running, message="the worker's end")
    assert (the_run(first).status, the_run(second).status) == (Status.SUCCEEDED, Status.QUEUED)
    start_impatient(queues=[own.queue], concurrency=1)
    run = ended(second)
    assert (run.status, run.attempts) == (Status.SUCCEEDED, 1)


def test_cold_shutdown_is_a_loss_and_no_retry(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(concurrency=1)
    celery_id = send(tasks.wait_for_file, str(tmp_path / "never"), queue=own.queue)
    in_the_hands_of(own, celery_id)
    own.signal(signal.SIGQUIT)
    assert lost(celery_id).reason
    assert "could not be recorded" not in own.output()


def test_cold_shutdown_of_a_solo_worker_fails_its_task(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(pool="solo")
    celery_id = send(tasks.report, str(tmp_path / "never"), 1, queue=own.queue)
    own.wait_for_log("] words")  # what Celery raises must strike the task itself
    own.signal(signal.SIGQUIT)
    run = ended(celery_id)
    assert (run.status, run.error_type) == (Status.FAILED, "NotImplementedError")


def test_cold_shutdown_waits_for_threads(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(pool="threads", concurrency=1)
    celery_id = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    in_the_hands_of(own, celery_id)
    own.signal(signal.SIGQUIT)
    own.wait_for_log("Hitting Ctrl+C again")
    (tmp_path / "done").touch()
    wait_for(lambda: not own.running, message="the worker's end")
    wait_for(lambda: the_run(celery_id).status == Status.SUCCEEDED, message="the end")


def test_soft_shutdown_that_is_long_enough(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(env={"SOFT_SHUTDOWN": "60"}, concurrency=1)
    celery_id = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    in_the_hands_of(own, celery_id)
    own.signal(signal.SIGQUIT)
    own.wait_for_log("Initiating Soft Shutdown")
    (tmp_path / "done").touch()
    assert ended(celery_id).status == Status.SUCCEEDED
    own.kill()


def test_soft_shutdown_that_is_too_short(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(env={"SOFT_SHUTDOWN": "1"}, concurrency=1)
    early = send(tasks.wait_for_file, str(tmp_path / "never"), queue=own.queue)
    in_the_hands_of(own, early)
    own.signal(signal.SIGQUIT)
    own.wait_for_log("Initiating Soft Shutdown")
    assert lost(early).reason == Code.INTERRUPTED


def test_cold_shutdown_of_a_run_whose_message_comes_back(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(concurrency=1)
    celery_id = send(tasks.wait_for_file_acks_late, str(tmp_path / "done"), queue=own.queue)
    in_the_hands_of(own, celery_id)
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


def test_message_that_expires_in_the_queue_of_a_pool(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(pool="threads", concurrency=1)
    blocking = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    running(blocking)
    celery_id = send(tasks.add, 1, 1, queue=own.queue, expires=10)
    own.wait_for_log(f"{tasks.add.name}[{celery_id}] received")
    assert ended(celery_id).status == Status.EXPIRED
    (tmp_path / "done").touch()
    # Celery looks at the time before it hands a task to the threads, and not again.
    wait_for(lambda: the_run(celery_id).status == Status.SUCCEEDED, message="the late run")
    assert the_run(celery_id).attempts == 1


def test_message_that_comes_back_while_its_task_runs(start_impatient: Start, tmp_path: Path) -> None:
    if not os.environ["CELERY_BROKER_URL"].startswith("redis"):
        pytest.skip("only Redis gives a message away again that a living worker holds")
    own = start_impatient(concurrency=2)
    celery_id = send(tasks.wait_for_file_acks_late, str(tmp_path / "done"), queue=own.queue)
    first = running(celery_id)
    second = running(celery_id, attempts=2)
    assert (second.reason, second.redelivered) == (Code.ATTEMPTS_OVERLAP, True)
    assert second.token != first.token
    (tmp_path / "done").touch()
    run = ended(celery_id)
    assert (run.status, run.started_at) == (Status.SUCCEEDED, first.started_at)
    assert TaskRun.objects.get() == run


def test_two_deliveries_at_once(start_impatient: Start, tmp_path: Path) -> None:
    own = start_impatient(concurrency=2)
    celery_id = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    running(celery_id)
    headers = {"scheduled_tasks": {"name": "a job", "trigger": "schedule", "recorded": True}}
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
    first.pause()
    cancelled = send(tasks.add, 1, 1, queue=first.queue)
    TaskRun.objects.filter(celery_id=cancelled).update(
        status=Status.CANCELLED, open_since=None, finished_at=UtcNow()
    )
    first.signal(signal.SIGCONT)
    first.wait_for_log(f"{tasks.add.name}[{cancelled}] received")
    wait_for(lambda: cancelled in first.says("revoked"), message="the word")
    (tmp_path / "done").touch()
    assert ended(blocking).status == Status.SUCCEEDED
    first.wait_for_log(f"Discarding revoked task: {tasks.add.name}[{cancelled}]")
    assert the_run(cancelled).attempts == 0
