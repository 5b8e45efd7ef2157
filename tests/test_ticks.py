"""Counting ticks by the day gives what stepping from tick to tick gives."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from scheduled_tasks.cron.grammar import FIELDS
from scheduled_tasks.models import TaskState
from scheduled_tasks.schedules import next_run
from scheduled_tasks.ticks import Span, span_between

EXPRESSIONS = [
    "* * * * *",
    "*/15 * * * *",
    "7 * * * *",
    "30 2 * * *",
    "*/20 0-3 * * *",
    "0 */2 * * 1-5",
    "59 23 * * *",
    "0 0 * * *",
    "5,55 1,2,3 1-10 3,10 *",
]
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata"]


def by_steps(task: PeriodicTask, after: datetime, until: datetime) -> Span | None:
    ticks = []
    tick = next_run(task, after)
    while tick is not None and tick <= until:
        ticks.append(tick)
        tick = next_run(task, tick)
    if not ticks:
        return None
    return Span(ticks[0], ticks[-1], len(ticks), ticks[-2] if len(ticks) > 1 else None)


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("zone", ZONES)
def test_cron(expression: str, zone: str) -> None:
    minute, hour, day, month, weekday = expression.split()
    row = CrontabSchedule(
        minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday, timezone=zone
    )
    chance = random.Random(f"{expression} {zone}")
    for change in (
        datetime(2026, 3, 8, 7),
        datetime(2026, 3, 29, 1),
        datetime(2026, 10, 25, 1),
        datetime(2026, 4, 4, 15),
    ):
        after = change.replace(tzinfo=UTC) - timedelta(minutes=chance.randrange(4000))
        until = after + timedelta(seconds=chance.randrange(3600 * 96))
        for task in (
            PeriodicTask(crontab=row),
            PeriodicTask(crontab=row, expires=until - timedelta(hours=5)),
            PeriodicTask(crontab=row, name="spread", scheduled_state=TaskState(spread=timedelta(minutes=1))),
        ):
            assert span_between(task, after, until) == by_steps(task, after, until), (after, until)


@pytest.mark.parametrize(
    ("expression", "zone", "after"),
    [
        ("*/15 * * * 6", "America/Nuuk", datetime(2026, 3, 29, 0, 50, tzinfo=UTC)),
        ("*/15 * 28 * *", "America/Nuuk", datetime(2026, 3, 29, 0, 50, tzinfo=UTC)),
        ("*/15 * 28 3 6", "America/Nuuk", datetime(2026, 3, 29, 0, 50, tzinfo=UTC)),
        ("*/15 * * * 6", "America/Scoresbysund", datetime(2026, 3, 29, 0, 50, tzinfo=UTC)),
        ("*/20 * 31 * *", "Asia/Amman", datetime(2026, 3, 31, 20, 50, tzinfo=UTC)),
    ],
)
def test_a_tick_that_a_clock_change_delays_into_the_next_day_is_that_days_only_one(
    expression: str, zone: str, after: datetime
) -> None:
    fields = dict(zip(FIELDS, expression.split(), strict=True))
    task = PeriodicTask(crontab=CrontabSchedule(**fields, timezone=zone))
    until = after + timedelta(hours=8)
    assert span_between(task, after, until) == by_steps(task, after, until)


def test_interval() -> None:
    task = PeriodicTask(interval=IntervalSchedule(every=7, period="seconds"))
    after = datetime(2026, 6, 1, tzinfo=UTC)
    for seconds in (0, 6, 7, 13, 14, 700):
        until = after + timedelta(seconds=seconds)
        assert span_between(task, after, until) == by_steps(task, after, until)


def test_a_year_of_minutes_takes_no_time() -> None:
    row = CrontabSchedule(minute="*", hour="*", timezone="UTC")
    after = datetime(2026, 1, 1, tzinfo=UTC)
    span = span_between(PeriodicTask(crontab=row), after, after + timedelta(days=365))
    assert span is not None
    assert span.count == 365 * 1440
