"""Rows, saves and brokers that once made beat lose a tick, repeat one, or stand still."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery.signals import before_task_publish
from django.db import DataError, connection
from django_celery_beat.models import ClockedSchedule, PeriodicTask, PeriodicTasks

from scheduled_tasks.beat import claims
from scheduled_tasks.beat.broker import BrokerUnreachable, OutcomeUnknown
from scheduled_tasks.beat.claims import MOST_TICKS
from scheduled_tasks.models import Status, TaskRun, Trigger
from scheduled_tasks.reasons import Code, Reason
from scheduled_tasks.schedules import Unschedulable, next_run
from tests import tasks
from tests.factories import make_run

from .harness import START, Beat, TestClock, a_beat_was_here, at, cron_task, interval_task, runs, state, task

pytestmark = pytest.mark.django_db


def set_column(job: PeriodicTask, column: str, value: object) -> None:
    """Write past Django and every validation."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {PeriodicTask._meta.db_table} SET {column} = %s WHERE id = %s", [value, job.pk]
        )
    PeriodicTasks.update_changed()


class TestExpiry:
    def test_expire_seconds_0_is_none(self, beat: Beat) -> None:
        cron_task("10 10 * * *", changed=START, expire_seconds=0)
        assert beat.run_until(at("10:10")) == [at("10:10")]
        assert beat.sent[0].expires_at == at("2026-06-11 10:10")

    def test_expire_seconds_1_is_kept(self, beat: Beat) -> None:
        cron_task("10 10 * * *", changed=START, expire_seconds=1)
        assert beat.run_until(at("10:10")) == [at("10:10")]
        assert beat.sent[0].options["expires"] == at("10:10:01")

    @pytest.mark.parametrize(("expire_seconds", "kept"), [(None, False), (60, True)])
    def test_only_a_tasks_own_expiry_reaches_a_retry(
        self, beat: Beat, expire_seconds: int | None, kept: bool
    ) -> None:
        """``raise self.retry(countdown=960)`` in a job of every minute: the second attempt must run."""
        interval_task(1, changed=START, task=tasks.add.name, args="[1, 2]", expire_seconds=expire_seconds)
        beat.run_until(at("10:08"))
        options = beat.sent[0].options
        retry = {
            "id": options["task_id"],
            "retries": 1,
            "expires": options["expires"].isoformat(),
            **options["headers"],
        }
        properties: dict[str, Any] = {"expiration": 0}
        before_task_publish.send("task", body=((), {}, {}), headers=retry, properties=properties)
        assert (bool(retry["expires"]), "expiration" in properties) == (kept, kept)

    def test_a_run_that_waits_for_a_broker_does_not_expire_by_default(self, beat: Beat) -> None:
        job = interval_task(1, changed=START)
        beat.broker_error = BrokerUnreachable("connection refused")
        beat.run_until(at("10:15"))
        assert TaskRun.objects.get(status="queued").expires_at == at("10:23")
        beat.broker_error = None
        assert beat.run_until(at("10:15:30")) == [at("10:08")]
        run = TaskRun.objects.get(status="queued")
        assert run.task_id == job.pk
        assert run.expires_at == beat.sent[0].options["expires"]
        assert at("10:17") <= run.expires_at <= at("10:17:30")


class TestUnknownOutcome:
    def test_a_send_of_which_nobody_knows_is_not_repeated(self, beat: Beat) -> None:
        job = interval_task(1, changed=START)
        beat.broker_error = OutcomeUnknown("Timeout reading from socket")
        beat.run_until(at("10:08"))
        beat.broker_error = None
        assert beat.run_until(at("10:09")) == [at("10:09")]
        assert runs(job) == [("missed", "10 10:08:00", 1), ("queued", "10 10:09:00", 1)]
        assert TaskRun.objects.get(status="missed").reason == Code.MAYBE_SENT


