"""What runs the tasks has incidents too, once a fault lasts; tasks are not blamed meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F

from scheduled_tasks.incidents.watcher import Watcher
from scheduled_tasks.models import Incident, Notice, Process, ProcessKind, Status, TaskState, database_now
from scheduled_tasks.reading.health import problems
from scheduled_tasks.reading.machinery import Machinery
from tests.factories import make_run, make_task
from tests.incidents.conftest import TestClock

pytestmark = pytest.mark.django_db


def open_keys() -> list[str]:
    return sorted(incident.key for incident in Incident.objects.open())


def look_for(watching: Watcher, clock: TestClock, seconds: int) -> None:
    for _ in range(seconds // 10):
        watching.look()
        clock.move(seconds=10)


def stop(kind: ProcessKind) -> None:
    Process.objects.filter(kind=kind).update(stopped_at=database_now())


def test_beat_that_is_down_is_told_and_its_return_too(watching: Watcher, clock: TestClock) -> None:
    stop(ProcessKind.BEAT)
    look_for(watching, clock, 30)
    assert open_keys() == []
    look_for(watching, clock, 20)
    assert open_keys() == ["beat:"]
    Process.objects.update(stopped_at=None)
    watching.look()
    assert open_keys() == []
    assert [notice.event for notice in Notice.objects.order_by("pk")] == ["opened", "closed"]


@pytest.mark.parametrize("kind", [ProcessKind.BEAT, ProcessKind.WORKER])
def test_it_is_down_since_the_time_that_the_page_tells(
    watching: Watcher, clock: TestClock, kind: ProcessKind
) -> None:
    stop(kind)
    look_for(watching, clock, 50)
    (problem,) = problems(Machinery.read())
    assert Incident.objects.get().opened_at == problem.since == Process.objects.get(kind=kind).last_seen_at


def test_recorder_has_failed_since_it_was_found(watching: Watcher, clock: TestClock) -> None:
    Process.objects.filter(kind=ProcessKind.BEAT).update(recorder_error="disk full")
    look_for(watching, clock, 50)
    (problem,) = problems(Machinery.read())
    assert problem.since is None
    assert Incident.objects.get().opened_at > database_now()  # by the clock of the test


def test_clean_restart_tells_nobody(watching: Watcher, clock: TestClock) -> None:
    look_for(watching, clock, 40)
    stop(ProcessKind.BEAT)
    look_for(watching, clock, 20)
    Process.objects.update(stopped_at=None)
    look_for(watching, clock, 60)
    assert not Incident.objects.exists()


def test_a_look_after_a_gap_counts_from_the_start(watching: Watcher, clock: TestClock) -> None:
    stop(ProcessKind.BEAT)
    watching.look()
    clock.move(minutes=5)
    watching.look()
    assert open_keys() == []


def test_takeover_leaves_it_open(watching: Watcher, clock: TestClock) -> None:
    stop(ProcessKind.BEAT)
    look_for(watching, clock, 50)
    watching._forget()
    watching.look()
    assert open_keys() == ["beat:"]
    assert Notice.objects.count() == 1


def test_queues_and_workers(watching: Watcher, clock: TestClock) -> None:
    make_task(queue="billing")
    look_for(watching, clock, 50)
    assert open_keys() == ["queue:billing"]
    assert Incident.objects.get().subject == "billing"
    Process.objects.filter(kind=ProcessKind.WORKER).update(stopped_at=database_now())
    look_for(watching, clock, 50)
    assert open_keys() == ["queue:"]


def test_broker_and_recorder(watching: Watcher, clock: TestClock) -> None:
    stale = database_now() - timedelta(minutes=5)
    Process.objects.filter(kind=ProcessKind.BEAT).update(broker_ok_at=stale, recorder_error="disk full")
    look_for(watching, clock, 50)
    assert open_keys() == ["broker:", "recorder:"]


def test_process_whose_own_heartbeats_are_not_written_judges_nobody(
    watching: Watcher, clock: TestClock
) -> None:
    stop(ProcessKind.BEAT)
    watching._heartbeat.writing_since = None
    look_for(watching, clock, 100)
    assert open_keys() == []


def test_task_is_not_late_while_beat_is_down(watching: Watcher, clock: TestClock) -> None:
    task = make_task()
    due = database_now() - timedelta(hours=1)
    TaskState.objects.create(task_id=task.pk, accounted_until=due, next_run_at=due)
    stop(ProcessKind.BEAT)
    look_for(watching, clock, 50)
    assert open_keys() == ["beat:"]
    Process.objects.update(stopped_at=None)
    look_for(watching, clock, 20)
    assert open_keys() == []
    look_for(watching, clock, 40)
    assert open_keys() == [f"late:{task.pk}"]
    TaskState.objects.update(next_run_at=database_now() + timedelta(hours=1))
    watching.look()
    assert open_keys() == []


def test_task_of_a_queue_without_worker_is_not_late(watching: Watcher, clock: TestClock) -> None:
    due = database_now() - timedelta(hours=1)
    for name in ("billing", "celery"):
        task = make_task(name, queue=name)
        TaskState.objects.create(task_id=task.pk, accounted_until=due, next_run_at=due)
    look_for(watching, clock, 50)
    assert open_keys() == [f"late:{task.pk}", "queue:billing"]


def test_missed_ticks_are_counted(watching: Watcher, clock: TestClock) -> None:
    task = make_task()
    look_for(watching, clock, 40)
    first = make_run(task, Status.MISSED, tick_count=3, celery_id=None)
    watching.look()
    incident = Incident.objects.get()
    assert (incident.key, incident.run_count, incident.first_run) == (f"late:{task.pk}", 3, first)
    make_run(task, Status.EXPIRED)
    watching.look()
    assert Incident.objects.get().run_count == 4
    make_run(task, Status.FAILED)  # at least it ran
    watching.look()
    assert open_keys() == [f"failing:{task.pk}"]


def test_run_that_takes_far_too_long(watching: Watcher, clock: TestClock) -> None:
    task = make_task()
    for _ in range(5):
        make_run(task, took=50)
    watching.look()
    run = make_run(task, Status.RUNNING, ago=140)
    watching.look()
    assert TaskState.objects.get().slow_after == timedelta(seconds=150)
    assert open_keys() == []
    clock.move(seconds=20)
    watching.look()
    incident = Incident.objects.get()
    assert (incident.key, incident.run_count, incident.last_run) == (f"slow:{task.pk}", 1, run)
    run.status, run.open_since = Status.SUCCEEDED, None
    run.save()
    watching.look()
    assert open_keys() == []


@pytest.mark.parametrize("own", [True, False])
def test_longest_run_time(watching: Watcher, settings: object, own: bool) -> None:
    task, limit = make_task(), timedelta(minutes=10)
    if own:
        TaskState.objects.create(task_id=task.pk, max_runtime=limit)
    else:
        settings.SCHEDULED_TASKS = {"MAX_RUNTIME": limit}
    run = make_run(task, Status.RUNNING, ago=590)
    watching.look()
    assert open_keys() == []
    run.started_at = F("started_at") - timedelta(seconds=20)
    run.save()
    watching.look()
    assert open_keys() == [f"slow:{task.pk}"]
