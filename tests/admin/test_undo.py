"""Undo in the message of each change, and Restore in a task's history."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django_celery_beat.models import ClockedSchedule

from scheduled_tasks.declarations.fields import values_of
from scheduled_tasks.models import (
    CodeDefault,
    MaintenanceWindow,
    PausedBy,
    ScheduledTask,
    Source,
    TaskState,
    database_now,
)
from scheduled_tasks.once import once_text
from scheduled_tasks.operations import AuditEntry
from tests.factories import make_task

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/scheduled_tasks/scheduledtask/"
SCRIPT = {"ST-Request": "1"}
ALERTS = {"alert_after": "3", "kinds": "project", "owner": "billing"}


def said(response: Any) -> str:
    """The messages of an answer: of a redirect, or in a fragment."""
    if response.status_code == 303:
        return " ".join(str(message) for message in get_messages(response.wsgi_request))
    return " ".join(re.findall(r"<p>(.*?)</p>", response.content.decode(), re.DOTALL))


def undo_of(response: Any) -> str:
    """What the newest button Undo of an answer sends."""
    html = said(response)
    assert f'formaction="{LIST}restore/"' in html
    return str(re.findall(r'name="entry" value="([^"]+)">Undo</button>', html)[-1])


def undo(client: Client, entry: str, **headers: str) -> Any:
    return client.post(f"{LIST}restore/", {"entry": entry}, headers=headers)


def restore_buttons(client: Client, task: Any) -> list[str]:
    page = client.get(f"{LIST}{task.pk}/history/").content.decode()
    return re.findall(r'name="entry" value="(\d+:[^"]+)"', page)


def state_of(task: Any) -> dict[str, Any]:
    stored = ScheduledTask.objects.with_schedules().get(pk=task.pk)
    names = ("pause_note", "skip_next", "paused_by", "paused_by_name", "paused_at", "runs_as_before")
    columns = {name: getattr(stored.state, name) for name in names}
    return {**values_of(stored), **columns, "enabled": stored.enabled}


def last_entry() -> str:
    return str(AuditEntry.of(LogEntry.objects.latest("pk").change_message))


CHANGES = {
    "schedule": ("schedule/", {"cron": "15 4 * * *", "zone": "Europe/Berlin"}),
    "interval": ("schedule/", {"every": "5", "unit": "minutes"}),
    "disabled": ("enabled/", {"enabled": "0", "note": "database moves"}),
    "skip next": ("skip/", {"skip": "1"}),
    "alerts": ("alerts/", ALERTS),
    "policies": ("policies/", {}),
    "reset": ("default/", {}),
}


@pytest.mark.parametrize("way", ["plain", "script"])
@pytest.mark.parametrize("change", CHANGES)
def test_undo_puts_back_each_change_and_can_be_undone(admin_client: Client, change: str, way: str) -> None:
    task = make_task(args="[1]")
    declared = {"description": "Deletes old rows", "args": [2], "schedule": "0 5 * * *", "timezone": "UTC"}
    CodeDefault.objects.create(task_id=task.pk, name=task.name, source=Source.DECORATOR, declared=declared)
    TaskState.objects.create(task_id=task.pk, runs_as_before=True)
    before, headers = state_of(task), SCRIPT if way == "script" else {}
    path, data = CHANGES[change]
    response = admin_client.post(f"{LIST}{task.pk}/{path}", data, headers=headers)
    after = state_of(task)
    assert after != before
    undone = undo(admin_client, undo_of(response), **headers)
    assert state_of(task) == before
    assert "purge is as it was before that change." in said(undone)
    assert last_entry().startswith("Put back: ")
    undo(admin_client, undo_of(undone), **headers)
    assert state_of(task) == after


def test_undo_of_a_reset_puts_back_what_stays_the_operators(admin_client: Client) -> None:
    """Also a value that equals the code's: the next change in code must not take it."""
    task = make_task(description="ours", queue="slow")
    declared = {"description": "code's", "queue": "slow", "priority": None}
    default = CodeDefault(task_id=task.pk, name=task.name, declared=declared, chosen=["queue"])
    default.save()
    undone = undo(admin_client, undo_of(admin_client.post(f"{LIST}{task.pk}/default/")))
    assert CodeDefault.objects.get().chosen == ["queue"]
    assert last_entry() == "Put back: description: code's → ours."
    CodeDefault.objects.update(chosen=["priority", "queue"])  # a sync has found another one
    undo(admin_client, undo_of(undone))
    assert CodeDefault.objects.get().chosen == ["priority"]
    assert state_of(task)["description"] == "code's"


