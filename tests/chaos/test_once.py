"""Two beats, of which one is killed about when a task is to run once: it runs exactly once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django_celery_beat.models import ClockedSchedule, PeriodicTask

from scheduled_tasks.declarations.sync import sync
from scheduled_tasks.models import OPEN, ScheduledTask, Status, TaskRun, database_now
from scheduled_tasks.reasons import Code
from tests import tasks
from tests.integration.test_beat import LEADS
from tests.live import Beat, Worker, wait_for

KILLS = 3
RAN = Status.SUCCEEDED, "", 1
UNSURE = [(Status.MISSED, code, 0) for code in (Code.MAYBE_SENT, Code.SENT_UNNOTED)]
"""A beat that died between claim and note is not followed by another one's message."""


def once_in(delay: timedelta, number: int) -> tuple[PeriodicTask, datetime]:
    at = database_now() + delay
    row = ClockedSchedule.objects.create(clocked_time=at)
    fields = {"name": f"once {number}", "task": tasks.count_users.name, "clocked": row, "one_off": True}
    return PeriodicTask.objects.create(**fields), at


def is_accounted(task: PeriodicTask) -> bool:
    return TaskRun.objects.filter(task_id=task.pk).exclude(status__in=OPEN).exists()


def leads(beat: Beat) -> bool:
    return beat.running and LEADS in beat.output()


def test_runs_exactly_once_whenever_the_leader_dies(worker: Worker, start_beat: Callable[..., Beat]) -> None:
    sync()
    ScheduledTask.objects.all().delete()
    beats, made = [start_beat(), start_beat()], []
    for number in range(KILLS):
        leader = wait_for(lambda: next(filter(leads, beats), None), timeout=60, message="a leader")
        task, at = once_in(timedelta(seconds=4), number)
        made.append(task)
        kill_at = at + timedelta(seconds=random.uniform(-0.3, 0.6))
        time.sleep((kill_at - database_now()).total_seconds())
        leader.kill()
        beats.append(start_beat())
        wait_for(lambda: is_accounted(made[-1]), timeout=60, message=f"what became of it: {kill_at - at}")
    time.sleep(3)
    for task in made:
        task.refresh_from_db()
        (run,) = TaskRun.objects.filter(task_id=task.pk)
        assert (run.status, run.reason, run.attempts) in (RAN, *UNSURE), run.reason
        assert not task.enabled
