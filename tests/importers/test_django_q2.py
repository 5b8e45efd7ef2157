"""django-q2: rows that its own ``schedule()`` makes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection

from scheduled_tasks.models import ScheduledTask, database_now
from scheduled_tasks.schedules import raw

from .conftest import Import

NEXT = datetime(2026, 11, 26, 6, 5, tzinfo=UTC)
"""A Thursday."""


@pytest.fixture
def schedule(install: Callable[[str], None]) -> Callable[..., Any]:
    install("django_q")
    from django_q.tasks import schedule

    return schedule  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"schedule_type": "I", "minutes": 90}, "every 90 minutes"),
        ({"schedule_type": "H", "next_run": NEXT}, "5 * * * *"),
        ({"schedule_type": "D", "next_run": NEXT}, "5 7 * * *"),
        ({"schedule_type": "W", "next_run": NEXT}, "5 7 * * 4"),
        ({"schedule_type": "M", "next_run": NEXT}, "5 7 26 * *"),
        ({"schedule_type": "BM", "next_run": NEXT}, "5 7 26 1,3,5,7,9,11 *"),
        ({"schedule_type": "Q", "next_run": NEXT}, "5 7 26 2,5,8,11 *"),
        ({"schedule_type": "Y", "next_run": NEXT}, "5 7 26 11 *"),
        ({"schedule_type": "C", "cron": "0 22 * * 1-5"}, "0 22 * * 1-5"),
    ],
)
def test_each_kind_of_schedule(
    schedule: Any, imported: Import, settings: Any, values: dict[str, Any], text: str
) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    row = schedule("tests.tasks.add", 1, 2, name="sum up", **values)
    assert row.calculate_next_run(NEXT)  # django-q2 takes it too
    (told,) = imported("django-q2")
    assert (told["result"], told["runs"], told["schedule"]) == ("imported", "tests.tasks.add", text)
    task = ScheduledTask.objects.get(name="sum up")
    assert (raw(task), task.args, task.task, task.enabled) == (text, "[1, 2]", "tests.tasks.add", True)
    assert task.crontab is None or str(task.crontab.timezone) == "Europe/Berlin"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"schedule_type": "O"}, "it runs once, and here are schedules that recur."),
        ({"schedule_type": "D", "repeats": 3}, "it ends after 3 more runs, which no schedule here can say."),
        ({"schedule_type": "D", "repeats": 0}, "it has had all its runs."),
        ({"schedule_type": "BW"}, "no cron expression says every second week."),
        (
            {"schedule_type": "M", "next_run": datetime(2026, 1, 31, 12, tzinfo=UTC)},
            "it runs on day 31, which not every month has.",
        ),
        (
            {"schedule_type": "C", "cron": "0 3 13 * 5"},
            "“0 3 13 * 5” means either of the two days in cron, and both in Celery; split it in two.",
        ),
        (
            {"schedule_type": "D", "intended_date_kwarg": "day"},
            "it is given its time as “day”, which no task here is.",
        ),
    ],
)
def test_what_no_schedule_says(schedule: Any, imported: Import, values: dict[str, Any], why: str) -> None:
    schedule("tests.tasks.add", **values)
    (told,) = imported("django-q2")
    assert (told["result"], told["why"]) == ("left_out", why)
    assert not ScheduledTask.objects.exists()


def test_a_row_that_never_runs_again(schedule: Any, imported: Import) -> None:
    from django_q.models import Schedule

    schedule("tests.tasks.add", name="daily", schedule_type="D")
    schedule("tests.tasks.add", name="often", schedule_type="I")
    Schedule.objects.update(next_run=None)
    daily, often = imported("django-q2")
    assert daily["why"] == "it has no next run, from which its time would follow."
    assert often["result"] == "imported"
    assert not ScheduledTask.objects.get().enabled


def test_what_begins_later(schedule: Any, imported: Import) -> None:
    begin = database_now() + timedelta(days=3)
    schedule("tests.tasks.add", name="daily", schedule_type="D", next_run=begin)
    schedule("tests.tasks.add", name="monthly", schedule_type="C", cron="0 0 1 * *", next_run=begin)
    daily, monthly = imported("django-q2")
    assert daily["why"] == f"it begins on {begin:%Y-%m-%d}, and would run before; import it later."
    assert monthly["result"] == "imported"


def test_arguments_and_what_is_left_out(schedule: Any, imported: Import) -> None:
    schedule("tests.tasks.add", 1, name="a", schedule_type="I", y=[2], hook="tests.tasks.add", cluster="x")
    (told,) = imported("django-q2")
    assert told["why"] == "Its hook and cluster is left out."
    task = ScheduledTask.objects.get()
    assert (task.args, task.kwargs) == ("[1]", '{"y": [2]}')


def test_a_function_at_an_interval_that_no_cron_expression_says(schedule: Any, imported: Import) -> None:
    schedule("tests.importers.jobs.report", name="uneven", schedule_type="I", minutes=7)
    schedule("tests.tasks.add", name="after it", schedule_type="I", minutes=7)
    uneven, other = imported("django-q2")
    assert (uneven["result"], uneven["name"], uneven["schedule"]) == ("left_out", "uneven", "every 7 minutes")
    assert uneven["why"].startswith("no cron expression says “every 7 minutes”")
    assert other["result"] == "imported"


def test_keywords_as_in_a_call(schedule: Any, imported: Import) -> None:
    from django_q.models import Schedule

    schedule("tests.tasks.add", name="a", schedule_type="I")
    Schedule.objects.update(kwargs="x=1, name='John'", args="'one'")
    imported("django-q2")
    task = ScheduledTask.objects.get()
    assert (task.args, task.kwargs) == ('["one"]', '{"x": 1, "name": "John"}')


def test_a_second_import_finds_nothing_new(schedule: Any, imported: Import) -> None:
    schedule("tests.tasks.add", schedule_type="I")
    schedule("tests.tasks.add", schedule_type="H", next_run=NEXT)
    assert [told["result"] for told in imported("django-q2", "--dry-run")] == ["imported", "imported"]
    assert not ScheduledTask.objects.exists()
    assert [told["name"] for told in imported("django-q2")] == ["tests.tasks.add", "tests.tasks.add 2"]
    assert [told["result"] for told in imported("django-q2")] == ["there", "there"]
    assert ScheduledTask.objects.count() == 2


def test_a_table_that_is_not_there(schedule: Any, imported: Import) -> None:
    from django_q.models import Schedule

    with connection.schema_editor() as editor:
        editor.delete_model(Schedule)
    try:
        with pytest.raises(CommandError, match=r"The import stopped: the database says .*django_q_schedule"):
            imported("django-q2")
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(Schedule)
