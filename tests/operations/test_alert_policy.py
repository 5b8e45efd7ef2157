"""Changing a task's alert policy: what is stored, refused and logged."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django_celery_beat.models import PeriodicTasks

from scheduled_tasks.models import ScheduledTask, TaskState, database_now
from scheduled_tasks.operations import (
    Actor,
    AuditEntry,
    Conflict,
    Refused,
    alert_policy,
    policy_token,
    set_alert_policy,
)
from scheduled_tasks.validation import ALERT_POLICY, Invalid
from tests.factories import make_task

pytestmark = pytest.mark.django_db

FULL = {
    "alert_after": 3,
    "recover_after": 2,
    "max_runtime": timedelta(seconds=90),
    "alert_on": ["slow", "late"],
    "owner": "billing",
    "runbook": "https://wiki.example.com/",
}


@pytest.fixture
def audit() -> list[AuditEntry]:
    return []


@pytest.fixture
def anna(audit: list[AuditEntry]) -> Actor:
    return Actor("anna", lambda task, entry: audit.append(entry))


def columns(task: Any) -> dict[str, Any]:
    return TaskState.objects.filter(task_id=task.pk).values(*ALERT_POLICY).get()


def test_policy_is_stored_and_logged(anna: Actor, audit: list[AuditEntry]) -> None:
    task = make_task()
    set_alert_policy(task.pk, actor=anna, policy=FULL)
    assert columns(task) == {**FULL, "alert_on": "late,slow"}
    set_alert_policy(task.pk, actor=anna, policy={"owner": "ops", "max_runtime": timedelta(hours=2)})
    assert [str(entry) for entry in audit] == [
        (
            "Alerts: alert after failures in a row: – → 3; recovered after successes in a row: – → 2; "
            "longest run time: – → 90 s; alert on: – → late, slow; owner: – → billing; "
            "runbook: – → https://wiki.example.com/."
        ),
        (
            "Alerts: alert after failures in a row: 3 → –; recovered after successes in a row: 2 → –; "
            "longest run time: 90 s → 2 h; alert on: late, slow → –; owner: billing → ops; "
            "runbook: https://wiki.example.com/ → –."
        ),
    ]
    stored = json.dumps(audit[1].change_message)
    assert str(AuditEntry.of(stored)) == str(audit[1])


def test_the_same_again_is_no_change(anna: Actor, audit: list[AuditEntry]) -> None:
    task = make_task()
    set_alert_policy(task.pk, actor=anna, policy=FULL)
    before = PeriodicTasks.objects.values().get()
    set_alert_policy(task.pk, actor=anna, policy=FULL)
    assert len(audit) == 1
    assert PeriodicTasks.objects.values().get() == before


def test_what_beat_keeps_of_the_task_stays(anna: Actor) -> None:
    task = make_task(last_run_at=database_now() - timedelta(days=3))
    kept = {"accounted_until": database_now(), "next_run_at": database_now(), "skip_next": True}
    TaskState.objects.create(task_id=task.pk, **kept)
    set_alert_policy(task.pk, actor=anna, policy=FULL)
    assert TaskState.objects.values(*kept).get() == kept
    assert ScheduledTask.objects.get().last_run_at == task.last_run_at


@pytest.mark.parametrize(
    "wrong",
    [
        {"alert_after": 0},
        {"max_runtime": timedelta(0)},
        {"alert_on": ["beat"]},
        {"owner": " "},
        {"runbook": "javascript:alert(1)"},
    ],
)
def test_what_code_may_not_declare_is_refused(
    anna: Actor, audit: list[AuditEntry], wrong: dict[str, Any]
) -> None:
    task = make_task()
    with pytest.raises(Invalid):
        set_alert_policy(task.pk, actor=anna, policy={**FULL, **wrong})
    assert not TaskState.objects.exists()
    assert audit == []


def test_an_edit_of_another_policy_than_the_one_seen_is_a_conflict(
    anna: Actor, audit: list[AuditEntry]
) -> None:
    task = make_task()
    seen = policy_token(task)
    set_alert_policy(task.pk, actor=anna, policy={"owner": "ops"}, seen=seen)
    with pytest.raises(Conflict, match="Somebody changed the alerts of purge") as caught:
        set_alert_policy(task.pk, actor=anna, policy=FULL, seen=seen)
    assert columns(task)["owner"] == "ops"
    set_alert_policy(task.pk, actor=anna, policy=FULL, seen=policy_token(caught.value.task))
    assert columns(task)["owner"] == "billing"
    assert len(audit) == 2


def test_another_change_of_the_task_is_no_conflict(anna: Actor) -> None:
    task = make_task()
    seen = policy_token(task)
    ScheduledTask.objects.update(description="other")
    set_alert_policy(task.pk, actor=anna, policy=FULL, seen=seen)


def test_a_task_that_is_gone(anna: Actor) -> None:
    with pytest.raises(Refused, match="no longer exists"):
        set_alert_policy(4711, actor=anna, policy=FULL)


def test_texts_fit_the_databases_characters(anna: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_policy, "keepable", lambda text: text.encode("ascii", "replace").decode())
    task = make_task()
    set_alert_policy(task.pk, actor=anna, policy={"owner": "b\N{PILE OF POO}"})
    assert columns(task)["owner"] == "b?"
