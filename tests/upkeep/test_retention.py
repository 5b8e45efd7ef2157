"""Old runs go, the last word of every task stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.test import override_settings

from scheduled_tasks.models import (
    OPEN,
    Lease,
    Process,
    ScheduledTask,
    Status,
    TaskRun,
    TaskState,
)
from scheduled_tasks.upkeep import retention
from scheduled_tasks.upkeep.retention import Pruning
from tests.factories import make_process, make_run, make_task
from tests.upkeep.test_old_incidents import make_incident

pytestmark = pytest.mark.django_db

DAY = 86_400


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(retention.PAUSE, connection.vendor, 0)


def prune(*, dry_run: bool = False) -> int:
    """How many runs were deleted, or would be."""
    return retention.prune(dry_run=dry_run)[TaskRun]


def kept() -> list[int]:
    return list(TaskRun.objects.order_by("pk").values_list("pk", flat=True))


def test_old_runs_go_and_young_ones_stay() -> None:
    task = make_task()
    old = [make_run(task, ago=(120 - number) * DAY).pk for number in range(10)]
    young = [make_run(task, ago=(80 - number) * DAY).pk for number in range(5)]
    assert prune() == len(old)
    assert kept() == young


@pytest.mark.parametrize(
    "failure", [Status.FAILED, Status.TIMED_OUT, Status.LOST, Status.EXPIRED, Status.MISSED]
)
def test_last_success_and_last_failure_stay(failure: Status) -> None:
    task, other = make_task(), make_task("other")
    make_run(task, ago=200 * DAY)
    success = make_run(task, ago=199 * DAY).pk
    make_run(task, failure, ago=198 * DAY)
    last_failure = make_run(task, failure, ago=197 * DAY).pk
    make_run(task, Status.SKIPPED, ago=196 * DAY)
    make_run(other, failure, ago=195 * DAY)
    others = make_run(other, failure, ago=1 * DAY).pk
    assert prune() == 4
    assert kept() == [success, last_failure, others]
    assert prune() == 0


def disabled(task: ScheduledTask) -> None:
    task.enabled = False
    task.save()


def deleted(task: ScheduledTask) -> None:
    task.delete()


@pytest.mark.parametrize("fate", [disabled, deleted])
@pytest.mark.parametrize("setting", [{}, {"RETENTION_COUNT": 1}], ids=["age", "count"])
def test_task_that_no_longer_runs_keeps_its_last_success_and_failure(
    setting: dict[str, int], fate: Callable[[ScheduledTask], None], settings: Any
) -> None:
    settings.SCHEDULED_TASKS = setting
    task = make_task()
    make_run(task, ago=200 * DAY)
    success = make_run(task, ago=199 * DAY).pk
    make_run(task, Status.FAILED, ago=198 * DAY)
    failure = make_run(task, Status.FAILED, ago=197 * DAY).pk
    make_run(task, Status.SKIPPED, ago=196 * DAY)
    newest = make_run(task, Status.CANCELLED, ago=1 * DAY).pk
    fate(task)
    assert prune() == 3
    assert kept() == [success, failure, newest]


def test_many_deleted_tasks_keep_their_last_success() -> None:
    tasks = [make_task(f"task {number}") for number in range(7)]
    for ago in (300, 200):
        runs = [make_run(task, ago=ago * DAY).pk for task in tasks]
    for number in (0, 2, 3, 5, 6):
        tasks[number].delete()
    assert prune() == len(tasks)
    assert kept() == runs


def test_count_of_the_settings(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"RETENTION_COUNT": 3}
    few, many = make_task("few"), make_task("many")
    runs = [make_run(few).pk for _ in range(3)]
    under_way = make_run(many, Status.RUNNING).pk
    failure = make_run(many, Status.FAILED).pk
    for _ in range(5):
        make_run(many)
    runs += [under_way, failure] + [make_run(many).pk for _ in range(3)]
    assert prune(dry_run=True) == 5
    assert prune() == 5
    assert kept() == sorted(runs)
    assert prune() == 0


def test_a_tasks_own_count_wins(settings: Any) -> None:
    one, all_of_them, usual = make_task("one"), make_task("all of them"), make_task("usual")
    TaskState.objects.create(task_id=one.pk, retention_count=1)
    TaskState.objects.create(task_id=all_of_them.pk, retention_count=1000)
    for task in (one, all_of_them, usual):
        for _ in range(5):
            make_run(task)
    assert prune() == 4
    settings.SCHEDULED_TASKS = {"RETENTION_COUNT": 2}
    assert prune() == 3
    assert [TaskRun.objects.filter(task_id=task.pk).count() for task in (one, all_of_them, usual)] == [
        1,
        5,
        2,
    ]


def test_what_is_too_old_and_too_many_is_counted_once(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"RETENTION_COUNT": 1}
    task = make_task()
    for ago in (300, 200, 50, 40, 30):
        make_run(task, ago=ago * DAY)
    assert prune(dry_run=True) == 4
    assert prune() == 4


def test_count_in_many_steps(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"RETENTION_COUNT": 2}
    monkeypatch.setitem(retention.STEP, connection.vendor, 3)
    task = make_task()
    for _ in range(12):
        make_run(task)
    pruning = Pruning()
    assert not pruning.run(seconds=0)
    assert TaskRun.objects.count() == 9
    assert pruning.run()
    assert TaskRun.objects.count() == 2


def test_run_of_no_known_task_goes() -> None:
    make_run(make_task(), ago=200 * DAY, task_id=None)
    assert prune() == 1


@pytest.mark.parametrize("status", sorted(OPEN))
def test_open_run_stays(status: Status) -> None:
    make_run(make_task(), status, ago=300 * DAY)
    assert prune() == 0


def test_a_tasks_own_retention_wins() -> None:
    short, long, usual = make_task("short"), make_task("long"), make_task("usual")
    TaskState.objects.create(task_id=short.pk, retention=timedelta(days=1))
    TaskState.objects.create(task_id=long.pk, retention=timedelta(days=1000))
    runs = {}
    for ago in (200, 50, 0.1):
        for task in (short, long, usual):
            runs[task.name, ago] = make_run(task, ago=ago * DAY).pk
    assert prune() == 3
    gone = {runs["short", 200], runs["short", 50], runs["usual", 200]}
    assert kept() == sorted(set(runs.values()) - gone)


@override_settings(SCHEDULED_TASKS={"RETENTION": timedelta(days=10)})
def test_setting() -> None:
    task = make_task()
    make_run(task, ago=11 * DAY)
    young = make_run(task, ago=9 * DAY).pk
    assert prune() == 1
    assert kept() == [young]


def test_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(retention.STEP, connection.vendor, 3)
    tasks = [make_task(f"task {number}") for number in range(3)]
    for number in range(40):
        make_run(tasks[number % 3], ago=(200 - number) * DAY)
    assert prune(dry_run=True) == 37
    assert TaskRun.objects.count() == 40
    assert prune() == 37
    assert TaskRun.objects.count() == 3


def test_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(retention.STEP, connection.vendor, 2)
    task = make_task()
    for number in range(10):
        make_run(task, ago=(200 - number) * DAY)
    pruning = Pruning()
    assert not pruning.run(seconds=0)
    assert pruning.counts[TaskRun] == 2
    assert Pruning().run()  # another one goes on as well
    assert TaskRun.objects.count() == 1
    assert pruning.run()
    assert pruning.counts[TaskRun] == 2


def test_nothing_to_do() -> None:
    assert prune() == 0


def test_one_process_an_hour_prunes() -> None:
    assert retention.take_turn("first")
    assert not retention.take_turn("second")
    assert not retention.take_turn("first")
    Lease.objects.update(until=F("until") - retention.EVERY)
    assert retention.take_turn("second")


def test_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task()
    for number in range(10):
        make_run(task, ago=(200 - number) * DAY)
    pruning, other = retention.HourlyPruning("first"), retention.HourlyPruning("second")
    pruning.go_on()
    assert TaskRun.objects.count() == 10  # not as soon as the process starts
    pruning._ask_at = other._ask_at = 0
    monkeypatch.setitem(retention.STEP, connection.vendor, 2)
    monkeypatch.setattr(retention, "AT_A_TIME", 0)
    pruning.go_on()
    other.go_on()
    assert TaskRun.objects.count() == 8
    for _ in range(10):
        pruning.go_on()
    assert TaskRun.objects.count() == 1


def test_processes_long_gone_are_forgotten() -> None:
    make_process(boot_id="old", silent=2 * DAY)
    make_process(boot_id="recent", silent=DAY / 2)
    pruning = retention.HourlyPruning("first")
    pruning._ask_at = 0
    pruning.go_on()
    assert list(Process.objects.values_list("boot_id", flat=True)) == ["recent"]


def test_command() -> None:
    task = make_task()
    for number in range(3):
        make_run(task, ago=(200 - number) * DAY)
    make_incident()
    out = StringIO()
    call_command("prune_task_runs", "--dry-run", stdout=out)
    assert out.getvalue() == "2 runs and 1 incident would be deleted.\n"
    assert TaskRun.objects.count() == 3
    call_command("prune_task_runs", stdout=out)
    assert out.getvalue().endswith("2 runs and 1 incident deleted.\n")
    assert TaskRun.objects.count() == 1
