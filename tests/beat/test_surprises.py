"""Edits, pauses and restarts that make the stock scheduler start something nobody expects, one by one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin import site
from django.test import RequestFactory
from django_celery_beat.admin import PeriodicTaskAdmin
from django_celery_beat.models import ClockedSchedule, PeriodicTask, SolarSchedule

from scheduled_tasks.models import Status, TaskRun

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

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def save(job: PeriodicTask, moment: datetime, **changes: Any) -> None:
    """Save the task at ``moment``, as any form does."""
    for name, value in changes.items():
        setattr(job, name, value)
    job.save()
    PeriodicTask.objects.filter(pk=job.pk).update(date_changed=moment)


def kill(beat: Beat) -> None:
    """What is left of a killed beat: its lease, which runs out, and no write-back."""
    beat.lease.release()


def finish(job: PeriodicTask) -> None:
    TaskRun.objects.filter(task_id=job.pk).open().update(status=Status.SUCCEEDED, open_since=None)


@pytest.mark.parametrize("saved", ["as it was", "now", "none"])
@pytest.mark.parametrize(
    ("before", "edited", "after", "expected"),
    [
        pytest.param("0 4 * * *", "10:07", "0 10 * * *", "2026-06-11 10:00", id="just past"),
        pytest.param("0 4 * * *", "10:02", "0 10 * * *", "2026-06-11 10:00", id="past by two minutes"),
        pytest.param("0 4 * * *", "16:07", "0 10 * * *", "2026-06-11 10:00", id="past by hours"),
        pytest.param("0 4 * * *", "10:07", "0 11 * * *", "11:00", id="still to come"),
        pytest.param("0 * * * *", "10:07", "*/5 * * * *", "10:10", id="more often"),
        pytest.param("*/5 * * * *", "10:07", "0 * * * *", "11:00", id="less often"),
    ],
)
def test_edited_schedule(
    clock: TestClock, before: str, edited: str, after: str, expected: str, saved: str
) -> None:
    now = clock.moment = at(edited)
    last = at("10:05" if before.startswith("*/5") else "10:00" if before.startswith("0 *") else "04:00")
    job = cron_task(before, last_run_at=last, changed=last)
    clock.moment -= 5 * SECOND
    beat = Beat(clock)
    beat.tick()
    clock.moment = now
    last_run_at = {"as it was": last, "now": now, "none": None}[saved]
    save(job, now, crontab=cron_row(after), last_run_at=last_run_at)
    assert beat.run_until(at(expected) + 30 * SECOND) == [at(expected)]
    assert [status for status, *_ in runs(job)] == ["queued"]


@pytest.mark.parametrize("saved", ["as it was", "now", "none"])
def test_edited_between_a_fire_and_its_write_back(clock: TestClock, saved: str) -> None:
    clock.moment = at("10:04")
    job = cron_task("5 10 * * *", last_run_at=at("2026-06-09 10:05"))
    beat = Beat(clock)
    assert beat.run_until(at("10:06:30")) == [at("10:05")]
    finish(job)
    last_run_at = {"as it was": job.last_run_at, "now": clock.moment, "none": None}[saved]
    save(job, clock.moment, crontab=cron_row("6 10 * * *"), last_run_at=last_run_at)
    clock.moment += 2 * SECOND
    beat.tick()
    beat.sync()
    assert beat.run_until(at("2026-06-11 10:06")) == [at("2026-06-11 10:06")]
    assert len(runs(job)) == 2


def test_new_task_whose_slot_has_just_passed(clock: TestClock) -> None:
    beat = Beat(clock)
    beat.tick()
    save(cron_task("0 10 * * *"), clock.moment)
    assert beat.run_until(at("2026-06-11 10:00")) == [at("2026-06-11 10:00")]


@pytest.mark.parametrize("pause", ["disable_tasks", "toggle_tasks", "save"])
@pytest.mark.parametrize("resume", ["enable_tasks", "toggle_tasks", "save"])
@pytest.mark.parametrize("beat_stops", [False, True])
def test_enabled_after_a_week(
    clock: TestClock, monkeypatch: pytest.MonkeyPatch, pause: str, resume: str, beat_stops: bool
) -> None:
    monkeypatch.setattr(PeriodicTaskAdmin, "message_user", lambda *args: None)
    clock.moment = at("2026-06-03 10:05")
    job = cron_task("0 10 * * *", last_run_at=at("2026-06-03 10:00"), changed=at("2026-06-01 10:00"))
    beat = Beat(clock)
    beat.tick()
    switch(job, pause, clock.moment, enabled=False)
    assert beat.run_until(at("2026-06-03 10:06")) == []
    if beat_stops:
        beat.close()
        clock.moment = START
    assert beat_stops or beat.run_until(START) == []
    switch(job, resume, START, enabled=True)
    clock.moment += 2 * SECOND
    beat = Beat(clock) if beat_stops else beat
    assert beat.run_until(at("2026-06-11 10:00")) == [at("2026-06-11 10:00")]
    assert runs(job) == [("queued", "11 10:00:00", 1)]


def switch(job: PeriodicTask, how: str, moment: datetime, *, enabled: bool) -> None:
    """Pause or resume the task: by django-celery-beat's own action, or by saving it."""
    if how == "save":
        save(PeriodicTask.objects.get(pk=job.pk), moment, enabled=enabled)
        return
    action: Callable[..., None] = getattr(PeriodicTaskAdmin(PeriodicTask, site), how)
    action(RequestFactory().post("/"), PeriodicTask.objects.filter(pk=job.pk))


