"""What a maintenance window changes about a task: it is paused and not late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from scheduled_tasks.models import (
    LONG_AGO,
    Flag,
    MaintenanceTask,
    MaintenanceWindow,
    ScheduledTask,
    TaskState,
    Windows,
    database_now,
)
from scheduled_tasks.reading.version import compiled_statement, list_version
from scheduled_tasks.upkeep.retention import prune
from tests.factories import make_task

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    compiled_statement.cache_clear()
    yield
    compiled_statement.cache_clear()


def window(*tasks: Any, begins: timedelta = -HOUR, ends: timedelta | None = HOUR) -> MaintenanceWindow:
    now = database_now()
    made = MaintenanceWindow.objects.create(
        starts_at=now + begins, ends_at=None if ends is None else now + ends, by="anna", covers_all=not tasks
    )
    for each in tasks:
        MaintenanceTask.objects.create(window=made, task_id=each.pk)
    return made


def flagged(flag: Flag) -> list[str]:
    found = ScheduledTask.objects.flagged(flag, database_now(), None)
    return sorted(found.values_list("name", flat=True))


def late_task(name: str) -> Any:
    task, now = make_task(name), database_now()
    TaskState.objects.create(task_id=task.pk, accounted_until=now - 3 * HOUR, next_run_at=now - 2 * HOUR)
    return task


def test_a_task_that_was_deleted_counts_no_longer() -> None:
    left, gone = make_task("left"), make_task("gone")
    window(left, gone)
    gone.delete()
    (found,) = Windows.read([left.pk], database_now()).all
    assert found.task_count == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("covers_all", [False, True])
def test_a_task_in_a_window_is_paused_and_not_late(covers_all: bool) -> None:
    task = late_task("purge")
    assert (flagged(Flag.LATE), flagged(Flag.PAUSED)) == (["purge"], [])
    window(*([] if covers_all else [task]))
    assert (flagged(Flag.LATE), flagged(Flag.PAUSED)) == ([], ["purge"])


def test_other_tasks_and_other_times() -> None:
    other = late_task("other")
    window(make_task("purge"))
    window(other, begins=HOUR, ends=2 * HOUR)
    window(other, begins=-2 * HOUR, ends=-HOUR)
    assert (flagged(Flag.LATE), flagged(Flag.PAUSED)) == (["other"], ["purge"])


def test_the_setting_pauses_everything(settings: Any) -> None:
    late_task("purge")
    settings.SCHEDULED_TASKS = {"PAUSED": True}
    assert (flagged(Flag.LATE), flagged(Flag.PAUSED)) == ([], ["purge"])


def test_the_version_moves_with_windows(settings: Any) -> None:
    task, now = make_task(), database_now()

    def version() -> str:
        return list_version([task.pk])

    seen = [version()]
    made = window(begins=HOUR, ends=2 * HOUR)  # planned
    seen.append(version())
    for columns in (
        {"starts_at": now - HOUR},  # it has begun
        {"ends_at": now + 3 * HOUR},
        {"note": "database move"},
        {"ends_at": now - timedelta(seconds=1)},
    ):
        MaintenanceWindow.objects.filter(pk=made.pk).update(**columns)
        seen.append(version())
    assert seen[-1] == seen[0]
    assert len(set(seen)) == len(seen) - 1
    settings.SCHEDULED_TASKS = {"PAUSED": True}
    assert version() not in seen


def test_a_window_without_its_tasks_is_read_with_one_statement() -> None:
    task = make_task()
    with CaptureQueriesContext(connection) as statements:
        assert Windows.read([task.pk], LONG_AGO).covering(task.pk, database_now()) == []
    assert len([each for each in statements if "maintenance" in each["sql"]]) == 1


def test_clear_from_goes_on_through_windows_that_meet() -> None:
    now = database_now()
    first = MaintenanceWindow(pk=1, starts_at=now, ends_at=now + HOUR, covers_all=True)
    second = MaintenanceWindow(pk=2, starts_at=now + HOUR, ends_at=now + 2 * HOUR)
    windows = Windows([first, second], {2: {7}})
    assert windows.clear_from(1, now) == now + HOUR
    assert windows.clear_from(7, now) == now + 2 * HOUR
    assert windows.clear_from(7, now - HOUR) == now - HOUR
    second.ends_at = None
    assert windows.clear_from(7, now) is None


def test_old_windows_go_with_their_tasks(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"RETENTION": timedelta(days=2)}
    old = window(make_task("a"), begins=-100 * HOUR, ends=-49 * HOUR)
    kept = window(begins=-100 * HOUR, ends=-47 * HOUR)
    endless = window(begins=-100 * HOUR, ends=None)
    assert prune(dry_run=True)[MaintenanceWindow] == 1
    assert prune()[MaintenanceWindow] == 1
    assert set(MaintenanceWindow.objects.all()) == {kept, endless}
    assert not MaintenanceTask.objects.filter(window_id=old.pk).exists()
