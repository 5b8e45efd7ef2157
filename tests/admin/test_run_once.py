"""Run once at: a new task that is a copy of another one, and what is left of it afterwards."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule

from scheduled_tasks.masking import MASK
from scheduled_tasks.models import (
    Flag,
    PausedBy,
    ScheduledTask,
    Status,
    TaskState,
    database_now,
)
from tests.admin.test_undo import said, undo, undo_of
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
SCRIPT = {"ST-Request": "1"}


def send(client: Client, task: Any, **typed: str) -> Any:
    return client.post(f"{LIST}{task.pk}/once/", {"args": "[1, 2]", "kwargs": "{}", **typed}, headers=SCRIPT)


def copies(task: Any) -> list[ScheduledTask]:
    return list(ScheduledTask.objects.with_schedules().exclude(pk=task.pk))


def over(**state: Any) -> Any:
    """A task whose only run is past and that beat has disabled."""
    clocked = ClockedSchedule.objects.create(clocked_time=database_now() - timedelta(hours=1))
    task = make_task(cron=None, clocked=clocked, one_off=True, enabled=False)
    TaskState.objects.create(task_id=task.pk, **state)
    return task


def test_the_copy_has_the_task_its_queue_and_the_typed_arguments(admin_client: Client) -> None:
    task = make_task(queue="slow", description="old rows", args='["a"]')
    TaskState.objects.create(task_id=task.pk, owner="billing", tags="nightly", spread=timedelta(minutes=9))
    page = admin_client.get(f"{LIST}{task.pk}/once/").content.decode()
    assert "Run purge once" in page
    assert "[&quot;a&quot;]" in page
    said = send(admin_client, task, words="tomorrow 9:00", args='["b"]').content.decode()
    (copy,) = copies(task)
    local = timezone.localtime(copy.clocked.clocked_time)
    assert (local.hour, local.minute, local.second, copy.one_off, copy.enabled) == (9, 0, 0, True, True)
    assert copy.name.startswith("purge, once on ")
    assert copy.name.endswith(" 09:00")
    assert (copy.task, copy.queue, copy.description) == (task.task, "slow", "old rows")
    assert (json.loads(copy.args), copy.state.owner, copy.state.tags) == (["b"], "billing", "nightly")
    assert f"{copy.name} was added: Once, " in said
    drawer = admin_client.get(f"{LIST}{copy.pk}/change/", headers=SCRIPT).content.decode()
    assert "Made here" in drawer


def test_the_form_shows_what_was_understood(admin_client: Client) -> None:
    url = f"{LIST}{make_task().pk}/once/"
    page = admin_client.get(url).content.decode()
    assert f'data-preview="{LIST}add/preview/"' in page
    assert "in 60 min" in page or "in 1 h" in page or "in 59 min" in page
    assert "Schedule the run" in page
    typed = {"args": "[1, 2]", "kwargs": "{}", "name": "mine", "words": "tomorrow 9:00", "fill": ""}
    page = admin_client.post(url, typed).content.decode()
    assert re.search(r"<time [^>]*>\w+ \d+ \w+ \d{4}, 09:00 \w+</time>\s*<span>in \d+ (h|min)</span>", page)
    assert 'value="mine"' in page
    assert ScheduledTask.objects.count() == 1


def test_undo_deletes_the_new_task_until_it_has_a_run(admin_client: Client) -> None:
    task = make_task()
    entry = undo_of(send(admin_client, task, words="tomorrow 9:00"))
    undone = undo(admin_client, entry, **SCRIPT)
    assert "was deleted." in said(undone)
    assert copies(task) == []
    assert "is back: Once, " in said(undo(admin_client, undo_of(undone), **SCRIPT))
    entry = undo_of(send(admin_client, task, words="tomorrow 10:00", name="late"))
    late = ScheduledTask.objects.get(name="late")
    make_run(late, Status.RUNNING)
    refused = undo(admin_client, entry, **SCRIPT)
    assert refused.status_code == 409
    assert "Nothing was undone: late has a new run." in said(refused)
    assert ScheduledTask.objects.filter(pk=late.pk).exists()


def test_undo_keeps_what_somebody_changed_meanwhile(admin_client: Client) -> None:
    task = make_task()
    entry = undo_of(send(admin_client, task, words="tomorrow 9:00"))
    (copy,) = copies(task)
    admin_client.post(f"{LIST}{copy.pk}/enabled/", {"enabled": "0"})
    assert "was changed again meanwhile." in said(undo(admin_client, entry, **SCRIPT))
    assert copies(task) == [copy]


def test_who_may_not_delete_is_offered_no_undo(client: Client, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {}
    user = User.objects.create_user("adder", is_staff=True)
    codes = ("view_scheduledtask", "change_scheduledtask", "run_scheduledtask", "add_scheduledtask")
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))
    client.force_login(user)
    task = make_task()
    answer = send(client, task, words="tomorrow 9:00")
    assert "was added: " in said(answer)
    assert "Undo" not in said(answer)
    assert undo(client, str(LogEntry.objects.get().pk), **SCRIPT).status_code == 403
    assert len(copies(task)) == 1


def test_a_masked_argument_is_copied_and_a_form_sent_twice_makes_one(admin_client: Client) -> None:
    task = make_task(kwargs='{"password": "hunter2", "n": 1}')
    masked = json.dumps({"password": MASK, "n": 2})
    typed = {"at": "2036-11-29T23:00", "kwargs": masked, "args": "[]"}
    assert send(admin_client, task, **typed).status_code == 200
    (copy,) = copies(task)
    assert json.loads(copy.kwargs) == {"password": "hunter2", "n": 2}
    again = send(admin_client, task, **typed)
    assert again.status_code == 422
    assert "is in use. Choose another one." in again.content.decode()
    assert send(admin_client, task, **typed, name="mine").status_code == 200
    assert {each.name for each in copies(task)} == {copy.name, "mine"}


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({}, "Enter a time, or words such as “tomorrow 9:00”."),
        ({"at": "2020-01-01T00:00"}, "This time is past. Choose one that is to come."),
        ({"at": "2036-11-29T23:00", "words": "soon"}, "This is no time. Write it as "),
        ({"words": "1 h", "args": "x"}, "Arguments must be a JSON list, such as [1, 2]."),
        ({"words": "1 h", "name": "purge"}, "The name “purge” is in use. Choose another one."),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refused(admin_client: Client, typed: dict[str, str], told: str) -> None:
    task = make_task()
    answer = send(admin_client, task, **typed)
    assert answer.status_code == 422
    assert told in answer.content.decode()
    assert copies(task) == []


def test_one_that_has_run_is_over_and_not_paused(admin_client: Client) -> None:
    task = over()
    make_run(task, ago=3600)
    page = admin_client.get(LIST).content.decode()
    row = page.partition(f'id="st-row-{task.pk}"')[2].partition("</tr>")[0]
    assert "Once, ran " in row
    assert "Over" in row
    assert "Paused" not in row
    assert 'role="switch"' not in row
    assert "Success" in row
    for flag in Flag:
        assert not ScheduledTask.objects.all().flagged(flag, database_now(), ["tests.add"]).exists()


def test_one_that_did_not_run_says_why(admin_client: Client) -> None:
    task = over()
    make_run(task, Status.MISSED, reason="down")
    page = admin_client.get(LIST).content.decode()
    assert "Once, ran " not in page
    assert "Its only run was missed." in page


def test_one_that_a_person_paused_is_paused() -> None:
    task = over(paused_by=PausedBy.OPERATOR)
    paused = ScheduledTask.objects.all().flagged(Flag.PAUSED, database_now(), None)
    assert [each.pk for each in paused] == [task.pk]


@pytest.mark.parametrize(
    "limits", [{"expires": timedelta(hours=1)}, {"start_time": timedelta(days=7)}], ids=["end", "start"]
)
def test_start_and_end_of_the_task_do_not_hold_for_the_copy(
    admin_client: Client, limits: dict[str, timedelta]
) -> None:
    task = make_task(**{name: database_now() + later for name, later in limits.items()})
    send(admin_client, task, words="in 2 days")
    (copy,) = copies(task)
    assert (copy.start_time, copy.expires) == (None, None)
