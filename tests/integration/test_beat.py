"""Real beats on the run's own database and broker: what they fire arrives, once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from itertools import pairwise

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduled_tasks.declarations.sync import sync
from scheduled_tasks.models import Lease, Process, ProcessKind, ScheduledTask, Status, TaskRun, TaskState
from scheduled_tasks.reading.health import problems
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.reasons import Code
from tests import tasks
from tests.live import Beat, Worker, wait_for

LEADS = "This beat leads now"

TAKEOVER = 30.0
"""Seconds from the death of a leader to the first run that another beat sends, less the schedule's period."""

PERIOD = 1.0


@pytest.fixture
def no_other_jobs(transactional_db: None) -> None:
    """The example site's own jobs stay out: what an operator deleted, no beat brings back."""
    sync()
    ScheduledTask.objects.all().delete()


@pytest.fixture
def every_second(no_other_jobs: None) -> PeriodicTask:
    second = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    return PeriodicTask.objects.create(name="count users", task=tasks.count_users.name, interval=second)


def beat_lease() -> Lease:
    return Lease.objects.get(name="beat")


def succeeded(task: PeriodicTask, count: int) -> bool:
    return TaskRun.objects.filter(task_id=task.pk, status=Status.SUCCEEDED).count() >= count


def accounted_ticks(task: PeriodicTask) -> int:
    """How many ticks all rows of the task stand for; fails when two rows claim the same one."""
    rows = TaskRun.objects.filter(task_id=task.pk).order_by("scheduled_for")
    spans = [(row.scheduled_for, row.scheduled_until or row.scheduled_for) for row in rows]
    assert all(before[1] < after[0] for before, after in pairwise(spans)), spans
    return sum(row.tick_count for row in rows)


@pytest.mark.smoke
def test_fires_and_the_run_succeeds(
    worker: Worker, start_beat: Callable[..., Beat], every_second: PeriodicTask
) -> None:
    beat = start_beat()
    wait_for(lambda: succeeded(every_second, 3), message="three runs that succeeded")
    beat.end()
    first, last = (
        TaskRun.objects.filter(task_id=every_second.pk).order_by(order).first() for order in ("id", "-id")
    )
    elapsed = (last.scheduled_until or last.scheduled_for) - first.scheduled_for
    assert accounted_ticks(every_second) == elapsed.total_seconds() + 1
    assert Process.objects.get(kind=ProcessKind.BEAT).stopped_at is not None
    assert beat_lease().until is None
    every_second.refresh_from_db()
    assert every_second.total_run_count >= 3


def test_edits_take_effect_within_5_seconds(
    worker: Worker, start_beat: Callable[..., Beat], every_second: PeriodicTask
) -> None:
    start_beat()
    wait_for(lambda: succeeded(every_second, 1), message="a run")
    every_second.enabled = False
    every_second.save()
    wait_for(
        lambda: TaskState.objects.get(pk=every_second.pk).next_run_at is None,
        timeout=10,
        message="beat to notice",
    )
    count = TaskRun.objects.count()
    every_second.enabled = True
    every_second.save()
    wait_for(lambda: TaskRun.objects.count() > count, message="the next run")


def test_kill_9_of_the_leader(
    start_beat: Callable[..., Beat], every_second: PeriodicTask, worker: Worker
) -> None:
    first = start_beat()
    first.wait_for_log(LEADS)
    second = start_beat()
    wait_for(lambda: succeeded(every_second, 2), message="runs of the first")
    assert LEADS not in second.output()
    first.kill()
    wait_for(lambda: "Sent" in second.output(), timeout=TAKEOVER + PERIOD, message="the first run it sends")
    newest = TaskRun.objects.latest("id").pk
    wait_for(
        lambda: TaskRun.objects.filter(id__gt=newest, status=Status.SUCCEEDED).exists(),
        message="runs of the second",
    )
    assert Process.objects.exclude(loop_at=None).filter(boot_id=beat_lease().holder).exists()
    second.stop()
    accounted_ticks(every_second)


def test_clean_stop_hands_over(
    worker: Worker, start_beat: Callable[..., Beat], every_second: PeriodicTask
) -> None:
    first = start_beat()
    first.wait_for_log(LEADS)
    second = start_beat()
    second.wait_for_log("this one stands by")
    leader = beat_lease().holder
    first.end()
    lease = beat_lease()
    assert lease.until is None or lease.holder != leader
    second.wait_for_log(LEADS, timeout=15)
    second.stop()
    accounted_ticks(every_second)
    assert not TaskRun.objects.filter(reason=Code.SENT_UNNOTED).exists()


def test_paused_leader_wakes_up_and_stands_by(
    start_beat: Callable[..., Beat], every_second: PeriodicTask, worker: Worker
) -> None:
    first = start_beat()
    wait_for(lambda: succeeded(every_second, 2), message="runs of the first")
    first.pause()
    second = start_beat()
    second.wait_for_log(LEADS)
    first.signal(signal.SIGCONT)
    first.wait_for_log("this one stands by")
    second.stop()
    first.stop()
    accounted_ticks(every_second)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_beat_inside_a_worker(start_worker: Callable[..., Worker], no_other_jobs: None, pool: str) -> None:
    second = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    options = ["-B", "--scheduler", "scheduled_tasks.beat:Scheduler"]
    own = start_worker(pool=pool, concurrency=1, options=options)
    job = PeriodicTask.objects.create(
        name="count users", task=tasks.count_users.name, interval=second, queue=own.queue
    )
    wait_for(lambda: succeeded(job, 2), message="two runs that succeeded")
    own.stop()
    accounted_ticks(job)


def test_beat_with_another_scheduler_is_shown_as_such(
    worker: Worker, start_beat: Callable[..., Beat], every_second: PeriodicTask
) -> None:
    beat = start_beat(options=["-S", "django_celery_beat.schedulers:DatabaseScheduler"])
    row = wait_for(Process.objects.filter(kind=ProcessKind.BEAT).first, message="the row of the beat")
    assert row.pool == "django_celery_beat.schedulers:DatabaseScheduler"
    wait_for(lambda: succeeded(every_second, 1), message="a run that succeeded")
    wait_for(lambda: [problem.code for problem in problems(Machinery.read())] == ["scheduler"])
    beat.end()
    assert Process.objects.get(kind=ProcessKind.BEAT).stopped_at
