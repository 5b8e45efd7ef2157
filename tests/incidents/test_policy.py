"""An edited alert policy: flags, incidents and notices follow at the next look."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from scheduled_tasks.incidents.watcher import Watcher
from scheduled_tasks.models import (
    Flag,
    Incident,
    IncidentKind,
    Notice,
    ScheduledTask,
    Status,
    TaskState,
    database_now,
)
from scheduled_tasks.operations import Actor, set_alert_policy
from tests.factories import make_run, make_task
from tests.incidents.conftest import TestClock

pytestmark = pytest.mark.django_db

ANNA = Actor("anna", log=lambda task, entry: None)


def settle(watching: Watcher, clock: TestClock) -> None:
    """Look until nothing is waited for, so that only something new makes the next look read anything."""
    for _ in range(5):
        watching.turn()
        clock.move(seconds=10)
    watching.turn()
    watching._looked_at = float("inf")  # no full look comes to help


def by_operation(task: Any, **policy: Any) -> None:
    set_alert_policy(task.pk, actor=ANNA, policy=policy)


def behind_its_back(task: Any, **policy: Any) -> None:
    """The same by a statement that tells nobody."""
    columns = {"max_runtime": None, "owner": "", "alert_on": "", "alert_after": None, "recover_after": None}
    TaskState.objects.update_or_create(task_id=task.pk, defaults={**columns, **policy})


WAYS = pytest.mark.parametrize("edit", [by_operation, behind_its_back])


def is_slow(task: Any) -> bool:
    return ScheduledTask.objects.flagged(Flag.SLOW, database_now(), None).filter(pk=task.pk).exists()


def incidents(kind: IncidentKind) -> list[bool]:
    """Whether each is open."""
    return [each.is_open for each in Incident.objects.filter(kind=kind).order_by("pk")]


def told() -> list[tuple[str, str]]:
    return [(each.event, each.label) for each in Notice.objects.order_by("pk")]


@pytest.mark.parametrize("wrong", [0, -1, None, "x"])
def test_numbers_that_are_none_hide_no_trouble(watching: Watcher, settings: Any, wrong: Any) -> None:
    settings.SCHEDULED_TASKS = {"ALERT_AFTER": wrong, "RECOVER_AFTER": wrong}
    task = make_task()
    make_run(task, Status.FAILED)
    watching.look()
    assert incidents(IncidentKind.FAILING) == [True]
    make_run(task, Status.SUCCEEDED)
    watching.look()
    assert incidents(IncidentKind.FAILING) == [False]


@WAYS
def test_max_runtime_is_seen_while_a_run_lasts(watching: Watcher, clock: TestClock, edit: Any) -> None:
    task = make_task()
    make_run(task, Status.RUNNING, ago=600)
    settle(watching, clock)
    assert (is_slow(task), incidents(IncidentKind.SLOW)) == (False, [])
    edit(task, max_runtime=timedelta(minutes=5))
    watching.turn()
    assert (is_slow(task), incidents(IncidentKind.SLOW)) == (True, [True])
    settle(watching, clock)
    edit(task, max_runtime=timedelta(minutes=60))
    watching.turn()
    assert (is_slow(task), incidents(IncidentKind.SLOW)) == (False, [False])


@WAYS
def test_alert_after_is_seen_while_a_task_fails(watching: Watcher, clock: TestClock, edit: Any) -> None:
    task = make_task()
    edit(task, alert_after=3)
    make_run(task, Status.FAILED)
    make_run(task, Status.FAILED)
    settle(watching, clock)
    assert (incidents(IncidentKind.FAILING), told()) == ([True], [])
    edit(task, alert_after=2)
    watching.turn()
    assert told() == [("opened", "ops")]


@WAYS
def test_recover_after_is_seen_while_a_task_recovers(watching: Watcher, clock: TestClock, edit: Any) -> None:
    task = make_task()
    edit(task, recover_after=3)
    make_run(task, Status.FAILED)
    settle(watching, clock)
    make_run(task)
    watching.turn()
    settle(watching, clock)
    assert incidents(IncidentKind.FAILING) == [True]
    edit(task, recover_after=1)
    watching.turn()
    assert incidents(IncidentKind.FAILING) == [False]


@WAYS
def test_kinds_are_seen(watching: Watcher, clock: TestClock, edit: Any) -> None:
    task = make_task()
    edit(task, alert_on=["late"] if edit is by_operation else "late")
    make_run(task, Status.FAILED)
    settle(watching, clock)
    assert told() == []
    edit(task)
    watching.turn()
    assert told() == [("opened", "ops")]


@WAYS
def test_owner_of_an_open_incident_follows(
    watching: Watcher, clock: TestClock, channels: dict[str, list[str]], edit: Any
) -> None:
    """Who has not heard of it yet is told in the new owner's place; who has is told of its end."""
    channels.update(billing=["money"], web=["pages"])
    task = make_task()
    edit(task, owner="billing", alert_after=2)
    make_run(task, Status.FAILED)
    settle(watching, clock)
    assert told() == []
    edit(task, owner="web", alert_after=1)
    watching.turn()
    assert told() == [("opened", "pages")]
    assert Incident.objects.get().owner == "web"
    settle(watching, clock)
    edit(task, owner="billing", alert_after=1)
    watching.turn()
    make_run(task)
    watching.turn()
    assert told() == [("opened", "pages"), ("closed", "pages")]
