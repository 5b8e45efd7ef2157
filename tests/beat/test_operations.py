"""What a person does on the page, and what beat makes of it: nothing past starts, nothing shown is untrue."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from scheduled_tasks import operations
from scheduled_tasks.models import ScheduledTask, Status, TaskRun, database_now
from scheduled_tasks.operations import changes
from scheduled_tasks.reading.tasks import next_run

from ..factories import make_run
from .harness import Beat, TestClock, cron_row, runs, state

pytestmark = pytest.mark.django_db

ANNA = operations.Actor("anna", lambda task, sentence: None)
DAY = timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    """The database's clock, by which the operations go."""
    return database_now()


@pytest.fixture
def beat(now: datetime) -> Beat:
    return Beat(TestClock(now))


def daily(moment: datetime) -> str:
    return f"{moment.minute} {moment.hour} * * *"


def make(moment: datetime, **fields: object) -> PeriodicTask:
    """A task that ran at ``moment``, minutes ago, and is due a day later."""
    return PeriodicTask.objects.create(
        name="job",
        task="tests.tasks.add",
        args="[1, 2]",
        crontab=cron_row(daily(moment)),
        last_run_at=moment.replace(second=0, microsecond=0),
        **fields,
    )


def shown(job: PeriodicTask) -> datetime | None:
    task = ScheduledTask.objects.with_schedules().get(pk=job.pk)
    return next_run(task, database_now())[0]


@pytest.mark.parametrize("minutes", [-600, -7, -2, 2, 7, 600])
def test_rescheduled(beat: Beat, now: datetime, minutes: int) -> None:
    job = make(now - timedelta(minutes=30))
    beat.tick()
    moment = (now + timedelta(minutes=minutes)).replace(second=0, microsecond=0)
    due = moment if minutes > 0 else moment + DAY
    operations.reschedule(job.pk, actor=ANNA, expression=daily(moment), timezone="UTC")
    assert shown(job) == due
    beat.clock.moment = now + timedelta(seconds=2)
    beat.tick()
    assert state(job).next_run_at == shown(job) == due
    assert beat.run_until(due + timedelta(hours=1)) == [due]
    assert len(runs(job)) == 1


def test_rescheduled_while_no_beat_ran(beat: Beat, now: datetime) -> None:
    job = make(now - timedelta(minutes=30))
    beat.tick()
    beat.close()
    moment = (now + timedelta(minutes=5)).replace(second=0, microsecond=0)
    operations.reschedule(job.pk, actor=ANNA, expression=daily(moment), timezone="UTC")
    late = Beat(TestClock(moment + timedelta(minutes=3)))
    assert late.run_until(moment + timedelta(hours=1)) == [moment]


def test_disabled_and_enabled(beat: Beat, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "database_now", lambda: beat.clock.moment)
    job = make(now - timedelta(minutes=30))
    operations.reschedule(job.pk, actor=ANNA, expression="* * * * *", timezone="UTC")
    beat.tick()
    operations.disable(job.pk, actor=ANNA)
    assert beat.run_until(now + timedelta(minutes=10)) == []
    assert (shown(job), runs(job)) == (None, [])
    operations.enable(job.pk, actor=ANNA)
    sent = beat.run_until(now + timedelta(minutes=10, seconds=2))  # by then beat has seen it
    sent += beat.run_until(now + timedelta(minutes=11, seconds=30))
    assert sent
    assert all(tick > now + timedelta(minutes=10) for tick in sent)
    assert {row.status for row in TaskRun.objects.all()} <= {"queued", "skipped"}


def test_skip_next(beat: Beat, now: datetime) -> None:
    moment = (now + timedelta(minutes=5)).replace(second=0, microsecond=0)
    job = make(moment - DAY)
    beat.tick()
    operations.skip_next(job.pk, actor=ANNA)
    assert beat.run_until(moment + DAY) == [moment + DAY]
    assert [status for status, *_ in runs(job)] == ["skipped", "queued"]


def test_saved_state_that_sets_the_account_back_before_a_skipped_tick(beat: Beat, now: datetime) -> None:
    moment = (now + timedelta(minutes=5)).replace(second=0, microsecond=0)
    job = make(moment - DAY)
    beat.tick()
    make_run(job, Status.RUNNING)
    read_before = state(job)
    assert beat.run_until(moment) == []
    read_before.save()
    PeriodicTasks.update_changed()
    beat.clock.moment = moment + DAY
    turns = [beat.tick() for _ in range(10)]
    assert turns[-1] > 0
    ticks = TaskRun.objects.order_by("id").values_list("status", "tick_count")
    assert list(ticks) == [("running", 1), ("skipped", 2)]


def test_saved_state_that_sets_the_account_back_starts_nothing_twice(beat: Beat, now: datetime) -> None:
    moment = (now + timedelta(minutes=5)).replace(second=0, microsecond=0)
    job = make(moment - DAY)
    beat.tick()
    read_before = state(job)
    assert beat.run_until(moment) == [moment]
    read_before.save()
    assert beat.run_until(moment + timedelta(minutes=1)) == []
    assert len(runs(job)) == 1
    assert state(job).next_run_at == moment + DAY
