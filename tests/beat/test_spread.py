"""Spread tasks: due a fixed time after their crontab says, recorded by the time that it says."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django_celery_beat.models import PeriodicTask

from scheduled_tasks.models import MaintenanceWindow, ScheduledTask, Status, TaskRun, TaskState
from scheduled_tasks.operations import Actor, reschedule, run_later
from scheduled_tasks.spread import spread_offset
from tests.beat.test_simulation import ZONES, expected, transitions

from .harness import UNREACHABLE, Beat, TestClock, a_beat_was_here, at, cron_task, runs, state

pytestmark = pytest.mark.django_db

SPREAD, MADE = timedelta(minutes=10), at("10:30")


@pytest.fixture
def beat() -> Beat:
    a_beat_was_here()
    return Beat(TestClock(MADE))


def spread_task(expression: str = "0 * * * *", **policy: object) -> PeriodicTask:
    return cron_task(expression, changed=MADE, state={"spread": SPREAD, **policy})


def offset_of(task: PeriodicTask) -> timedelta:
    return spread_offset(ScheduledTask.objects.with_schedules().get(pk=task.pk))


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_what_is_shown_is_what_is_fired(zone: str) -> None:
    """Over every change of clocks: the ticks of the crontab, each the same time later."""
    for change in transitions(zone, 2026):
        start, end = change - timedelta(hours=26), change + timedelta(hours=10)
        texts = ("30 2 * * *", "0 */2 * * *", "*/30 0-4 * * *", "59 23 * * *")
        policy = {"overlap": "allow", "spread": SPREAD}
        tasks = {cron_task(text, zone=zone, changed=start, state=policy).pk: text for text in texts}
        beat, fired = Beat(TestClock(start)), []
        beat.tick()
        while (shown := TaskState.objects.order_by("next_run_at").first()) and shown.next_run_at <= end:
            beat.clock.moment = shown.next_run_at
            beat.tick()
        for run in beat.sent:
            assert run.tick - run.scheduled_for == offset_of(run.scheduled_task)
            fired.append((run.task_id, run.scheduled_for))
        for pk, text in tasks.items():
            offset = offset_of(PeriodicTask.objects.get(pk=pk))
            ticks = list(expected(text, zone, start - offset, end - offset))
            assert [tick for task_id, tick in fired if task_id == pk] == ticks, (text, change)
        PeriodicTask.objects.all().delete()
        TaskState.objects.all().delete()
        TaskRun.objects.all().delete()
        beat.lease.release()


def test_a_run_has_its_scheduled_time_and_starts_later(beat: Beat) -> None:
    task = spread_task()
    beat.tick()
    due = at("11:00") + offset_of(task)
    assert state(task).next_run_at == due
    assert beat.run_until(due - timedelta(seconds=1)) == []
    assert beat.run_until(due) == [at("11:00")]
    run = TaskRun.objects.get()
    assert (run.scheduled_for, run.due_at, run.queued_at) == (at("11:00"), due, due)
    assert beat.sent[0].header.scheduled_for == at("11:00")
    task.refresh_from_db()
    assert (task.last_run_at, state(task).accounted_until) == (due, due)


def test_ticks_that_an_open_run_blocks_are_one_row_by_the_crontab(beat: Beat) -> None:
    task = spread_task(overlap="skip")
    beat.run_until(at("11:30"))
    TaskRun.objects.update(status=Status.RUNNING)
    beat.run_until(at("14:30"))
    assert runs(task)[1:] == [("skipped", "10 12:00:00", 3)]
    skipped = TaskRun.objects.latest("id")
    assert (skipped.scheduled_until, skipped.spread) == (at("14:00"), offset_of(task))


def test_ticks_in_a_maintenance_are_one_row_by_the_crontab(beat: Beat) -> None:
    task = spread_task()
    beat.run_until(at("11:30"))
    MaintenanceWindow.objects.create(covers_all=True, starts_at=at("11:45"), ends_at=at("15:30"))
    TaskRun.objects.update(status=Status.SUCCEEDED, open_since=None)
    beat.run_until(at("15:20"))
    assert runs(task)[1:] == [("skipped", "10 12:00:00", 4)]


def test_missed_ticks_are_one_row_by_the_crontab() -> None:
    a_beat_was_here()
    task = spread_task(misfire="ignore")
    first = Beat(TestClock(MADE))
    first.tick()
    first.lease.release()
    Beat(TestClock(at("14:30"))).tick()
    assert runs(task) == [("missed", "10 11:00:00", 4)]
    missed = TaskRun.objects.get()
    later = run_later(missed.pk, actor=Actor("anna", lambda task, entry: None))
    assert [run.scheduled_for for run in later] == [at(f"{hour}:00") for hour in (11, 12, 13, 14)]


def test_a_tick_that_was_not_sent_is_given_back(beat: Beat) -> None:
    task = spread_task()
    beat.tick()
    due = at("11:00") + offset_of(task)
    beat.broker_error = UNREACHABLE
    beat.run_until(due)
    beat.leader.outbox.give_back()
    assert not TaskRun.objects.exists()
    assert state(task).next_run_at == due
    task.refresh_from_db()
    assert task.last_run_at is None or task.last_run_at < due


def test_a_run_that_waited_keeps_its_scheduled_time(beat: Beat) -> None:
    task = spread_task(overlap="queue_one")
    beat.run_until(at("11:30"))
    TaskRun.objects.update(status=Status.RUNNING)
    beat.run_until(at("12:30"))
    assert [status for status, *_ in runs(task)] == ["running", "waiting"]
    TaskRun.objects.filter(status=Status.RUNNING).update(status=Status.SUCCEEDED, open_since=None)
    sent: list[datetime] = beat.run_until(at("12:31"))
    assert sent == [at("12:00")]
    assert beat.sent[-1].tick == at("12:00") + offset_of(task)


def respread(task: PeriodicTask, spread: timedelta | None) -> None:
    actor = Actor("anna", lambda task, entry: None)
    reschedule(task.pk, actor=actor, expression="0 * * * *", timezone="UTC", spread=spread)


@pytest.mark.parametrize("spread", [None, timedelta(minutes=59), timedelta(minutes=1)])
@pytest.mark.parametrize("minute", range(31, 91, 7))
def test_each_tick_is_accounted_for_once_whenever_the_spread_changes(
    beat: Beat, spread: timedelta | None, minute: int
) -> None:
    """A tick that has run is not due again, and one that was still to come is not lost."""
    task = spread_task(overlap="allow")
    TaskState.objects.update(spread=timedelta(minutes=50))
    beat.run_until(at("11:10"))
    beat.run_until(at("11:00") + timedelta(minutes=minute))
    respread(task, spread)
    beat.run_until(at("14:59"))
    rows = TaskRun.objects.order_by("scheduled_for")
    ticks = [run.scheduled_for + n * timedelta(hours=1) for run in rows for n in range(run.tick_count)]
    assert ticks == [at("10:00")][: len(ticks) - 4] + [at(f"{hour}:00") for hour in (11, 12, 13, 14)]


def test_names_and_not_the_order_of_tasks_decide() -> None:
    offsets = {offset_of(spread_task()) for _ in range(20)}
    assert len(offsets) > 15
    assert all(timedelta(0) <= offset < SPREAD for offset in offsets)
