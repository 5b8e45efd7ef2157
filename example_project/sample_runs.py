"""A past for the demonstration: runs as a fortnight of use would have left them, marked as sample data."""

import json
import random
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain
from uuid import uuid4

from django.db import transaction

from scheduled_tasks.models import ScheduledTask, Status, TaskRun, database_now
from scheduled_tasks.ticks import ticks_between

SAMPLE = "sample-data"
"""Stands as the worker of every run made here."""

PAST = timedelta(days=14)
MOST_RUNS = 400
"""Of one task: a job of every minute has its last hours only."""

USUAL_SECONDS = {
    "certificate-audit": 30.0,
    "recording-conversion": 0.12,
    "retention-enforcement": 8.0,
    "search-index-sync": 0.35,
    "weekly-summary-email": 4.5,
    "webhook-delivery-retry": 2.1,
}
"""How long a job takes; others take 0.2 s."""

TROUBLES = {
    "webhook-delivery-retry": (
        0.02,
        "ConnectionError",
        "hooks.example.com did not answer within 2 s",
    ),
    "search-index-sync": (0.03, "IndexLocked", "the search index is locked by another process"),
    "certificate-audit": (0.01, "StorageTimeout", "the storage did not answer within 10 s"),
}
"""What goes wrong now and then: how often, the error's type and text."""

NO_TROUBLE = (0.0, "", "")

CALM = 5
"""Newest runs of each task that succeeded: the demonstration begins without an incident."""


def ensure_past_runs() -> None:
    """Fill an empty history with a past; nothing where any run has been recorded."""
    if TaskRun.objects.exists():
        return
    now = database_now()
    chance = random.Random(14)  # the same past for everybody
    tasks = ScheduledTask.objects.with_schedules().filter(enabled=True)
    runs = chain.from_iterable(past_runs(task, now, chance) for task in tasks.order_by("pk"))
    with transaction.atomic():
        TaskRun.objects.bulk_create(sorted(runs, key=lambda run: run.queued_at))


def past_runs(task: ScheduledTask, now: datetime, chance: random.Random) -> Iterator[TaskRun]:
    """One run for each of the task's ticks before ``now``, the oldest first."""
    ticks = chain.from_iterable(ticks_between(task, now - PAST, now - timedelta(minutes=2)))
    kept = deque(ticks, maxlen=MOST_RUNS)
    often, _type, _error = TROUBLES.get(task.name, NO_TROUBLE)
    for older, tick in enumerate(kept, 1 - len(kept)):
        yield past_run(task, tick, chance, failed=older <= -CALM and chance.random() < often)


def past_run(task: ScheduledTask, tick: datetime, chance: random.Random, *, failed: bool) -> TaskRun:
    """A run of that tick."""
    _often, error_type, error = TROUBLES.get(task.name, NO_TROUBLE)
    queued = tick + timedelta(milliseconds=chance.randint(10, 120))
    started = queued + timedelta(milliseconds=chance.randint(3, 40))
    seconds = USUAL_SECONDS.get(task.name, 0.2) * chance.lognormvariate(0, 0.25)
    return TaskRun(
        celery_id=uuid4(),
        task=task,
        name=task.name,
        status=Status.FAILED if failed else Status.SUCCEEDED,
        scheduled_for=tick,
        queued_at=queued,
        sent_at=queued,
        started_at=started,
        finished_at=started + timedelta(seconds=seconds),
        attempts=1,
        worker=SAMPLE,
        queue="celery",
        args=task.args,
        kwargs=task.kwargs,
        summary="" if failed else json.dumps("sample data"),
        error_type=error_type if failed else "",
        error=error if failed else "",
    )
