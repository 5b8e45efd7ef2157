"""What the worker's receivers do beside writing: they keep out of the task's way."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from billiard.pool import SIG_SOFT_TIMEOUT

from example_project.celery import app
from scheduled_tasks.recording import complaints, publish, recorder, statements
from scheduled_tasks.worker import receivers
from tests.live import wait_for


@pytest.fixture
def request_of_a_run() -> Any:
    headers = {"scheduled_tasks": {"name": "a job", "recorded": True}}
    return SimpleNamespace(
        **headers, headers={}, is_eager=False, hostname="w@host", delivery_info={}, expires=None, retries=0
    )


def test_soft_time_limit_that_strikes_while_something_is_recorded_strikes_the_task(
    monkeypatch: pytest.MonkeyPatch, request_of_a_run: Any
) -> None:
    signals: list[tuple[int, int]] = []

    def struck(*args: object, **kwargs: object) -> None:
        raise SoftTimeLimitExceeded()

    monkeypatch.setattr(receivers, "record", struck)
    monkeypatch.setattr(complaints, "LIMIT_AGAIN", 0)
    monkeypatch.setattr(complaints.os, "kill", lambda *signal: signals.append(signal))
    task = SimpleNamespace(name="a.task", request=request_of_a_run)
    receivers.on_prerun(sender=task, task_id="x", task=task, args=(), kwargs={})
    wait_for(lambda: signals == [(os.getpid(), SIG_SOFT_TIMEOUT)])
    monkeypatch.setattr(publish, "record", struck)
    monkeypatch.setattr(publish, "in_transaction", lambda: False)
    headers = {"id": "x", "periodic_task_name": "a job"}
    publish.before_publish(sender="a.task", headers=headers, body=((), {}, {}))
    wait_for(lambda: signals == [(os.getpid(), SIG_SOFT_TIMEOUT)] * 2)


def test_trouble_of_a_receiver_is_logged_and_goes_no_further(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, request_of_a_run: Any
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(recorder.complaints, "_logged", {})
    monkeypatch.setattr(receivers, "record", broken)
    task = SimpleNamespace(name="a.task", request=request_of_a_run)
    for _ in range(3):
        receivers.on_prerun(sender=task, task_id="x", task=task, args=(), kwargs={})
    assert [record.getMessage() for record in caplog.records] == [
        "on_prerun: a run could not be recorded. (RuntimeError: broken)"
    ]


def test_task_that_is_not_scheduled_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "record", pytest.fail)
    request = SimpleNamespace(headers=None, replaced_task_nesting=0)
    task = SimpleNamespace(name="a.task", request=request)
    receivers.on_prerun(sender=task, task_id="x", task=task, args=(), kwargs={})
    receivers.on_postrun(sender=task, task_id="x", task=task, retval=1, state="SUCCESS")
    assert set(vars(request)) == {"headers", "replaced_task_nesting"}


def test_worker_tells_all_tasks_that_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    def heartbeat(*args: object, **options: Any) -> SimpleNamespace:
        told.update(options)
        return SimpleNamespace(start=lambda: None, boot_id="boot")

    monkeypatch.setattr(receivers, "under_test", lambda: False)
    monkeypatch.setattr(receivers, "Heartbeat", heartbeat)
    monkeypatch.setattr(receivers, "Reaper", lambda *args, **options: SimpleNamespace(start=lambda: None))
    monkeypatch.setattr(receivers.Worker, "upkeep", ())
    receivers.on_worker_ready(
        sender=SimpleNamespace(app=app, hostname="w@host", pool=SimpleNamespace(), connection=None)
    )
    assert {"celery.backend_cleanup", "celery.chord_unlock"} <= set(told["task_names"])


def test_soft_time_limit_that_strikes_while_the_end_is_written_keeps_no_end(
    monkeypatch: pytest.MonkeyPatch, request_of_a_run: Any
) -> None:
    written: list[object] = []

    def struck_once(write: object, **kwargs: object) -> None:
        written.append(write)
        if len(written) == 2:
            raise SoftTimeLimitExceeded

    monkeypatch.setattr(receivers, "record", struck_once)
    task = SimpleNamespace(name="a.task", request=request_of_a_run)
    receivers.on_prerun(sender=task, task_id="x", task=task, args=(), kwargs={})
    receivers.on_postrun(sender=task, task_id="x", task=task, retval=1, state="SUCCESS")
    assert [write.func for write in written] == [statements.start, statements.end, statements.end]
    assert not written[-1].keywords["ending"].reason