def test_undo_of_a_reset_does_not_pin_what_code_changed_meanwhile(admin_client: Client) -> None:
    task = make_task(description="ours", queue="slow")
    declared = {"description": "code's", "queue": "slow"}
    CodeDefault.objects.create(task_id=task.pk, name=task.name, declared=declared, chosen=["queue"])
    entry = undo_of(admin_client.post(f"{LIST}{task.pk}/default/"))
    ScheduledTask.objects.filter(pk=task.pk).update(queue="fast")
    assert "Nothing was put back" in said(undo(admin_client, entry))
    assert CodeDefault.objects.get().chosen == []


def test_undo_of_enabling_puts_back_who_paused_it_and_why(admin_client: Client) -> None:
    task = make_task(enabled=False)
    pause = {
        "paused_by": PausedBy.SYNC,
        "paused_by_name": "x",
        "paused_at": database_now(),
        "pause_note": "y",
    }
    TaskState.objects.create(task_id=task.pk, **pause)
    response = admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "1"})
    undo(admin_client, undo_of(response))
    assert {name: state_of(task)[name] for name in pause} == pause
    assert not ScheduledTask.objects.get(pk=task.pk).enabled
    assert last_entry() == "Put back: enabled: yes → no; pause note: – → y."


def test_undo_of_a_note(admin_client: Client) -> None:
    task = make_task(enabled=False)
    TaskState.objects.create(task_id=task.pk, pause_note="old", paused_by=PausedBy.OPERATOR)
    response = admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "0", "note": "new"})
    assert state_of(task)["pause_note"] == "new"
    undo(admin_client, undo_of(response))
    assert state_of(task)["pause_note"] == "old"


def test_undo_of_several_tasks_leaves_what_was_changed_since(admin_client: Client) -> None:
    tasks = [make_task(name) for name in ("a", "b", "c")]
    data = {"action": "disable_selected", "_selected_action": [task.pk for task in tasks], "index": "0"}
    entry = undo_of(admin_client.post(LIST, data, headers=SCRIPT))
    assert entry.count(",") == 2
    admin_client.post(f"{LIST}{tasks[1].pk}/enabled/", {"enabled": "0", "note": "stays"})
    response = undo(admin_client, entry)
    assert [ScheduledTask.objects.get(pk=task.pk).enabled for task in tasks] == [True, False, True]
    assert "2 tasks are as they were before." in said(response)
    assert "Nothing was put back: admin changed b meanwhile. Note: – → stays." in said(response)


def test_undo_overwrites_nobodys_later_change(admin_client: Client) -> None:
    task = make_task()
    first = admin_client.post(f"{LIST}{task.pk}/schedule/", {"cron": "0 4 * * *", "zone": "UTC"})
    admin_client.post(f"{LIST}{task.pk}/schedule/", {"cron": "0 5 * * *", "zone": "UTC"})
    response = undo(admin_client, undo_of(first), **SCRIPT)
    assert response.status_code == 409
    told = "Nothing was put back: admin changed purge meanwhile. Schedule: 0 4 * * * (UTC) → 0 5 * * * (UTC)."
    assert told in said(response)
    assert state_of(task)["schedule"] == "0 5 * * *"


def test_undo_of_pause_until_and_of_a_moved_end(admin_client: Client) -> None:
    task = make_task()
    url = f"{LIST}{task.pk}/until/"
    paused = admin_client.post(url, {"span": "hour"})
    assert f"{task.name} is paused until" in said(paused)
    window = MaintenanceWindow.objects.get()
    moved = admin_client.post(url, {"window": window.pk, "until": ""})
    assert f"{task.name} is paused until you end it." in said(moved)
    undo(admin_client, undo_of(moved))
    assert MaintenanceWindow.objects.get().ends_at == window.ends_at
    ended = undo(admin_client, undo_of(paused), **SCRIPT)
    assert ended.status_code == 200
    assert f"{task.name} is as it was before that change." in said(ended)
    assert MaintenanceWindow.objects.get().ends_at <= database_now()
    again = undo(admin_client, undo_of(paused), **SCRIPT)
    assert again.status_code == 409
    assert "admin ended this maintenance meanwhile" in said(again)


