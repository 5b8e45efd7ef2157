"""Since when the machinery has been in trouble."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from scheduled_tasks.models import ProcessKind, database_now
from scheduled_tasks.reading.health import problems
from scheduled_tasks.reading.machinery import Machinery
from tests.factories import make_process, make_task

pytestmark = pytest.mark.django_db

BEAT, WORKER = ProcessKind.BEAT, ProcessKind.WORKER


def since(code: str) -> datetime | None:
    (found,) = [problem for problem in problems(Machinery.read()) if problem.code == code]
    return found.since


@pytest.mark.parametrize(("kind", "code"), [(BEAT, "beat"), (WORKER, "worker")])
def test_what_never_ran_has_no_beginning(kind: ProcessKind, code: str) -> None:
    make_process(WORKER if kind == BEAT else BEAT)
    assert since(code) is None


@pytest.mark.parametrize(("kind", "code"), [(BEAT, "beat"), (WORKER, "worker")])
def test_silence_begins_with_the_newest_heartbeat(kind: ProcessKind, code: str) -> None:
    make_process(kind, silent=900)
    last = make_process(kind, silent=300)
    assert since(code) == last.last_seen_at


@pytest.mark.parametrize(("kind", "code"), [(BEAT, "beat"), (WORKER, "worker")])
def test_a_goodbye_counts_as_well(kind: ProcessKind, code: str) -> None:
    make_process(kind, silent=900)
    stopped = make_process(kind, silent=300, stopped_at=database_now() - timedelta(seconds=300))
    assert since(code) == stopped.last_seen_at


def test_a_beat_that_hangs_does_so_since_its_last_loop() -> None:
    loop = database_now() - timedelta(minutes=7)
    make_process(BEAT, silent=900, stopped_at=database_now())
    make_process(BEAT, loop_at=loop)
    assert since("beat") == loop


def test_a_queue_is_left_when_its_last_worker_was_seen() -> None:
    make_task(queue="mail")
    make_process(WORKER)
    assert since("queue") is None
    last = make_process(WORKER, silent=600, queues=["mail", "celery"], stopped_at=database_now())
    make_process(WORKER, silent=300)
    assert since("queue") == last.last_seen_at


def test_a_broker_is_out_of_reach_since_the_first_process_lost_it() -> None:
    first = database_now() - timedelta(minutes=9)
    make_process(WORKER, broker_ok_at=first)
    make_process(BEAT, broker_ok_at=first + timedelta(minutes=5))
    assert since("broker") == first
