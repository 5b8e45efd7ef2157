"""An incident opens with the first trouble, counts its runs, and closes when it is over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduled_tasks.incidents.watcher import Watcher
from scheduled_tasks.models import Closing, Incident, IncidentKind, Status, TaskRun, TaskState
from tests.factories import make_run, make_task
from tests.incidents.conftest import TestClock

pytestmark = pytest.mark.django_db


def kinds() -> list[str]:
    return [incident.kind for incident in Incident.objects.open().order_by("pk")]


@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMED_OUT, Status.LOST])
def test_failure_opens_and_success_closes(watching: Watcher, status: Status) -> None:
    task = make_task()
    failed = make_run(task, status)
    watching.look()
    incident = Incident.objects.get()
    assert (incident.kind, incident.subject, incident.task_id) == (IncidentKind.FAILING, task.name, task.pk)
    assert (incident.run_count, incident.first_run, incident.last_run) == (1, failed, failed)
    again = make_run(task, status)
    watching.look()
    incident = Incident.objects.get()
    assert (incident.run_count, incident.first_run, incident.last_run) == (2, failed, again)
    make_run(task)
    watching.look()
    incident = Incident.objects.get()
    assert (incident.is_open, incident.closing, incident.good_count) == (False, Closing.RECOVERED, 1)


def test_recovers_after_successes_in_a_row(watching: Watcher) -> None:
    task = make_task()
    TaskState.objects.create(task_id=task.pk, recover_after=2)
    for status, count, good in (
        (Status.FAILED, 1, 0),
        (Status.SUCCEEDED, 1, 1),
        (Status.FAILED, 2, 0),
        (Status.SUCCEEDED, 2, 1),
        (Status.SKIPPED, 2, 1),
    ):
        make_run(task, status)
        watching.look()
        incident = Incident.objects.get()
        assert (incident.is_open, incident.run_count, incident.good_count) == (True, count, good)
    make_run(task)
    watching.look()
    assert not Incident.objects.get().is_open


def test_another_process_goes_on_where_one_was_killed(start_watcher: Callable[[], Watcher]) -> None:
    task = make_task()
    make_run(task, Status.FAILED)
    first = start_watcher()
    first.look()
    make_run(task, Status.FAILED)
    first.lease.release()
    second = start_watcher()
    second.look()
    second.look()
    assert Incident.objects.get().run_count == 2


def test_a_lost_run_that_succeeded_after_all(watching: Watcher) -> None:
    run = make_run(make_task(), Status.LOST)
    watching.look()
    assert kinds() == ["failing"]
    run.status = Status.SUCCEEDED
    run.save()
    watching.look()
    assert kinds() == []


def test_a_missed_run_that_started_and_failed_after_all(watching: Watcher, clock: TestClock) -> None:
    for _ in range(4):
        watching.look()
        clock.move(seconds=10)
    run = make_run(make_task(), Status.MISSED)
    watching.look()
    assert kinds() == ["late"]
    run.status = Status.FAILED
    run.save()
    watching.look()
    assert kinds() == ["failing"]
    run.status = Status.MISSED
    run.save()


@pytest.mark.parametrize("keep", [1, 2])
def test_failures_are_counted_although_runs_are_pruned(watching: Watcher, keep: int) -> None:
    """As with RETENTION_COUNT = 1, or while an incident is open for longer than runs are kept."""
    task = make_task()
    for number in range(1, 5):
        make_run(task, Status.FAILED)
        watching.look()
        assert Incident.objects.get().run_count == number
        newest = TaskRun.objects.order_by("-pk").values_list("pk", flat=True)[:keep]
        TaskRun.objects.exclude(pk__in=[*newest]).delete()
    make_run(task)
    watching.look()
    assert Incident.objects.get().closing == Closing.RECOVERED
