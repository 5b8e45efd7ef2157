"""Making a task: what is stored, and a name that somebody took at the same moment."""

from __future__ import annotations

import pytest
from django_celery_beat.models import PeriodicTasks

from scheduled_tasks import operations
from scheduled_tasks.models import CodeDefault, ScheduledTask, Source, database_now
from scheduled_tasks.operations import Actor, AuditEntry, Refused, adding
from tests.factories import make_task

pytestmark = pytest.mark.django_db

VALUES = {"schedule": "0 3 * * *", "timezone": "UTC"}


def test_stored_logged_and_told_to_beat() -> None:
    audit: list[AuditEntry] = []
    before = PeriodicTasks.last_change()
    task = operations.add(
        "new\x07", "tests.add", VALUES, actor=Actor("anna", lambda task, entry: audit.append(entry))
    )
    assert (task.name, task.enabled, task.state.paused_by) == ("new\N{REPLACEMENT CHARACTER}", True, "")
    assert [str(entry) for entry in audit] == ["Added."]
    assert PeriodicTasks.last_change() != before


def test_disabled_it_says_by_whom() -> None:
    task = operations.add("new", "x", {**VALUES, "enabled": False}, actor=Actor("anna", lambda *args: None))
    assert (task.enabled, task.state.paused_by, task.state.paused_by_name) == (False, "operator", "anna")


def test_name_that_is_taken_at_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    make_task("new")
    anna = Actor("anna", lambda *args: None)
    for check in (lambda name, task_id=None: None, operations.refuse_used_name):
        monkeypatch.setattr(adding, "refuse_used_name", check)
        with pytest.raises(Refused, match=r"in use|already exists"):
            operations.add("new", "x", VALUES, actor=anna)
    monkeypatch.setattr(adding, "refuse_used_name", lambda name, task_id=None: None)
    monkeypatch.setattr(ScheduledTask, "validate_unique", lambda self: None)
    with pytest.raises(Refused, match="The name “new” is in use"):
        operations.add("new", "x", VALUES, actor=anna)
    assert ScheduledTask.objects.count() == 1


@pytest.mark.parametrize("name", ["purge", "Purge"])
def test_name_that_code_declares(name: str) -> None:
    anna = Actor("anna", lambda *args: None)
    declared = CodeDefault.objects.create(task_id=4711, name="purge", source=Source.DECORATOR)
    with pytest.raises(Refused, match=f"The name “{name}” is declared in code"):
        operations.add(name, "x", VALUES, actor=anna)
    declared.gone_since = database_now()
    declared.save()
    assert operations.add(name, "x", VALUES, actor=anna).name == name
