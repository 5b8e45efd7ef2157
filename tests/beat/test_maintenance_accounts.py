"""Windows begin, end, move and go at random while beat dies and comes back: each tick is in one row."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from scheduled_tasks.models import MaintenanceTask, MaintenanceWindow, TaskRun, TaskState

from .harness import START, Beat, TestClock, a_beat_was_here, cron_task, interval_task
from .test_maintenance import every_minute

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_every_tick_is_in_one_row_whatever_happens(seed: int) -> None:
    """Windows begin, end, are extended and deleted, and beat dies and comes back, at random."""
    chance = random.Random(seed)
    a_beat_was_here()
    jobs = [
        every_minute(),
        cron_task("*/5 * * * *", changed=START, state={"overlap": "allow", "misfire": "ignore"}),
        interval_task(90, "seconds", changed=START, state={"overlap": "allow"}),
    ]
    moment, beat = START, Beat(TestClock())
    for _step in range(40):
        moment += timedelta(seconds=chance.randrange(1, 400))
        if chance.random() < 0.3:
            beat.lease.release()
            beat = Beat(TestClock(moment))
        else:
            beat.run_until(moment)
        change_windows(chance, moment, jobs)
    beat.run_until(moment)
    for job in jobs:
        check_account(job)
        started = TaskRun.objects.filter(task_id=job.pk).exclude(tick=None).values_list("tick", flat=True)
        assert len(set(started)) == len(started)


def change_windows(chance: random.Random, now: datetime, jobs: list[PeriodicTask]) -> None:
    def some_time() -> timedelta:
        return timedelta(seconds=chance.randrange(1, 600))

    made = list(MaintenanceWindow.objects.not_over_at(now))
    choice = chance.choice(["begin", "begin", "plan", "end", "extend", "delete", "nothing"])
    if choice in ("begin", "plan"):
        start = now + (some_time() if choice == "plan" else timedelta(0))
        end = None if chance.random() < 0.3 else start + some_time()
        new = MaintenanceWindow.objects.create(
            starts_at=start, ends_at=end, by="x", run_once_after=chance.random() < 0.5
        )
        for job in chance.sample(jobs, 2):
            MaintenanceTask.objects.create(window=new, task_id=job.pk)
    elif made and choice == "end":
        MaintenanceWindow.objects.filter(pk=chance.choice(made).pk).update(ends_at=now)
    elif made and choice == "extend":
        MaintenanceWindow.objects.filter(pk=chance.choice(made).pk).update(ends_at=now + some_time())
    elif made and choice == "delete":
        chance.choice(made).delete()
    PeriodicTasks.update_changed()


def check_account(job: PeriodicTask) -> None:
    """Rows of ticks follow each other without a gap; what ran after a window is besides."""
    step = timedelta(seconds=90) if job.interval_id else 5 * MINUTE if job.name == "job-2" else MINUTE
    first = START + step if job.interval_id else START.replace(minute=START.minute // 5 * 5) + step
    expected = first if step != MINUTE else START + MINUTE
    for row in TaskRun.objects.filter(task_id=job.pk).order_by("scheduled_for", "id"):
        if (row.scheduled_for - expected) % step:
            continue  # the end of a window
        assert row.scheduled_for == expected, (job.name, row.status, row.scheduled_for, expected)
        last = row.scheduled_until or row.scheduled_for
        assert last == row.scheduled_for + (row.tick_count - 1) * step
        expected = last + step
    assert TaskState.objects.get(pk=job.pk).accounted_until == expected - step
