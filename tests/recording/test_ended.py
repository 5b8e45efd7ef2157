"""``run_ended`` is sent once per written end, and by nobody who wrote none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from scheduled_tasks import operations
from scheduled_tasks.beat.pending_runs import close_runs
from scheduled_tasks.models import Status, TaskRun, database_now
from scheduled_tasks.reasons import Code, Reason
from scheduled_tasks.recording import ended as telling
from scheduled_tasks.recording import statements
from scheduled_tasks.signals import run_ended
from scheduled_tasks.upkeep.reaper import Suspect, conclude
from tests.factories import make_run, make_task
from tests.live import wait_for
from tests.recording.runs import attempt, message

pytestmark = pytest.mark.django_db

SUCCESS = statements.Ending(status=Status.SUCCEEDED)


@pytest.fixture
def heard() -> Iterator[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []

    def hear(sender: type, signal: object, **arguments: Any) -> None:
        found.append({"sender": sender, **arguments})

    def fail(**arguments: Any) -> None:
        raise RuntimeError("broken")

    run_ended.connect(fail)
    run_ended.connect(hear)
    yield found
    run_ended.disconnect(fail)
    run_ended.disconnect(hear)


def statuses(heard: list[dict[str, Any]]) -> list[str]:
    return [each["status"] for each in heard]


def test_end_of_an_attempt(heard: list[dict[str, Any]]) -> None:
    mine = attempt(message())
    statements.start(mine)
    statements.end(mine, statements.Ending(status=Status.RETRYING))
    assert heard == []
    statements.start(mine)
    statements.end(mine, SUCCESS)
    statements.end(mine, SUCCESS)
    run = TaskRun.objects.get()
    assert heard == [
        {
            "sender": TaskRun,
            "run_id": run.pk,
            "celery_id": run.celery_id,
            "task_id": None,
            "name": "a job",
            "status": "succeeded",
            "reason": "",
            "duration": run.duration,
        }
    ]


def test_end_that_belongs_to_nobody_is_not_told(heard: list[dict[str, Any]]) -> None:
    sent = message()
    statements.start(attempt(sent))
    stranger = attempt(sent, started=True)
    statements.end(stranger, SUCCESS)
    assert heard == []


def test_run_that_never_started(heard: list[dict[str, Any]]) -> None:
    statements.close_undelivered(message(), statements.Ending(status=Status.EXPIRED))
    assert [(each["status"], each["duration"]) for each in heard] == [("expired", None)]


def test_end_that_the_main_process_or_a_reaper_writes(heard: list[dict[str, Any]]) -> None:
    first, second = attempt(message()), attempt(message())
    statements.start(first)
    statements.start(second)
    lost = statements.Ending(status=Status.LOST, reason=Reason(Code.WORKER_SILENT))
    statements.end_of_child(first.message, lost, process_id="boot")
    for _ in range(2):
        conclude(Suspect(second.message.celery_id, second.token, Status.RUNNING), lost)
    assert [(each["celery_id"], each["reason"]) for each in heard] == [
        (first.message.celery_id, "worker_silent"),
        (second.message.celery_id, "worker_silent"),
    ]


def test_run_that_a_person_cancels(heard: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations.publishing, "revoke", lambda run: None)
    task = make_task()
    run = make_run(task, Status.QUEUED)
    operations.cancel(run.pk, actor=operations.Actor("anna", log=lambda task, entry: None))
    assert [(each["status"], each["task_id"]) for each in heard] == [("cancelled", task.pk)]


def test_runs_that_beat_gives_up(heard: list[dict[str, Any]]) -> None:
    task = make_task()
    make_run(task, Status.QUEUED)
    make_run(task, Status.RUNNING)
    close_runs(TaskRun.objects.filter(status=Status.QUEUED), Status.MISSED, Reason(), database_now())
    assert statuses(heard) == ["missed"]


def test_without_a_receiver_nothing_is_asked() -> None:
    mine = attempt(message())
    statements.start(mine)
    with CaptureQueriesContext(connection) as queries:
        statements.end(mine, SUCCESS)
    assert [query["sql"] for query in queries if "SELECT" in query["sql"]] == []


@pytest.fixture
def outside_a_test(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Iterator[None]:
    monkeypatch.setattr(telling, "under_test", lambda: False)
    monkeypatch.setattr(telling, "_teller", telling.Teller())
    yield
    telling.close(20)


def test_is_told_in_another_thread_once_it_is_committed(
    outside_a_test: None, heard: list[dict[str, Any]]
) -> None:
    threads = []
    run_ended.connect(spy := lambda **_: threads.append(threading.current_thread().name))
    with transaction.atomic():
        statements.close_undelivered(message(), statements.Ending(status=Status.EXPIRED))
        assert connection.run_on_commit
    wait_for(lambda: threads, message="the signal")
    assert threads == ["scheduled-tasks-signals"]
    assert statuses(heard) == ["expired"]
    run_ended.disconnect(spy)
    with transaction.atomic():
        statements.close_undelivered(message(), statements.Ending(status=Status.EXPIRED))
        transaction.set_rollback(True)
    telling.close(20)
    assert len(heard) == 1


def test_receiver_that_hangs_keeps_nobody_waiting(
    outside_a_test: None, heard: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "MOST_WAITING", 2)
    go_on, called = threading.Event(), threading.Event()

    def hang(**_: Any) -> None:
        called.set()
        go_on.wait(60)

    run_ended.connect(hang)
    try:
        for _ in range(6):
            statements.close_undelivered(message(), statements.Ending(status=Status.EXPIRED))
            assert called.wait(20)
        telling.close(0.1)
    finally:
        go_on.set()
        run_ended.disconnect(hang)
    telling.close(20)
    assert len(heard) == 3