class TestEveryTickIsAccountedFor:
    def test_a_save_that_leaves_the_schedule_moves_nothing(self, beat: Beat) -> None:
        beat.tick()
        beat.run_until(at("10:07:01"))
        job = interval_task(10, changed=at("10:00"), state={"enabled_since": at("10:00")})
        PeriodicTasks.update_changed()
        beat.run_until(at("10:09"))
        assert state(job).next_run_at == at("10:10")
        PeriodicTask.objects.filter(pk=job.pk).update(description="new", date_changed=at("10:09"))
        PeriodicTasks.update_changed()
        assert beat.run_until(at("10:11")) == [at("10:10")]

    def test_a_save_while_no_beat_ran_hides_no_tick(self, beat: Beat, clock: TestClock) -> None:
        job = cron_task("10 10 * * *", changed=START)
        beat.tick()
        beat.close()
        PeriodicTask.objects.filter(pk=job.pk).update(description="new", date_changed=at("10:30"))
        clock.moment = at("11:00")
        assert Beat(clock).run_until(at("11:00")) == []
        assert runs(job) == [("missed", "10 10:10:00", 1)]

    @pytest.mark.parametrize("kind", ["one-off", "clocked"])
    @pytest.mark.parametrize("overlap", ["skip", "queue_one"])
    def test_a_task_that_is_to_run_once_waits_for_a_run_by_hand(
        self, beat: Beat, kind: str, overlap: str
    ) -> None:
        state_ = {"overlap": overlap}
        if kind == "clocked":
            row = ClockedSchedule.objects.create(clocked_time=at("10:10"))
            job = task(clocked=row, one_off=True, changed=START, state=state_)
        else:
            job = cron_task("10 10 * * *", one_off=True, changed=START, state=state_)
        by_hand = make_run(job, Status.RUNNING, trigger=Trigger.MANUAL)
        assert beat.run_until(at("10:40")) == []
        assert TaskRun.objects.get(task_id=job.pk, trigger="schedule").status == "waiting"
        TaskRun.objects.filter(pk=by_hand.pk).update(status=Status.SUCCEEDED, open_since=None)
        assert beat.run_until(at("10:41")) == [at("10:10")]
        job.refresh_from_db()
        assert not job.enabled

    def test_a_lost_run_by_hand_does_not_block_the_schedule_for_a_day(self, beat: Beat) -> None:
        job = interval_task(1, changed=START)
        make_run(
            job, Status.QUEUED, trigger=Trigger.MANUAL, queued_at=START, expires_at=START + timedelta(days=1)
        )
        assert beat.run_until(at("10:25"))[0] == at("10:22")

    def test_the_count_of_runs_survives_a_kill(self, beat: Beat) -> None:
        job = interval_task(1, changed=START, state={"overlap": "allow"})
        beat.run_until(at("10:10"))
        job.refresh_from_db()
        assert (job.total_run_count, job.last_run_at) == (3, at("10:10"))


