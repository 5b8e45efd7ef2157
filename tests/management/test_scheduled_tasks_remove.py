"""``manage.py scheduled_tasks_remove``: this app leaves no row and no table, and the tasks stay."""

from __future__ import annotations

import builtins
import io
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from scheduled_tasks.management.commands.scheduled_tasks_remove import _unused
from scheduled_tasks.models import Process, ProcessKind, ScheduledTask, TaskRun

OURS = {"content_type__app_label": "scheduled_tasks"}


@pytest.fixture
def installed() -> PeriodicTask:
    """A task with a run and an entry in its history, and a schedule that no task uses."""
    IntervalSchedule.objects.create(every=5, period=IntervalSchedule.MINUTES)
    task = PeriodicTask.objects.create(
        name="kept", task="any.task", crontab=CrontabSchedule.objects.create(minute="7")
    )
    TaskRun.objects.create(task=task, name=task.name, queued_at=timezone.now())
    LogEntry.objects.create(
        user=User.objects.create_user("anna"),
        content_type=ContentType.objects.get_for_model(ScheduledTask, for_concrete_model=False),
        object_id=str(task.pk),
        action_flag=CHANGE,
    )
    return task


def remove(*arguments: str) -> str:
    out = io.StringIO()
    call_command("scheduled_tasks_remove", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_dry_run_counts_and_changes_nothing(installed: PeriodicTask) -> None:
    said = remove("--dry-run")
    assert "Runs: 1\n" in said
    assert "Entries of the admin's history: 1\n" in said
    assert f"Permissions: {Permission.objects.filter(**OURS).count()}\n" in said
    assert IntervalSchedule.objects.filter(every=5).exists()
    assert LogEntry.objects.exists()
    assert TaskRun.objects.exists()


@pytest.mark.django_db
def test_it_asks_first(installed: PeriodicTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "input", lambda question: "no")
    with pytest.raises(CommandError, match="Nothing was deleted"):
        remove()
    assert TaskRun.objects.exists()


@pytest.mark.django_db
def test_it_refuses_while_beat_runs(installed: PeriodicTask) -> None:
    now = timezone.now()
    Process.objects.create(
        boot_id="b1", kind=ProcessKind.BEAT, node="beat@host", started_at=now, last_seen_at=now
    )
    with pytest.raises(CommandError, match="beat@host"):
        remove("--no-input")
    assert TaskRun.objects.exists()
    assert "Runs: 1\n" in remove("--dry-run")


@pytest.mark.django_db
def test_without_a_terminal_it_deletes_nothing(
    installed: PeriodicTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(CommandError, match="give --no-input"):
        remove()
    assert TaskRun.objects.exists()


@pytest.mark.django_db
def test_it_refuses_to_undo_migrations_of_another_app(installed: PeriodicTask, settings: Any) -> None:
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.management.dependent"]
    MigrationRecorder(connection).record_applied("dependent", "0001_initial")
    for arguments in (["--dry-run"], ["--no-input"]):
        with pytest.raises(CommandError, match=r"undone, too: dependent\.0001_initial\.$"):
            remove(*arguments)
    assert TaskRun.objects.exists()


@pytest.mark.django_db
def test_schedules_that_anything_refers_to_stay(installed: PeriodicTask) -> None:
    assert [each.minute for each in _unused(CrontabSchedule)] == []
    assert [each.every for each in _unused(IntervalSchedule)] == [5]


@pytest.mark.django_db(transaction=True)
def test_tasks_stay_and_all_else_goes(installed: PeriodicTask) -> None:
    tables = {model._meta.db_table for model in apps.get_app_config("scheduled_tasks").get_models()}
    tables.remove(PeriodicTask._meta.db_table)  # the proxy's
    try:
        remove("--no-input")
        assert not tables & set(connection.introspection.table_names())
        assert not Permission.objects.filter(**OURS).exists()
        assert not ContentType.objects.filter(app_label="scheduled_tasks").exists()
        assert not LogEntry.objects.exists()
        assert not IntervalSchedule.objects.filter(every=5).exists()
        assert PeriodicTask.objects.get(name="kept").crontab.minute == "7"
        assert "Permissions: 0\n" in remove("--dry-run")
    finally:
        call_command("migrate", "scheduled_tasks", verbosity=0)
        ContentType.objects.clear_cache()
