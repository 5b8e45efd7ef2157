"""A beat is killed while maintenance windows begin and end: no tick is lost, doubled or sent in one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduled_tasks import operations
from scheduled_tasks.declarations.sync import sync
from scheduled_tasks.models import ScheduledTask, Status, TaskRun, TaskState, database_now
from scheduled_tasks.operations import Actor
from scheduled_tasks.reasons import Code
from tests import tasks
from tests.live import Beat, Worker, wait_for

ANNA = Actor("anna", lambda about, entry: None)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


def interval_task(name: str, every: int, period: str, **state: object) -> PeriodicTask:
    row = IntervalSchedule.objects.create(every=every, period=period)
    made = PeriodicTask.objects.create(name=name, task=tasks.count_users.name, interval=row)
    TaskState.objects.create(task_id=made.pk, overlap="allow", **state)
    return made


@pytest.fixture
def every_second(transactional_db: None) -> PeriodicTask:
    sync()
    ScheduledTask.objects.all().delete()
    return interval_task("every second", 1, IntervalSchedule.SECONDS)


def runs_since(task: PeriodicTask, moment: datetime) -> Callable[[], int]:
    rows = TaskRun.objects.filter(task_id=task.pk, sent_at__isnull=False, scheduled_for__gt=moment)
    return lambda: rows.count()


def due_soon(task: PeriodicTask) -> datetime:
    """Have beat, which does not run, find the task due in two seconds."""
    now = database_now()
    TaskState.objects.filter(pk=task.pk).update(
        enabled_since=now - 2 * HOUR, accounted_until=now - HOUR + 2 * SECOND, next_run_at=now + 2 * SECOND
    )
    return now + 2 * SECOND


def account(task: PeriodicTask) -> list[tuple[str, str, datetime, datetime]]:
    """Every row of the task, after checking that each second is in exactly one."""
    rows = list(TaskRun.objects.filter(task_id=task.pk).order_by("scheduled_for", "id"))
    spans = [(row.scheduled_for, row.scheduled_until or row.scheduled_for) for row in rows]
    assert all(after[0] - before[1] == SECOND for before, after in pairwise(spans)), spans
    assert sum(row.tick_count for row in rows) == (spans[-1][1] - spans[0][0]) / SECOND + 1
    return [(row.status, row.reason, *span) for row, span in zip(rows, spans, strict=True)]


def test_killed_while_windows_begin_and_end(
    worker: Worker, start_beat: Callable[..., Beat], every_second: PeriodicTask
) -> None:
    hourly = interval_task("hourly", 1, IntervalSchedule.HOURS)
    beat = start_beat()
    wait_for(lambda: runs_since(every_second, database_now() - HOUR)() >= 2, message="two runs")
    beat.kill()
    tick = due_soon(hourly)
    first = operations.plan_maintenance(actor=ANNA, note="while beat is dead", run_once_after=True)
    wait_for(lambda: database_now() > tick + SECOND, message="the tick's time")
    first = operations.end_maintenance(first.pk, actor=ANNA)

    beat = start_beat()
    wait_for(lambda: runs_since(every_second, first.ends_at)() >= 2, message="runs after the first window")
    second = operations.plan_maintenance(actor=ANNA, note="while beat lives", task_ids=[every_second.pk])
    time.sleep(2)
    beat.kill()
    beat = start_beat()
    noted = TaskRun.objects.filter(scheduled_until__gt=second.starts_at + SECOND, status=Status.SKIPPED)
    wait_for(noted.exists, message="a skipped row")
    second = operations.end_maintenance(second.pk, actor=ANNA)
    wait_for(lambda: runs_since(every_second, second.ends_at)() >= 2, message="runs after the second window")
    beat.stop()

    assert beat_started_nothing_in(first, hourly)
    assert beat_started_nothing_in(second, every_second)
    for status, reason, begin, end in account(every_second):
        inside = [each for each in (first, second) if each.covers(begin)]
        assert (reason == Code.MAINTENANCE) == bool(inside), (status, reason, begin)
        assert not inside or inside[0].covers(end)
    rows = TaskRun.objects.filter(task_id=hourly.pk).order_by("id")
    assert [(row.status == Status.SKIPPED, row.scheduled_for) for row in rows] == [
        (True, tick),
        (False, first.ends_at),
    ]


def beat_started_nothing_in(window: object, task: PeriodicTask) -> bool:
    runs = TaskRun.objects.filter(task_id=task.pk).exclude(sent_at=None)
    return not any(window.covers(run.scheduled_for) for run in runs)  # type: ignore[attr-defined]
