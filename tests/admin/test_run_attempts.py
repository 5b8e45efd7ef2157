"""What an opened run tells of its attempts, of other runs, and of the ticks it stands for."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from scheduled_tasks.admin.run_attempts import NEWER_READ, attempts
from scheduled_tasks.models import Status, TaskRun, database_now
from scheduled_tasks.reasons import Code
from scheduled_tasks.recording.attempt_log import of_end
from tests.factories import make_run, make_task

LIST = "/admin/scheduled_tasks/scheduledtask/"
RUNS = "/admin/scheduled_tasks/taskrun/"
AT = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)


def a_run(
    status: Status, number: int, error: str = "", reason: str = "", log: tuple[str, ...] = ()
) -> TaskRun:
    is_open = status in (Status.RUNNING, Status.RETRYING)
    return TaskRun(
        status=status,
        attempts=number,
        queued_at=AT,
        started_at=AT + timedelta(seconds=3),
        finished_at=None if is_open else AT + timedelta(seconds=90),
        error_type="shop.Down" if error else "",
        error=error,
        reason=reason,
        attempt_log="".join(f"{line}\n" for line in log),
    )


def told(run: TaskRun) -> list[tuple[str, str]]:
    return attempts(run, lambda at: f"{at:%H:%M:%S}")


FIRST = "started 10:00:03, waited 3.0 s"
DOWN = "t1 " + of_end("shop.Down", "first\nmore", 2.0)
SECOND_START = "t2 2026-11-29 10:00:20.000000"
AGAIN = "t2 " + of_end("shop.Down", "again", 1.0)
THIRD_START = "t3 2026-11-29 10:00:40.5"


@pytest.mark.parametrize(
    ("run", "lines"),
    [
        (a_run(Status.SUCCEEDED, 1), []),
        (a_run(Status.FAILED, 1, "no\nmore"), []),
        (
            a_run(Status.RETRYING, 1, "first", log=(DOWN,)),
            [("1", f"{FIRST} · Down: first"), ("2", "Retrying")],
        ),
        (
            a_run(Status.RUNNING, 2, "first", log=(DOWN, SECOND_START)),
            [("1", f"{FIRST} · Down: first"), ("2", "started 10:00:20, waited 15.0 s · Running")],
        ),
        (
            a_run(Status.FAILED, 3, "no\nmore", log=(DOWN, SECOND_START, AGAIN, THIRD_START)),
            [
                ("1", f"{FIRST} · Down: first"),
                ("2", "started 10:00:20, waited 15.0 s · Down: again"),
                ("3", "started 10:00:40, waited 19.5 s · Down: no · Failed 10:01:30"),
            ],
        ),
        (
            a_run(Status.SUCCEEDED, 5, log=(DOWN, SECOND_START, AGAIN)),
            [
                ("1", f"{FIRST} · Down: first"),
                ("2", "started 10:00:20, waited 15.0 s · Down: again"),
                ("3–4", "not kept"),
                ("5", "Success 10:01:30"),
            ],
        ),
        (
            a_run(Status.SUCCEEDED, 2, log=(SECOND_START,)),
            [("1", FIRST), ("2", "started 10:00:20 · Success 10:01:30")],
        ),
        (
            a_run(Status.LOST, 2, "first", log=(DOWN, SECOND_START)),
            [("1", f"{FIRST} · Down: first"), ("2", "started 10:00:20, waited 15.0 s · Lost 10:01:30")],
        ),
        (
            a_run(Status.LOST, 2, "died", Code.KILLED, (DOWN, SECOND_START)),
            [
                ("1", f"{FIRST} · Down: first"),
                ("2", "started 10:00:20, waited 15.0 s · Down: died · Lost 10:01:30"),
            ],
        ),
    ],
)
def test_attempts_are_told_as_far_as_they_are_kept(run: TaskRun, lines: list[tuple[str, str]]) -> None:
    assert told(run) == lines


def details(client: Client, run: TaskRun) -> str:
    text = client.get(f"{RUNS}{run.pk}/change/").content.decode()
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def links(client: Client, task: Any, run: TaskRun) -> list[str]:
    text = client.get(f"{LIST}{task.pk}/change/?run={run.pk}").content.decode()
    return re.findall(rf'id="st-related-{run.pk}-\d+"\s+href="([^"]*)"', text)


@pytest.mark.django_db
def test_retried_run_and_its_retry_lead_to_each_other(admin_client: Client) -> None:
    task = make_task()
    old = make_run(task, Status.FAILED)
    other = make_run(task)
    new = make_run(task, trigger="retry", retry_of=old)
    assert f"Retried as run {new.pk} · Success" in details(admin_client, old)
    assert f"Retry of run {old.pk} · Failed" in details(admin_client, new)
    assert "Retr" not in details(admin_client, other).replace("Retry", "", 1)
    assert links(admin_client, task, old) == [f"{LIST}{task.pk}/change/?run={new.pk}#st-run-{new.pk}"]
    assert links(admin_client, task, new) == [f"{LIST}{task.pk}/change/?run={old.pk}#st-run-{old.pk}"]


@pytest.mark.django_db
def test_blocked_run_leads_to_the_one_that_blocked_it(admin_client: Client) -> None:
    task = make_task()
    blocking = make_run(task, Status.RUNNING)
    skipped = make_run(task, Status.SKIPPED, celery_id=None, reason=Code.OVERLAP, blocked_by=blocking)
    held = make_run(task, blocked_by=blocking)
    assert f"Blocked by run {blocking.pk} · Running" in details(admin_client, skipped)
    assert f"Waited for run {blocking.pk} · Running" in details(admin_client, held)
    blocking.delete()
    assert "Blocked by" not in details(admin_client, skipped), "it leads to a run that is gone"


@pytest.mark.django_db
def test_related_runs_cost_two_statements_whatever_the_history(admin_client: Client) -> None:
    task = make_task()
    old = make_run(task, Status.FAILED)
    make_run(task, trigger="retry", retry_of=old)
    counts = []
    for more in (0, NEWER_READ):
        for _ in range(more):
            make_run(task)
        with CaptureQueriesContext(connection) as context:
            assert "Retried as" in details(admin_client, old)
        counts.append(len(context))
    assert counts[0] == counts[1] <= 10


@pytest.mark.django_db
@pytest.mark.parametrize("status", [Status.MISSED, Status.SKIPPED])
def test_row_of_several_ticks_says_how_many_and_until_when(admin_client: Client, status: Status) -> None:
    task = make_task()
    until = database_now().replace(microsecond=0)
    run = make_run(
        task,
        status,
        celery_id=None,
        reason=Code.NO_BEAT,
        tick_count=12,
        scheduled_for=until - timedelta(minutes=11),
        scheduled_until=until,
    )
    sentence = f"No beat was running. 12 scheduled times, the last one at {until:%H:%M:%S}."
    assert sentence in admin_client.get(f"{LIST}{task.pk}/change/").content.decode()
    assert sentence in details(admin_client, run)
    assert re.search(rf"Scheduled until [^Q]*{until:%H:%M:%S}", details(admin_client, run))
    TaskRun.objects.update(tick_count=1)
    assert "scheduled times" not in admin_client.get(f"{LIST}{task.pk}/change/").content.decode()
