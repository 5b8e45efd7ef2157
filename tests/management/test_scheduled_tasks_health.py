"""``manage.py scheduled_tasks_health``: exit status and words for each state of the machinery."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.core.management import call_command
from django.db import OperationalError
from django.utils import translation

from scheduled_tasks.models import Lease, Process, ProcessKind, database_now
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.upkeep.startup import broker_addresses
from scheduled_tasks.worker.task_queues import task_queues
from tests import tasks
from tests.factories import make_process, make_task

pytestmark = pytest.mark.django_db


def health(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("scheduled_tasks_health", *arguments, stdout=out)
    return int(ended.value.code or 0), out.getvalue()


def process(kind: ProcessKind, **fields: Any) -> Process:
    now = database_now()
    return Process.objects.create(
        boot_id=kind,
        kind=kind,
        node=f"{kind}@host",
        started_at=now,
        last_seen_at=now,
        **fields,
    )


def test_ok() -> None:
    process(ProcessKind.BEAT, loop_at=database_now())
    process(ProcessKind.WORKER, queues=["celery"])
    assert health() == (0, "ok\n")
    status, text = health("--json")
    no_tasks = dict.fromkeys(
        ("total", "running", "failing", "late", "slow", "paused", "broken", "incident"), 0
    )
    assert (status, json.loads(text)) == (0, {"status": "ok", "problems": [], "tasks": no_tasks})


def test_down_without_beat_and_worker() -> None:
    status, text = health("--json")
    found = json.loads(text)
    assert (status, found["status"]) == (2, "down")
    assert [problem["code"] for problem in found["problems"]] == ["beat", "worker"]
    assert all(problem[key] for problem in found["problems"] for key in ("cause", "consequence", "remedy"))


def test_degraded_when_another_scheduler_starts_the_tasks() -> None:
    process(ProcessKind.BEAT, pool="django_celery_beat.schedulers:DatabaseScheduler")
    process(ProcessKind.WORKER, queues=["celery"])
    status, text = health("--json")
    (problem,) = json.loads(text)["problems"]
    assert (status, problem["code"]) == (1, "scheduler")
    assert "django_celery_beat.schedulers:DatabaseScheduler" in problem["cause"]
    assert problem["command"].endswith("beat -S scheduled_tasks")


def test_down_when_beat_hangs() -> None:
    process(ProcessKind.BEAT, loop_at=database_now() - timedelta(minutes=5))
    process(ProcessKind.WORKER, queues=["celery"])
    status, text = health()
    assert status == 2
    assert "does not tick" in text


def test_commands_speak_english_like_djangos_own() -> None:
    with translation.override("de"):
        assert "Beat is not running." in health()[1]


def test_degraded_when_runs_cannot_be_recorded() -> None:
    process(ProcessKind.BEAT, loop_at=database_now())
    process(ProcessKind.WORKER, queues=["celery"], recorder_error="disk full")
    status, text = health()
    assert (status, text.splitlines()[0]) == (1, "degraded")
    assert "disk full" in text


@pytest.mark.parametrize("running", [True, False])
def test_a_failed_sync_is_a_problem(running: bool) -> None:
    if running:
        process(ProcessKind.BEAT, loop_at=database_now())
        process(ProcessKind.WORKER, queues=["celery"])
    Lease.objects.create(name="sync", error="RuntimeError: out of order")
    status, text = health()
    assert status == (1 if running else 2)
    assert (
        "The tasks declared in code could not be synced: RuntimeError: out of order "
        "Tasks run as stored. Changes in code have no effect. "
        "Fix the error and sync again: manage.py sync_scheduled_tasks"
    ) in text.splitlines()
    Lease.objects.update(error="")
    assert "synced" not in health()[1]


def test_down_without_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Machinery:
        raise OperationalError("connection refused")

    monkeypatch.setattr(Machinery, "read", fail)
    status, text = health()
    assert status == 2
    assert "The database does not answer: connection refused" in text


@pytest.mark.parametrize(
    ("apps", "expected"),
    [
        ([], "<your app>"),
        ([""], "<your app>"),
        (["config.celery_app"], "config.celery_app"),
        (["newer", "older"], "newer"),
    ],
)
def test_commands_name_the_app_that_a_known_process_was_started_with(apps: list[str], expected: str) -> None:
    for number, app in enumerate(apps):
        make_process(ProcessKind.BEAT, silent=3600 + number, app=app)
    problems = json.loads(health("--json")[1])["problems"]
    commands = [problem["command"] for problem in problems if problem["code"] in ("beat", "worker")]
    assert commands == [f"celery -A {expected} beat -S scheduled_tasks", f"celery -A {expected} worker"]


@pytest.mark.parametrize(("theirs", "expected"), [("ours", []), ("amqp://elsewhere:5672/", ["broker"])])
def test_workers_that_read_from_another_broker_are_a_problem(theirs: str, expected: list[str]) -> None:
    ours = broker_addresses(current_app.connection_for_write)
    process(ProcessKind.WORKER, queues=["celery"], brokers=ours if theirs == "ours" else [theirs])
    process(ProcessKind.BEAT, loop_at=database_now())
    problems = json.loads(health("--json")[1])["problems"]
    assert [problem["code"] for problem in problems] == expected
    assert all(theirs in problem["cause"] and ours[0] in problem["cause"] for problem in problems)


def watched() -> list[str]:
    """The queues that no worker is said to listen to, while one listens to ``other``."""
    process(ProcessKind.WORKER, queues=["other"], task_queues=task_queues(current_app))
    process(ProcessKind.BEAT, loop_at=database_now())
    problems = json.loads(health("--json")[1])["problems"]
    return [problem["command"].split()[-1] for problem in problems if problem["code"] == "queue"]


@pytest.fixture
def other_default_queue() -> Iterator[None]:
    conf, before = current_app.conf, current_app.conf.task_default_queue
    conf.task_default_queue = "by-default"
    yield
    conf.task_default_queue = before


@pytest.mark.usefixtures("other_default_queue")
def test_the_default_queue_counts_when_a_task_names_none() -> None:
    make_task(task=tasks.add.name)
    assert watched() == ["by-default"]


@pytest.mark.usefixtures("other_default_queue")
@pytest.mark.parametrize("values", [{"queue": "other"}, {"exchange": "topics"}, {"enabled": False}])
def test_the_default_queue_does_not_count_when_no_task_uses_it(values: dict[str, Any]) -> None:
    make_task(**values)
    assert watched() == []


@pytest.mark.usefixtures("other_default_queue")
def test_what_code_says_of_a_tasks_queue_comes_before_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.add, "queue", "by-code", raising=False)
    make_task(task=tasks.add.name)
    assert watched() == ["by-code"]


@pytest.mark.usefixtures("other_default_queue")
def test_a_router_that_wants_more_than_a_name_accuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise TypeError("no arguments")

    monkeypatch.setattr(current_app.amqp.router, "route", fail)
    make_task()
    assert watched() == []
