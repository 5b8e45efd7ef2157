"""What beat fires, when, and how it accounts for the ticks it does not fire."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)

from scheduled_tasks.beat import leader, scheduler
from scheduled_tasks.beat.broker import NotPublished
from scheduled_tasks.beat.lease import Clock
from scheduled_tasks.beat.pending_runs import PendingRun
from scheduled_tasks.beat.scheduler import CURRENT
from scheduled_tasks.models import Lease, Status, TaskRun, TaskState, Trigger, database_now
from scheduled_tasks.operations import Actor, run_later
from scheduled_tasks.reasons import Code, Reason

from .. import tasks
from ..factories import make_run
from .harness import (
    START,
    UNREACHABLE,
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


def finish(task: PeriodicTask) -> None:
    TaskRun.objects.filter(task_id=task.pk).open().update(status=Status.SUCCEEDED, open_since=None)


def begin(task: PeriodicTask) -> None:
    """Let a worker take what is queued."""
    TaskRun.objects.filter(task_id=task.pk, status=Status.QUEUED).update(status=Status.RUNNING)


def test_a_tick_becomes_a_queued_run_and_a_message_under_its_id(beat: Beat) -> None:
    job = cron_task("15 10 * * *", changed=START, args="[1, 2]", queue="slow", headers='{"a": 1}')
    assert beat.run_until(at("10:15")) == [at("10:15")]
    (message,) = beat.sent
    run = TaskRun.objects.get(celery_id=message.celery_id)
    assert (run.status, run.trigger, run.task_id, run.name) == ("queued", "schedule", job.pk, job.name)
    assert (run.scheduled_for, run.queued_at, run.sent_at) == (at("10:15"),) * 3
    assert (run.queue, run.args, run.kwargs) == ("slow", "[1, 2]", "{}")
    options = message.options
    assert options["headers"] == {
        "a": 1,
        "periodic_task_name": job.name,
        "celery_beat_task": True,
        "scheduled_tasks": {
            "task": job.pk,
            "name": job.name,
            "trigger": "schedule",
            "actor": "",
            "scheduled_for": "2026-06-10T10:15:00+00:00",
            "recorded": True,
            "retry_of": None,
            "id": message.celery_id,
            "queued_at": None,
            "default_expiry": True,
        },
    }
    assert (options["task_id"], options["queue"], options["expires"]) == (
        message.celery_id,
        "slow",
        run.expires_at,
    )
    assert (state(job).accounted_until, state(job).next_run_at) == (at("10:15"), at("2026-06-11 10:15"))


def test_nothing_is_sent_when_nothing_is_due(beat: Beat) -> None:
    job = cron_task("15 10 * * *", changed=START)
    assert beat.run_until(at("10:14:59")) == []
    assert (runs(job), state(job).next_run_at) == ([], at("10:15"))


@pytest.mark.parametrize(
    ("fields", "expires"),
    [({}, "2026-06-11 10:15"), ({"expire_seconds": 60}, "10:16")],
)
def test_a_message_expires_in_bounded_time(beat: Beat, fields: dict[str, int], expires: str) -> None:
    cron_task("15 10 * * *", changed=START, **fields)
    beat.run_until(at("10:15"))
    assert beat.sent[0].expires_at == at(expires)


@pytest.mark.parametrize("expires", [90, at("10:16:30"), at("10:16:30").replace(tzinfo=None)])
def test_a_celery_task_says_when_its_messages_expire(
    beat: Beat, monkeypatch: pytest.MonkeyPatch, expires: object
) -> None:
    cron_task("15 10 * * *", changed=START, task=tasks.add.name, args="[1, 2]")
    monkeypatch.setattr(tasks.add, "expires", expires, raising=False)
    beat.run_until(at("10:15"))
    assert beat.sent[0].expires_at == at("10:16:30")


@pytest.mark.parametrize(
    ("schedule", "overlap", "expires"),
    [
        ("* * * * *", "allow", "10:23"),
        ("* * * * *", "skip", "10:10"),
        ("* * * * *", "queue_one", "10:10"),
        ("*/4 * * * *", "skip", "10:16"),
        ("8 * * * *", "skip", "11:08"),
    ],
)
def test_how_long_a_message_waits_for_a_worker(beat: Beat, schedule: str, overlap: str, expires: str) -> None:
    cron_task(schedule, changed=START, state={"overlap": overlap})
    beat.run_until(at("10:08"))
    assert beat.sent[0].expires_at == at(expires)


class TestATaskRunsAsBefore:
    """What a task did under django-celery-beat it does until somebody chooses otherwise."""

    def test_runs_overlap_and_wait_without_end(self, beat: Beat) -> None:
        job = cron_task("* * * * *", changed=START, state={"runs_as_before": True})
        beat.run_until(at("10:30"))
        assert [run.expires_at for run in beat.sent] == [None] * len(beat.sent)
        assert {run.options["expires"] for run in beat.sent} == {None}
        assert {status for status, _at, _ticks in runs(job)} == {"queued"}
        assert len(runs(job)) == 23

    @pytest.mark.parametrize("chosen", ["task", "project"])
    def test_until_a_policy_is_chosen(self, beat: Beat, settings: Any, chosen: str) -> None:
        state = {"runs_as_before": True, "overlap": "skip" if chosen == "task" else ""}
        if chosen == "project":
            settings.SCHEDULED_TASKS = {"OVERLAP": "skip"}
        cron_task("* * * * *", changed=START, state=state)
        beat.run_until(at("10:09"))
        assert beat.sent[0].expires_at is not None

    def test_nothing_past_is_missed_though_another_beat_has_led(self, clock: TestClock) -> None:
        """The first one may have died before it had read all tasks."""
        a_beat_was_here()
        changed, state = at("2026-05-01 00:00"), {"runs_as_before": True}
        job = cron_task("0 * * * *", changed=changed, last_run_at=changed, state=state)
        Beat(clock).run_until(at("11:00"))
        assert runs(job) == [("queued", "10 10:00:00", 1), ("queued", "10 11:00:00", 1)]

    def test_what_was_lost_before_blocks_for_a_quarter_of_an_hour(self, beat: Beat) -> None:
        job = cron_task("* * * * *", changed=START, state={"runs_as_before": True})
        beat.run_until(at("10:10"))
        TaskState.objects.update(runs_as_before=False)
        PeriodicTasks.update_changed()
        beat.run_until(at("10:30"))
        assert [run.scheduled_for for run in beat.sent][3] == at("10:25")
        assert runs(job)[3][:2] == ("skipped", "10 10:11:00")

    def test_it_may_expire_by_itself(self, beat: Beat) -> None:
        cron_task("* * * * *", changed=START, state={"runs_as_before": True}, expire_seconds=90)
        beat.run_until(at("10:08"))
        assert beat.sent[0].expires_at == beat.sent[0].scheduled_for + timedelta(seconds=90)

    def test_it_is_sent_once_the_broker_is_back(self, beat: Beat) -> None:
        job = cron_task("8 10 * * *", changed=START, state={"runs_as_before": True})
        beat.broker_error = UNREACHABLE
        beat.run_until(at("10:09"))
        beat.broker_error = None
        beat.run_until(at("10:12"))
        assert [run.expires_at for run in beat.sent] == [None]
        assert [status for status, _at, _ticks in runs(job)] == ["queued"]


def finish_queued() -> None:
    TaskRun.objects.filter(status=Status.QUEUED).update(status=Status.SUCCEEDED, open_since=None)


class TestPastSlotsRunOnlyByPolicy:
    def test_schedule_moved_while_no_beat_ran(self, beat: Beat, clock: TestClock) -> None:
        job = cron_task("0 4 * * *", last_run_at=at("04:00"))
        beat.tick()
        beat.close()
        clock.moment = at("10:02")
        PeriodicTask.objects.filter(pk=job.pk).update(
            crontab=cron_row("0 10 * * *"), date_changed=at("10:01")
        )
        assert Beat(clock).run_until(at("2026-06-11 09:59")) == []

    def test_slot_after_a_change_while_no_beat_ran_is_kept(self, beat: Beat, clock: TestClock) -> None:
        job = cron_task("0 4 * * *", last_run_at=at("04:00"))
        beat.tick()
        beat.close()
        PeriodicTask.objects.filter(pk=job.pk).update(
            crontab=cron_row("10 10 * * *"), date_changed=at("10:09")
        )
        assert Beat(clock).run_until(at("10:12")) == [at("10:10")]

    def test_description_edited(self, beat: Beat) -> None:
        job = cron_task("0 4 * * *", last_run_at=at("04:00"))
        beat.tick()
        job.description = "new"
        job.save()
        assert beat.run_until(at("2026-06-11 04:00")) == [at("2026-06-11 04:00")]

    @pytest.mark.parametrize("enable", ["save", "update"])
    def test_enabled_after_a_week(self, beat: Beat, clock: TestClock, enable: str) -> None:
        clock.moment = at("2026-06-03 10:00")
        job = cron_task("0 10 * * *", last_run_at=at("2026-06-02 10:00"), changed=at("2026-06-01 10:00"))
        beat.tick()
        finish(job)
        TaskRun.objects.all().delete()
        PeriodicTask.objects.filter(pk=job.pk).update(enabled=False, date_changed=at("2026-06-03 11:00"))
        PeriodicTasks.update_changed()
        beat.run_until(at("2026-06-03 11:00"))
        assert (state(job).enabled_since, state(job).next_run_at) == (None, None)
        assert beat.run_until(at("10:07")) == []
        changed = at("10:07") if enable == "save" else at("2026-06-03 11:00")
        PeriodicTask.objects.filter(pk=job.pk).update(enabled=True, last_run_at=None, date_changed=changed)
        PeriodicTasks.update_changed()
        clock.moment = at("10:07:02")
        assert beat.run_until(at("2026-06-11 09:59")) == []
        assert beat.run_until(at("2026-06-11 10:00")) == [at("2026-06-11 10:00")]
        assert runs(job) == [("queued", "11 10:00:00", 1)]

    def test_no_beat_for_three_days(self, clock: TestClock) -> None:
        a_beat_was_here()
        job = cron_task("0 3 * * *", last_run_at=at("2026-06-07 03:00"))
        assert Beat(clock).run_until(at("2026-06-11 03:00")) == [at("2026-06-11 03:00")]
        assert runs(job) == [("missed", "08 03:00:00", 3), ("queued", "11 03:00:00", 1)]
        missed = TaskRun.objects.get(status="missed")
        assert (missed.scheduled_until, missed.reason) == (at("03:00"), Code.NO_BEAT)
        assert (missed.celery_id, missed.open_since, missed.tick) == (None, None, None)

    def test_no_beat_for_ten_minutes(self, clock: TestClock) -> None:
        a_beat_was_here()
        job = cron_task("0,5 10 * * *", last_run_at=at("2026-06-09 10:05"))
        assert Beat(clock).run_until(START) == [at("10:05")]
        assert runs(job) == [("missed", "10 10:00:00", 1), ("queued", "10 10:05:00", 1)]

    def test_misfire_ignore(self, clock: TestClock) -> None:
        a_beat_was_here()
        job = cron_task("5 10 * * *", last_run_at=at("2026-06-09 10:05"), state={"misfire": "ignore"})
        assert Beat(clock).run_until(START) == []
        assert runs(job) == [("missed", "10 10:05:00", 1)]

    def test_own_grace(self, clock: TestClock) -> None:
        job = cron_task("0 9 * * *", last_run_at=at("2026-06-09 09:00"), state={"grace": timedelta(hours=2)})
        assert Beat(clock).run_until(START) == [at("09:00")]
        assert runs(job) == [("queued", "10 09:00:00", 1)]


class TestFirstBeat:
    """Nothing that came before this app's first beat was missed by it."""

    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            (lambda: cron_task("0 3 * * *", last_run_at=at("2026-06-07 03:00")), []),
            (lambda: cron_task("0 3 * * *", changed=at("2020-01-01 00:00")), []),
            (lambda: cron_task("* * * * *", last_run_at=at("10:01")), [("queued", "10 10:07:00", 1)]),
            (
                lambda: cron_task("0 10 * * *", changed=START - timedelta(days=9)),
                [("queued", "10 10:00:00", 1)],
            ),
            (lambda: cron_task("0 10 * * *", state={"misfire": "ignore"}), []),
            (lambda: interval_task(3, last_run_at=at("2026-06-03 10:00")), [("queued", "10 10:06:00", 1)]),
            (lambda: interval_task(1, "days", last_run_at=at("2026-06-03 08:00")), []),
            (lambda: clocked_task(at("09:00")), [("missed", "10 09:00:00", 1)]),
            (lambda: clocked_task(at("10:05")), [("queued", "10 10:05:00", 1)]),
        ],
    )
    def test_only_what_may_still_run_starts(
        self, clock: TestClock, make: Callable[[], PeriodicTask], expected: list[tuple[str, str, int]]
    ) -> None:
        job = make()
        Beat(clock).run_until(START)
        assert runs(job) == expected

    def test_rhythm_of_an_interval_goes_on(self, clock: TestClock) -> None:
        job = interval_task(1, "days", last_run_at=at("2026-06-03 08:00"))
        assert Beat(clock).run_until(at("2026-06-11 08:00")) == [at("2026-06-11 08:00")]
        assert runs(job) == [("queued", "11 08:00:00", 1)]

    def test_ticks_after_it_count(self, beat: Beat, clock: TestClock) -> None:
        job = cron_task("0 3 * * *", last_run_at=at("2026-06-01 03:00"))
        beat.tick()
        beat.close()
        clock.moment = at("2026-06-13 03:00")
        assert Beat(clock).run_until(clock.moment) == [at("2026-06-13 03:00")]
        assert runs(job) == [("missed", "11 03:00:00", 2), ("queued", "13 03:00:00", 1)]

    def test_a_first_beat_without_tasks_was_one(self, beat: Beat, clock: TestClock) -> None:
        beat.tick()
        beat.close()
        job = cron_task("0 * * * *", changed=START)
        clock.moment = at("13:30")
        Beat(clock).run_until(clock.moment)
        assert runs(job) == [("missed", "10 11:00:00", 3)]

    def test_a_clocked_task_is_retired(self, clock: TestClock) -> None:
        job = clocked_task(at("09:00"))
        Beat(clock).run_until(START)
        job.refresh_from_db()
        assert not job.enabled


