"""One process of all looks; a look with nothing new is one statement, whatever number of tasks there is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from scheduled_tasks.incidents import watcher as watching_module
from scheduled_tasks.incidents.watcher import Watcher
from scheduled_tasks.models import (
    Incident,
    Lease,
    Notice,
    ScheduledTask,
    Status,
    TaskRun,
    TaskState,
    database_now,
)
from tests.factories import make_run, make_task
from tests.incidents.conftest import TestClock

pytestmark = pytest.mark.django_db


def statements(turn: Callable[[], object]) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        turn()
    return [query["sql"] for query in queries]


def settle(watching: Watcher, clock: TestClock) -> None:
    """Look until nothing is waited for."""
    for _ in range(5):
        watching.turn()
        clock.move(seconds=10)
    watching.turn()


@pytest.mark.parametrize("failing", [0, 3], ids=["nothing", "standing"])
def test_a_look_with_nothing_new_is_one_statement(watching: Watcher, clock: TestClock, failing: int) -> None:
    for number in range(10):
        make_run(make_task(f"task-{number}"), Status.FAILED if number < failing else Status.SUCCEEDED)
    make_run(make_task("running"), Status.RUNNING, ago=600)
    settle(watching, clock)
    Notice.objects.update(due_at=None)
    watching.turn()
    assert len(statements(watching.turn)) == 1
    make_run(ScheduledTask.objects.get(name="task-9"))
    assert len(statements(watching.turn)) == 1
    assert Incident.objects.open().count() == failing


@pytest.mark.parametrize("failing", [0, 3], ids=["nothing", "standing"])
def test_quiet_time_counts(watching: Watcher, clock: TestClock, failing: int) -> None:
    """Everything is read once a minute at most. What is new then may come of a dead worker: it waits."""
    for number in range(failing):
        make_run(make_task(f"task-{number}"), Status.FAILED)
    task = make_task()
    settle(watching, clock)
    Notice.objects.update(due_at=None)
    settle(watching, clock)
    looks = 0
    for _ in range(12):
        clock.move(seconds=10)
        looks += len(statements(watching.turn)) > 3
    assert looks <= (2 if failing else 0)
    due = database_now() - timedelta(hours=1)
    TaskState.objects.create(task_id=task.pk, accounted_until=due, next_run_at=due)
    watching.turn()
    assert not Incident.objects.filter(task_id=task.pk).exists()
    for _ in range(3):
        clock.move(seconds=10)
        watching.turn()
    assert Incident.objects.open().get(task_id=task.pk).kind == "late"


def test_what_comes_during_a_look_is_seen_by_the_next(
    watching: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, read = [make_task("early"), make_task("meanwhile")], watching_module.finding.read

    def read_then_fail(*arguments: object, **more: object) -> object:
        found = read(*arguments, **more)
        monkeypatch.setattr(watching_module.finding, "read", read)
        make_run(tasks[1], Status.FAILED)
        return found

    monkeypatch.setattr(watching_module.finding, "read", read_then_fail)
    monkeypatch.setattr(watching_module.Endurance, "is_waiting", False)
    make_run(tasks[0], Status.FAILED)
    for _ in range(2):
        watching.turn()
    assert {incident.subject for incident in Incident.objects.open()} == {"early", "meanwhile"}


def test_another_process_asks_once(watching: Watcher, start_watcher: Callable[[], Watcher]) -> None:
    other = Watcher(watching._heartbeat)
    assert len(statements(other.turn)) == 1
    assert not other.lease.held


def test_killed_holder_is_replaced(watching: Watcher) -> None:
    other = Watcher(watching._heartbeat)
    Lease.objects.filter(name="incidents").update(until=F("until") - watching_module.TTL)
    other.turn()
    assert other.lease.held
    make_run(make_task(), Status.FAILED)
    watching.turn()  # it slept, and finds out before it writes
    assert not watching.lease.held
    assert not Incident.objects.exists()
    other.turn()
    assert Incident.objects.count() == 1


def test_stop_gives_the_lease_back(watching: Watcher) -> None:
    watching.stop()
    assert Lease.objects.get(name="incidents").until is None
    other = Watcher(watching._heartbeat)
    other.turn()
    assert other.lease.held


def test_a_thousand_failures_are_one_message_by_few_statements(watching: Watcher) -> None:
    tasks = [make_task(f"task-{number}") for number in range(1000)]
    good = make_run(tasks[0])
    fields = {field.attname: getattr(good, field.attname) for field in TaskRun._meta.concrete_fields}
    for status, event in ((Status.FAILED, "opened"), (Status.FAILED, ""), (Status.SUCCEEDED, "closed")):
        TaskRun.objects.bulk_create(
            TaskRun(**{**fields, "id": None, "task_id": task.pk, "celery_id": uuid4().hex, "status": status})
            for task in tasks
        )
        before = Notice.objects.count()
        with CaptureQueriesContext(connection) as queries:
            watching.look()
        assert len(queries) < 60
        made = Notice.objects.order_by("pk")[before:]
        assert [(notice.event, notice.count) for notice in made] == ([(event, 1000)] if event else [])
    assert Incident.objects.filter(closed_at__isnull=False, run_count=2).count() == 1000


def test_failures_before_the_first_look_ever_are_not_dug_up(start_watcher: Callable[[], Watcher]) -> None:
    recovered, failing = make_task("recovered"), make_task("failing")
    make_run(recovered, Status.FAILED)
    make_run(recovered)
    make_run(failing, Status.FAILED)
    watching = Watcher(start_watcher()._heartbeat)
    Lease.objects.all().delete()
    watching.turn()
    assert Incident.objects.get().task_id == failing.pk


def new_failure(task: ScheduledTask) -> None:
    make_run(task, Status.FAILED)


def new_missed_run(task: ScheduledTask) -> None:
    make_run(task, Status.MISSED)


def late(task: ScheduledTask) -> None:
    due = database_now() - timedelta(hours=1)
    TaskState.objects.update_or_create(task_id=task.pk, defaults={"accounted_until": due, "next_run_at": due})


def enabled(task: ScheduledTask) -> None:
    """It failed while it was disabled, as a run that a person starts may."""
    task.enabled = True
    task.save()


@pytest.mark.parametrize("change", [new_failure, new_missed_run, late, enabled])
def test_a_turn_sees_what_is_new(
    watching: Watcher, clock: TestClock, change: Callable[[ScheduledTask], None]
) -> None:
    task = make_task(enabled=change is not enabled)
    make_run(task, Status.FAILED if change is enabled else Status.SUCCEEDED)
    settle(watching, clock)
    assert not Incident.objects.exists()
    assert len(statements(watching.turn)) <= 2
    change(task)
    watching.turn()
    assert Incident.objects.open().get().task_id == task.pk


def test_a_turn_sees_that_a_missed_run_failed_after_all(watching: Watcher, clock: TestClock) -> None:
    run = make_run(make_task(), Status.MISSED)
    settle(watching, clock)
    run.status = Status.FAILED
    run.save()
    watching.turn()
    assert Incident.objects.open().get().kind == "failing"
