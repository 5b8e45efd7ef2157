"""What ran in a stretch: each run in its lane, many that begin close together as one group."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from scheduled_tasks.models import Status, database_now
from scheduled_tasks.reading.past_runs import RunGroup, past_runs
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def read(*tasks: Any, begin: timedelta = HOUR, end: timedelta = timedelta(0)) -> Any:
    now = database_now()
    return past_runs([task.pk for task in tasks], now - begin, now - end)


def test_a_run_alone_is_told_exactly() -> None:
    task = make_task()
    run = make_run(task, Status.FAILED, ago=600, took=2.5)
    run.refresh_from_db()
    (group,) = read(task)[task.pk]
    assert group == RunGroup("failed", 1, run.pk, run.started_at, run.finished_at)  # type: ignore[arg-type]


def test_an_open_run_has_no_end_however_long_ago_it_began() -> None:
    task = make_task()
    run = make_run(task, Status.RUNNING, ago=5 * 86_400)
    (group,) = read(task)[task.pk]
    assert (group.run_id, group.end) == (run.pk, None)


def test_runs_of_one_status_within_a_step_are_one_group() -> None:
    task, other = make_task("a"), make_task("b")
    for ago in (302.0, 301.5, 301.0):
        make_run(task, ago=ago, took=0.1)
    make_run(task, Status.FAILED, ago=300.5)
    make_run(other, ago=300)
    found = read(task, other, begin=300 * HOUR)
    assert [(group.status, group.runs) for group in found[task.pk]] == [("succeeded", 3), ("failed", 1)]
    assert len(found[other.pk]) == 1


def test_ticks_that_did_not_run_stand_where_they_were_due() -> None:
    task, now = make_task(), database_now()
    due = {"scheduled_for": now - HOUR / 2, "scheduled_until": now - HOUR / 4, "tick_count": 15}
    make_run(task, Status.MISSED, ago=1, **due)
    (group,) = read(task)[task.pk]
    assert (group.runs, group.start, group.end) == (15, due["scheduled_for"], due["scheduled_until"])


def test_only_what_reaches_into_the_stretch() -> None:
    task = make_task()
    make_run(task, ago=7200, took=10)
    across = make_run(task, ago=4000, took=1000)
    make_run(task, ago=60, took=1)
    assert [group.run_id for group in read(task, end=HOUR / 4)[task.pk]] == [across.pk]


def test_what_cannot_be_told_apart_is_counted_without_reading_its_rows() -> None:
    task, now = make_task(), database_now()
    for minute in range(600, 0, -1):
        make_run(task, ago=60 * minute, took=1)
    failed = make_run(task, Status.FAILED, ago=30)
    found = past_runs([task.pk], now - 10 * HOUR, now)[task.pk]
    good = [group for group in found if group.status == "succeeded"]
    assert sum(group.runs for group in good) in (599, 600)
    assert len(good) <= 300
    assert all(group.end and group.end - group.start == 2 * HOUR / 60 for group in good[1:])
    assert [group.run_id for group in found if group.status == "failed"] == [failed.pk]


def test_it_costs_four_statements(django_assert_num_queries: Any) -> None:
    tasks = [make_task(f"task {n}") for n in range(5)]
    for task in tasks:
        make_run(task)
    now = database_now()
    with django_assert_num_queries(4):
        found = past_runs([task.pk for task in tasks], now - HOUR, now)
    assert len(found) == 5


@pytest.mark.skipif("connection.vendor != 'mysql'", reason="only MariaDB cuts long lists of ids")
def test_no_number_of_runs_is_cut_by_the_database() -> None:
    task = make_task()
    for ago in range(30, 0, -1):
        make_run(task, ago=ago, took=0.1)
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION group_concat_max_len = 64")
        try:
            assert sum(group.runs for group in read(task)[task.pk]) == 30
        finally:
            cursor.execute("SET SESSION group_concat_max_len = DEFAULT")


def test_no_runs_at_all() -> None:
    assert read(make_task()) == {}
