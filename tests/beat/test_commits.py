"""A commit whose answer is lost, and a signal that arrives with it: what was claimed is sent, once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, connections
from django_celery_beat.models import PeriodicTask

from scheduled_tasks.beat.lease import LeaderLease
from scheduled_tasks.beat.pending_runs import PendingRun
from scheduled_tasks.models import Lease, Status, TaskRun

from .harness import START, Beat, at, cron_task, interval_task, runs

pytestmark = pytest.mark.django_db


@pytest.fixture
def at_commit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have something happen as soon as beat's next transaction is committed, or just before that."""
    monkeypatch.setattr(connections["default"], "close", lambda: None)
    leading = LeaderLease.leading

    def set_up(action: Callable[[], None], *, before: bool = False) -> None:
        @contextmanager
        def interrupted(self: LeaderLease) -> Iterator[None]:
            monkeypatch.setattr(LeaderLease, "leading", leading)
            with leading(self):
                yield
                if before:
                    action()
            action()

        monkeypatch.setattr(LeaderLease, "leading", interrupted)

    return set_up


def lose_connection() -> None:
    raise OperationalError("server closed the connection unexpectedly")


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def exit_on_sigterm() -> Iterator[None]:
    """As Celery's beat does."""

    def leave(*args: Any) -> None:
        raise SystemExit

    before = signal.signal(signal.SIGTERM, leave)
    yield
    signal.signal(signal.SIGTERM, before)


def claim_due(beat: Beat) -> tuple[PeriodicTask, datetime]:
    """Let a tick be claimed by the next turn."""
    job = cron_task("10 10 * * *", changed=START)
    beat.run_until(at("10:09"))
    return job, at("10:10")


def release_due(beat: Beat) -> tuple[PeriodicTask, datetime]:
    """Let a run that was held be released by the next turn."""
    job = interval_task(3, changed=START, state={"overlap": "queue_one"})
    beat.run_until(at("10:10"))
    TaskRun.objects.filter(task_id=job.pk).update(status=Status.RUNNING)
    beat.run_until(at("10:13"))
    assert [status for status, *_ in runs(job)] == ["running", "waiting"]
    TaskRun.objects.filter(status=Status.RUNNING).update(status=Status.SUCCEEDED, open_since=None)
    beat.sent.clear()
    return job, at("10:13")


@pytest.mark.parametrize("due", [claim_due, release_due])
@pytest.mark.parametrize("before", [False, True], ids=["kept", "undone"])
def test_answer_is_lost(
    beat: Beat,
    at_commit: Callable[..., None],
    due: Callable[[Beat], tuple[PeriodicTask, datetime]],
    before: bool,
) -> None:
    job, tick = due(beat)
    at_commit(lose_connection, before=before)
    beat.clock.moment = at("10:13:02") if due is release_due else tick
    assert beat.tick() > 0
    assert beat.sent == []
    beat.run_until(at("10:13:10"))
    assert [run.scheduled_for for run in beat.sent] == [tick]
    run = TaskRun.objects.latest("id")
    assert (run.task_id, run.status, run.celery_id) == (job.pk, "queued", beat.sent[0].celery_id)
    assert run.sent_at is not None


@pytest.mark.parametrize("due", [claim_due, release_due])
@pytest.mark.usefixtures("exit_on_sigterm")
def test_sigterm_lets_what_was_claimed_be_sent(
    beat: Beat, at_commit: Callable[..., None], due: Callable[[Beat], tuple[PeriodicTask, datetime]]
) -> None:
    _job, tick = due(beat)
    at_commit(terminate)
    beat.clock.moment = at("10:13:02") if due is release_due else tick
    with pytest.raises(SystemExit):
        beat.tick()
    beat.close()
    assert [run.scheduled_for for run in beat.sent] == [tick]
    assert TaskRun.objects.latest("id").sent_at is not None


def test_told_twice_to_end(beat: Beat, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a terminal and by what started it, say: the driver's lock would never be free for the second."""
    claim_due(beat)
    renew, steps = LeaderLease.renew, []

    def leave(*args: Any) -> None:
        beat.close()
        raise SystemExit

    def told_again(self: LeaderLease) -> None:
        steps.append("begun")
        if len(steps) == 1:
            terminate()
        renew(self)
        steps.append("done")

    monkeypatch.setattr(LeaderLease, "renew", told_again)
    before = signal.signal(signal.SIGTERM, leave)
    try:
        with pytest.raises(SystemExit):
            terminate()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert steps == ["begun", "done"]
    assert Lease.objects.get(name="beat").until is None


def test_a_claim_is_sent_although_the_one_before_it_cannot_be_looked_up(
    beat: Beat, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim_due(beat)
    assert beat.leader is not None

    def fail() -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(connections["default"], "close", lambda: None)
    monkeypatch.setattr(beat.leader.outbox, "_confirm", fail)
    monkeypatch.setattr(beat.leader.outbox, "post", partial(post_only, beat.leader.outbox.post))
    beat.clock.moment = at("10:10")
    assert beat.tick() > 0
    assert beat.sent == []
    monkeypatch.undo()
    assert beat.run_until(at("10:10:02")) == [at("10:10")]


def post_only(post: Callable[..., None], runs: Sequence[PendingRun] = ()) -> None:
    """Post nothing but what has just been claimed."""
    if runs:
        post(runs)
