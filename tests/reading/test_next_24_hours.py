"""The planned runs of a day: the same ones beat would start, and how dense they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest
from django_celery_beat.models import ClockedSchedule, IntervalSchedule, SolarSchedule

from scheduled_tasks import schedules
from scheduled_tasks.models import ScheduledTask, TaskState
from scheduled_tasks.reading import next_24_hours
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.reading.next_24_hours import PERIOD, Plan
from scheduled_tasks.reading.tasks import tasks
from tests.factories import make_task

pytestmark = pytest.mark.django_db

MONDAY = datetime(2026, 6, 1, 10, 20, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def plan_of(task: Any, now: datetime = MONDAY) -> Plan | None:
    """The task's plan as the page asks for it, its minutes counted from the full hour."""
    fresh = ScheduledTask.objects.with_schedules().get(pk=task.pk)
    return next_24_hours.plan(fresh, now, now.replace(minute=0, second=0))


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
    found = plan_of(task, now)
    assert found is not None
    steps = [found.first, *takewhile((now + PERIOD).__gt__, schedules.next_runs(task, found.first))]
    steps = [step for step in steps if step < now + PERIOD]
    begin = now.replace(minute=0, second=0)
    assert found.count == len(steps)
    assert list(found.minutes) == [int((step - begin) / timedelta(minutes=1)) for step in steps]


@pytest.mark.parametrize(
    ("every", "period", "count", "minutes"),
    [
        (6, "hours", 4, 4),
        (1, "minutes", 1440, 1440),
        (90, "seconds", 960, 960),
        (1, "seconds", 86_400, 1440),
        (2, "days", 0, 0),
    ],
)
def test_intervals_count_on_from_the_next_run(every: int, period: str, count: int, minutes: int) -> None:
    task = make_task(**interval(every, period), **last_ran(MONDAY))
    found = plan_of(task)
    assert found is not None
    assert abs(found.count - count) <= 1
    assert abs(len(found.minutes) - minutes) <= 1
    assert found.estimated is (count > 1)


def test_an_interval_of_less_than_a_second_is_not_planned() -> None:
    assert plan_of(make_task(**interval(1, "microseconds"), **last_ran(MONDAY))) is None


def test_a_clocked_time_and_a_one_off_task_run_once() -> None:
    at = MONDAY + 2 * HOUR
    row = ClockedSchedule.objects.create(clocked_time=at)
    clocked = make_task("once", None, clocked=row, one_off=True, **last_ran(MONDAY))
    first = make_task("first only", "0 * * * *", one_off=True, **last_ran(MONDAY))
    for task, minute in ((clocked, 140), (first, 60)):
        found = plan_of(task)
        assert found is not None
        assert (found.count, list(found.minutes)) == (1, [minute])


def test_a_solar_event_comes_once_a_day() -> None:
    paris = SolarSchedule.objects.create(event="sunrise", latitude="48.85", longitude="2.35")
    found = plan_of(make_task(cron=None, solar=paris, **last_ran(MONDAY)))
    assert found is not None
    assert found.count == 1


def test_nothing_is_planned_from_its_end_on() -> None:
    task = make_task(cron="0 * * * *", expires=MONDAY + 3 * HOUR, **last_ran(MONDAY))
    found = plan_of(task)
    assert found is not None
    assert list(found.minutes) == [60, 120, 180]


def test_an_overdue_run_is_due_now_and_the_others_follow() -> None:
    task = make_task(cron="0 * * * *")
    TaskState.objects.create(
        task_id=task.pk, next_run_at=MONDAY - 3 * HOUR, accounted_until=MONDAY - 4 * HOUR
    )
    found = plan_of(task)
    assert found is not None
    assert found.first == MONDAY - 3 * HOUR
    assert list(found.minutes[:3]) == [20, 60, 120]
    assert found.count == 25


def test_the_plans_of_all_tasks_cost_one_statement(django_assert_num_queries: Any) -> None:
    for n in range(5):
        make_task(f"task {n}", f"{n} {20 - n} * * *", **last_ran(MONDAY))
    make_task("paused", enabled=False)
    make_task("broken", "0 25 * * *")
    with django_assert_num_queries(1):
        found = next_24_hours.plans(tasks(), Machinery(now=MONDAY, processes=()), MONDAY)
    assert [plan.task.name for plan in found] == [f"task {n}" for n in (4, 3, 2, 1, 0)]