class TestOverlap:
    def test_skip_makes_one_row_per_blocking_run(self, beat: Beat) -> None:
        job = interval_task(1, changed=START)
        beat.run_until(at("10:08"))
        begin(job)
        beat.run_until(at("10:11"))
        assert runs(job) == [("running", "10 10:08:00", 1), ("skipped", "10 10:09:00", 3)]
        skipped = TaskRun.objects.get(status="skipped")
        assert skipped.blocked_by_id == TaskRun.objects.get(status="running").pk
        assert (skipped.scheduled_until, skipped.reason) == (at("10:11"), Code.OVERLAP)
        finish(job)
        beat.run_until(at("10:13"))
        assert runs(job)[2:] == [("queued", "10 10:12:00", 1), ("skipped", "10 10:13:00", 1)]

    def test_allow(self, beat: Beat) -> None:
        job = interval_task(1, changed=START, state={"overlap": "allow"})
        assert len(beat.run_until(at("10:10"))) == 3
        assert [status for status, *_ in runs(job)] == ["queued"] * 3

    def test_queue_one_holds_one_run_until_the_other_ends(self, beat: Beat) -> None:
        job = interval_task(1, changed=START, state={"overlap": "queue_one"})
        assert beat.run_until(at("10:08")) == [at("10:08")]
        begin(job)
        assert beat.run_until(at("10:10")) == []
        held = TaskRun.objects.get(status="waiting")
        assert runs(job)[1:] == [("waiting", "10 10:09:00", 1), ("skipped", "10 10:10:00", 1)]
        assert held.open_since is not None
        TaskRun.objects.filter(status="running").update(status=Status.SUCCEEDED, open_since=None)
        assert beat.run_until(at("10:10:01")) == [at("10:09")]
        held.refresh_from_db()
        assert (held.status, held.celery_id, held.sent_at) == ("queued", beat.sent[-1].celery_id, at("10:10"))

    def test_held_run_of_a_disabled_task_does_not_start(self, beat: Beat) -> None:
        job = interval_task(1, changed=START, state={"overlap": "queue_one"})
        beat.run_until(at("10:09"))
        PeriodicTask.objects.get(pk=job.pk).delete()
        TaskRun.objects.filter(status="queued").update(status=Status.SUCCEEDED, open_since=None)
        assert beat.run_until(at("10:09:02")) == []
        assert runs(job)[1:] == [("skipped", "10 10:09:00", 1)]

    def test_runs_that_are_made_up_for_start_one_after_the_other(self, beat: Beat) -> None:
        job = cron_task("0 3 * * *", changed=START, state={"overlap": "allow"})
        beat.run_until(at("10:08"))
        missed = TaskRun.objects.create(
            task_id=job.pk,
            name=job.name,
            status=Status.MISSED,
            queued_at=START,
            finished_at=START,
            scheduled_for=at("2026-06-08 03:00"),
            scheduled_until=at("2026-06-10 03:00"),
            tick_count=3,
        )
        run_later(missed.pk, actor=Actor("anna", lambda task, entry: None))
        nights = [at(f"2026-06-{day:02} 03:00") for day in (8, 9, 10)]
        for second, night in enumerate(nights, start=1):
            assert beat.run_until(at(f"10:08:{2 * second:02}")) == [night]
            sent = beat.sent[-1]
            assert (sent.header.trigger, sent.header.actor) == (Trigger.RETRY, "anna")
            assert (sent.header.retry_of, sent.header.scheduled_for) == (missed.pk, night)
            assert sent.celery_id == TaskRun.objects.get(scheduled_for=night, status="queued").celery_id
            finish_queued()
        assert beat.run_until(at("10:09")) == []

    def test_held_run_of_a_task_that_is_disabled_is_closed_at_once(self, beat: Beat) -> None:
        job = interval_task(1, changed=START, state={"overlap": "queue_one"})
        beat.run_until(at("10:09"))
        PeriodicTask.objects.filter(pk=job.pk).update(enabled=False)
        beat.run_until(at("10:09:02"))
        assert [status for status, *_ in runs(job)] == ["queued", "skipped"]
        assert TaskRun.objects.get(status="skipped").reason == Code.DISABLED_MEANWHILE

    @pytest.mark.parametrize("bad_first", [True, False])
    def test_held_run_that_cannot_be_sent_any_more_harms_no_other(self, beat: Beat, bad_first: bool) -> None:
        jobs = [interval_task(1, changed=START, state={"overlap": "queue_one"}) for _ in range(2)]
        good, bad = sorted(jobs, key=lambda job: job.pk, reverse=bad_first)
        beat.run_until(at("10:09"))
        PeriodicTask.objects.filter(pk=bad.pk).update(args="{")
        finish_queued()
        assert beat.run_until(at("10:09:02")) == [at("10:09")]
        assert beat.sent[-1].task_id == good.pk
        run = TaskRun.objects.get(task_id=bad.pk, status="missed")
        assert (run.reason, run.open_since) == (Code.NOT_JSON, None)

    def test_held_run_of_a_task_that_has_expired_meanwhile(self, beat: Beat) -> None:
        job = interval_task(1, changed=START, state={"overlap": "queue_one"})
        beat.run_until(at("10:09"))
        PeriodicTask.objects.filter(pk=job.pk).update(expires=at("10:08:30"))
        finish_queued()
        assert beat.run_until(at("10:09:02")) == []
        run = TaskRun.objects.latest("id")
        assert (run.status, run.reason) == (Status.MISSED, Code.EXPIRED)

    def test_held_run_is_looked_at_under_its_tasks_lock(self, beat: Beat) -> None:
        job = interval_task(1, changed=START, state={"overlap": "queue_one"})
        beat.run_until(at("10:09"))
        finish_queued()
        beat.clock.moment = at("10:09:02")
        with CaptureQueriesContext(connection) as statements:
            beat.tick()
        assert len(runs(job)) == len(beat.sent) == 2
        renewed = next(n for n, each in enumerate(statements) if "lease" in each["sql"])
        first_read = next(each["sql"] for each in statements[renewed:] if "SELECT" in each["sql"])
        assert "taskrun" not in first_read

    def test_lost_message_costs_one_tick(self, beat: Beat) -> None:
        job = interval_task(1, changed=START)
        assert beat.run_until(at("10:10")) == [at("10:08"), at("10:10")]
        assert runs(job) == [
            ("expired", "10 10:08:00", 1),
            ("skipped", "10 10:09:00", 1),
            ("queued", "10 10:10:00", 1),
        ]

    def test_lost_message_costs_one_tick_when_beat_is_a_moment_late(
        self, beat: Beat, clock: TestClock
    ) -> None:
        interval_task(1, changed=START)
        for tick, late in (("10:08", 0.5), ("10:09", 0.2), ("10:10", 0.1)):
            clock.moment = at(tick) + timedelta(seconds=late)
            beat.tick()
        assert [run.scheduled_for for run in beat.sent] == [at("10:08"), at("10:10")]

    def test_after_a_message_that_no_worker_took_the_next_waits_twice_as_long(self, beat: Beat) -> None:
        interval_task(1, changed=START)
        sent = beat.run_until(at("10:40"))
        assert sent == [at("10:08"), at("10:10"), at("10:14"), at("10:22"), at("10:37")]
        beat.broker_error = None

    def test_message_that_no_worker_took_in_time_does_not_block_for_ever(self, beat: Beat) -> None:
        job = cron_task("10 * * * *", changed=START)
        beat.run_until(at("10:10"))
        assert beat.run_until(at("11:10")) == [at("11:10")]
        assert [status for status, *_ in runs(job)] == ["expired", "queued"]


