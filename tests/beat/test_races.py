"""Whoever starts runs holds the task's lock while looking: of two at once, one starts a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connections
from django_celery_beat.models import PeriodicTask

from scheduled_tasks import operations
from scheduled_tasks.models import Overlap, Status, TaskRun
from scheduled_tasks.operations import Actor, Refused, publishing
from tests import tasks
from tests.factories import make_run

from .harness import START, Beat, TestClock, interval_task

pytestmark = pytest.mark.django_db(transaction=True)

ANNA = Actor("anna", lambda task, sentence: None)
ROUNDS = 25

Starter = Callable[[], object]


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "send", lambda *args: None)


@pytest.fixture
def beat() -> Iterator[Beat]:
    yield Beat(TestClock())
    connections.close_all()


def job(overlap: Overlap = Overlap.SKIP) -> PeriodicTask:
    return interval_task(1, changed=START, task=tasks.add.name, args="[1, 2]", state={"overlap": overlap})


def next_tick(beat: Beat) -> Starter:
    return lambda: beat.run_until(beat.clock.moment + timedelta(minutes=1))


def run_now(task: PeriodicTask) -> Starter:
    def start() -> None:
        with suppress(Refused):
            operations.run_now(task.pk, actor=ANNA, celery_id=str(uuid4()))

    return start


def retry(task: PeriodicTask, ended: TaskRun) -> Starter:
    def start() -> None:
        with suppress(Refused):
            operations.retry(ended.pk, actor=ANNA, celery_id=str(uuid4()))

    return start


def open_runs_after_a_race(starters: list[Starter]) -> Iterator[list[TaskRun]]:
    """All ``starters`` at once, again and again: the open runs each time, which are then ended."""
    ready = threading.Barrier(len(starters))

    def at_once(start: Starter) -> None:
        ready.wait()
        start()

    with ThreadPoolExecutor(len(starters)) as threads:
        for _ in range(ROUNDS):
            list(threads.map(at_once, starters))
            runs = TaskRun.objects.open()
            yield list(runs)
            runs.update(status=Status.SUCCEEDED, open_since=None, finished_at=START)
        list(threads.map(lambda _: (ready.wait(), connections.close_all()), starters))


@pytest.mark.parametrize("second", ["run now", "retry"])
def test_a_tick_and_a_person_at_once(beat: Beat, second: str) -> None:
    task = job()
    beat.tick()
    person = run_now(task) if second == "run now" else retry(task, make_run(task, Status.FAILED))
    for runs in open_runs_after_a_race([next_tick(beat), person]):
        assert len(runs) == 1


def test_two_people_at_once() -> None:
    task = job()
    for runs in open_runs_after_a_race([run_now(task), run_now(task), run_now(task)]):
        assert len(runs) == 1


def test_a_held_run_and_a_person_at_once(beat: Beat) -> None:
    task = job(Overlap.QUEUE_ONE)
    beat.tick()
    for runs in open_runs_after_a_race([next_tick(beat), run_now(task)]):
        assert len([run for run in runs if run.status != Status.WAITING]) == 1
