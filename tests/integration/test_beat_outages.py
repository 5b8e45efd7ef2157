"""Beat without its broker, and without its database: it waits, goes on, and accounts for every tick."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduled_tasks.models import Overlap, Status, TaskRun, TaskState
from tests import embedded, tasks
from tests.chaos.proxy import Proxy
from tests.live import Beat, Worker, wait_for

from .test_beat import LEADS, accounted_ticks, every_second, no_other_jobs, succeeded

__all__ = ["every_second", "no_other_jobs"]

FROZEN = 12.0
"""Seconds: longer than any of beat's own time limits."""

needs_server = pytest.mark.skipif(
    "sqlite" in os.environ.get("DATABASE_URL", ""), reason="SQLite is no server that could be down"
)


@pytest.fixture
def through() -> Iterator[Callable[[str], Proxy]]:
    """Call it with a variable of the environment that holds an address to get a door before that server."""
    with ExitStack() as stack:
        yield lambda variable: stack.enter_context(Proxy(os.environ[variable]))


def accounted_to_the_last(task: PeriodicTask) -> bool:
    """Whether the rows stand for every tick of a task that is due every second."""
    runs = TaskRun.objects.filter(task_id=task.pk)
    first, last = runs.earliest("scheduled_for"), runs.latest("scheduled_for")
    elapsed = (last.scheduled_until or last.scheduled_for) - first.scheduled_for
    return accounted_ticks(task) == elapsed.total_seconds() + 1


def runs_after(newest: TaskRun) -> bool:
    """Whether runs that came later have succeeded."""
    return TaskRun.objects.filter(id__gt=newest.pk, status=Status.SUCCEEDED).count() > 1


@pytest.mark.parametrize("trouble", ["refuse", "hang"])
def test_broker_away_at_start_and_while_running(
    trouble: str,
    start_beat: Callable[..., Beat],
    through: Callable[[str], Proxy],
    every_second: PeriodicTask,
    worker: Worker,
) -> None:
    broker = through("CELERY_BROKER_URL")
    getattr(broker, trouble)()
    beat = start_beat(env={"CELERY_BROKER_URL": broker.url})
    beat.wait_for_log("cannot reach the broker")
    broker.restore()
    wait_for(lambda: succeeded(every_second, 2), message="runs once the broker was there")
    seen = beat.output().count("cannot reach the broker")
    getattr(broker, trouble)()
    wait_for(
        lambda: beat.output().count("cannot reach the broker") > seen + 1,
        timeout=120,
        message="beat to notice the outage",
    )
    newest = TaskRun.objects.latest("id")
    broker.restore()
    wait_for(lambda: runs_after(newest), timeout=120, message="runs after the outage")
    beat.stop()
    assert accounted_to_the_last(every_second)
    assert TaskRun.objects.filter(status=Status.MISSED).exists()


def test_broker_that_hangs_gets_no_tick_twice(
    start_beat: Callable[..., Beat],
    start_worker: Callable[..., Worker],
    no_other_jobs: None,
    tmp_path: Path,
) -> None:
    """A frozen broker carries out afterwards what it was sent: whether it has a message nobody knows."""
    server, url = embedded.start_valkey(tmp_path)
    try:
        own = start_worker(env={"CELERY_BROKER_URL": url}, concurrency=1)
        second = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
        job = PeriodicTask.objects.create(
            name="count users", task=tasks.count_users.name, interval=second, queue=own.queue
        )
        TaskState.objects.create(task_id=job.pk, overlap=Overlap.ALLOW)
        beat = start_beat(env={"CELERY_BROKER_URL": url})
        for _ in range(2):
            wait_for(lambda: succeeded(job, 2), message="runs before")
            newest = TaskRun.objects.latest("id")
            server.freeze()
            time.sleep(FROZEN)
            server.thaw()
            wait_for(lambda newest=newest: runs_after(newest), timeout=120, message="runs after it answers")
        beat.stop()
        own.stop()
    finally:
        server.stop()
    assert "does not know whether" in beat.output()
    assert not TaskRun.objects.filter(attempts__gt=1).exists()
    assert accounted_to_the_last(job)


@needs_server
@pytest.mark.parametrize("trouble", ["refuse", "hang"])
def test_database_away_at_start_and_while_running(
    trouble: str,
    start_beat: Callable[..., Beat],
    through: Callable[[str], Proxy],
    every_second: PeriodicTask,
    worker: Worker,
) -> None:
    database = through("DATABASE_URL")
    getattr(database, trouble)()
    beat = start_beat(env={"DATABASE_URL": database.url})
    beat.wait_for_log("Beat waits for the database")
    database.restore()
    beat.wait_for_log(LEADS)
    wait_for(lambda: succeeded(every_second, 2), message="runs once the database was there")
    seen = beat.output().count("Beat waits for the database")
    getattr(database, trouble)()
    wait_for(
        lambda: beat.output().count("Beat waits for the database") > seen,
        timeout=120,
        message="beat to notice the outage",
    )
    newest = TaskRun.objects.latest("id")
    database.restore()
    wait_for(lambda: runs_after(newest), timeout=120, message="runs after the outage")
    assert beat.running
    beat.stop()
    assert accounted_to_the_last(every_second)
