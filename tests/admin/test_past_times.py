"""What is undone or restored after its time is past does not run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django_celery_beat.models import ClockedSchedule

from scheduled_tasks.models import ScheduledTask, database_now
from tests.factories import make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
SCRIPT = {"ST-Request": "1"}


def make_once() -> ScheduledTask:
    row = ClockedSchedule.objects.create(clocked_time=database_now() + timedelta(hours=1))
    return make_task(cron=None, clocked=row, one_off=True)


def let_it_pass(task: ScheduledTask) -> None:
    past = database_now() - timedelta(seconds=1)
    ClockedSchedule.objects.filter(pk=task.clocked_id).update(clocked_time=past)


def undo(client: Client, entry: int) -> Any:
    return client.post(f"{LIST}restore/", {"entry": entry}, headers=SCRIPT)


def last_entry() -> int:
    return LogEntry.objects.latest("pk").pk


def test_undo_of_disable(admin_client: Client) -> None:
    task = make_once()
    admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "0"})
    let_it_pass(task)
    assert "This time is past." in undo(admin_client, last_entry()).content.decode()
    assert not ScheduledTask.objects.get().enabled


def test_a_deleted_task_is_over_when_it_comes_back(admin_client: Client) -> None:
    task = make_once()
    admin_client.post(f"{LIST}{task.pk}/delete/")
    let_it_pass(task)
    assert undo(admin_client, last_entry()).status_code == 200
    back = ScheduledTask.objects.get()
    assert not back.enabled
    assert back.is_over(database_now())


def test_only_the_last_deletion_is_undone(admin_client: Client) -> None:
    task = make_task()
    admin_client.post(f"{LIST}{task.pk}/delete/")
    first = last_entry()
    undo(admin_client, first)
    admin_client.post(f"{LIST}{task.pk}/delete/")
    assert undo(admin_client, first).status_code == 400
    assert not ScheduledTask.objects.exists()
    assert "purge is back" in undo(admin_client, last_entry()).content.decode()
