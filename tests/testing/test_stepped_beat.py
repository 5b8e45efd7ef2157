"""``tick()``: beat's own decisions on a clock of the test's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import shared_task
from django.test import TestCase
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from example_project.celery import app
from scheduled_tasks import operations, scheduled_task
from scheduled_tasks.beat import Scheduler
from scheduled_tasks.declarations import registry
from scheduled_tasks.declarations.code import read
from scheduled_tasks.models import Lease, ScheduledTask, Status, TaskRun, TaskState
from scheduled_tasks.operations import Actor
from scheduled_tasks.testing import ScheduledTasksMixin, tick

pytestmark = pytest.mark.django_db

NOBODY = Actor("", lambda task, text: None)
calls: list[Any] = []


@shared_task(name="tests.stepped.note")
def note(*args: Any) -> None:
    calls.append(args)


@pytest.fixture(autouse=True)
def purge(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One declared task, at 3 AM in Paris."""
    read()  # what it imports declares itself now, not during the test
    monkeypatch.setattr(registry, "definitions", {})
    calls.clear()
    return scheduled_task("0 3 * * *", name="purge", timezone="Europe/Paris", args=["x"])(note)


def told(runs: list[TaskRun]) -> list[tuple[str, str, int]]:
    return [(run.status, f"{run.scheduled_for:%m-%d %H:%M}", run.tick_count) for run in runs]


def test_starts_what_is_due_and_runs_it() -> None:
    runs = tick("purge", after="2026-06-10 12:00", until="2026-06-12 12:00")
    assert told(runs) == [("succeeded", "06-11 01:00", 1), ("succeeded", "06-12 01:00", 1)]
    assert calls == [("x",), ("x",)]
    assert {run.trigger for run in runs} == {"schedule"}
    assert all(run.started_at and run.finished_at and run.sent_at for run in runs)
    state = ScheduledTask.objects.get(name="purge").state
    assert state.next_run_at == datetime(2026, 6, 13, 1, tzinfo=UTC)


def test_until_is_included_and_after_is_not() -> None:
    moment = datetime(2026, 6, 11, 1, tzinfo=UTC)
    assert told(tick("purge", after=moment - timedelta(minutes=1), until=moment)) == [
        ("succeeded", "06-11 01:00", 1)
    ]
    assert tick("purge", after=moment, until=moment + timedelta(hours=1)) == []


@pytest.mark.parametrize("days", [-30, 0, 30], ids=["past", "now", "future"])
def test_time_before_the_first_call_has_no_ticks(days: int) -> None:
    begin = timezone.now() + timedelta(days=days)
    assert [run.status for run in tick("purge", after=begin, until=begin + timedelta(days=2))] == [
        "succeeded",
        "succeeded",
    ]


def test_time_between_two_calls_is_missed() -> None:
    tick("purge", after="2026-06-10 12:00", until="2026-06-11 12:00")
    runs = tick(after="2026-06-14 12:00", until="2026-06-15 12:00")
    assert told(runs) == [("missed", "06-12 01:00", 3), ("succeeded", "06-15 01:00", 1)]
    assert [run.reason for run in runs] == ["no_beat", ""]


def test_what_a_person_did_counts() -> None:
    tick("purge", after="2026-06-10 12:00", until="2026-06-10 13:00")
    task_id = ScheduledTask.objects.get().pk
    operations.skip_next(task_id, actor=NOBODY, skip=True)
    runs = tick(after="2026-06-10 13:00", until="2026-06-12 12:00")
    assert told(runs) == [("skipped", "06-11 01:00", 1), ("succeeded", "06-12 01:00", 1)]
    operations.disable(task_id, actor=NOBODY)
    assert tick(after="2026-06-12 12:00", until="2026-06-13 12:00") == []
    operations.enable(task_id, actor=NOBODY)
    assert told(tick(after="2026-06-13 12:00", until="2026-06-14 12:00")) == [("succeeded", "06-14 01:00", 1)]


