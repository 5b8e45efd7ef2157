"""What a project's tests may say of its declared tasks; none of it needs a database."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import shared_task
from celery.schedules import schedule

from example_project.celery import app
from scheduled_tasks import scheduled_task
from scheduled_tasks.declarations import registry
from scheduled_tasks.declarations.code import CodeUnreadable, read
from scheduled_tasks.testing import assert_declared_tasks, assert_next_runs, declared_tasks


@shared_task(name="billing.tasks.purge")
def purge() -> None:
    """Does nothing."""


@pytest.fixture(autouse=True)
def declare(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Declare another task; one is declared already."""
    read()  # what it imports declares itself now, not during the test
    monkeypatch.setattr(registry, "definitions", {})
    monkeypatch.setitem(app.conf, "beat_schedule", {})

    def declare(cron: str, name: str, **options: Any) -> None:
        scheduled_task(cron, name=name, **options)(purge)

    declare("30 2 * * *", "purge", timezone="Europe/Paris")
    return declare


@pytest.fixture
def beat_schedule() -> dict[str, Any]:
    entries: dict[str, Any] = app.conf.beat_schedule
    return entries


def test_declared_tasks(beat_schedule: dict[str, Any]) -> None:
    beat_schedule["report"] = {"task": "billing.tasks.report", "schedule": 60}
    found = declared_tasks()
    assert {name: task.task for name, task in found.items()} == {
        "purge": "billing.tasks.purge",
        "report": "billing.tasks.report",
    }
    assert found["report"].values["schedule"] == "every minute"


def test_next_runs_in_the_tasks_zone_through_clock_changes() -> None:
    assert_next_runs(
        "purge",
        ["2026-03-28 02:30", "2026-03-29 03:30", datetime(2026, 3, 30, 0, 30, tzinfo=UTC)],
        after="2026-03-27 12:00",
    )


def test_other_next_runs_fail_and_both_are_shown() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_next_runs("purge", ["2026-06-11 02:00"], after=datetime(2026, 6, 10, 12, tzinfo=UTC))
    assert str(caught.value).splitlines()[1:] == [
        "expected: 2026-06-11 02:00:00+02:00",
        "   found: 2026-06-11 02:30:00+02:00",
    ]
    with pytest.raises(AssertionError, match="expected: never"):
        assert_next_runs("purge", [], after="2026-06-10")


def test_next_runs_of_an_interval(beat_schedule: dict[str, Any]) -> None:
    beat_schedule["report"] = {"task": "billing.tasks.report", "schedule": timedelta(hours=6)}
    assert_next_runs("report", ["2026-06-10 18:00+00:00"], after="2026-06-10 12:00+00:00")


def test_next_runs_of_a_task_that_is_not_declared() -> None:
    with pytest.raises(LookupError, match=r"declared as 'purg'. Declared are purge\."):
        assert_next_runs("purg", ["2026-06-10"], after="2026-06-09")


def test_all_is_well(declare: Any) -> None:
    assert_declared_tasks({"purge": "billing.tasks.purge"})


def failure(expected: dict[str, str]) -> str:
    with pytest.raises(AssertionError) as caught:
        assert_declared_tasks(expected)
    return str(caught.value)


def test_a_moved_task_needs_an_alias(declare: Any) -> None:
    assert 'Add formerly=["billing.jobs.purge"]' in failure({"purge": "billing.jobs.purge"})
    registry.definitions.clear()
    declare("30 2 * * *", "purge", formerly=["billing.jobs.purge"])
    assert_declared_tasks({"purge": "billing.jobs.purge"})


def test_a_renamed_task_needs_an_alias(declare: Any) -> None:
    expected = {"clean": "billing.jobs.clean"}
    told = failure(expected)
    assert "“clean” (billing.jobs.clean) is not declared any more" in told
    assert "“purge” (billing.tasks.purge) is not in this list." in told
    assert told.endswith("{'purge': 'billing.tasks.purge'}")
    registry.definitions.clear()
    declare("30 2 * * *", "purge", formerly=["billing.jobs.clean"])
    assert_declared_tasks(expected)
    registry.definitions.clear()
    declare("30 2 * * *", "purge", formerly=["clean"])
    assert_declared_tasks(expected)


def test_a_new_task_belongs_into_the_list(declare: Any) -> None:
    declare("0 0 * * *", "report")
    assert failure({"purge": "billing.tasks.purge"}).splitlines()[0] == (
        "“report” (billing.tasks.purge) is not in this list."
    )


def test_a_schedule_that_never_fires(beat_schedule: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    beat_schedule["twice"] = {"task": "billing.tasks.twice", "schedule": 0.5}
    assert "“twice” of CELERY_BEAT_SCHEDULE is unusable" in failure({"purge": "billing.tasks.purge"})
    beat_schedule.clear()
    monkeypatch.setitem(registry.definitions["purge"].values, "schedule", "0 0 31 2 *")
    assert "“purge” never fires: " in failure({"purge": "billing.tasks.purge"})


def test_names_that_two_tasks_share(
    declare: Any, beat_schedule: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat_schedule["purge"] = {"task": "billing.tasks.report", "schedule": schedule(60)}
    assert "“purge” is in CELERY_BEAT_SCHEDULE too" in failure({"purge": "billing.tasks.purge"})
    beat_schedule.clear()
    declare("0 0 * * *", "Pürge")
    told = failure({"purge": "billing.tasks.purge", "Pürge": "billing.tasks.purge"})
    assert "are one name to MariaDB" in told

    (tmp_path / "twice_declared.py").write_text(
        "from scheduled_tasks import scheduled_task\n"
        "@scheduled_task('0 0 * * *', name='purge')\ndef again(): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(app.loader, "default_modules", ("twice_declared",))
    with pytest.raises(CodeUnreadable, match="declares this name already"):
        assert_declared_tasks({"purge": "billing.tasks.purge"})
    assert "twice_declared" not in sys.modules


def test_a_spread_task_is_asked_for_when_it_starts(declare: Any) -> None:
    declare("0 * * * *", "spread", spread=timedelta(minutes=10))
    with pytest.raises(AssertionError, match=r"10:0[0-9]:"):
        assert_next_runs("spread", ["2026-06-10 10:00"], after=datetime(2026, 6, 10, 9, 30, tzinfo=UTC))
