"""Runs that wait while a maintenance goes on: for the run before them, or because a person wants them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from scheduled_tasks import operations
from scheduled_tasks.models import Status, TaskRun
from scheduled_tasks.operations import Actor

from .harness import Beat, at, runs
from .test_maintenance import every_minute, window

pytestmark = pytest.mark.django_db

ANNA = Actor("anna", lambda about, entry: None)


def test_a_held_run_waits_for_the_end(beat: Beat) -> None:
    job = every_minute(state={"overlap": "queue_one"})
    beat.run_until(at("10:09"))
    window("10:10", "10:12")
    beat.run_until(at("10:10"))
    TaskRun.objects.filter(status=Status.QUEUED).update(status=Status.SUCCEEDED, open_since=None)
    beat.run_until(at("10:11"))
    assert [status for status, *_ in runs(job)] == ["succeeded", "waiting", "skipped"]
    beat.clock.moment = at("10:12")
    beat.tick()
    assert [run.scheduled_for for run in beat.sent] == [at("10:08"), at("10:09")]


def test_the_setting_holds_back_held_runs_too(beat: Beat, settings: Any) -> None:
    every_minute(state={"overlap": "queue_one"})
    beat.run_until(at("10:09"))
    settings.SCHEDULED_TASKS = {"PAUSED": True}
    TaskRun.objects.filter(status=Status.QUEUED).update(status=Status.SUCCEEDED, open_since=None)
    beat.tick()
    assert len(beat.sent) == 1


def finish(beat: Beat) -> None:
    """End what was sent, and let beat look a second later."""
    TaskRun.objects.filter(status=Status.QUEUED).update(status=Status.SUCCEEDED, open_since=None)
    beat.run_until(beat.clock.moment)


@pytest.mark.parametrize("is_setting", [False, True])
def test_what_a_person_runs_later_waits_for_the_setting_alone(
    beat: Beat, settings: Any, is_setting: bool
) -> None:
    every_minute()
    window("10:08", "10:09")
    beat.run_until(at("10:09"))
    finish(beat)
    if is_setting:
        settings.SCHEDULED_TASKS = {"PAUSED": True}
    else:
        window("10:09", None)
    operations.run_later(TaskRun.objects.get(status=Status.SKIPPED).pk, actor=ANNA)
    beat.run_until(at("10:10"))
    assert [run.scheduled_for for run in beat.sent] == [at("10:09"), *([] if is_setting else [at("10:08")])]


def test_a_row_that_was_run_later_stands_for_no_more_ticks(beat: Beat) -> None:
    job = every_minute()
    window("10:08", None)
    beat.run_until(at("10:09"))
    operations.run_later(TaskRun.objects.get().pk, actor=ANNA)
    beat.run_until(at("10:10"))
    skipped = [row for row in runs(job) if row[0] == "skipped"]
    assert skipped == [("skipped", "10 10:08:00", 2), ("skipped", "10 10:10:00", 1)]


def test_a_row_of_blocked_ticks_that_was_run_later_stands_for_no_more(beat: Beat) -> None:
    job = every_minute(state={"overlap": "skip"})
    beat.run_until(at("10:08"))
    TaskRun.objects.update(status=Status.RUNNING)
    beat.run_until(at("10:10"))
    operations.run_later(TaskRun.objects.get(status=Status.SKIPPED).pk, actor=ANNA)
    beat.run_until(at("10:12"))
    skipped = [row for row in runs(job) if row[0] == "skipped"]
    assert skipped == [("skipped", "10 10:09:00", 2), ("skipped", "10 10:11:00", 2)]


def test_a_run_that_waited_long_keeps_others_from_starting_once_it_is_sent(beat: Beat) -> None:
    job = every_minute(state={"overlap": "skip"})
    window("10:08", "10:09")
    beat.run_until(at("10:09"))
    TaskRun.objects.filter(status=Status.QUEUED).update(status=Status.RUNNING)
    operations.run_later(TaskRun.objects.get(status=Status.SKIPPED).pk, actor=ANNA)
    TaskRun.objects.filter(status=Status.WAITING).update(queued_at=at("10:09"))
    beat.run_until(at("10:30"))
    TaskRun.objects.filter(status=Status.RUNNING).update(status=Status.SUCCEEDED, open_since=None)
    beat.run_until(at("10:31"))
    assert [run.scheduled_for for run in beat.sent] == [at("10:09"), at("10:08")]
    assert runs(job)[-1][0] == "skipped"


@pytest.mark.parametrize("overlap", ["allow", "skip"])
def test_runs_that_may_overlap_do_not_keep_waiting_what_a_person_wants(beat: Beat, overlap: str) -> None:
    every_minute(state={"overlap": overlap})
    window("10:08", "10:10")
    beat.run_until(at("10:10"))
    operations.run_later(TaskRun.objects.get(status=Status.SKIPPED).pk, actor=ANNA)
    beat.run_until(at("10:10") + timedelta(seconds=5))
    sent = [run.scheduled_for for run in beat.sent]
    assert sent == [at("10:10"), *([at("10:08")] if overlap == "allow" else [])]