def test_a_run_that_goes_on_blocks_the_next() -> None:
    tick("purge", after="2026-06-10 12:00", until="2026-06-10 13:00")
    moment = datetime(2026, 6, 10, 11, tzinfo=UTC)
    TaskRun.objects.create(
        task_id=ScheduledTask.objects.get().pk,
        name="purge",
        status=Status.RUNNING,
        queued_at=moment,
        open_since=moment,
    )
    runs = tick(after="2026-06-10 13:00", until="2026-06-12 12:00")
    assert told(runs) == [("skipped", "06-11 01:00", 2)]
    assert calls == []


def test_stored_tasks_need_no_name_and_are_left_as_they_are() -> None:
    row = IntervalSchedule.objects.create(every=10, period="minutes")
    PeriodicTask.objects.create(name="own", task=note.name, interval=row, args='["own"]')
    runs = tick(after="2026-06-10 12:00", until="2026-06-10 12:30")
    assert told(runs) == [("succeeded", f"06-10 10:{minute}", 1) for minute in (10, 20, 30)]
    assert not ScheduledTask.objects.filter(name="purge").exists()


def test_a_failing_task_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.conf, "task_eager_propagates", True)
    scheduled_task("0 3 * * *", name="broken", timezone="UTC")(fail)
    (run,) = tick("broken", after="2026-06-10 22:00", until="2026-06-11 12:00")
    assert (run.status, run.error_type) == ("failed", "ZeroDivisionError")


@shared_task(name="tests.stepped.fail")
def fail() -> None:
    raise ZeroDivisionError


def test_the_settings_are_as_before() -> None:
    names = ("task_always_eager", "task_eager_propagates", "broker_write_url")
    before = [app.conf[name] for name in names]
    tick("purge", after="2026-06-10 12:00", until="2026-06-11 12:00")
    assert [app.conf[name] for name in names] == before


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(LookupError, match="Neither stored nor declared: purg"):
        tick("purg", after="2026-06-10 12:00", until="2026-06-11 12:00")
    with pytest.raises(ValueError, match="is before"):
        tick("purge", after="2026-06-10 12:00", until="2026-06-09 12:00")
    PeriodicTask.objects.create(
        name="own", task="no.such", interval=IntervalSchedule.objects.create(every=1, period="hours")
    )
    with pytest.raises(LookupError, match=r"The Celery task of 'own', no\.such, does not exist"):
        tick(after="2026-06-10 12:00", until="2026-06-10 13:00")


def test_another_beat_that_leads_is_said() -> None:
    Lease.objects.create(name="beat", holder="other", epoch=3, until=timezone.now() + timedelta(seconds=10))
    with pytest.raises(RuntimeError, match="Another beat leads"):
        tick("purge", after="2026-06-10 12:00", until="2026-06-11 12:00")


class OwnScheduler(Scheduler):
    """A project's own scheduler: its hooks take part."""

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        entry.kwargs["site"] = "own"
        super().apply_entry(entry, producer=producer)


@shared_task(name="tests.stepped.site")
def site(*args: Any, site: str = "") -> None:
    calls.append(site)


def test_the_projects_own_scheduler_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.conf, "beat_scheduler", f"{__name__}:OwnScheduler")
    scheduled_task("0 3 * * *", name="site", timezone="UTC")(site)
    tick("site", after="2026-06-10 22:00", until="2026-06-11 12:00")
    assert calls == ["own"]


class InATestCase(ScheduledTasksMixin, TestCase):
    """Django's own way to test."""

    def test_it(self) -> None:
        self.assertNextRuns("purge", ["2026-06-11 03:00"], after="2026-06-10 12:00")
        self.assertDeclaredTasks({"purge": "tests.stepped.note"})
        self.assertEqual(list(self.declared_tasks()), ["purge"])
        self.assertEqual(self.run_scheduled("purge").status, Status.SUCCEEDED)
        self.assertEqual(len(self.tick("purge", after="2026-06-10 12:00", until="2026-06-11 12:00")), 1)
        self.assertEqual(TaskState.objects.count(), 1)