def test_skip_next_skips_once(beat: Beat) -> None:
    job = cron_task("10 * * * *", changed=START, state={"enabled_since": START})
    beat.tick()
    TaskState.objects.filter(pk=job.pk).update(skip_next=True)
    assert beat.run_until(at("11:10")) == [at("11:10")]
    assert runs(job) == [("skipped", "10 10:10:00", 1), ("queued", "10 11:10:00", 1)]
    assert not state(job).skip_next


class TestOtherSchedules:
    def test_interval_keeps_its_rhythm(self, beat: Beat, clock: TestClock) -> None:
        job = interval_task(10, changed=START)
        beat.tick()
        clock.moment = at("10:17:03")
        beat.tick()
        assert [message.scheduled_for for message in beat.sent] == [at("10:17")]
        beat.sync()
        PeriodicTasks.update_changed()
        beat.run_until(at("10:17:10"))
        assert state(job).next_run_at == at("10:27")

    def test_interval_after_an_outage_counts_without_walking(self, clock: TestClock) -> None:
        a_beat_was_here()
        job = interval_task(1, "seconds", last_run_at=at("2026-06-03 10:07"))
        assert Beat(clock).run_until(START) == [START]
        assert runs(job) == [("missed", "03 10:07:01", 7 * 86400 - 1), ("queued", "10 10:07:00", 1)]

    def test_interval_begins_at_its_start_time(self, beat: Beat) -> None:
        interval_task(10, changed=START, start_time=at("12:00"))
        assert beat.run_until(at("12:00")) == [at("12:00")]

    def test_clocked_runs_once_and_is_over(self, beat: Beat) -> None:
        job = clocked_task(at("10:10"))
        assert beat.run_until(at("10:20")) == [at("10:10")]
        job.refresh_from_db()
        assert (job.enabled, state(job).next_run_at) == (False, None)

    def test_clocked_a_moment_ago_runs_at_once(self, beat: Beat) -> None:
        clocked_task(at("10:05"))
        assert beat.run_until(START) == [at("10:05")]

    def test_clocked_long_ago_is_missed(self, beat: Beat) -> None:
        a_beat_was_here()
        job = clocked_task(at("09:00"))
        assert beat.run_until(START) == []
        assert runs(job) == [("missed", "10 09:00:00", 1)]
        job.refresh_from_db()
        assert not job.enabled

    def test_clocked_enabled_again_does_not_run_again(self, beat: Beat) -> None:
        job = clocked_task(at("10:10"))
        beat.run_until(at("10:10"))
        finish(job)
        job.refresh_from_db()
        job.enabled = True
        job.save()
        assert beat.run_until(at("10:20")) == []

    def test_solar(self, beat: Beat) -> None:
        row = SolarSchedule.objects.create(event="sunset", latitude=48.85, longitude=2.35)
        job = task(solar=row, changed=START)
        beat.tick()
        sunset = state(job).next_run_at
        assert sunset is not None
        assert at("19:30") < sunset < at("20:10")
        assert beat.run_until(sunset + timedelta(hours=1)) == [sunset]
        assert state(job).next_run_at - sunset > timedelta(hours=23)

    def test_one_off_cron(self, beat: Beat) -> None:
        job = cron_task("* * * * *", changed=START, one_off=True)
        assert beat.run_until(at("10:12")) == [at("10:08")]
        job.refresh_from_db()
        assert not job.enabled

    def test_expired_task_is_disabled(self, beat: Beat) -> None:
        job = interval_task(1, changed=START, expires=at("10:09:30"), state={"overlap": "allow"})
        assert beat.run_until(at("10:12")) == [at("10:08"), at("10:09")]
        job.refresh_from_db()
        assert not job.enabled


