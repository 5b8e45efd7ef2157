"""Real workers: whatever becomes of a task, its run has one row, and the row tells it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Task
from django.contrib.auth.models import User
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from example_project.celery import app
from scheduled_tasks.models import Process, ProcessKind, Status, TaskRun, Trigger
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.reasons import Code
from scheduled_tasks.recording.attempt_log import past_attempts
from tests import tasks
from tests.live import PATIENCE, Worker, wait_for
from tests.run_rows import NAME, ended, running, send, the_run
from tests.versions import CELERY_57


@pytest.mark.smoke
def test_success(worker: Worker) -> None:
    every_day, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.DAYS)
    job = PeriodicTask.objects.create(name=NAME, task=tasks.add.name, interval=every_day)
    run = ended(send(tasks.add, 2, 3))
    assert (run.status, run.summary_data, run.attempts, run.retries) == (Status.SUCCEEDED, "5", 1, 0)
    assert (run.task_id, run.name, run.trigger, run.args) == (job.pk, NAME, Trigger.SCHEDULE, "[2, 3]")
    assert (run.worker, run.queue) == (worker.node, "celery")
    assert run.queued_at <= run.started_at <= run.finished_at
    assert run.duration < timedelta(minutes=1)


@pytest.mark.smoke
def test_failure(worker: Worker) -> None:
    run = ended(send(tasks.fail, "the file is not there"))
    assert (run.status, run.error_type, run.error) == (Status.FAILED, "ValueError", "the file is not there")
    assert "raise ValueError(message)" in run.traceback
    assert run.summary == ""


@pytest.mark.smoke
def test_retries_are_attempts_of_one_run(worker: Worker) -> None:
    run = ended(send(tasks.succeed_at_attempt, 3))
    assert (run.status, run.attempts, run.retries, run.summary_data) == (Status.SUCCEEDED, 3, 2, "3")
    assert (run.error, run.traceback) == ("", "")


def test_each_attempt_leaves_its_times_and_its_error(worker: Worker) -> None:
    attempts = past_attempts(ended(send(tasks.succeed_at_attempt, 3, 1)))
    assert [one.error for one in attempts] == ["not yet", "not yet", ""]
    assert attempts[0].ended_at < attempts[1].started_at
    assert attempts[1].ended_at < attempts[2].started_at


def test_run_that_waits_for_its_retry_shows_the_last_error(start_worker) -> None:
    own = start_worker(concurrency=1)
    celery_id = send(tasks.succeed_at_attempt, 2, 3600, queue=own.queue)
    wait_for(lambda: the_run(celery_id).status == Status.RETRYING, message="the retry")
    run = the_run(celery_id)
    assert (run.retries, run.error_type, run.error) == (1, "ConnectionError", "not yet")
    assert run.open_since is not None
    assert run.finished_at is None


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_error_that_cannot_be_pickled_is_told_as_it_was(pool: str, start_worker) -> None:
    own = start_worker(pool=pool, concurrency=1)
    run = ended(send(tasks.fail_with_what_cannot_be_pickled, queue=own.queue))
    assert (run.status, run.error_type) == (Status.FAILED, "urllib.error.HTTPError")
    assert run.error == "HTTP Error 503: busy"
    assert "raise HTTPError(" in run.traceback
    assert run.traceback.rstrip().endswith("urllib.error.HTTPError: HTTP Error 503: busy")
    waiting = send(tasks.retry_after_what_cannot_be_pickled, queue=own.queue)
    wait_for(lambda: the_run(waiting).status == Status.RETRYING, message="the retry")
    run = the_run(waiting)
    assert (run.error_type, run.error) == ("urllib.error.HTTPError", "HTTP Error 503: busy")
    assert "retry_after_what_cannot_be_pickled" in run.traceback


def test_retry_that_the_task_does_not_leave_by(worker: Worker) -> None:
    celery_id = send(tasks.retry_and_go_on)
    wait_for(lambda: the_run(celery_id).status == Status.SUCCEEDED, message="the second attempt")
    run = the_run(celery_id)
    assert (run.attempts, run.retries, run.summary_data, run.reason) == (2, 1, "1", "")


def test_class_of_a_task_that_fails_after_its_end(worker: Worker) -> None:
    run = ended(send(tasks.fail_and_fail_to_say_so))
    assert (run.status, run.error_type, run.error) == (Status.FAILED, "ValueError", "the error of the task")
    assert run.reason == Code.HANDLER_FAILED
    assert "RuntimeError: no mail server" in run.reason_params


@pytest.mark.smoke
def test_task_that_passes_its_headers_on_is_one_run(worker: Worker) -> None:
    run = ended(send(tasks.pass_headers_on))
    other = run.summary_data.strip("'")
    worker.wait_for_log(f"Task {tasks.add.name}[{other}] succeeded")
    assert TaskRun.objects.get() == run


def test_what_only_decorates_a_run_does_not_keep_its_end(worker: Worker) -> None:
    run = ended(send(tasks.report_what_is_no_text))
    assert (run.status, run.summary_data) == (Status.SUCCEEDED, "'done'")
    assert "a line" in run.log


def test_ignored(worker: Worker) -> None:
    assert ended(send(tasks.ignore)).status == Status.IGNORED


def test_rejected(worker: Worker) -> None:
    run = ended(send(tasks.reject))
    assert (run.status, run.error) == (Status.FAILED, "no reason")


def test_put_back_and_delivered_again(worker: Worker) -> None:
    run = ended(send(tasks.put_back_once))
    assert (run.status, run.attempts, run.redelivered) == (Status.SUCCEEDED, 2, True)


def test_replacement_continues_the_run(worker: Worker) -> None:
    run = ended(send(tasks.hand_on))
    assert (run.status, run.summary_data, run.attempts) == (Status.SUCCEEDED, "3", 2)


def test_system_exit(worker: Worker) -> None:
    celery_id = send(tasks.leave)
    told = Code.KILLED if CELERY_57 else Code.INTERRUPTED  # by the main process, or by the task's own
    wait_for(lambda: the_run(celery_id).reason == told, message="the reason")
    run = the_run(celery_id)
    assert (run.status, bool(run.error)) == (Status.LOST, CELERY_57)


@pytest.mark.smoke
def test_killed_process(worker: Worker) -> None:
    run = ended(send(tasks.die))
    assert run.status == Status.LOST
    assert "SIGKILL" in run.error


def test_killed_process_whose_message_would_have_been_acknowledged_late(worker: Worker) -> None:
    run = ended(send(tasks.die_acks_late))
    assert (run.status, run.attempts) == (Status.LOST, 1)


def test_killed_process_whose_task_is_retried(worker: Worker) -> None:
    celery_id = send(tasks.die_and_be_retried)
    if not CELERY_57:
        assert ended(celery_id).status == Status.LOST
        return
    wait_for(lambda: the_run(celery_id).status == Status.SUCCEEDED, message="the second attempt")
    run = the_run(celery_id)
    assert (run.summary_data, run.attempts, run.retries) == ("'survived'", 2, 1)
    killed, survived = past_attempts(run)
    assert (killed.error_type, survived.error_type) == ("billiard.exceptions.WorkerLostError", "")


def test_killed_process_whose_message_comes_back(worker: Worker, tmp_path: Path) -> None:
    run = ended(send(tasks.die_once, str(tmp_path / "died")))
    assert (run.status, run.summary_data, run.attempts) == (Status.SUCCEEDED, "'survived'", 2)


def test_hard_time_limit(worker: Worker) -> None:
    celery_id = send(tasks.wait, 60, time_limit=1)
    # The dying process may say first that it was stopped.
    wait_for(lambda: the_run(celery_id).status == Status.TIMED_OUT, message="the main process's word")
    run = the_run(celery_id)
    # The main process may say it twice and the dying process may add a word: none of them changes it.
    tasks.add.delay(1, 1).get(timeout=PATIENCE)
    run.refresh_from_db()
    assert run.status == Status.TIMED_OUT


def test_soft_time_limit(worker: Worker) -> None:
    run = ended(send(tasks.wait, 60, soft_time_limit=1))
    assert (run.status, run.error_type) == (Status.TIMED_OUT, "billiard.exceptions.SoftTimeLimitExceeded")


def test_soft_time_limit_that_the_task_catches(worker: Worker) -> None:
    run = ended(send(tasks.catch_soft_limit, soft_time_limit=1))
    assert (run.status, run.summary_data) == (Status.SUCCEEDED, "'in time'")


def test_revoked_before_its_start(worker: Worker) -> None:
    celery_id = uuid4().hex
    app.control.revoke(celery_id, destination=[worker.node], reply=True, timeout=PATIENCE)
    tasks.add.apply_async((1, 1), task_id=celery_id, headers={"periodic_task_name": NAME})
    run = ended(celery_id)
    assert (run.status, run.started_at) == (Status.CANCELLED, None)


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
def test_terminated(signal: str, worker: Worker) -> None:
    celery_id = send(tasks.wait, 60)
    running(celery_id)
    app.control.revoke(celery_id, terminate=True, signal=signal, destination=[worker.node])
    run = ended(celery_id)
    wait_for(lambda: the_run(celery_id).status == Status.CANCELLED, message=f"cancelled, not {run.status}")


def test_expired_message(start_worker) -> None:
    queue = f"late-{uuid4().hex}"
    celery_id = send(tasks.add, 1, 1, queue=queue, expires=0.01)
    start_worker(queues=[queue], concurrency=1)
    run = ended(celery_id)
    assert (run.status, run.attempts) == (Status.EXPIRED, 0)
    assert run.expires_at is not None


def test_unknown_task(worker: Worker) -> None:
    celery_id = uuid4().hex
    app.send_task("no.such.task", task_id=celery_id, headers={"periodic_task_name": NAME})
    run = ended(celery_id)
    assert run.status == Status.FAILED
    assert "no.such.task" in run.error


@pytest.mark.parametrize(
    "task", [tasks.write_and_leave_open, tasks.break_transaction], ids=lambda task: task.name
)
def test_transaction_left_behind(task: Task, worker: Worker) -> None:
    args = ["left-open"] if task is tasks.write_and_leave_open else []
    assert ended(send(task, *args)).status == Status.SUCCEEDED
    assert not User.objects.filter(username="left-open").exists()


def test_row_that_the_sender_could_not_write(worker: Worker) -> None:
    celery_id = send(tasks.add, 1, 1)
    run = ended(celery_id)
    TaskRun.objects.all().delete()
    origin = {"name": NAME, "task": None, "trigger": "manual", "actor": "anna", "recorded": True}
    tasks.add.apply_async((2, 2), task_id=celery_id, headers={"scheduled_tasks": origin})
    wait_for(lambda: TaskRun.objects.filter(open_since=None).exists(), message="the run")
    run = the_run(celery_id)
    assert (run.status, run.actor, run.trigger) == (Status.SUCCEEDED, "anna", Trigger.MANUAL)


def test_delivered_again_after_the_end(worker: Worker) -> None:
    celery_id = send(tasks.fail)
    first = ended(celery_id)
    headers = {"scheduled_tasks": {"name": NAME, "trigger": Trigger.SCHEDULE, "recorded": True}}
    tasks.add.apply_async((1, 1), task_id=celery_id, headers=headers)
    wait_for(lambda: the_run(celery_id).attempts == 2, message="the second attempt")
    run = the_run(celery_id)
    assert (run.status, run.error, run.finished_at) == (Status.FAILED, first.error, first.finished_at)


def test_task_that_another_one_starts_is_no_run_of_its_own(worker: Worker) -> None:
    run = ended(send(tasks.start_another, worker.queue))
    other = run.summary_data.strip("'")
    worker.wait_for_log(f"Task {tasks.add.name}[{other}] succeeded")
    assert re.search(rf"\[{other}\] succeeded in \S+: 3$", worker.output(), re.MULTILINE)
    assert TaskRun.objects.get() == run


def test_task_without_a_result(worker: Worker) -> None:
    assert ended(send(tasks.add_and_forget, 1, 2)).summary_data == "3"


def test_task_that_is_not_scheduled_leaves_no_row(worker: Worker) -> None:
    assert tasks.add.delay(1, 2).get(timeout=PATIENCE) == 3
    assert not TaskRun.objects.exists()


def test_output_is_seen_while_the_task_runs(worker: Worker, tmp_path: Path) -> None:
    done = tmp_path / "done"
    celery_id = send(tasks.report, str(done), 5)
    wait_for(lambda: "printed words" in the_run(celery_id).log, message="the log of the running task")
    wait_for(lambda: (the_run(celery_id).progress_data or {}).get("done") == 5, message="the last step")
    run = the_run(celery_id)
    assert run.status == Status.RUNNING
    assert run.progress_data == {"done": 5, "total": 5, "text": "Stepping"}
    assert "WARNING step 4" in run.log
    assert "from the task's logger" in run.log
    done.touch()
    run = ended(celery_id)
    assert run.summary_data["steps"] == 5
    assert "do not keep" not in json.dumps(run.summary_data)
    assert "WARNING step 0" in run.log


def test_task_that_does_not_want_its_log_kept(worker: Worker, tmp_path: Path) -> None:
    done = tmp_path / "done"
    celery_id = send(tasks.report_discreetly, str(done), 5)
    wait_for(lambda: the_run(celery_id).progress_data, message="the progress of the running task")
    worker.wait_for_log("from the task's logger")
    done.touch()
    run = ended(celery_id)
    assert (run.status, run.log) == (Status.SUCCEEDED, "")
    assert run.progress_data["done"] == 5


def test_worker_is_known_while_it_lives(start_worker) -> None:
    own = start_worker(pool="threads")

    def workers() -> list[Process]:
        return [each for each in Machinery.read().alive(ProcessKind.WORKER) if each.node == own.node]

    (process,) = wait_for(workers)
    assert (process.pool, process.queues) == ("thread", [own.queue])
    assert tasks.add.name in Machinery.read().known_tasks
    assert process.task_options["example_project.webhooks.tasks.retry_webhook_deliveries"] == {
        "soft_time_limit": 50
    }
    own.end()
    process.refresh_from_db()
    assert process.stopped_at is not None
    assert not workers()


@pytest.mark.parametrize("pool", ["threads", "solo", "gevent", "eventlet"])
def test_other_pools(pool: str, start_worker) -> None:
    if pool == "eventlet" and find_spec(pool) is None:
        pytest.skip("eventlet is not installed: it is deprecated, and no dependency of the tests")
    own = start_worker(pool=pool)
    sent = {
        send(tasks.succeed_at_attempt, 2, queue=own.queue): (Status.SUCCEEDED, 2),
        send(tasks.fail, queue=own.queue): (Status.FAILED, 1),
        send(tasks.ignore, queue=own.queue): (Status.IGNORED, 1),
        send(tasks.reject, queue=own.queue): (Status.FAILED, 1),
        send(tasks.put_back_once, queue=own.queue): (Status.SUCCEEDED, 2),
        send(tasks.hand_on, queue=own.queue): (Status.SUCCEEDED, 2),
        # These pools know no soft time limit.
        send(tasks.wait, 2, soft_time_limit=1, queue=own.queue): (Status.SUCCEEDED, 1),
    }
    found = {celery_id: (ended(celery_id).status, the_run(celery_id).attempts) for celery_id in sent}
    assert found == sent
    assert TaskRun.objects.count() == len(sent)


def test_children_that_are_replaced_record_too(start_worker) -> None:
    own = start_worker(concurrency=1, options=["--max-tasks-per-child=1"])
    ids = [send(tasks.add, 1, number, queue=own.queue) for number in range(5)]
    runs = [ended(celery_id) for celery_id in ids]
    assert [run.status for run in runs] == [Status.SUCCEEDED] * 5
    assert len({run.pid for run in runs}) == 5