@pytest.mark.parametrize(
    ("cron", "last", "back", "grace", "fired", "following"),
    [
        pytest.param(
            "0 3 * * *", "2026-06-07 03:00", "10:07", 15, None, "2026-06-11 03:00", id="after three days"
        ),
        pytest.param(
            "0 4 * * *", "2026-06-09 04:00", "04:30", 15, None, "2026-06-11 04:00", id="after the grace"
        ),
        pytest.param(
            "0 4 * * *", "2026-06-09 04:00", "04:30", 60, "04:00", "2026-06-11 04:00", id="within the grace"
        ),
        pytest.param(
            "30 4 * * 0", "2026-05-31 04:30", "10:07", 15, None, "2026-06-14 04:30", id="weekly, days later"
        ),
    ],
)
def test_restarted(
    clock: TestClock, cron: str, last: str, back: str, grace: int, fired: str | None, following: str
) -> None:
    clock.moment = at(back)
    a_beat_was_here()
    job = cron_task(cron, last_run_at=at(last), state={"grace": timedelta(minutes=grace)})
    beat = Beat(clock)
    expected = [at(fired)] if fired else []
    assert beat.run_until(at(back)) == expected
    finish(job)
    assert beat.run_until(at(following)) == [at(following)]
    assert [status for status, *_ in runs(job)].count("missed") == (0 if fired else 1)


def test_start_time_with_a_cron(clock: TestClock) -> None:
    job = cron_task("0 15 * * *", changed=START, start_time=at("14:00"))
    beat = Beat(clock)
    assert beat.run_until(at("14:59")) == []
    assert beat.run_until(at("15:01")) == [at("15:00")]
    assert runs(job) == [("queued", "10 15:00:00", 1)]


def test_shared_row_edited_in_place(clock: TestClock) -> None:
    row = cron_row("0 4 * * *")
    for name in "ab":
        PeriodicTask.objects.create(name=name, task="t", crontab=row, last_run_at=at("04:00"))
    PeriodicTask.objects.update(date_changed=at("04:00"))
    beat = Beat(clock)
    beat.tick()
    row.hour = "10"
    row.save()
    assert beat.run_until(at("2026-06-11 10:00")) == [at("2026-06-11 10:00")] * 2


@pytest.mark.parametrize("kind", ["cron", "interval", "clocked", "solar", "one-off"])
def test_killed_after_a_fire(clock: TestClock, kind: str) -> None:
    job = due_soon(kind)
    beat = Beat(clock)
    beat.tick()
    tick = state(job).next_run_at
    assert tick is not None
    assert beat.run_until(tick) == [tick]
    kill(beat)
    finish(job)
    clock.moment = tick + 5 * SECOND
    assert Beat(clock).run_until(tick + 20 * SECOND) == []
    assert len(runs(job)) == 1


def due_soon(kind: str) -> PeriodicTask:
    if kind == "interval":
        return interval_task(10, changed=START)
    if kind == "clocked":
        return task(clocked=ClockedSchedule.objects.create(clocked_time=at("10:10")), one_off=True)
    if kind == "solar":
        row = SolarSchedule.objects.create(event="sunset", latitude=48.85, longitude=2.35)
        return task(solar=row, changed=START)
    return cron_task("10 10 * * *", changed=START, one_off=kind == "one-off")


def test_a_clock_set_back_under_the_first_beat_adopts_no_task_twice(clock: TestClock) -> None:
    """What the first beat knows is its own to miss, also when it starts over."""
    known = cron_task("* * * * *", changed=START)
    beat = Beat(clock)
    beat.tick()
    clock.moment = at("10:11:30")
    assert beat.leader is not None
    beat.leader._look()
    clock.moment = at("10:10")
    beat.run_until(at("10:10"))
    assert runs(known) == [("missed", "10 10:08:00", 2), ("queued", "10 10:10:00", 1)]