class TestRowsThatAreRefused:
    @pytest.mark.parametrize("unit", ["microseconds", "seconds"])
    def test_an_interval_of_less_than_a_second_does_not_take_beats_turn(
        self, beat: Beat, clock: TestClock, unit: str
    ) -> None:
        job = interval_task(1000 if unit == "microseconds" else 0, unit, changed=START)
        good = cron_task("10 10 * * *", changed=START)
        assert beat.run_until(at("10:10")) == [at("10:10")]
        assert state(job).broken_reason
        PeriodicTask.objects.filter(pk=good.pk).update(enabled=False)
        PeriodicTasks.update_changed()
        beat.run_until(at("10:11"))
        assert state(good).next_run_at is None

    def test_what_becomes_due_in_a_turn_waits_for_the_next(
        self, beat: Beat, clock: TestClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        interval_task(1, "seconds", changed=START, state={"overlap": "allow"})
        beat.tick()
        publish = beat.leader.outbox._publish

        def slow(run: Any) -> None:
            clock.moment += timedelta(seconds=2)
            publish(run)

        monkeypatch.setattr(beat.leader.outbox, "_publish", slow)
        clock.moment = at("10:07:01")
        beat.tick()
        assert len(beat.sent) == 1

    def test_data_that_the_database_refuses_breaks_that_task_alone(
        self, beat: Beat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jobs = [cron_task("10 10 * * *", changed=START) for _ in range(5)]
        bad = jobs[2]
        bulk_create = type(TaskRun.objects).bulk_create

        def refuse(self: Any, rows: list[TaskRun], *args: Any, **kwargs: Any) -> Any:
            if any(row.task_id == bad.pk for row in rows):
                raise DataError("integer out of range")
            return bulk_create(self, rows, *args, **kwargs)

        monkeypatch.setattr(type(TaskRun.objects), "bulk_create", refuse)
        assert beat.run_until(at("10:10")) == [at("10:10")] * 4
        assert "out of range" in state(bad).problem.english
        PeriodicTasks.update_changed()
        assert beat.run_until(at("10:12")) == []
        assert "out of range" in state(bad).problem.english
        monkeypatch.undo()
        PeriodicTask.objects.filter(pk=bad.pk).update(args="[1]", date_changed=at("10:12"))
        PeriodicTasks.update_changed()
        beat.run_until(at("10:13"))
        assert (state(bad).broken_reason, state(bad).next_run_at) == ("", at("2026-06-11 10:10"))

    def test_a_text_that_the_database_cannot_keep_is_kept_in_ascii(
        self, beat: Beat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = cron_task("10 10 * * *", changed=START, args='["\N{GRINNING FACE}"]')
        bulk_create = type(TaskRun.objects).bulk_create

        def refuse(self: Any, rows: list[TaskRun], *args: Any, **kwargs: Any) -> Any:
            if not all(row.args.isascii() for row in rows):
                raise DataError("Incorrect string value")
            return bulk_create(self, rows, *args, **kwargs)

        monkeypatch.setattr(type(TaskRun.objects), "bulk_create", refuse)
        assert beat.run_until(at("10:10")) == [at("10:10")]
        assert beat.sent[0].args == ("\N{GRINNING FACE}",)
        assert (TaskRun.objects.get().args, state(job).broken_reason) == (r'["\U0001f600"]', "")

    def test_a_schedule_without_a_further_tick_breaks_that_task_alone(
        self, beat: Beat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        bad, good = (cron_task("10 10 * * *", changed=START) for _ in range(2))
        beat.tick()

        def no_more(task: PeriodicTask, after: Any) -> Any:
            if task.pk == bad.pk:
                raise Unschedulable(Reason(Code.NO_SCHEDULE))
            return next_run(task, after)

        monkeypatch.setattr(claims, "next_run", no_more)
        assert beat.run_until(at("10:10")) == [at("10:10")]
        for minute in (11, 20):
            PeriodicTasks.update_changed()
            beat.run_until(at(f"10:{minute}"))
        assert beat.sent[0].task_id == good.pk
        assert (runs(bad), state(bad).broken_reason) == ([], Code.NO_SCHEDULE)
        assert caplog.text.count("leaves out") == 1

    def test_more_ticks_than_a_column_can_count(self, clock: TestClock) -> None:
        a_beat_was_here()
        job = interval_task(1, "seconds", changed=at("1950-01-01 00:00"), last_run_at=at("1950-01-01 00:00"))
        Beat(clock).run_until(START)
        assert runs(job)[0] == ("missed", "01 00:00:01", MOST_TICKS)

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("start_time", "2026-13-45 99:00"),
            ("last_run_at", "no date"),
            ("expires", "x"),
            ("one_off", "maybe"),
        ],
    )
    @pytest.mark.skipif("connection.vendor != 'sqlite'", reason="only SQLite stores values of other types")
    def test_values_of_other_types(self, beat: Beat, column: str, value: str) -> None:
        bad = cron_task("9 10 * * *", changed=START)
        cron_task("10 10 * * *", changed=START)
        set_column(bad, column, value)
        assert at("10:10") in beat.run_until(at("10:10"))

    @pytest.mark.parametrize(
        "fields",
        [
            {"start_time": at("0001-01-01 00:00")},
            {"start_time": at("9999-12-31 23:59")},
            {"expires": at("9999-12-31 23:59")},
            {"last_run_at": at("0001-01-01 00:00")},
        ],
        ids=str,
    )
    def test_dates_at_the_ends_of_the_calendar(self, beat: Beat, fields: dict[str, Any]) -> None:
        interval_task(5_000_000, "days", changed=START, **fields)
        cron_task("* * * * *", changed=START, **fields)
        cron_task("10 10 * * *", changed=START)
        assert at("10:10") in beat.run_until(at("10:10"))

    @pytest.mark.parametrize("text", ["null", "NaN", "[1e999]", '"\\ud83d"', '["\\u0000"]', "[[" * 300])
    def test_arguments_that_few_expect(self, beat: Beat, text: str) -> None:
        job = cron_task("10 10 * * *", changed=START)
        PeriodicTask.objects.filter(pk=job.pk).update(args=text)
        cron_task("10 10 * * *", changed=START)
        assert at("10:10") in beat.run_until(at("10:10"))
