"""A task's runs by day: days as the site's zone has them, each with what happened on it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scheduled_tasks.models import Status
from scheduled_tasks.reading.run_days import days_before, run_days
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

PARIS = ZoneInfo("Europe/Paris")


def run_at(task: Any, at: datetime, status: Status = Status.SUCCEEDED, took: float = 60) -> None:
    ended = at + timedelta(seconds=took)
    make_run(task, status, queued_at=at, started_at=at, finished_at=ended)


def test_a_day_begins_at_midnight_in_the_zone(django_assert_num_queries: Any) -> None:
    task, other = make_task(), make_task("other")
    moments = [
        datetime(2026, 3, 28, 22, 59, 59, tzinfo=UTC),  # 23:59:59 in winter
        datetime(2026, 3, 28, 23, 0, tzinfo=UTC),  # the day on which the clocks change
        datetime(2026, 3, 29, 21, 59, 59, tzinfo=UTC),  # its last second, in summer
        datetime(2026, 3, 29, 22, 0, tzinfo=UTC),
    ]
    for moment in moments:
        run_at(task, moment)
        run_at(other, moment)
    with django_assert_num_queries(1):
        found = run_days(task.pk, date(2026, 1, 1), PARIS)
    assert {day.day: each.statuses.total() for day, each in found.items()} == {28: 1, 29: 2, 30: 1}


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "UTC"])
def test_every_zone_has_its_own_midnights(zone: str) -> None:
    task, where = make_task(), ZoneInfo(zone)
    midnight = datetime(2026, 5, 3, tzinfo=where).astimezone(UTC)
    run_at(task, midnight - timedelta(microseconds=1000))
    run_at(task, midnight)
    found = run_days(task.pk, date(2026, 1, 1), where)
    assert [(day.day, each.statuses.total()) for day, each in sorted(found.items())] == [(2, 1), (3, 1)]


def test_a_day_tells_statuses_and_how_long_all_took() -> None:
    task, noon = make_task(), datetime(2026, 5, 3, 12, tzinfo=UTC)
    run_at(task, noon, took=90)
    run_at(task, noon + timedelta(hours=2), Status.FAILED, took=30.5)
    make_run(task, Status.SKIPPED, queued_at=noon + timedelta(hours=3))
    (day,) = run_days(task.pk, date(2026, 1, 1), PARIS).values()
    assert day.statuses == {"succeeded": 1, "failed": 1, "skipped": 1}
    assert day.seconds == pytest.approx(120.5, abs=0.01)


def test_what_is_older_is_left_out() -> None:
    task = make_task()
    run_at(task, datetime(2026, 5, 2, 12, tzinfo=UTC))
    run_at(task, datetime(2026, 5, 3, 12, tzinfo=UTC))
    assert [*run_days(task.pk, date(2026, 5, 3), PARIS)] == [date(2026, 5, 3)]
    assert run_days(task.pk, date(2026, 5, 4), PARIS) == {}


def test_ninety_days_end_today_where_the_reader_is() -> None:
    days = days_before(datetime(2026, 6, 1, 23, 0, tzinfo=UTC), PARIS)
    assert (days[0], days[-1], len(days)) == (date(2026, 3, 5), date(2026, 6, 2), 90)
