"""The past that the demonstration begins with."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models import Max, Min

from example_project.sample_runs import MOST_RUNS, PAST, SAMPLE, ensure_past_runs
from scheduled_tasks.models import Flag, ScheduledTask, Status, TaskRun, database_now

pytestmark = pytest.mark.django_db


@pytest.fixture
def past(db: None) -> None:
    call_command("sync_scheduled_tasks", stdout=StringIO())
    ensure_past_runs()


def test_every_job_has_a_past_that_says_what_it_is(past):
    runs = TaskRun.objects.all()
    assert not runs.exclude(worker=SAMPLE)
    per_job = Counter(runs.values_list("name", flat=True))
    assert max(per_job.values()) == per_job["simulate-activity"] == MOST_RUNS
    assert per_job["retention-enforcement"] in (13, 14)
    assert {"exchange-rate-sync", "weekly-summary-email"} <= per_job.keys()
    times = runs.aggregate(first=Min("queued_at"), last=Max("finished_at"))
    now = database_now()
    assert now - PAST - timedelta(hours=2) < times["first"] < now - PAST + timedelta(hours=2)
    assert times["last"] < now


def test_something_went_wrong_and_nothing_is_wrong_now(past):
    """Else an incident would be told before anybody has looked."""
    assert 3 < TaskRun.objects.filter(status=Status.FAILED).exclude(error="").count() < 200
    tasks = ScheduledTask.objects.with_flags(database_now(), None)
    assert not [task.name for task in tasks if getattr(task, f"is_{Flag.FAILING}")]


def test_a_history_of_its_own_stays_as_it_is(past):
    TaskRun.objects.exclude(name="simulate-activity").delete()
    ensure_past_runs()
    assert set(TaskRun.objects.values_list("name", flat=True)) == {"simulate-activity"}