class TestBrokenRows:
    @pytest.mark.parametrize(
        ("cron", "fields", "reason"),
        [
            ("0 0 * * 7", {}, "Beat cannot read its schedule"),
            ("0 0 31 2 *", {}, "31 2"),
            (None, {}, "no schedule"),
            ("0 0 * * *", {"args": "{"}, "not valid JSON"),
            ("0 0 * * *", {"args": "{}"}, "must be a list"),
            ("0 0 * * *", {"kwargs": "[1]"}, "must be an object"),
            ("0 0 * * *", {"headers": '"x"'}, "must be an object"),
            ("0 0 * * *", {"args": "[" * 480 + "]" * 480}, "too deeply"),
            ("* * * * *", {"args": "[" * 700 + "]" * 700}, "too deeply"),
            ("* * * * *", {"kwargs": '{"a":' * 5000 + "1" + "}" * 5000}, "too deeply"),
        ],
    )
    def test_harms_no_other_and_says_why(
        self,
        beat: Beat,
        cron: str | None,
        fields: dict[str, str],
        reason: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        bad = broken_task(cron, **fields)
        good = cron_task("10 10 * * *", changed=START)
        assert beat.run_until(at("10:10")) == [at("10:10")]
        assert beat.sent[0].task_id == good.pk
        assert reason in str(state(bad).problem)
        PeriodicTasks.update_changed()
        beat.run_until(at("10:12"))
        assert sum("leaves out" in record.message for record in caplog.records) == 1

    def test_unknown_time_zone(self, beat: Beat) -> None:
        bad = cron_task("* * * * *", changed=START)
        good = cron_task("10 10 * * *", changed=START)
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {CrontabSchedule._meta.db_table} SET timezone = 'Mars/Base' WHERE id = %s",
                [bad.crontab_id],
            )
        assert beat.run_until(at("10:10")) == [at("10:10")]
        assert beat.sent[0].task_id == good.pk
        assert "Mars/Base" in str(state(bad).problem)

    def test_repaired_row_runs_from_then_on(self, beat: Beat) -> None:
        bad = broken_task("* * * * *", args="{")
        beat.run_until(at("10:09"))
        PeriodicTask.objects.filter(pk=bad.pk).update(args="[1, 2]", date_changed=at("10:09"))
        PeriodicTasks.update_changed()
        assert beat.run_until(at("10:10:30")) == [at("10:10")]
        assert state(bad).broken_reason == ""


