"""The metrics: right values, few statements, and only for those who may read them."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import IntervalSchedule
from prometheus_client.parser import text_string_to_metric_families

from scheduled_tasks.metrics.measured import measured_tasks
from scheduled_tasks.models import (
    OUTCOMES,
    Incident,
    Lease,
    ProcessKind,
    ScheduledTask,
    Status,
    TaskRun,
    TaskState,
    Trigger,
    UtcNow,
    database_now,
)
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.reading.tasks import listed_tasks, tasks
from tests.factories import make_process, make_run, make_task
from tests.live import ROOT

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.urls_metrics")]

TOKEN = "a-long-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
MOST_STATEMENTS = 8
Scrape = Callable[[], dict[tuple[str, ...], float]]


@pytest.fixture
def scrape(client: Client, settings: Any) -> Scrape:
    """Call it for every sample: ``(name without prefix, *values of the labels)`` -> value."""
    settings.SCHEDULED_TASKS = {"METRICS_TOKEN": TOKEN}

    def read() -> dict[tuple[str, ...], float]:
        response = client.get("/metrics/", headers=BEARER)
        assert response.status_code == 200
        families = text_string_to_metric_families(response.content.decode())
        return {
            (sample.name.removeprefix("scheduled_tasks_"), *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }

    return read


def test_a_task(scrape: Scrape) -> None:
    task = make_task("purge")
    at = database_now() + timedelta(hours=1)
    TaskState.objects.create(task_id=task.pk, accounted_until=database_now(), next_run_at=at)
    success = make_run(task, took=5, ago=900)
    failure = make_run(task, Status.FAILED, took=2.5, ago=600)
    make_run(task, Status.SKIPPED)
    found = scrape()
    assert found["task_last_run_timestamp_seconds", "purge"] == failure.started_at.timestamp()
    assert found["task_last_success_timestamp_seconds", "purge"] == success.finished_at.timestamp()
    assert found["task_next_run_timestamp_seconds", "purge"] == at.timestamp()
    assert found["task_last_duration_seconds", "purge"] == 2.5
    assert found["task_failure_streak", "purge"] == 1
    assert found["task_late_seconds", "purge"] == 0
    flags = ("enabled", "failing", "running", "late", "paused", "broken")
    assert [found[f"task_{flag}", "purge"] for flag in flags] == [1, 1, 0, 0, 0, 0]


def test_a_task_that_never_ran_has_no_moments(scrape: Scrape) -> None:
    make_task("new", enabled=False)
    found = {name for name, *labels in scrape() if labels == ["new"]}
    assert "task_failure_streak" in found
    assert not [name for name in found if "timestamp" in name or "duration" in name]


def test_late(scrape: Scrape) -> None:
    overdue, waiting = make_task("overdue"), make_task("waiting")
    now = database_now()
    TaskState.objects.create(
        task_id=overdue.pk,
        accounted_until=now - timedelta(hours=2),
        next_run_at=now - timedelta(hours=1),
    )
    make_run(waiting, Status.QUEUED, ago=1800, queue="slow")
    found = scrape()
    assert found["task_late_seconds", "overdue"] == pytest.approx(3600, abs=30)
    assert found["task_late_seconds", "waiting"] == pytest.approx(1800, abs=30)
    assert found["queue_oldest_run_age_seconds", "slow"] == pytest.approx(1800, abs=30)
    assert found["queue_waiting_runs", "slow"] == 1


@pytest.mark.parametrize("seed", range(10))
def test_streak_is_that_of_the_rows(scrape: Scrape, seed: int) -> None:
    task, choose = make_task(), random.Random(seed)
    for _ in range(choose.randrange(12)):
        make_run(task, choose.choice(sorted(Status)))
    (row,) = listed_tasks(tasks(), Machinery.read())
    assert scrape()["task_failure_streak", task.name] == row.streak


def test_streak_counts_every_kind_of_failure(scrape: Scrape) -> None:
    task = make_task()
    for status in sorted(OUTCOMES - {Status.SUCCEEDED}):
        make_run(task, status)
    assert scrape()["task_failure_streak", task.name] == 5


def test_ticks_by_outcome(scrape: Scrape) -> None:
    task = make_task()
    make_run(task)
    make_run(task, ago=7200)
    make_run(task, Status.MISSED, tick_count=40)
    make_run(task, trigger=Trigger.MANUAL)
    make_run(task, ago=200_000)
    found = scrape()
    assert found["ticks", "succeeded", "1h"] == 1
    assert found["ticks", "succeeded", "1d"] == 2
    assert found["ticks", "missed", "1h"] == 40
    assert found["ticks", "failed", "1d"] == 0
    assert ("ticks", "queued", "1h") not in found


def test_machinery(scrape: Scrape) -> None:
    assert scrape()["beat_leading",] == 0
    beat = make_process(ProcessKind.BEAT)
    Lease.objects.create(name="beat", holder=beat.boot_id, until=UtcNow() + timedelta(minutes=1))
    make_process(node="w1", queues=["celery", "slow"], task_queues={"tests.add": "slow"}, silent=20)
    make_process(node="w2", recorder_error="no such table")
    make_process(node="w3", silent=300)
    make_run(make_task(), Status.QUEUED, ago=50)
    found = scrape()
    assert found["beat_leading",] == 1
    assert (found["processes", "beat"], found["processes", "worker"]) == (1, 2)
    assert (found["queue_workers", "celery"], found["queue_workers", "slow"]) == (2, 1)
    assert found["queue_waiting_runs", "slow"] in (0, 1)  # whichever worker is asked for the task's queue
    assert found["recorder_backlog_seconds", "w1"] == pytest.approx(20, abs=10)
    assert (found["recorder_failing", "w1"], found["recorder_failing", "w2"]) == (0, 1)
    assert ("recorder_failing", "w3") not in found


def test_incidents(scrape: Scrape) -> None:
    now = database_now()
    Incident.objects.create(kind="late", key="late:1", open_key="late:1", opened_at=now, last_seen_at=now)
    Incident.objects.create(kind="late", key="late:1", opened_at=now, last_seen_at=now, closed_at=now)
    found = scrape()
    assert (found["incidents_open", "late"], found["incidents_open", "beat"]) == (1, 0)


def many(count: int) -> None:
    second = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    ScheduledTask.objects.bulk_create(
        [ScheduledTask(name=f"task {n}", task="tests.add", interval=second) for n in range(count)]
    )
    found, now = list(ScheduledTask.objects.all()), database_now()
    states = [TaskState(task_id=task.pk, accounted_until=now, next_run_at=now) for task in found]
    TaskState.objects.bulk_create(states)
    statuses = [Status.SUCCEEDED, Status.FAILED, Status.FAILED, Status.MISSED]
    TaskRun.objects.bulk_create(
        TaskRun(
            task_id=task.pk, name=task.name, status=status, queued_at=now, started_at=now, finished_at=now
        )
        for status in statuses * 10
        for task in found
    )


def test_few_statements_at_any_number_of_tasks(scrape: Scrape) -> None:
    make_process()
    counts = []
    for more in (1, 999):
        IntervalSchedule.objects.all().delete()
        many(more)
        with CaptureQueriesContext(connection) as queries:
            found = scrape()
        counts.append(len(queries))
    assert found["task_failure_streak", "task 5"] == 3
    assert counts[0] == counts[1] <= MOST_STATEMENTS


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan of SQLite, which keeps no statistics")
def test_no_task_is_looked_for_among_the_runs_of_all() -> None:
    plan = measured_tasks(Machinery.read()).explain()
    of_each_task = plan.split("CORRELATED SCALAR SUBQUERY")[1:]
    assert len(of_each_task) >= 5
    for text in of_each_task:
        assert "scheduled_tasks_run_status" not in text.split("LIST SUBQUERY")[0]


def test_without_the_token(client: Client, settings: Any, admin_client: Client) -> None:
    settings.SCHEDULED_TASKS = {"METRICS_TOKEN": TOKEN}
    for headers in (
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer é"},
    ):
        for person in (client, admin_client):
            response = person.get("/metrics/", headers=headers)
            assert (response.status_code, response.content) == (401, b"")
            assert response["WWW-Authenticate"] == "Bearer"


def test_without_a_token_set_the_access_policy_decides(
    client: Client, admin_client: Client, settings: Any
) -> None:
    settings.SCHEDULED_TASKS = {}
    assert admin_client.get("/metrics/").status_code == 200
    assert client.get("/metrics/", headers=BEARER).status_code == 403
    client.force_login(User.objects.create_user("staff", is_staff=True))
    assert client.get("/metrics/").status_code == 403


def test_answer(client: Client, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"METRICS_TOKEN": TOKEN}
    response = client.get("/metrics/", headers=BEARER)
    assert response["Content-Type"].startswith("text/plain; version=")
    assert "no-store" in response["Cache-Control"]
    open_metrics = {**BEARER, "Accept": "application/openmetrics-text; version=1.0.0"}
    response = client.get("/metrics/", headers=open_metrics)
    assert response["Content-Type"].startswith("application/openmetrics-text")
    assert response.content.endswith(b"# EOF\n")
    assert client.post("/metrics/", headers=BEARER).status_code == 405


def test_without_the_client_library() -> None:
    code = """
import sys
sys.modules["prometheus_client"] = None
import django
django.setup()
import scheduled_tasks.metrics.urls
"""
    result = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert "ImproperlyConfigured" in result.stderr
    assert "pip install celery-scheduled-tasks[metrics]" in result.stderr
