"""``formerly``: a task that code renamed or moved keeps its row, its runs and what people changed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from celery import Celery, shared_task
from django_celery_beat.models import CrontabSchedule
from django_celery_beat.models import PeriodicTask as BeatTask

from scheduled_tasks import scheduled_task
from scheduled_tasks.declarations import registry
from scheduled_tasks.declarations.registry import WrongDeclaration
from scheduled_tasks.declarations.sync import edited_fields, sync
from scheduled_tasks.models import CodeDefault, ScheduledTask, TaskRun, UtcNow

pytestmark = pytest.mark.django_db

Release = Callable[..., Any]


def job() -> None:
    """Does nothing."""


@cache
def celery_task(path: str) -> Any:
    return shared_task(name=path)(job)


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Release:
    """Sync a release that declares these tasks: name, Celery path and other arguments of each."""
    app = Celery("formerly-tests", set_as_current=False)

    def release(*tasks: tuple[str, str, dict[str, Any]]) -> Any:
        monkeypatch.setattr(registry, "definitions", {})
        for name, path, options in tasks:
            scheduled_task("0 3 * * *", name=name, **options)(celery_task(path))
        return sync(app=app)

    return release


def stored(name: str) -> ScheduledTask:
    return ScheduledTask.objects.with_schedules().get(name=name)


def test_a_renamed_and_moved_task_keeps_its_row_its_runs_and_edits(release: Release) -> None:
    release(("purge", "shop.tasks.purge", {}))
    before = stored("purge")
    run = TaskRun.objects.create(task_id=before.pk, name="purge", queued_at=UtcNow())
    before.crontab = CrontabSchedule.objects.create(minute="30", hour="4", timezone="UTC")
    before.save()

    options = {"formerly": ["shop.tasks.purge"], "description": "Empties carts"}
    report = release(("purge-carts", "shop.carts.purge", options))

    after = stored("purge-carts")
    assert (after.pk, after.task, after.description) == (before.pk, "shop.carts.purge", "Empties carts")
    assert (after.enabled, edited_fields(after)) == (True, ("schedule",))
    assert run.task_or_none == after
    change = "name 'purge' → 'purge-carts', task 'shop.tasks.purge' → 'shop.carts.purge'"
    assert report.changes == (f"purge-carts: updated (description '' → 'Empties carts', {change})",)
    assert (report.updated, report.gone, report.kept) == (("purge-carts",), (), ("purge-carts",))
    assert not release(("purge-carts", "shop.carts.purge", options)).changed


def test_without_it_a_renamed_task_is_another_one(release: Release) -> None:
    release(("purge", "shop.tasks.purge", {}))
    report = release(("purge-carts", "shop.carts.purge", {}))
    assert (report.created, report.gone) == (("purge-carts",), ("purge",))


def test_a_name_that_an_operator_gave_stays(release: Release) -> None:
    release(("purge", "shop.tasks.purge", {}))
    ScheduledTask.objects.update(name="Empty carts")
    release(("purge-carts", "shop.carts.purge", {"formerly": ("shop.tasks.purge",)}))
    assert [(task.name, task.task) for task in ScheduledTask.objects.all()] == [
        ("Empty carts", "shop.carts.purge")
    ]
    assert CodeDefault.objects.get().name == "purge-carts"


def test_a_task_that_was_gone_from_code_comes_back_under_its_new_name(release: Release) -> None:
    other = ("report", "shop.tasks.report", {})
    release(("purge", "shop.tasks.purge", {}), other)
    release(other)
    report = release(other, ("purge-carts", "shop.carts.purge", {"formerly": ["shop.tasks.purge"]}))
    assert report.resumed == ("purge-carts",)
    assert stored("purge-carts").enabled


def test_a_task_that_an_operator_deleted_stays_deleted(release: Release) -> None:
    release(("purge", "shop.tasks.purge", {}))
    ScheduledTask.objects.all().delete()
    report = release(("purge-carts", "shop.carts.purge", {"formerly": ["shop.tasks.purge"]}))
    assert (report.deleted, report.created) == (("purge-carts",), ())
    assert not ScheduledTask.objects.exists()


def test_two_schedules_of_one_function_are_told_apart_by_their_names(release: Release) -> None:
    release(("by-day", "shop.tasks.purge", {}), ("by-night", "shop.tasks.purge", {}))
    day, night = stored("by-day").pk, stored("by-night").pk
    release(
        ("days", "shop.carts.purge", {"formerly": ["shop.tasks.purge", "by-day"]}),
        ("nights", "shop.carts.purge", {"formerly": ["shop.tasks.purge", "by-night"]}),
    )
    assert (stored("days").pk, stored("nights").pk) == (day, night)


@pytest.mark.parametrize("before", [("by-day", "by-night"), ("by-day",)], ids=["two rows", "one row"])
def test_a_path_that_means_no_single_task_moves_none(release: Release, before: tuple[str, ...]) -> None:
    release(*((name, "shop.tasks.purge", {}) for name in before))
    former = {"formerly": ["shop.tasks.purge"]}
    report = release(("days", "shop.carts.purge", former), ("nights", "shop.carts.purge", former))
    assert (report.created, report.gone) == (("days", "nights"), before)


def test_a_task_that_code_still_declares_is_not_taken(release: Release) -> None:
    release(("purge", "shop.tasks.purge", {}))
    report = release(
        ("purge", "shop.tasks.purge", {}), ("copy", "shop.carts.purge", {"formerly": ["shop.tasks.purge"]})
    )
    assert (report.created, report.unchanged) == (("copy",), ("purge",))


def test_a_new_name_that_another_task_has_is_a_problem(release: Release) -> None:
    release(("purge", "shop.tasks.purge", {}))
    row = CrontabSchedule.objects.create(timezone="UTC")
    BeatTask.objects.create(name="purge-carts", task="shop.tasks.other", crontab=row)
    report = release(("purge-carts", "shop.carts.purge", {"formerly": ["shop.tasks.purge"]}))
    assert len(report.problems) == 1
    assert report.problems[0].startswith("purge-carts was not synced: ")
    assert stored("purge").task == "shop.tasks.purge"


@pytest.mark.parametrize("value", ["shop.tasks.purge", {"shop.tasks.purge": 1}, [""], [3], None])
def test_other_values_are_refused(release: Release, value: object) -> None:
    with pytest.raises(WrongDeclaration, match="formerly"):
        release(("purge", "shop.tasks.purge", {"formerly": value}))
