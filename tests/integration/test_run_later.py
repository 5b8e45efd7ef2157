"""A real beat and a real worker run later what was missed: in order, each with its own scheduled time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from django_celery_beat.models import CrontabSchedule, PeriodicTask

from scheduled_tasks.models import Status, TaskRun, database_now
from scheduled_tasks.operations import Actor, run_later
from tests import tasks
from tests.live import Beat, Worker, wait_for

AT = datetime(2026, 6, 8, 3, tzinfo=UTC)


def test_missed_nights_run_one_after_the_other(worker: Worker, start_beat: Callable[..., Beat]) -> None:
    nightly = CrontabSchedule.objects.create(minute="0", hour="3", timezone="UTC")
    job = PeriodicTask.objects.create(name="close", task=tasks.tell_scheduled_time.name, crontab=nightly)
    missed = TaskRun.objects.create(
        task_id=job.pk,
        name=job.name,
        status=Status.MISSED,
        queued_at=database_now(),
        finished_at=database_now(),
        scheduled_for=AT,
        scheduled_until=AT + timedelta(days=2),
        tick_count=3,
    )
    runs = run_later(missed.pk, actor=Actor("anna", lambda task, entry: None))
    start_beat()
    made = TaskRun.objects.filter(retry_of=missed).order_by("pk")
    wait_for(lambda: made.filter(status=Status.SUCCEEDED).count() == 3, message="the three runs")
    assert [run.pk for run in made] == [run.pk for run in runs]
    assert [run.summary_data for run in made] == [
        f"'anna, {AT + timedelta(days=n):%d %H:%M}'" for n in range(3)
    ]
    assert all(before.finished_at <= run.started_at for before, run in pairwise(made)), "two ran at once"
