"""The planned runs of a stretch: the same ones beat would start, and how dense they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest
from django_celery_beat.models import ClockedSchedule, IntervalSchedule, SolarSchedule

from scheduled_tasks import schedules
from scheduled_tasks.models import ScheduledTask, TaskState
from scheduled_tasks.reading.planned_runs import Plan, plan
from scheduled_tasks.reading.tasks import next_run
from tests.factories import make_task

pytestmark = pytest.mark.django_db

MONDAY = datetime(2026, 6, 1, 10, 20, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
PERIOD = 24 * HOUR
MINUTE = 60.0


def plan_of(task: Any, now: datetime = MONDAY, begin: datetime | None = None) -> Plan:
    """The task's plan for 24 hours, as the page asks for it, in minutes."""
    fresh = ScheduledTask.objects.with_schedules().get(pk=task.pk)
    first, problem = next_run(fresh, now)
    assert first is not None, problem
    begin = begin or now
    return plan(fresh, first, now, begin, begin + PERIOD, MINUTE)


def moments(found: Plan, begin: datetime = MONDAY) -> list[datetime]:
    return [begin + timedelta(seconds=second) for second, _runs in found.starts]


def last_ran(at: datetime) -> dict[str, Any]:
    return {"last_run_at": at}


def interval(every: int, period: str) -> dict[str, Any]:
    return {"cron": None, "interval": IntervalSchedule.objects.create(every=every, period=period)}


@pytest.mark.parametrize(
    "cron", ["* * * * *", "*/7 3,4,9-17 * * *", "0 3 * * *", "30 2 * * *", "5 0 * * 1", "0 0 31 12 *"]
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "Asia/Kathmandu", "Australia/Lord_Howe"])
@pytest.mark.parametrize(
    "now",
    [
        MONDAY,
        datetime(2026, 3, 28, 12, 0, 1, tzinfo=UTC),
        datetime(2026, 10, 24, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 4, 4, 3, 0, tzinfo=UTC),
    ],
)
def test_cron_runs_are_those_beat_steps_through(cron: str, zone: str, now: datetime) -> None:
    task = make_task(cron=cron, zone=zone, last_run_at=now - timedelta(seconds=5))
    steps = takewhile((now + PERIOD).__gt__, schedules.next_runs(task, now))
    assert moments(plan_of(task, now), now) == list(steps)


@pytest.mark.parametrize(
    ("every", "period", "count", "starts"),
    [
        (6, "hours", 4, 4),
        (1, "minutes", 1440, 1440),
        (90, "seconds", 960, 960),
        (1, "seconds", 86_400, 1440),
        (2, "days", 0, 0),
    ],
)
def test_intervals_count_on_from_the_next_run(every: int, period: str, count: int, starts: int) -> None:
    found = plan_of(make_task(**interval(every, period), **last_ran(MONDAY)))
    assert abs(found.count - count) <= 1
    assert abs(len(found.starts) - starts) <= 1


def test_a_clocked_time_and_a_one_off_task_run_once() -> None:
    at = MONDAY + 2 * HOUR
    row = ClockedSchedule.objects.create(clocked_time=at)
    clocked = make_task("once", None, clocked=row, one_off=True, **last_ran(MONDAY))
    first = make_task("first only", "20 * * * *", one_off=True, **last_ran(MONDAY))
    assert moments(plan_of(clocked)) == [at]
    assert len(plan_of(first).starts) == 1


def test_a_solar_event_comes_once_a_day() -> None:
    paris = SolarSchedule.objects.create(event="sunrise", latitude="48.85", longitude="2.35")
    assert plan_of(make_task(cron=None, solar=paris, **last_ran(MONDAY))).count == 1


def test_nothing_is_planned_from_its_end_on() -> None:
    task = make_task(cron="0 * * * *", expires=MONDAY + 3 * HOUR, **last_ran(MONDAY))
    assert [at.hour for at in moments(plan_of(task))] == [11, 12, 13]


def test_an_overdue_run_is_due_now_and_the_others_follow() -> None:
    task = make_task(cron="0 * * * *")
    TaskState.objects.create(
        task_id=task.pk, next_run_at=MONDAY - 3 * HOUR, accounted_until=MONDAY - 4 * HOUR
    )
    found = plan_of(task)
    assert moments(found)[:2] == [MONDAY, MONDAY.replace(hour=11, minute=0, second=0)]
    assert found.count == 25


@pytest.mark.parametrize("schedule", ["cron", "interval", "seconds"])
def test_a_stretch_that_begins_later_has_the_runs_that_beat_starts_then(schedule: str) -> None:
    kinds = {
        "cron": {"cron": "20 */5 * * *"},
        "interval": interval(7, "hours"),
        "seconds": interval(1, "seconds"),
    }
    task = make_task(**kinds[schedule], **last_ran(MONDAY))
    far = MONDAY + 50 * PERIOD
    found = plan_of(task, begin=far)
    steps = takewhile((far + PERIOD).__gt__, schedules.next_runs(task, MONDAY))
    if schedule == "seconds":
        assert found.count == 86_400
    else:
        assert moments(found, far) == [step for step in steps if step >= far]


def test_what_lies_before_the_first_run_and_after_the_end_is_empty() -> None:
    task = make_task(cron="0 0 1 1 *", **last_ran(MONDAY))
    assert plan_of(task) == Plan()
