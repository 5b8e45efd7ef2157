"""Beat without its broker, and without its database: it waits, goes on, and accounts for every tick."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from django_celery_beat.models import PeriodicTask

from scheduled_tasks.models import Status, TaskRun
from tests.chaos.proxy import Proxy
from tests.live import Beat, Worker, wait_for

from .test_beat import LEADS, accounted_ticks, every_second, no_other_jobs, succeeded

__all__ = ["every_second", "no_other_jobs"]

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
    first, last = TaskRun.objects.earliest("scheduled_for"), TaskRun.objects.latest("scheduled_for")
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
