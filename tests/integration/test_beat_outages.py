"""Beat without its broker, and without its database: it waits, goes on, and accounts for every tick."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from django.db import connection
from django_celery_beat.models import PeriodicTask

from scheduled_tasks.models import Status, TaskRun
from tests.live import Beat, Worker, wait_for
from tests.proxy import Proxy

from .test_beat import LEADS, accounted_ticks, every_second, no_other_jobs, succeeded

__all__ = ["every_second", "no_other_jobs"]

needs_server = pytest.mark.skipif(
    "sqlite" in os.environ.get("DATABASE_URL", ""), reason="SQLite is no server that could be down"
)


@pytest.fixture
def through() -> Iterator[Callable[[str, int], Proxy]]:
    """Call it with a variable of the environment that holds an address to get a proxy before that server."""
    with ExitStack() as stack:

        def proxy(variable: str, default_port: int) -> Proxy:
            made = Proxy(os.environ[variable], default_port)
            stack.callback(made.cut)
            return made

        yield proxy


def test_broker_down_at_start_and_while_running(
    start_beat: Callable[..., Beat],
    through: Callable[[str, int], Proxy],
    every_second: PeriodicTask,
    worker: Worker,
) -> None:
    broker = through("CELERY_BROKER_URL", 6379)
    beat = start_beat(env={"CELERY_BROKER_URL": broker.url})
    beat.wait_for_log("cannot reach the broker")
    broker.restore()
    wait_for(lambda: succeeded(every_second, 2), message="runs once the broker was there")
    broker.cut()
    wait_for(lambda: beat.output().count("cannot reach the broker") > 2, message="beat to notice the outage")
    newest = TaskRun.objects.latest("id").pk
    broker.restore()
    wait_for(
        lambda: TaskRun.objects.filter(id__gt=newest, status=Status.SUCCEEDED).count() > 1,
        message="runs after the outage",
    )
    beat.stop()
    first, last = TaskRun.objects.earliest("id"), TaskRun.objects.latest("scheduled_for")
    elapsed = (last.scheduled_until or last.scheduled_for) - first.scheduled_for
    assert accounted_ticks(every_second) == elapsed.total_seconds() + 1
    assert TaskRun.objects.filter(status=Status.MISSED).exists()


@needs_server
def test_database_down_at_start_and_while_running(
    start_beat: Callable[..., Beat],
    through: Callable[[str, int], Proxy],
    every_second: PeriodicTask,
    worker: Worker,
) -> None:
    database = through("DATABASE_URL", 5432 if connection.vendor == "postgresql" else 3306)
    beat = start_beat(env={"DATABASE_URL": database.url})
    beat.wait_for_log("Beat waits for the database")
    database.restore()
    beat.wait_for_log(LEADS)
    wait_for(lambda: succeeded(every_second, 2), message="runs once the database was there")
    database.cut()
    wait_for(
        lambda: beat.output().count("Beat waits for the database") > 1, message="beat to notice the outage"
    )
    newest = TaskRun.objects.latest("id").pk
    database.restore()
    wait_for(
        lambda: TaskRun.objects.filter(id__gt=newest, status=Status.SUCCEEDED).count() > 1,
        message="runs after the outage",
    )
    assert beat.running
    beat.stop()
    first, last = TaskRun.objects.earliest("id"), TaskRun.objects.latest("scheduled_for")
    elapsed = (last.scheduled_until or last.scheduled_for) - first.scheduled_for
    assert accounted_ticks(every_second) == elapsed.total_seconds() + 1
