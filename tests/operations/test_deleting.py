"""Deleting a task and undoing that: beat hears of it, nothing past fires, what stands in the way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import ProtectedError
from django.db.models.query import QuerySet
from django_celery_beat.models import IntervalSchedule, PeriodicTasks

from scheduled_tasks import operations
from scheduled_tasks.models import (
    SYNC_LEASE,
    CodeDefault,
    Lease,
    ScheduledTask,
    Source,
    TaskState,
    database_now,
)
from scheduled_tasks.operations import Actor, AuditEntry, Refused
from tests.factories import make_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def audit() -> list[AuditEntry]:
    return []


@pytest.fixture
def anna(audit: list[AuditEntry]) -> Actor:
    return Actor("anna", lambda task, entry: audit.append(entry))


def test_beat_hears_of_both_and_nothing_past_fires(anna: Actor, audit: list[AuditEntry]) -> None:
    past = database_now() - timedelta(days=2)
    task = make_task(last_run_at=past, total_run_count=5)
    TaskState.objects.create(task_id=task.pk, accounted_until=past, owner="billing")
    before = PeriodicTasks.last_change()
    assert operations.delete(task.pk, actor=anna) == "purge"
    deleted = PeriodicTasks.last_change()
    assert before < deleted
    back = operations.undelete(task.pk, actor=anna, entry=audit[0])
    assert PeriodicTasks.last_change() > deleted
    assert (back.pk, back.total_run_count, back.state.owner) == (task.pk, 5, "billing")
    assert min(back.last_run_at, back.state.accounted_until) > past + timedelta(days=1)
    assert [str(entry) for entry in audit] == ["Deleted.", "The deletion was undone."]


def test_disabled_it_comes_back_disabled(anna: Actor, audit: list[AuditEntry]) -> None:
    task = make_task()
    operations.disable(task.pk, actor=anna, note="why")
    operations.delete(task.pk, actor=anna)
    back = operations.undelete(task.pk, actor=anna, entry=audit[-1])
    assert (back.enabled, back.state.pause_note) == (False, "why")


@pytest.mark.parametrize("column", ["args", "kwargs", "headers"])
@pytest.mark.parametrize(
    "secret", ['{"password": "hunter2hunter2", "password": null}', '{"a": "password=hunter2hunter2", "a": 1}']
)
def test_the_history_keeps_no_secret_that_the_column_alone_has(
    anna: Actor, audit: list[AuditEntry], column: str, secret: str
) -> None:
    task = make_task(**{column: f"[{secret}]" if column == "args" else secret})
    operations.delete(task.pk, actor=anna)
    assert audit[0].row is None


def test_undo_that_is_no_longer_possible(anna: Actor, audit: list[AuditEntry]) -> None:
    task = make_task()
    operations.delete(task.pk, actor=anna)
    (entry,) = audit
    task.crontab.delete()
    with pytest.raises(Refused, match=r"The schedule of purge is gone\."):
        operations.undelete(task.pk, actor=anna, entry=entry)
    make_task()
    with pytest.raises(Refused, match="The name “purge” is in use"):
        operations.undelete(task.pk, actor=anna, entry=entry)
    for row in (None, {"model": "no.such", "pk": 1, "fields": {}}):
        entry.params["row"] = row
        with pytest.raises(Refused, match="does not have the deleted task"):
            operations.undelete(task.pk, actor=anna, entry=entry)


def test_rows_of_others_keep_it_or_go_with_it(
    anna: Actor, audit: list[AuditEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()

    def protected(self: QuerySet[ScheduledTask]) -> tuple[int, dict[str, int]]:
        raise ProtectedError("kept", set())

    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "delete", protected)
        with pytest.raises(Refused, match="purge cannot be deleted: other rows of this site need it"):
            operations.delete(task.pk, actor=anna)
    assert not audit
    monkeypatch.setattr(QuerySet, "delete", lambda self: (2, {}))
    operations.delete(task.pk, actor=anna)
    assert audit[0].row is None, "Undo would not bring back the other row"


UNSAVABLE: dict[str, tuple[dict[str, Any], str]] = {
    "two schedules": ({"interval": True}, "Only one of clocked, interval, crontab, or solar must be set$"),
    "none": ({"crontab": None}, "One of clocked, interval, crontab, or solar must be set"),
    "both expiries": ({"expires": True, "expire_seconds": 5}, "Only one can be set"),
}


@pytest.mark.parametrize("case", UNSAVABLE)
def test_undo_of_a_row_that_cannot_be_saved(anna: Actor, audit: list[AuditEntry], case: str) -> None:
    values, why = UNSAVABLE[case]
    values = {**values}
    if "interval" in values:
        values["interval"] = IntervalSchedule.objects.create(every=1, period="hours")
    if "expires" in values:
        values["expires"] = database_now()
    task = make_task()
    ScheduledTask.objects.filter(pk=task.pk).update(**values)
    operations.delete(task.pk, actor=anna)
    with pytest.raises(Refused, match=f"^purge cannot be saved: {why}"):
        operations.undelete(task.pk, actor=anna, entry=audit[0])
    assert not ScheduledTask.objects.exists()


def test_undo_of_a_task_whose_zone_is_no_longer_known(anna: Actor, audit: list[AuditEntry]) -> None:
    task = make_task()
    operations.delete(task.pk, actor=anna)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_celery_beat_crontabschedule SET timezone = 'Nowhere/Else'")
    with pytest.raises(Refused, match=r"^purge cannot be saved: .*Nowhere/Else"):
        operations.undelete(task.pk, actor=anna, entry=audit[0])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("others", ["undo", "add"])
@pytest.mark.parametrize("has_lease", [True, False])
def test_four_at_once_bring_back_one(
    anna: Actor, audit: list[AuditEntry], others: str, has_lease: bool
) -> None:
    if has_lease:
        Lease.objects.create(name=SYNC_LEASE)
    task, gate = make_task(), Barrier(4)
    operations.delete(task.pk, actor=anna)

    def make(number: int) -> str:
        try:
            database_now()
            gate.wait(30)
            if others == "add" and number % 2:
                operations.add("purge", "x", {"schedule": "0 4 * * *", "timezone": "UTC"}, actor=anna)
            else:
                operations.undelete(task.pk, actor=anna, entry=audit[0])
        except Refused as refusal:
            return refusal.code
        finally:
            connections.close_all()
        return ""

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(4))) == ["", "name", "name", "name"]
    assert ScheduledTask.objects.count() == 1


def test_undo_of_a_task_in_code(anna: Actor, audit: list[AuditEntry]) -> None:
    task = make_task()
    default = CodeDefault.objects.create(task_id=task.pk, name=task.name, source=Source.DECORATOR)
    operations.delete(task.pk, actor=anna)
    assert operations.undelete(task.pk, actor=anna, entry=audit[0]).is_in_code
    operations.delete(task.pk, actor=anna)
    default.delete()
    CodeDefault.objects.create(task_id=4711, name=task.name, source=Source.DECORATOR)
    with pytest.raises(Refused, match="is declared in code"):
        operations.undelete(task.pk, actor=anna, entry=audit[0])