def test_undo_of_a_pause_leaves_what_was_moved_since(admin_client: Client) -> None:
    task = make_task()
    paused = admin_client.post(f"{LIST}{task.pk}/until/", {"span": "hour"})
    window = MaintenanceWindow.objects.get()
    admin_client.post(f"{LIST}{task.pk}/until/", {"window": window.pk, "span": "tomorrow"})
    assert "admin changed this maintenance meanwhile" in said(undo(admin_client, undo_of(paused)))
    assert MaintenanceWindow.objects.get().ends_at > window.ends_at


def test_undo_names_nobody_for_a_change_that_was_made_elsewhere(admin_client: Client) -> None:
    task = make_task()
    entry = undo_of(admin_client.post(f"{LIST}{task.pk}/skip/", {"skip": "1"}))
    TaskState.objects.filter(task_id=task.pk).update(skip_next=False)
    assert "purge was changed again meanwhile. Nothing was put back." in said(undo(admin_client, entry))


def test_a_conflict_names_who_put_the_schedule_back(admin_client: Client) -> None:
    task = make_task()
    path, seen = f"{LIST}{task.pk}/schedule/", "0 5 * * * (UTC)"
    first = admin_client.post(path, {"cron": "0 4 * * *", "zone": "UTC"})
    undo(admin_client, undo_of(first))
    anna = Client()
    anna.force_login(User.objects.create_superuser("anna"))
    (button,) = restore_buttons(anna, task)
    undo(anna, button)
    text = admin_client.post(path, {"cron": "0 6 * * *", "zone": "UTC", "seen": seen}).content.decode()
    assert "anna changed the schedule of purge meanwhile: it is now 0 4 * * * (UTC)." in text


def test_a_change_of_something_else_is_no_obstacle(admin_client: Client) -> None:
    task = make_task()
    first = admin_client.post(f"{LIST}{task.pk}/schedule/", {"cron": "0 4 * * *", "zone": "UTC"})
    admin_client.post(f"{LIST}{task.pk}/skip/", {"skip": "1"})
    undo(admin_client, undo_of(first))
    assert (state_of(task)["schedule"], state_of(task)["skip_next"]) == ("0 3 * * *", True)


def test_history_restores_any_earlier_schedule(admin_client: Client) -> None:
    task = make_task()
    for cron in ("0 4 * * *", "0 5 * * *", "0 6 * * *"):
        admin_client.post(f"{LIST}{task.pk}/schedule/", {"cron": cron, "zone": "Asia/Tokyo"})
    buttons = restore_buttons(admin_client, task)
    assert len(buttons) == 3
    response = undo(admin_client, buttons[0])
    assert response.status_code == 303
    assert (state_of(task)["schedule"], state_of(task)["timezone"]) == ("0 3 * * *", "UTC")
    told = "Put back: schedule: 0 6 * * * → 0 3 * * *; time zone: Asia/Tokyo → UTC."
    assert last_entry() == told
    assert told in unescape(admin_client.get(f"{LIST}{task.pk}/history/").content.decode())
    # What is in place already is not offered, and the others have changed since that page.
    assert len(restore_buttons(admin_client, task)) == 3
    assert "Nothing was put back: admin changed purge meanwhile." in said(undo(admin_client, buttons[1]))


def test_history_restores_a_note_of_a_disabled_task_only(admin_client: Client) -> None:
    task = make_task(enabled=False)
    for note in ("one", "two"):
        admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "0", "note": note})
    buttons = restore_buttons(admin_client, task)
    assert len(buttons) == 2
    admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "1"})
    assert restore_buttons(admin_client, task) == []
    assert "meanwhile" in said(undo(admin_client, buttons[1]))
    assert state_of(task)["pause_note"] == ""


