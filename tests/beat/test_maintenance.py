"""Maintenance windows: what beat skips, what it runs afterwards, and that no tick is lost or doubled."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import ClockedSchedule, PeriodicTask, PeriodicTasks

from scheduled_tasks.models import MaintenanceTask, MaintenanceWindow, Status, TaskRun
from scheduled_tasks.reasons import Code

from ..factories import make_run
from .harness import (
    START,
    Beat,
    TestClock,
    a_beat_was_here,
    at,
    cron_row,
    cron_task,
    interval_task,
    runs,
    state,
    task,
)

pytestmark = pytest.mark.django_db


def window(start: str, end: str | None, *tasks: PeriodicTask, **values: Any) -> MaintenanceWindow:
    """A window over these tasks, or over all."""
    fields: dict[str, Any] = {"note": "database move", "by": "anna", "covers_all": not tasks, **values}
    fields = {"starts_at": at(start), "ends_at": at(end) if end else None, **fields}
    made = MaintenanceWindow.objects.create(**fields)
    for each in tasks:
        MaintenanceTask.objects.create(window=made, task_id=each.pk)
    PeriodicTasks.update_changed()
    return made


def every_minute(**fields: Any) -> PeriodicTask:
    return cron_task("* * * * *", changed=START, **{"state": {"overlap": "allow"}, **fields})


def test_ticks_in_a_window_are_one_skipped_row(beat: Beat) -> None:
    job = every_minute()
    window("10:10", "10:13", job)
    assert beat.run_until(at("10:14")) == [at("10:08"), at("10:09"), at("10:13"), at("10:14")]
    assert [row for row in runs(job) if row[0] == "skipped"] == [("skipped", "10 10:10:00", 3)]
    row = TaskRun.objects.get(status=Status.SKIPPED)
    assert (row.scheduled_until, row.reason) == (at("10:12"), Code.MAINTENANCE)
    assert row.reason_text == "Maintenance: database move (anna)."


def test_other_tasks_run_on(beat: Beat) -> None:
    paused, other = every_minute(), every_minute()
    window("10:08", None, paused)
    beat.run_until(at("10:09"))
    assert [status for status, *_ in runs(paused)] == ["skipped"]
    assert [status for status, *_ in runs(other)] == ["queued", "queued"]


def test_a_window_without_end_lasts_until_it_is_ended(beat: Beat) -> None:
    job = every_minute()
    made = window("10:08", None, note="")
    assert beat.run_until(at("10:30")) == []
    MaintenanceWindow.objects.filter(pk=made.pk).update(ends_at=at("10:30") + timedelta(seconds=5))
    assert beat.run_until(at("10:31")) == [at("10:31")]
    assert runs(job)[0] == ("skipped", "10 10:08:00", 23)
    assert TaskRun.objects.earliest("id").reason_text == "Paused by anna."


def test_a_run_of_a_person_between_two_ticks_does_not_split_the_row(beat: Beat) -> None:
    job = every_minute()
    window("10:08", None)
    beat.run_until(at("10:09"))
    make_run(job)
    beat.run_until(at("10:10"))
    assert TaskRun.objects.get(status=Status.SKIPPED).tick_count == 3


def test_another_window_begins_another_row(beat: Beat) -> None:
    job = every_minute()
    window("10:08", "10:10", job)
    window("10:10", "10:12", job, note="more")
    beat.run_until(at("10:11"))
    assert runs(job) == [("skipped", "10 10:08:00", 2), ("skipped", "10 10:10:00", 2)]


def test_a_window_that_ends_before_it_begins_covers_nothing(beat: Beat) -> None:
    every_minute()
    window("10:20", "10:07")
    assert len(beat.run_until(at("10:25"))) == 18


@pytest.mark.parametrize("seconds", [0, 29])
def test_beat_goes_by_the_window_at_the_time_of_the_tick(beat: Beat, seconds: int) -> None:
    """An end in the past never starts what lay before it, and a begin never stops what was due before."""
    job = cron_task("10 10 * * *", changed=START)
    later = cron_task("12 10 * * *", changed=START)
    beat.tick()
    window("10:10", "10:12")
    beat.clock.moment = at("10:12") + timedelta(seconds=seconds)
    beat.tick()
    assert runs(job) == [("skipped", "10 10:10:00", 1)]
    assert runs(later) == [("queued", "10 10:12:00", 1)]


def test_a_late_tick_from_before_does_not_start_in_a_window(beat: Beat) -> None:
    on_time, late = cron_task("10 10 * * *", changed=START), cron_task("9 10 * * *", changed=START)
    beat.tick()
    window("10:10", None, starts_at=at("10:10") + timedelta(seconds=1))
    beat.clock.moment = at("10:10") + timedelta(seconds=30)
    beat.tick()
    assert runs(on_time) == [("queued", "10 10:10:00", 1)]
    assert runs(late) == [("skipped", "10 10:09:00", 1)]


def test_beat_was_down_while_a_window_began_and_ended() -> None:
    a_beat_was_here()
    job = every_minute()
    first = Beat(TestClock())
    first.run_until(at("10:08"))
    window("10:10", "10:14")
    late = Beat(TestClock(at("10:15") + timedelta(seconds=40)))
    first.lease.release()
    assert late.run_until(at("10:16")) == [at("10:15"), at("10:16")]
    assert runs(job) == [
        ("queued", "10 10:08:00", 1),
        ("missed", "10 10:09:00", 1),
        ("skipped", "10 10:10:00", 4),
        ("missed", "10 10:14:00", 1),
        ("queued", "10 10:15:00", 1),
        ("queued", "10 10:16:00", 1),
    ]


def test_an_interval_keeps_its_rhythm_through_windows(beat: Beat) -> None:
    job = interval_task(7, changed=START, state={"overlap": "allow"})
    window("10:20", "10:45", run_once_after=True)
    sent = beat.run_until(at("11:05"))
    assert sent == [at("10:14"), at("10:45"), at("10:49"), at("10:56"), at("11:03")]
    assert state(job).next_run_at == at("11:10")
    PeriodicTasks.update_changed()
    beat.clock.moment += timedelta(seconds=2)
    beat.tick()
    assert state(job).next_run_at == at("11:10")


def test_runs_once_when_the_window_ends(beat: Beat) -> None:
    hourly = cron_task("15 * * * *", changed=START)
    not_due = cron_task("50 10 * * *", changed=START)
    window("10:10", "10:40", run_once_after=True)
    assert beat.run_until(at("10:45")) == [at("10:40")]
    assert runs(hourly) == [("skipped", "10 10:15:00", 1), ("queued", "10 10:40:00", 1)]
    assert state(hourly).run_after_maintenance is False
    assert state(hourly).next_run_at == at("11:15")
    assert runs(not_due) == []


def test_skips_without_a_run_afterwards(beat: Beat) -> None:
    hourly = cron_task("15 * * * *", changed=START)
    window("10:10", "10:40")
    assert beat.run_until(at("10:45")) == []
    assert runs(hourly) == [("skipped", "10 10:15:00", 1)]


def test_a_tick_at_the_end_is_the_run_afterwards(beat: Beat) -> None:
    job = cron_task("*/15 * * * *", changed=START)
    window("10:10", "10:30", run_once_after=True)
    assert beat.run_until(at("10:40")) == [at("10:30")]
    assert runs(job) == [("skipped", "10 10:15:00", 1), ("queued", "10 10:30:00", 1)]


def test_a_task_that_ignores_missed_ticks_does_not_run_afterwards(beat: Beat) -> None:
    cron_task("15 * * * *", changed=START, state={"misfire": "ignore"})
    window("10:10", "10:40", run_once_after=True)
    assert beat.run_until(at("10:45")) == []


def test_the_run_afterwards_waits_for_the_last_window(beat: Beat) -> None:
    job = cron_task("15 * * * *", changed=START)
    window("10:10", "10:20", run_once_after=True)
    window("10:18", "10:30", job)
    assert beat.run_until(at("10:50")) == [at("10:30")]


def test_ended_and_extended_while_a_run_is_held_back(beat: Beat) -> None:
    cron_task("15 * * * *", changed=START)
    made = window("10:10", "10:40", run_once_after=True)
    beat.run_until(at("10:16"))
    MaintenanceWindow.objects.filter(pk=made.pk).update(ends_at=at("10:50"))
    assert beat.run_until(at("10:45")) == []
    MaintenanceWindow.objects.filter(pk=made.pk).update(ends_at=at("10:45"))
    PeriodicTasks.update_changed()
    beat.clock.moment += timedelta(seconds=2)
    beat.tick()
    assert [run.scheduled_for for run in beat.sent] == [at("10:45")]


def test_the_run_afterwards_outlives_beat(beat: Beat) -> None:
    job = cron_task("15 * * * *", changed=START)
    window("10:10", "10:40", run_once_after=True)
    beat.run_until(at("10:16"))
    beat.lease.release()
    again = Beat(TestClock(at("10:30")))
    assert again.run_until(at("10:50")) == [at("10:40")]
    again.lease.release()
    assert Beat(TestClock(at("10:51"))).run_until(at("10:52")) == []
    assert [status for status, *_ in runs(job)] == ["skipped", "queued"]


def test_the_run_afterwards_has_its_grace_time(beat: Beat) -> None:
    """The end counts as a tick: a beat that comes an hour later leaves it to the misfire policy."""
    job = cron_task("15 9,10 * * *", changed=START)
    window("10:10", "10:40", run_once_after=True)
    beat.run_until(at("10:16"))
    beat.lease.release()
    assert Beat(TestClock(at("11:40"))).run_until(at("11:41")) == []
    assert runs(job) == [("skipped", "10 10:15:00", 1), ("missed", "10 10:40:00", 1)]


def test_a_deleted_window_loses_nothing(beat: Beat) -> None:
    job = cron_task("15 * * * *", changed=START)
    made = window("10:10", "10:40", run_once_after=True)
    beat.run_until(at("10:16"))
    made.delete()
    PeriodicTasks.update_changed()
    beat.run_until(at("10:20"))
    assert [status for status, *_ in runs(job)] == ["skipped", "queued"]
    beat.run_until(at("11:15"))
    assert len(runs(job)) == 3


def test_a_clocked_task_runs_afterwards_or_never(beat: Beat) -> None:
    clocked = ClockedSchedule.objects.create(clocked_time=at("10:15"))
    held_back = task(clocked=clocked, one_off=True, changed=START)
    dropped = task(clocked=clocked, one_off=True, changed=START)
    window("10:10", "10:40", held_back, run_once_after=True)
    window("10:10", "10:40", dropped)
    beat.run_until(at("10:20"))
    held_back.refresh_from_db()
    dropped.refresh_from_db()
    assert (held_back.enabled, dropped.enabled) == (True, False)
    assert beat.run_until(at("10:45")) == [at("10:40")]
    held_back.refresh_from_db()
    assert held_back.enabled is False
    assert [status for status, *_ in runs(dropped)] == ["skipped"]


def test_a_one_off_cron_waits_for_its_next_tick(beat: Beat) -> None:
    job = cron_task("*/15 * * * *", changed=START, one_off=True)
    window("10:10", "10:20")
    assert beat.run_until(at("11:00")) == [at("10:30")]
    job.refresh_from_db()
    assert job.enabled is False


def test_skip_next_waits_for_a_tick_that_would_run(beat: Beat) -> None:
    job = every_minute(state={"skip_next": True})
    window("10:08", "10:10")
    assert beat.run_until(at("10:11")) == [at("10:11")]
    assert [row.reason for row in TaskRun.objects.order_by("id")] == [
        Code.MAINTENANCE,
        Code.SKIP_REQUESTED,
        "",
    ]
    assert state(job).skip_next is False


def test_skip_next_does_not_hold_back_the_run_afterwards(beat: Beat) -> None:
    job = cron_task("15 * * * *", changed=START, state={"skip_next": True})
    window("10:10", "10:40", run_once_after=True)
    assert beat.run_until(at("11:15")) == [at("10:40")]
    assert runs(job)[-1] == ("skipped", "10 11:15:00", 1)


def test_disabled_meanwhile_does_not_run_afterwards(beat: Beat) -> None:
    job = cron_task("15 * * * *", changed=START)
    window("10:10", "10:40", run_once_after=True)
    beat.run_until(at("10:16"))
    PeriodicTask.objects.filter(pk=job.pk).update(enabled=False)
    PeriodicTasks.update_changed()
    beat.run_until(at("10:20"))
    PeriodicTask.objects.filter(pk=job.pk).update(enabled=True)
    PeriodicTasks.update_changed()
    assert beat.run_until(at("10:45")) == []


def test_rescheduled_meanwhile_does_not_run_afterwards(beat: Beat) -> None:
    job = cron_task("15 * * * *", changed=START)
    window("10:10", "10:40", run_once_after=True)
    beat.run_until(at("10:16"))
    PeriodicTask.objects.filter(pk=job.pk).update(crontab=cron_row("50 * * * *"))
    PeriodicTasks.update_changed()
    assert beat.run_until(at("10:45")) == []


def test_the_setting_keeps_beat_from_starting_anything(beat: Beat, settings: Any) -> None:
    job = every_minute()
    settings.SCHEDULED_TASKS = {"PAUSED": True}
    assert beat.run_until(at("10:10")) == []
    assert runs(job) == [("skipped", "10 10:08:00", 3)]
    row = TaskRun.objects.get()
    assert row.reason_text == "The setting PAUSED keeps beat from starting anything."
    settings.SCHEDULED_TASKS = {}
    assert beat.run_until(at("10:11")) == [at("10:11")]


def test_windows_cost_an_idle_beat_nothing(beat: Beat) -> None:
    cron_task("0 12 * * *", changed=START)
    window("10:08", None)
    beat.run_until(at("10:09"))
    with CaptureQueriesContext(connection) as statements:
        beat.clock.moment += timedelta(seconds=2)
        beat.tick()
    assert not [each for each in statements if "maintenance" in each["sql"]]
    assert len(statements) == 1


def test_a_window_before_the_skipped_tick_says_nothing_about_when_its_run_is_due(beat: Beat) -> None:
    """It is read only because the other task's last tick was before it."""
    job, _other = cron_task("* 10 * * *", changed=START), cron_task("0 11 * * *", changed=START)
    window("10:08", "10:10", job)
    held_back = window("10:30", None, job, run_once_after=True)
    beat.run_until(at("11:00") - timedelta(milliseconds=100))
    held_back.delete()
    PeriodicTasks.update_changed()
    beat.run_until(at("11:00"))
    assert runs(job)[-1] == ("queued", "10 11:00:00", 1)
