"""Maintenance windows as people make, end and move them, and how they are refused."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django_celery_beat.models import PeriodicTasks

from scheduled_tasks import operations
from scheduled_tasks.models import Incident, MaintenanceWindow, ScheduledTask, database_now
from scheduled_tasks.operations import Actor, AuditEntry, Refused, maintenance_token
from tests.factories import make_task

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
Logged = list[tuple[Any, str]]


@pytest.fixture
def logged() -> Logged:
    return []


@pytest.fixture
def anna(logged: Logged) -> Actor:
    def log(about: ScheduledTask | Incident | MaintenanceWindow, entry: AuditEntry) -> None:
        logged.append((about, str(AuditEntry.of(stored(entry)))))

    return Actor("anna", log)


def stored(entry: AuditEntry) -> str:
    return json.dumps(entry.change_message)


@pytest.fixture
def now() -> datetime:
    return database_now()


def last_change() -> datetime:
    return PeriodicTasks.last_change()


def test_begins_now_over_all_until_it_is_ended(anna: Actor, logged: Logged, now: datetime) -> None:
    window = operations.plan_maintenance(actor=anna, note=" database move ")
    window.refresh_from_db()
    assert now <= window.starts_at <= database_now()
    assert (window.ends_at, window.covers_all, window.by, window.note) == (
        None,
        True,
        "anna",
        "database move",
    )
    ((about, text),) = logged
    assert about == window
    assert text.startswith("Paused from ")
    assert text.endswith(" until somebody ends it. database move")


def test_a_window_of_one_task_is_in_its_history(anna: Actor, logged: Logged, now: datetime) -> None:
    task, other = make_task(), make_task("other")
    operations.plan_maintenance(actor=anna, ends_at=now + HOUR, task_ids=[task.pk])
    operations.plan_maintenance(actor=anna, ends_at=now + HOUR, task_ids=[task.pk, other.pk])
    assert [about for about, _text in logged] == [task, MaintenanceWindow.objects.latest("pk")]
    assert sorted(row.task_id for row in MaintenanceWindow.objects.latest("pk").members.all()) == [
        task.pk,
        other.pk,
    ]


@pytest.mark.parametrize("act", ["plan", "move", "end"])
def test_beat_is_told_of_every_change(anna: Actor, now: datetime, act: str) -> None:
    window = operations.plan_maintenance(actor=anna, ends_at=now + HOUR)
    before = last_change()
    if act == "plan":
        operations.plan_maintenance(actor=anna, starts_at=now + HOUR)
    elif act == "move":
        operations.move_maintenance_end(window.pk, actor=anna, until=now + 2 * HOUR)
    else:
        operations.end_maintenance(window.pk, actor=anna)
    assert last_change() > before


def test_a_form_that_is_sent_twice_is_one_window(anna: Actor, logged: Logged, now: datetime) -> None:
    task = make_task()
    asked: dict[str, Any] = {"actor": anna, "ends_at": now + HOUR, "task_ids": [task.pk], "note": "x"}
    first = operations.plan_maintenance(**asked)
    again = operations.plan_maintenance(**{**asked, "ends_at": now + HOUR + timedelta(seconds=20)})
    assert again == first
    others = [
        operations.plan_maintenance(**{**asked, **change})
        for change in ({"ends_at": None}, {"note": "y"}, {"task_ids": None}, {"ends_at": now + 2 * HOUR})
    ]
    assert len({first, *others}) == 5 == len(logged)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "start in the past": (
        {"starts_at": -HOUR},
        "The start lies in the past. Choose a later time, or leave it empty for now.",
    ),
    "end in the past": ({"ends_at": -HOUR}, "The end lies in the past. Choose a later time."),
    "end before the start": (
        {"starts_at": 2 * HOUR, "ends_at": HOUR},
        "The end lies before the start. Choose a later end.",
    ),
    "no task": ({"task_ids": []}, "No task is chosen. Choose at least one, or all tasks."),
    "unknown task": ({"task_ids": [999]}, "A chosen task no longer exists. Choose the tasks again."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(anna: Actor, logged: Logged, now: datetime, case: str) -> None:
    asked, text = REFUSED[case]
    asked = {name: now + value if isinstance(value, timedelta) else value for name, value in asked.items()}
    with pytest.raises(Refused) as refusal:
        operations.plan_maintenance(actor=anna, **asked)
    assert str(refusal.value) == text
    assert not MaintenanceWindow.objects.exists()
    assert logged == []


def test_ended_and_moved(anna: Actor, logged: Logged, now: datetime) -> None:
    window = operations.plan_maintenance(actor=anna, ends_at=now + HOUR)
    bob = Actor("bob", anna.log)
    moved = operations.move_maintenance_end(window.pk, actor=bob, until=now + 2 * HOUR)
    assert (moved.ends_at, moved.by, moved.changed_by) == (now + 2 * HOUR, "anna", "bob")
    operations.move_maintenance_end(window.pk, actor=bob, until=None)
    ended = operations.end_maintenance(window.pk, actor=bob)
    assert ended.ends_at is not None
    assert ended.ends_at <= database_now()
    assert [text.partition(":")[0] for _about, text in logged[1:]] == [
        "The end of the maintenance",
        "The end of the maintenance",
        "The maintenance was ended.",
    ]
    with pytest.raises(Refused, match="This maintenance is over"):
        operations.move_maintenance_end(window.pk, actor=anna, until=now + HOUR)


def test_a_planned_window_that_is_ended_never_begins(anna: Actor, now: datetime) -> None:
    window = operations.plan_maintenance(actor=anna, starts_at=now + HOUR, ends_at=now + 2 * HOUR)
    ended = operations.end_maintenance(window.pk, actor=anna)
    assert not any(ended.covers(now + n * HOUR / 4) for n in range(12))


def test_moved_before_its_start(anna: Actor, now: datetime) -> None:
    window = operations.plan_maintenance(actor=anna, starts_at=now + 2 * HOUR)
    with pytest.raises(Refused, match="The end lies before the start"):
        operations.move_maintenance_end(window.pk, actor=anna, until=now + HOUR)


def test_of_two_people_the_second_is_told_what_changed(anna: Actor, now: datetime) -> None:
    window = operations.plan_maintenance(actor=anna, ends_at=now + HOUR)
    seen, bob = maintenance_token(window), Actor("bob", anna.log)
    operations.move_maintenance_end(window.pk, actor=bob, until=now + 2 * HOUR, seen=seen)
    with pytest.raises(Refused, match=r"bob changed this maintenance meanwhile: it now ends at ") as refusal:
        operations.end_maintenance(window.pk, actor=anna, seen=seen)
    assert refusal.value.code == "conflict"
    operations.move_maintenance_end(window.pk, actor=bob, until=None)
    with pytest.raises(Refused, match="it now lasts until somebody ends it"):
        operations.end_maintenance(window.pk, actor=anna, seen=seen)
    operations.end_maintenance(window.pk, actor=bob)
    with pytest.raises(Refused, match="bob ended this maintenance meanwhile, at "):
        operations.move_maintenance_end(window.pk, actor=anna, until=now + 3 * HOUR, seen=seen)


def test_a_window_that_is_gone(anna: Actor) -> None:
    with pytest.raises(Refused, match="This maintenance no longer exists"):
        operations.end_maintenance(7, actor=anna)