class TestBroker:
    def test_failed_publish_is_repeated_under_the_same_id(self, beat: Beat) -> None:
        job = cron_task("10 10 * * *", changed=START)
        beat.broker_error = UNREACHABLE
        beat.run_until(at("10:10:30"))
        run = TaskRun.objects.get(task_id=job.pk)
        assert (run.status, run.sent_at, beat.sent) == ("queued", None, [])
        beat.broker_error = None
        assert beat.run_until(at("10:11")) == [at("10:10")]
        run.refresh_from_db()
        assert (beat.sent[0].celery_id, run.sent_at) == (run.celery_id, at("10:11"))

    def test_given_up_after_the_grace(self, beat: Beat) -> None:
        job = cron_task("10 10 * * *", changed=START)
        beat.broker_error = UNREACHABLE
        beat.run_until(at("10:11"))
        beat.run_until(at("10:26"))
        run = TaskRun.objects.get(task_id=job.pk)
        assert (run.status, run.open_since) == ("missed", None)
        assert "connection refused" in run.reason_text
        beat.broker_error = None
        assert beat.run_until(at("10:27")) == []

    @pytest.mark.parametrize("overlap", ["skip", "allow", "queue_one"])
    def test_outage_is_one_row_per_task(self, beat: Beat, overlap: str) -> None:
        job = interval_task(1, changed=START, state={"overlap": overlap})
        beat.broker_error = UNREACHABLE
        beat.run_until(at("10:12"))
        assert runs(job) == [("queued", "10 10:08:00", 1), ("missed", "10 10:09:00", 4)]
        beat.broker_error = None
        assert beat.run_until(at("10:12:30")) == [at("10:08")]

    def test_row_of_an_outage_holds_only_ticks_that_follow_on_one_another(
        self, beat: Beat, clock: TestClock
    ) -> None:
        job = interval_task(1, changed=START, state={"overlap": "allow"})
        beat.broker_error = UNREACHABLE
        beat.run_until(at("10:09"))
        clock.moment = at("10:13")
        beat.tick()
        beat.run_until(at("10:14"))
        assert runs(job) == [
            ("queued", "10 10:08:00", 1),
            ("missed", "10 10:09:00", 1),
            ("missed", "10 10:10:00", 3),
            ("missed", "10 10:13:00", 2),
        ]

    def test_message_that_cannot_be_sent_hurts_no_other(
        self, beat: Beat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bad = cron_task("10 10 * * *", changed=START)
        good = cron_task("10 10 * * *", changed=START)
        publish = beat.publish
        monkeypatch.setattr(beat, "publish", lambda run: refuse(run, bad.pk, publish))
        assert beat.run_until(at("10:10")) == [at("10:10")]
        assert (runs(bad), runs(good)) == (
            [("missed", "10 10:10:00", 1)],
            [("queued", "10 10:10:00", 1)],
        )


def refuse(run: PendingRun, task_id: int, publish: Callable[[PendingRun], None]) -> None:
    if run.task_id == task_id:
        raise NotPublished(Reason.of(Code.NOT_SENT, error="add() takes 2 arguments"))
    publish(run)


class TestLead:
    def test_a_standby_fires_nothing_and_keeps_nothing(self, beat: Beat, clock: TestClock) -> None:
        cron_task("10 10 * * *", changed=START)
        second = Beat(clock)
        beat.tick()
        assert second.run_until(at("10:12")) == []
        assert second.schedule == {}

    def test_clean_stop_hands_over_at_once(self, beat: Beat, clock: TestClock) -> None:
        cron_task("10 10 * * *", changed=START)
        second = Beat(clock)
        beat.tick()
        second.tick()
        beat.close()
        assert second.run_until(at("10:10")) == [at("10:10")]

    def test_clean_stop_gives_back_what_no_broker_can_have(self, beat: Beat, clock: TestClock) -> None:
        jobs = [cron_task("10 10 * * *", changed=START) for _ in range(3)]
        beat.broker_error = UNREACHABLE
        beat.run_until(at("10:11"))
        beat.close()
        second = Beat(clock)
        assert second.run_until(at("10:12")) == [at("10:10")] * 3
        assert [runs(job) for job in jobs] == [[("queued", "10 10:10:00", 1)]] * 3
        assert set(PeriodicTask.objects.values_list("total_run_count", flat=True)) == {1}

    def test_clean_stop_accounts_for_what_later_ticks_have_overtaken(
        self, beat: Beat, clock: TestClock
    ) -> None:
        jobs = [interval_task(1, changed=START) for _ in range(2)]
        beat.broker_error = UNREACHABLE
        beat.run_until(at("10:09"))
        beat.close()
        second = Beat(clock)
        second.run_until(at("10:10"))
        assert [runs(job) for job in jobs] == [
            [("missed", "10 10:08:00", 1), ("missed", "10 10:09:00", 1), ("queued", "10 10:10:00", 1)]
        ] * 2

    def test_silent_leader_is_replaced_and_cannot_fire_any_more(self, beat: Beat, clock: TestClock) -> None:
        job = cron_task("10 10 * * *", changed=START)
        beat.tick()
        Lease.objects.update(until=database_now() - timedelta(seconds=1))
        second = Beat(clock)
        assert second.run_until(at("10:10")) == [at("10:10")]
        assert beat.run_until(at("10:10")) == []
        assert not beat.lease.held
        assert len(runs(job)) == 1
        assert Lease.objects.get().epoch == 2

    def test_leader_that_is_replaced_before_the_first_tick_leaves_the_rhythm(
        self, beat: Beat, clock: TestClock
    ) -> None:
        interval_task(10, changed=at("10:06"))
        cron_task("7 10 * * *", changed=at("10:06"))
        assert beat.lease.take()
        leader.Leader(beat.lease, beat)._read_tasks()
        beat.lease.release()
        clock.moment = at("10:08")
        assert Beat(clock).run_until(at("10:20")) == [at("10:07"), at("10:16")]

    def test_lease_of_a_leader_that_died_while_the_clock_was_ahead(self, beat: Beat) -> None:
        until = database_now() + timedelta(days=365)
        Lease.objects.create(name="beat", holder="dead", epoch=7, until=until)
        cron_task("10 10 * * *", changed=START)
        assert beat.run_until(at("10:10")) == [at("10:10")]
        assert Lease.objects.get().epoch == 8

    def test_claim_of_a_dead_beat_is_closed_softly_and_not_sent(self, beat: Beat, clock: TestClock) -> None:
        job = cron_task("10 10 * * *", changed=START)
        beat.broker_error = UNREACHABLE
        beat.run_until(at("10:10"))
        Lease.objects.update(until=None)
        second = Beat(clock)
        assert second.run_until(at("10:20")) == []
        run = TaskRun.objects.get(task_id=job.pk)
        assert (run.status, run.reason) == ("missed", Code.SENT_UNNOTED)

    def test_a_tick_is_claimed_once_even_when_its_task_is_set_back(
        self, beat: Beat, clock: TestClock
    ) -> None:
        job = cron_task("10 10 * * *", changed=START)
        other = cron_task("10 10 * * *", changed=START)
        beat.run_until(at("10:10"))
        finish(job)
        kept = {"accounted_until": at("10:00"), "next_run_at": at("10:10")}
        TaskState.objects.filter(pk=job.pk).update(**kept)
        PeriodicTask.objects.filter(pk=job.pk).update(last_run_at=at("10:00"))
        TaskRun.objects.filter(task_id=other.pk).delete()
        TaskState.objects.filter(pk=other.pk).update(**kept)
        PeriodicTask.objects.filter(pk=other.pk).update(last_run_at=at("10:00"))
        beat.lease.release()
        second = Beat(clock)
        assert second.run_until(at("10:11")) == [at("10:10")]
        assert second.sent[0].task_id == other.pk


@pytest.mark.parametrize(
    "error",
    [None, RuntimeError("a definition that raises"), IntegrityError("one the database refuses")],
)
def test_leading_beat_takes_over_what_code_declares(
    beat: Beat, monkeypatch: pytest.MonkeyPatch, error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[object] = []

    def sync(app: object) -> None:
        asked.append(app)
        if error is not None:
            raise error

    monkeypatch.setattr(scheduler, "sync_at_beat_start", sync)
    monkeypatch.setattr(Beat, "sync_definitions", scheduler.Scheduler.sync_definitions)
    cron_task("10 10 * * *", changed=START)
    assert beat.run_until(at("10:10")) == [at("10:10")]
    assert asked == [beat.app]
    assert ("could not be taken over" in caplog.text) == (error is not None)


def test_an_idle_second_costs_one_statement(
    beat: Beat, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    cron_task("10 10 * * *", changed=START)
    beat.run_until(at("10:08"))
    for second in range(1, 4):
        beat.clock.moment = at(f"10:08:0{second}")
        with django_assert_num_queries(1):
            beat.tick()


def look(beat: Beat) -> None:
    """Look at the database at once."""
    assert beat.leader is not None
    beat.leader._looked_at = None
    beat.leader._look()


def test_each_look_sets_the_clock_and_tells_whether_a_run_is_open() -> None:
    beat = Beat(TestClock())
    beat.clock = beat.lease.clock = Clock()
    beat.clock.set(START - timedelta(days=1))
    beat.tick()
    assert abs(beat.clock.now() - database_now()) < timedelta(seconds=30)
    assert beat._no_run_open()
    job = cron_task("10 10 * * *")
    run = make_run(job, Status.RUNNING)
    look(beat)
    assert not beat._no_run_open()
    run.delete()
    look(beat)
    assert beat._no_run_open()
    beat.clock._at -= CURRENT
    assert not beat._no_run_open()


def test_the_clock_is_not_ahead_of_a_database_that_answers_late(beat: Beat) -> None:
    def late(execute: Callable[..., Any], *statement: Any) -> Any:
        time.sleep(0.5)
        return execute(*statement)

    beat.tick()
    beat.clock = beat.lease.clock = Clock()
    beat.tick()
    with connection.execute_wrapper(late):
        look(beat)
    assert beat.clock.now() <= database_now() + timedelta(milliseconds=1)  # SQLite cuts off what is shorter


class TestDatabase:
    def test_outage_is_not_over_before_the_database_has_answered(
        self, beat: Beat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        beat.tick()

        def fail(*args: object, **kwargs: object) -> None:
            raise OperationalError("connection refused")

        monkeypatch.setattr(Lease.objects, "filter", fail)
        monkeypatch.setattr(leader, "read_changes", fail)
        monkeypatch.setattr(scheduler.connections["default"], "close", lambda: None)
        beat.clock.moment = at("10:08")
        pauses = [beat.tick() for _ in range(4)]
        assert pauses == [*scheduler.RETRY_PAUSES, scheduler.RETRY_PAUSES[-1]]
        assert caplog.text.count("Beat waits for the database") == 1
        assert "answers again" not in caplog.text

    @pytest.mark.parametrize(
        ("errors", "reason"),
        [
            ([OperationalError("connection refused")], Code.NO_DATABASE),
            ([RuntimeError("a fault of this code")], Code.BEAT_HELD_UP),
            ([OperationalError("connection refused"), RuntimeError("a fault")], Code.NO_DATABASE),
        ],
        ids=["outage", "fault", "both"],
    )
    def test_ticks_of_failed_turns_are_missed_for_the_true_reason(
        self, beat: Beat, monkeypatch: pytest.MonkeyPatch, errors: list[Exception], reason: Code
    ) -> None:
        job = cron_task("10 10 * * *", changed=START)
        beat.run_until(at("10:09"))

        def fail() -> None:
            raise errors.pop(0)

        monkeypatch.setattr(Beat, "turn_failed", scheduler.Scheduler.turn_failed)
        monkeypatch.setattr(beat.lease, "renew", fail)
        monkeypatch.setattr(type(beat.lease), "renewal_in", -1.0)
        monkeypatch.setattr(scheduler.connections["default"], "close", lambda: None)
        beat.clock.moment = at("10:11")
        while errors:
            assert beat.tick() > 0
        monkeypatch.undo()
        beat.clock.moment = at("10:40")
        assert beat.run_until(at("10:40")) == []
        assert runs(job) == [("missed", "10 10:10:00", 1)]
        assert TaskRun.objects.get().reason == reason


def test_clock_set_back_fires_no_tick_twice(beat: Beat, clock: TestClock) -> None:
    job = cron_task("*/10 * * * *", changed=START, state={"overlap": "allow"})
    beat.run_until(at("11:00"))
    clock.moment = at("10:05")
    beat.tick()
    assert state(job).next_run_at == at("10:10")
    assert beat.run_until(at("11:10")) == [at("11:10")]
    assert len(set(runs(job))) == len(runs(job)) == 7


def test_clock_that_was_a_year_ahead(beat: Beat, clock: TestClock) -> None:
    job = cron_task("*/10 * * * *", changed=START)
    beat.tick()
    clock.moment = at("2027-06-10 10:05")
    beat.tick()
    assert runs(job)[0][0] == "missed"
    finish(job)
    clock.moment = at("10:15")
    assert beat.run_until(at("10:30")) == [at("10:20")]


def clocked_task(moment: datetime) -> PeriodicTask:
    return task(clocked=ClockedSchedule.objects.create(clocked_time=moment), one_off=True, changed=START)


def broken_task(cron: str | None, **fields: str) -> PeriodicTask:
    """A row as other code may leave it, past every validation."""
    row = cron_row(cron) if cron is not None else None
    bad = PeriodicTask(name="bad", task="tests.job", crontab=row, **fields)
    PeriodicTask.objects.bulk_create([bad])
    PeriodicTask.objects.filter(pk=bad.pk).update(date_changed=START)
    return bad


@pytest.mark.parametrize(
    "change",
    [
        {"args": "[3, 4]"},
        {"queue": "other"},
        {"task": "elsewhere.task"},
        {"headers": '{"b": 2}'},
        {"expire_seconds": 7},
    ],
)
def test_every_change_reaches_the_next_message(beat: Beat, change: dict[str, object]) -> None:
    job = cron_task("10 10 * * *", changed=START, args="[1, 2]")
    beat.tick()
    assert beat.leader is not None
    before = beat.leader.entries[job.pk]
    PeriodicTasks.update_changed()
    beat.run_until(at("10:08"))
    assert beat.leader.entries[job.pk] is before
    PeriodicTask.objects.filter(pk=job.pk).update(**change)
    PeriodicTasks.update_changed()
    beat.run_until(at("10:10"))
    (run,) = beat.sent
    sent = {
        "args": json.dumps(run.args),
        "queue": run.options.get("queue"),
        "task": run.task,
        "headers": json.dumps({name: run.options["headers"].get(name) for name in "b"}),
        "expire_seconds": (run.expires_at - run.scheduled_for).total_seconds(),
    }
    assert {name: sent[name] for name in change} == change


def test_django_celery_beats_own_columns(beat: Beat) -> None:
    one, two = cron_task("10 10 * * *", changed=START), interval_task(2, changed=START)
    beat.run_until(at("10:09"))
    finish(two)
    PeriodicTask.objects.filter(pk=one.pk).update(last_run_at=at("10:11"))
    beat.run_until(at("10:12"))
    one.refresh_from_db()
    two.refresh_from_db()
    assert (one.last_run_at, one.total_run_count) == (at("10:11"), 1)
    assert (two.last_run_at, two.total_run_count) == (at("10:11"), 2)
