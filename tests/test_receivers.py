"""What the worker's receivers do beside writing: they keep out of the task's way."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from billiard.pool import SIG_SOFT_TIMEOUT

from scheduled_tasks.recording import writer
from scheduled_tasks.worker import receivers
from tests.live import wait_for


@pytest.fixture
def request_of_a_run() -> Any:
    headers = {"scheduled_tasks": {"name": "a job", "recorded": True}}
    return SimpleNamespace(
        **headers, is_eager=False, hostname="w@host", delivery_info={}, expires=None, retries=0
    )


def test_soft_time_limit_that_strikes_while_the_start_is_written_strikes_the_task(
    monkeypatch: pytest.MonkeyPatch, request_of_a_run: Any
) -> None:
    signals: list[tuple[int, int]] = []

    def struck(*args: object, **kwargs: object) -> None:
        raise SoftTimeLimitExceeded()

    monkeypatch.setattr(receivers, "record", struck)
    monkeypatch.setattr(receivers, "LIMIT_AGAIN", 0)
    monkeypatch.setattr(receivers.os, "kill", lambda *signal: signals.append(signal))
    task = SimpleNamespace(name="a.task", request=request_of_a_run)
    receivers.on_prerun(sender=task, task_id="x", task=task, args=(), kwargs={})
    wait_for(lambda: signals == [(os.getpid(), SIG_SOFT_TIMEOUT)])


def test_trouble_of_a_receiver_is_logged_and_goes_no_further(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, request_of_a_run: Any
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(writer.complaints, "_logged", {})
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
