"""Which processes are alive."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from scheduled_tasks.models import ProcessKind, database_now
from scheduled_tasks.reading.machinery import Machinery
from tests.factories import make_process

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("kind", [ProcessKind.BEAT, ProcessKind.WORKER])
def test_a_process_that_was_killed_and_started_again_counts_once(kind: ProcessKind) -> None:
    make_process(kind, silent=20)
    new = make_process(kind, started_at=database_now() - timedelta(seconds=5))
    assert Machinery.read().alive(kind) == [new]


def test_workers_of_one_name_count_while_both_live() -> None:
    make_process()
    make_process(started_at=database_now() - timedelta(seconds=5))
    assert len(Machinery.read().alive(ProcessKind.WORKER)) == 2


def test_signature_is_that_of_the_worker_that_started_last(django_assert_num_queries: Any) -> None:
    known = {"task_names": ["shop.count"]}
    make_process(**known, task_signatures={"shop.count": {"doc": "new", "parameters": []}})
    old = database_now() - timedelta(days=1)
    make_process(**known, task_signatures={"shop.count": {"doc": "old", "parameters": []}}, started_at=old)
    make_process(task_names=["shop.other"])
    machinery = Machinery.read()
    with django_assert_num_queries(1):
        assert machinery.signature_of("shop.count") == {"doc": "new", "parameters": []}
    assert machinery.signature_of("shop.other") is None, "it could not be told"
    assert machinery.signature_of("shop.unknown") is None


def test_a_silent_process_counts_no_more() -> None:
    make_process(silent=90)
    assert Machinery.read().alive(ProcessKind.WORKER) == []


def test_a_silent_process_does_not_take_its_successors_place() -> None:
    make_process(silent=90, started_at=database_now() - timedelta(hours=2))
    new = make_process(silent=1, started_at=database_now() - timedelta(seconds=60))
    assert Machinery.read().alive(ProcessKind.WORKER) == [new]