def test_history_offers_nothing_to_who_may_not_change(admin_client: Client, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {}
    task = make_task()
    admin_client.post(f"{LIST}{task.pk}/schedule/", {"cron": "0 4 * * *", "zone": "UTC"})
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_scheduledtask"))
    client = Client()
    client.force_login(viewer)
    assert "0 4 * * *" in client.get(f"{LIST}{task.pk}/history/").content.decode()
    assert restore_buttons(client, task) == []


def test_a_secret_is_not_copied_into_the_history(admin_client: Client) -> None:
    task = make_task(kwargs='{"password": "hunter2-and-more"}')
    CodeDefault.objects.create(
        task_id=task.pk, name=task.name, source=Source.DECORATOR, declared={"kwargs": {}}
    )
    response = admin_client.post(f"{LIST}{task.pk}/default/")
    assert "purge was reset" in said(response)
    assert "Undo" not in said(response)
    assert "hunter2" not in LogEntry.objects.get().change_message
    assert "The history does not have" in said(undo(admin_client, str(LogEntry.objects.get().pk)))


def test_what_replaces_a_secret_is_told_without_it(admin_client: Client) -> None:
    task = make_task(enabled=False)
    for note in ("one", "two"):
        admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "0", "note": note})
    TaskState.objects.filter(task_id=task.pk).update(pause_note="password=hunter2-and-more")
    response = undo(admin_client, restore_buttons(admin_client, task)[1])
    assert "purge is as it was" in said(response)
    assert "Undo" not in said(response)
    assert state_of(task)["pause_note"] == "one"
    assert last_entry() == "Put back: pause note."
    assert "hunter2" not in LogEntry.objects.latest("pk").change_message


def test_one_wrong_entry_of_several_changes_nothing(admin_client: Client) -> None:
    task = make_task()
    entry = undo_of(admin_client.post(f"{LIST}{task.pk}/skip/", {"skip": "1"}))
    assert undo(admin_client, f"{entry},999999").status_code == 400
    assert state_of(task)["skip_next"]


def test_a_time_that_is_past_by_now_is_not_put_back(admin_client: Client) -> None:
    clocked = ClockedSchedule.objects.create(clocked_time=database_now() + timedelta(hours=1))
    task = make_task(cron=None, clocked=clocked, one_off=True)
    answer = admin_client.post(f"{LIST}{task.pk}/schedule/", {"cron": "0 4 * * *", "zone": "UTC"})
    entry = undo_of(answer)
    assert not ScheduledTask.objects.get().one_off
    undo(admin_client, entry)
    back = ScheduledTask.objects.get()
    assert (back.clocked.clocked_time, back.one_off, back.enabled) == (clocked.clocked_time, True, True)
    answer = admin_client.post(f"{LIST}{task.pk}/schedule/", {"cron": "0 4 * * *", "zone": "UTC"})
    logged = LogEntry.objects.latest("pk")
    past = once_text(database_now() - timedelta(hours=1))
    logged.change_message = logged.change_message.replace(once_text(clocked.clocked_time), past)
    logged.save()
    assert "This time is past. Give the task another schedule." in said(undo(admin_client, undo_of(answer)))
    assert ScheduledTask.objects.get().crontab.hour == "4"


@pytest.mark.parametrize("entry", ["", "x", "1,", "9" * 30, "-1", "1:<", "999999"])
def test_odd_entries_are_refused(admin_client: Client, entry: str) -> None:
    assert undo(admin_client, entry).status_code == 400


def test_an_entry_of_another_model_or_hand_is_refused(admin_client: Client, admin_user: User) -> None:
    task = make_task()
    admin_client.post(f"{LIST}{task.pk}/skip/", {"skip": "1"})
    odd_change = {"code": "skipped_next", "params": {"values": {"name": ["x", "y"]}}}
    other, by_hand, odd = LogEntry.objects.get(), LogEntry.objects.get(), LogEntry.objects.get()
    other.content_type_id = None
    by_hand.change_message = "By hand."
    odd.change_message = json.dumps([{"scheduled_tasks": odd_change}])
    for entry in (other, by_hand, odd):
        entry.pk = None
        entry.save()
    for entry in (other, by_hand):
        assert undo(admin_client, str(entry.pk)).status_code == 400
    assert "The history does not have" in said(undo(admin_client, str(odd.pk)))
    assert state_of(task)["skip_next"]


def test_undo_of_a_deleted_task_says_so(admin_client: Client) -> None:
    task = make_task()
    entry = undo_of(admin_client.post(f"{LIST}{task.pk}/skip/", {"skip": "1"}))
    ScheduledTask.objects.filter(pk=task.pk).delete()
    assert "This task no longer exists." in said(undo(admin_client, entry))
