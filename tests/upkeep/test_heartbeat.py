"""Living processes are told from dead ones by the database's clock."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import pytest
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from scheduled_tasks.models import Process, ProcessKind
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.upkeep.heartbeat import STALE_AFTER, Heartbeat

pytestmark = pytest.mark.django_db


def worker(node: str = "w@host", **options: object) -> Heartbeat:
    return Heartbeat(ProcessKind.WORKER, node, pool="prefork", queues=["b", "a"], **options)


def alive(kind: ProcessKind = ProcessKind.WORKER) -> list[Process]:
    return Machinery.read().alive(kind)


def age(process: Process, by: timedelta) -> None:
    Process.objects.filter(pk=process.pk).update(last_seen_at=F("last_seen_at") - by)


def test_first_beat_makes_the_row_and_later_ones_keep_it() -> None:
    heartbeat = worker(task_names=["a.task"])
    heartbeat.beat()
    process = Process.objects.get()
    assert (process.boot_id, process.kind, process.node) == (heartbeat.boot_id, "worker", "w@host")
    assert (process.pool, process.queues, process.task_names) == ("prefork", ["a", "b"], ["a.task"])
    assert process.started_at == process.last_seen_at
    assert (process.loop_at, process.broker_ok_at, process.stopped_at) == (None, None, None)
    age(process, timedelta(hours=1))
    heartbeat.beat()
    process.refresh_from_db()
    assert process.last_seen_at >= process.started_at
    assert Process.objects.count() == 1


def test_row_that_was_removed_is_made_again() -> None:
    heartbeat = worker()
    heartbeat.beat()
    Process.objects.all().delete()
    heartbeat.beat()
    assert Process.objects.count() == 1


def test_alive_until_silent_for_too_long() -> None:
    heartbeat = worker()
    heartbeat.beat()
    process = Process.objects.get()
    age(process, STALE_AFTER / 2)
    assert alive() == [process]
    assert alive(ProcessKind.BEAT) == []
    age(process, STALE_AFTER)
    assert alive() == []
    heartbeat.beat()
    assert alive() == [process]


def test_stopped_is_not_alive_and_stays_stopped() -> None:
    heartbeat = worker()
    heartbeat.beat()
    heartbeat.stop()
    assert not alive()
    assert Process.objects.get().stopped_at is not None
    heartbeat.beat()
    assert not alive()


def test_loop_and_broker_are_told_by_their_own_times() -> None:
    heartbeat = Heartbeat(ProcessKind.BEAT, "beat@host")
    heartbeat.looped()
    heartbeat.broker_ok()
    heartbeat.beat()
    process = Process.objects.get()
    assert process.last_seen_at - process.loop_at < timedelta(seconds=30)
    looped_at = process.loop_at
    heartbeat.beat()
    process.refresh_from_db()
    assert abs(process.loop_at - looped_at) < timedelta(seconds=1)


def test_a_heartbeat_is_one_statement(
    django_assert_num_queries: Callable[[int], AbstractContextManager[CaptureQueriesContext]],
) -> None:
    heartbeat = Heartbeat(ProcessKind.BEAT, "beat@host")
    heartbeat.beat()
    heartbeat.looped()
    heartbeat.broker_ok()
    with django_assert_num_queries(1):
        heartbeat.beat()


def test_known_tasks_are_those_of_living_workers() -> None:
    assert Machinery.read().known_tasks is None
    first = worker("first@host", task_names=["a.task", "both"])
    second = worker("second@host", task_names=["both", "b.task"])
    first.beat()
    second.beat()
    Heartbeat(ProcessKind.BEAT, "beat@host", task_names=["not.a.worker"]).beat()
    assert Machinery.read().known_tasks == {"a.task", "both", "b.task"}
    second.stop()
    assert Machinery.read().known_tasks == {"a.task", "both"}
