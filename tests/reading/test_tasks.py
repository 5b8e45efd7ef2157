"""Tasks as the page shows them: flags, the one word, outcomes, next run; and how few statements it takes."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from scheduled_tasks.models import (
    Flag,
    Lease,
    ProcessKind,
    ScheduledTask,
    Status,
    TaskRun,
    TaskState,
    database_now,
)
from scheduled_tasks.reading.health import problems
from scheduled_tasks.reading.listed_task import State
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.reading.recent_runs import RECENT_RUNS
from scheduled_tasks.reading.tasks import listed_tasks, tasks
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db


def row_of(task):
    (row,) = listed_tasks(tasks().filter(pk=task.pk), Machinery.read())
    return row


def counted():
    machinery = Machinery.read()
    return SimpleNamespace(**ScheduledTask.objects.flag_counts(machinery.now, machinery.known_tasks))


def names(flag):
    machinery = Machinery.read()
    return [task.name for task in tasks().flagged(flag, machinery.now, machinery.known_tasks)]


@pytest.mark.parametrize("processes", [0, 1])
def test_the_clock_does_not_follow_the_zone_in_which_times_are_stored(processes, monkeypatch):
    if connection.features.supports_timezones:
        pytest.skip("this database stores times with their zone")
    for _ in range(processes):
        make_process()
    make_task()
    monkeypatch.setitem(vars(connections["default"]), "timezone", ZoneInfo("Asia/Kolkata"))
    assert abs(Machinery.read().now - timezone.now()) < timedelta(seconds=5)


def test_a_task_that_never_ran_is_idle():
    row = row_of(make_task())
    assert row.word == State.IDLE
    assert (row.last_run, row.outcome, row.usual, row.streak) == (None, None, None, 0)


def test_a_good_outcome_makes_it_active():
    task = make_task()
    make_run(task, took=2)
    row = row_of(task)
    assert row.word == State.ACTIVE
    assert row.last_run.duration == timedelta(seconds=2)


def test_the_last_outcome_stays_known_while_a_new_run_runs():
    task = make_task()
    make_run(task, Status.FAILED)
    make_run(task, Status.RUNNING)
    row = row_of(task)
    assert row.word == State.RUNNING
    assert row.outcome.status == Status.FAILED
    assert row.has(Flag.FAILING)
    assert row.open_run.status == Status.RUNNING


@pytest.mark.parametrize(
    "status", [Status.FAILED, Status.TIMED_OUT, Status.LOST, Status.EXPIRED, Status.MISSED]
)
def test_every_bad_outcome_is_failing(status):
    task = make_task()
    make_run(task, status)
    assert row_of(task).word == State.FAILED
    assert names(Flag.FAILING) == [task.name]
    assert counted().failing == 1


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.SKIPPED, Status.IGNORED])
def test_what_is_no_outcome_does_not_count(status):
    task = make_task()
    make_run(task)
    make_run(task, status)
    row = row_of(task)
    assert row.word == State.ACTIVE
    assert counted().failing == 0


def test_failures_in_a_row_end_with_a_success():
    task = make_task()
    for status in (Status.FAILED, Status.SUCCEEDED, Status.FAILED, Status.SKIPPED, Status.TIMED_OUT):
        make_run(task, status)
    assert row_of(task).streak == 2


def test_recovery_shows_as_active_again():
    task = make_task()
    make_run(task, Status.FAILED)
    make_run(task)
    row = row_of(task)
    assert (row.word, row.streak, row.has(Flag.FAILING)) == (State.ACTIVE, 0, False)


def test_an_outcome_older_than_the_recent_runs_still_counts():
    task = make_task()
    make_run(task, Status.FAILED)
    for _ in range(RECENT_RUNS):
        make_run(task, Status.IGNORED)
    assert row_of(task).outcome.status == Status.FAILED


def test_failing_are_counted_by_their_last_outcome_however_old():
    failing, recovered, failing_again = (make_task(f"task-{number}") for number in range(3))
    for task, status in (
        (failing, Status.FAILED),
        (recovered, Status.FAILED),
        (failing_again, Status.SUCCEEDED),
        (recovered, Status.SUCCEEDED),
        (failing_again, Status.FAILED),
        (recovered, Status.CANCELLED),
    ):
        make_run(task, status)
    assert names(Flag.FAILING) == [failing.name, failing_again.name]
    assert counted().failing == 2


def test_paused_leads_and_keeps_the_outcome():
    task = make_task(enabled=False)
    make_run(task, Status.FAILED)
    row = row_of(task)
    assert row.word == State.PAUSED
    assert row.has(Flag.FAILING)
    assert row.next_run_at is None
    assert names(Flag.PAUSED) == [task.name]


def test_an_unusable_schedule_is_broken_with_a_reason():
    task = make_task(cron="0 0 31 2 *")
    row = row_of(task)
    assert row.word == State.BROKEN
    assert "31 2" in str(row.problem)


def test_a_task_that_was_broken_from_the_start_says_why():
    """Beat has never accounted for it, and yet knows what is wrong with it."""
    task = make_task()
    TaskState.objects.update_or_create(
        task_id=task.pk, defaults={"broken_reason": "no_schedule", "accounted_until": None}
    )
    listed = row_of(task)
    assert listed.word == State.BROKEN
    assert str(listed.problem) == "It has no schedule. Give it one."


def test_a_task_no_living_worker_knows_is_broken():
    task = make_task(task="tests.gone")
    make_process(task_names=["tests.add"])
    assert "tests.gone" in str(row_of(task).problem)
    assert names(Flag.BROKEN) == [task.name]


def test_without_a_living_worker_nobody_can_tell():
    task = make_task(task="tests.gone")
    make_process(task_names=["tests.add"], silent=600)
    assert not row_of(task).problem
    assert counted().broken == 0


@pytest.mark.parametrize(
    ("grace", "overdue", "late"),
    [(None, 440, False), (None, 460, True), (60, 50, False), (60, 70, True), (3600, 1700, False)],
)
def test_late_is_overdue_by_half_the_grace_and_at_least_a_minute(grace, overdue, late):
    task = make_task()
    TaskState.objects.create(
        task_id=task.pk,
        grace=None if grace is None else timedelta(seconds=grace),
        accounted_until=database_now(),
        next_run_at=database_now() - timedelta(seconds=overdue),
    )
    assert row_of(task).is_late is late
    assert (row_of(task).word == State.LATE) is late
    assert counted().late == int(late)


@pytest.mark.parametrize(
    ("between_ticks", "overdue", "late"),
    [
        (60, 50, False),
        (60, 70, True),
        (240, 230, False),
        (240, 250, True),
        (86400, 440, False),
        (86400, 460, True),
    ],
)
def test_late_is_overdue_by_the_time_between_two_ticks_where_that_is_shorter(between_ticks, overdue, late):
    task = make_task()
    due = database_now() - timedelta(seconds=overdue)
    TaskState.objects.create(
        task_id=task.pk, accounted_until=due - timedelta(seconds=between_ticks), next_run_at=due
    )
    assert row_of(task).is_late is late
    assert counted().late == int(late)


@pytest.mark.parametrize(("waiting", "late"), [(230, False), (250, True)])
def test_a_run_that_waits_for_longer_than_the_time_between_two_ticks_is_late(waiting, late):
    task = make_task()
    make_run(task, Status.QUEUED, ago=waiting)
    now = database_now()
    TaskState.objects.create(task_id=task.pk, accounted_until=now, next_run_at=now + timedelta(seconds=240))
    assert row_of(task).is_late is late
    assert names(Flag.LATE) == [task.name] * late


def test_a_paused_task_is_not_overdue():
    task = make_task(enabled=False)
    TaskState.objects.create(task_id=task.pk, next_run_at=database_now() - timedelta(days=1))
    assert not row_of(task).is_late
    assert counted().late == 0


def test_a_run_waiting_too_long_makes_its_task_late():
    task = make_task()
    make_run(task, Status.QUEUED, ago=500)
    assert row_of(task).is_late
    assert names(Flag.LATE) == [task.name]


def test_flags_overlap_in_the_counts():
    task = make_task(enabled=False)
    make_run(task, Status.FAILED)
    make_run(task, Status.RUNNING)
    make_task("other")
    found = counted()
    assert (found.total, found.running, found.failing, found.paused) == (2, 1, 1, 1)


def test_a_run_under_way_on_a_silent_worker_has_lost_contact():
    task = make_task()
    worker = make_process(silent=600)
    make_run(task, Status.RUNNING, process_id=worker.boot_id)
    assert row_of(task).lost_contact


def test_a_run_under_way_on_a_living_worker_has_not():
    task = make_task()
    make_run(task, Status.RUNNING, process_id=make_process().boot_id)
    assert not row_of(task).lost_contact


def test_usual_is_the_median_of_enough_successes():
    task = make_task()
    for seconds in (1, 2, 3, 4):
        make_run(task, took=seconds)
    assert row_of(task).usual is None
    make_run(task, took=100)
    assert row_of(task).usual == timedelta(seconds=3)


def test_next_run_of_an_enabled_task_is_in_the_future():
    row = row_of(make_task(cron="* * * * *"))
    assert timedelta(0) < row.next_run_at - row.machinery.now <= timedelta(minutes=1)


def test_beats_own_next_run_wins():
    task = make_task()
    moment = database_now() + timedelta(days=9)
    TaskState.objects.create(task_id=task.pk, accounted_until=database_now(), next_run_at=moment)
    assert row_of(task).next_run_at == moment


def test_each_task_gets_its_own_runs_newest_first():
    made = [make_task(f"task-{number}") for number in range(3)]
    for number in range(40):
        make_run(made[number % 3], ago=100 - number)
    rows = listed_tasks(tasks(), Machinery.read())
    for row in rows:
        ids = [run.id for run in row.recent]
        assert ids == sorted(ids, reverse=True)
        assert set(ids) <= set(TaskRun.objects.filter(task_id=row.task.pk).values_list("pk", flat=True))


@pytest.mark.parametrize("number", [1, 50])
def test_statements_do_not_grow_with_the_tasks(number):
    make_process(kind=ProcessKind.BEAT)
    for each in range(number):
        make_run(make_task(f"task-{each}"))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        machinery = Machinery.read()
        ScheduledTask.objects.flag_counts(machinery.now, machinery.known_tasks)
        rows = listed_tasks(tasks(), machinery)
        assert [row.word for row in rows] == [State.ACTIVE] * number
        assert {str(row.label) for row in rows} == {"Daily at 3 AM"}
    assert len(queries) == 4


def test_one_beat_leads_and_the_others_stand_by():
    leader, standby = (make_process(kind=ProcessKind.BEAT, node=f"beat-{n}") for n in (1, 2))
    Lease.objects.create(name="beat", holder=leader.boot_id, until=database_now() + timedelta(seconds=20))
    machinery = Machinery.read()
    assert {beat.node: machinery.leads(beat) for beat in machinery.alive(ProcessKind.BEAT)} == {
        leader.node: True,
        standby.node: False,
    }


def test_a_broker_that_never_answered_is_a_problem():
    make_process(kind=ProcessKind.BEAT, broker_ok_at=database_now())
    make_process(node="worker@cut-off", broker_ok_at=None)
    found = problems(Machinery.read())
    assert [problem.code for problem in found] == ["broker"]
    assert "worker@cut-off" in found[0].cause
