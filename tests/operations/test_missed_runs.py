"""What was missed or skipped is run later: a run for each scheduled time, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django_celery_beat.models import CrontabSchedule, IntervalSchedule

from scheduled_tasks.models import PausedBy, Status, TaskRun, TaskState, Trigger
from scheduled_tasks.operations import Actor, AuditEntry, Refused, can_run_later, run_later
from scheduled_tasks.operations.missed_runs import MOST_RUNS
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 29, 3, tzinfo=UTC)
DAY = timedelta(days=1)


def make_missed(task: Any, count: int = 1, each: timedelta = DAY, **values: Any) -> TaskRun:
    """A row that stands for ``count`` ticks from :data:`AT`."""
    last = AT + (count - 1) * each
    fields = {"celery_id": None, "scheduled_for": AT, "scheduled_until": last, "tick_count": count}
    return make_run(task, values.pop("status", Status.MISSED), **fields, **values)


@pytest.fixture
def audit() -> list[AuditEntry]:
    return []


@pytest.fixture
def anna(audit: list[AuditEntry]) -> Actor:
    return Actor("anna", lambda task, entry: audit.append(entry))


@pytest.mark.parametrize("status", [Status.MISSED, Status.SKIPPED])
def test_each_scheduled_time_gets_a_run_that_waits(
    anna: Actor, audit: list[AuditEntry], status: Status
) -> None:
    task = make_task(args='["a"]')
    missed = make_missed(task, 3, status=status)
    runs = run_later(missed.pk, actor=anna)
    assert [run.scheduled_for for run in runs] == [AT, AT + DAY, AT + 2 * DAY]
    assert {(run.status, run.trigger, run.actor, run.retry_of_id, run.args) for run in runs} == {
        (Status.WAITING, Trigger.RETRY, "anna", missed.pk, '["a"]')
    }
    missed.refresh_from_db()
    assert (missed.actor, missed.status, can_run_later(missed)) == ("anna", status, False)
    assert [str(entry) for entry in audit] == [
        f"Run later what run {missed.pk} stands for: 3 scheduled times."
    ]


def test_times_of_an_interval_count_from_the_first(anna: Actor) -> None:
    every_hour = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    task = make_task(cron=None, interval=every_hour)
    hour = timedelta(hours=1)
    runs = run_later(make_missed(task, 4, hour).pk, actor=anna)
    assert [run.scheduled_for for run in runs] == [AT + n * hour for n in range(4)]


def refused(row: TaskRun, anna: Actor) -> str:
    runs = TaskRun.objects.count()
    with pytest.raises(Refused) as refusal:
        run_later(row.pk, actor=anna)
    assert TaskRun.objects.count() == runs
    return str(refusal.value)


def test_what_was_run_later_is_not_run_again(anna: Actor) -> None:
    missed = make_missed(make_task())
    run_later(missed.pk, actor=anna)
    assert refused(missed, anna).endswith("or somebody has run them later already.")


@pytest.mark.parametrize("values", [{"status": Status.FAILED}, {"status": Status.SUCCEEDED}])
def test_only_what_did_not_run_is_run_later(anna: Actor, values: dict[str, Any]) -> None:
    assert refused(make_run(make_task(), **values), anna).startswith("These scheduled times did run")


def test_a_missed_run_that_had_a_message_is_retried_instead(anna: Actor) -> None:
    run = make_run(make_task(), Status.MISSED)
    assert not can_run_later(run)
    assert refused(run, anna).startswith("These scheduled times did run")


def test_a_disabled_task_is_enabled_first(anna: Actor) -> None:
    missed = make_missed(make_task(enabled=False))
    assert refused(missed, anna) == "purge is disabled. Enable it before you run what was missed."


def test_a_changed_schedule_makes_the_times_unknown(anna: Actor) -> None:
    task = make_task()
    missed = make_missed(task, 3)
    CrontabSchedule.objects.update(hour="4")
    assert refused(missed, anna) == (
        "The schedule of purge was changed since: the scheduled times are not known any more."
    )
    assert len(run_later(make_missed(task).pk, actor=anna)) == 1, "a single time is always known"


def test_too_many_times_at_once(anna: Actor) -> None:
    missed = make_missed(make_task(), MOST_RUNS + 1)
    assert refused(missed, anna).startswith("101 scheduled times are too many: at most 100")
    assert len(run_later(make_missed(make_task("other"), MOST_RUNS).pk, actor=anna)) == MOST_RUNS


def test_arguments_that_are_not_json(anna: Actor) -> None:
    task = make_task()
    type(task).objects.update(args="[1,")
    assert refused(make_missed(task), anna).startswith("The arguments of this task are not valid JSON")


def test_a_task_that_is_gone(anna: Actor) -> None:
    task = make_task()
    missed = make_missed(task)
    task.delete()
    assert refused(missed, anna) == "This task no longer exists."


def test_a_task_that_runs_once_may_run_later_once_beat_has_disabled_it(anna: Actor) -> None:
    task = make_task(one_off=True, enabled=False)
    assert [run.scheduled_for for run in run_later(make_missed(task).pk, actor=anna)] == [AT]
    TaskState.objects.filter(pk=task.pk).update(paused_by=PausedBy.OPERATOR)
    with pytest.raises(Refused, match="is disabled"):
        run_later(make_missed(task).pk, actor=anna)
