"""The clock, the indexes and what a run tells of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from scheduled_tasks.models import Lease, ScheduledTask, Status, TaskRun, UtcNow, database_now
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db


def test_the_databases_clock_is_utc_and_about_now():
    assert abs(database_now() - timezone.now()) < timedelta(seconds=5)


def test_the_clock_can_be_read_beside_parameters_while_statements_are_logged():
    Lease.objects.create(name="beat", until=datetime(2026, 1, 1, tzinfo=UTC))
    with CaptureQueriesContext(connection):
        expired = Lease.objects.filter(name="beat", until__lt=UtcNow()).annotate(now=UtcNow()).get()
        Lease.objects.filter(name="beat").update(until=UtcNow())
    assert abs(expired.now - timezone.now()) < timedelta(seconds=5)
    assert abs(Lease.objects.get().until - timezone.now()) < timedelta(seconds=5)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_the_clock_does_not_follow_the_connections_zone(zone):
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SET time_zone = '-05:00'" if "York" in zone else "SET time_zone = '+05:30'")
    with timezone.override(zone):
        assert abs(database_now() - timezone.now()) < timedelta(seconds=5)


def test_deleting_a_task_leaves_its_runs():
    task = make_task()
    run = make_run(task)
    assert run.task_or_none == task
    ScheduledTask.objects.get(pk=task.pk).delete()
    run = TaskRun.objects.get(pk=run.pk)
    assert run.task_or_none is None
    assert run.name == "purge"


def test_durations_are_never_negative():
    run = make_run(make_task(), took=-5)
    assert run.duration == timedelta(0)
    assert run.queue_wait == timedelta(0)


def test_an_open_run_has_no_duration():
    assert make_run(make_task(), Status.RUNNING).duration is None


@pytest.mark.parametrize(
    ("stored", "shown"),
    [("", None), ('{"deleted": 3}', {"deleted": 3}), ('"3"', "3"), ("{broken", "{broken")],
)
def test_summary(stored, shown):
    assert TaskRun(summary=stored).summary_data == shown


@pytest.mark.parametrize(
    ("stored", "shown"), [("", None), ('{"done": 1, "total": 2}', {"done": 1, "total": 2}), ("[1]", None)]
)
def test_progress(stored, shown):
    assert TaskRun(progress=stored).progress_data == shown


def test_there_are_these_indexes_and_no_others():
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, TaskRun._meta.db_table)
    indexes = [each for each in constraints.values() if each["index"] or each["unique"]]
    columns = sorted(tuple(each["columns"]) for each in indexes if not each["primary_key"])
    assert columns == [
        ("celery_id",),
        ("open_since",),
        ("queued_at",),
        ("status", "id"),
        ("task_id", "id", "status"),
        ("tick",),
    ]


@pytest.mark.skipif(
    "connection.vendor != 'sqlite'", reason="only SQLite takes all statuses for equally frequent"
)
def test_open_runs_are_found_by_their_index_once_sqlite_has_been_analysed():
    now, ended = datetime.now(UTC), (Status.SUCCEEDED, Status.FAILED, Status.SKIPPED)
    TaskRun.objects.bulk_create(
        TaskRun(name="a job", status=ended[n % 3], queued_at=now) for n in range(2_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    assert "scheduled_tasks_run_open" in TaskRun.objects.open().explain()
