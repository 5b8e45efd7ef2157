"""Delete a task or several: the question, what stays, Undo, and who may."""

from __future__ import annotations

import re
from copy import copy
from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from scheduled_tasks.admin import ScheduledTaskAdmin
from scheduled_tasks.models import (
    CodeDefault,
    Incident,
    MaintenanceTask,
    MaintenanceWindow,
    ScheduledTask,
    Source,
    TaskRun,
    database_now,
)
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
WAYS = {"plain": {}, "script": {"ST-Request": "1"}}
both_ways = pytest.mark.parametrize("headers", WAYS.values(), ids=[*WAYS])


@pytest.fixture(autouse=True)
def permissions(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {}


def person(name: str, *codenames: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def undo_of(html: str) -> str:
    found = re.search(r'name="entry" value="([\d,]+)">Undo', html)
    return found[1] if found else ""


@both_ways
def test_it_asks_and_says_what_stays(admin_client: Client, headers: dict[str, str]) -> None:
    task = make_task()
    page = admin_client.get(f"{LIST}{task.pk}/delete/", headers=headers).content.decode()
    assert "Delete purge?" in page
    assert "Past runs and incidents stay listed, and a run under way goes on." in page
    assert "open incident" not in page
    assert "maintenance window" not in page
    assert "declared in code" not in page
    assert ScheduledTask.objects.exists()


@both_ways
def test_deleted_and_undone(admin_client: Client, headers: dict[str, str]) -> None:
    task = make_task(description="old words", priority=7)
    run = make_run(task)
    answer = admin_client.post(f"{LIST}{task.pk}/delete/", headers=headers)
    assert not ScheduledTask.objects.exists()
    assert TaskRun.objects.get() == run
    logged = LogEntry.objects.get()
    assert (logged.action_flag, logged.object_repr, logged.get_change_message()) == (
        DELETION, "purge", "Deleted scheduled task “purge”.",
    )  # fmt: skip
    html = (answer if headers else admin_client.get(LIST)).content.decode()
    assert "purge was deleted. Its runs stay." in html
    assert (f'<tr id="st-row-{task.pk}" data-st-put="remove">' in html) == bool(headers)
    undone = admin_client.post(f"{LIST}restore/", {"entry": undo_of(html)}, headers=headers)
    assert undone.status_code == (200 if headers else 303)
    assert "purge is back: Daily at 3 AM." in (undone if headers else admin_client.get(LIST)).content.decode()
    back = ScheduledTask.objects.get()
    assert (back.pk, back.description, back.priority, back.crontab_id) == (
        task.pk, "old words", 7, task.crontab_id,
    )  # fmt: skip
    page = admin_client.get(f"{LIST}{task.pk}/change/").content.decode()
    assert f'id="st-run-{run.pk}"' in page
    assert "The deletion was undone." in page
    again = admin_client.post(f"{LIST}restore/", {"entry": undo_of(html)}, headers=WAYS["script"])
    assert again.status_code == 409
    assert "purge is there already." in again.content.decode()


def test_restore_is_undone_until_it_has_a_new_run(admin_client: Client) -> None:
    task, script = make_task(), WAYS["script"]
    make_run(task)
    html = admin_client.post(f"{LIST}{task.pk}/delete/", headers=script).content.decode()
    for number in range(2):
        back = admin_client.post(f"{LIST}restore/", {"entry": undo_of(html)}, headers=script).content.decode()
        if number:
            make_run(task)
        undone = admin_client.post(f"{LIST}restore/", {"entry": undo_of(back)}, headers=script)
        html = undone.content.decode()
        assert ("purge was deleted." in html) == (not number)
        assert ScheduledTask.objects.exists() == bool(number)
    assert undone.status_code == 409
    assert "Nothing was undone: purge has a new run." in html


def test_no_undo_of_a_secret_or_for_who_may_not_change(admin_client: Client) -> None:
    secret = make_task("secret", kwargs='{"password": "hunter2hunter2"}')
    html = admin_client.post(f"{LIST}{secret.pk}/delete/", headers=WAYS["script"]).content.decode()
    assert "secret was deleted" in html
    assert "Undo" not in html
    assert "hunter2" not in LogEntry.objects.get().change_message
    deleter = person("anna", "view_scheduledtask", "delete_scheduledtask")
    html = deleter.post(f"{LIST}{make_task().pk}/delete/", headers=WAYS["script"]).content.decode()
    assert "Undo" not in html


RIGHTS = "view_scheduledtask", "change_scheduledtask", "delete_scheduledtask"


def only_own(request: Any, action: str, task: Any = None) -> bool:
    return task is None or task.name == "own"


def test_who_sees_all_tasks_brings_back_what_another_person_deleted(admin_client: Client) -> None:
    task = make_task()
    html = admin_client.post(f"{LIST}{task.pk}/delete/", headers=WAYS["script"]).content.decode()
    editor, root = person("anna", *RIGHTS[:2]), person("root", *RIGHTS)
    for page in (f"{LIST}deleted/", f"{LIST}{task.pk}/history/"):
        assert "Restore</button>" not in editor.get(page).content.decode()
        assert f'name="entry" value="{undo_of(html)}"' in root.get(page).content.decode()
    assert editor.post(f"{LIST}restore/", {"entry": undo_of(html)}).status_code == 403
    assert root.post(f"{LIST}restore/", {"entry": undo_of(html)}).status_code == 303
    assert ScheduledTask.objects.exists()


@pytest.mark.parametrize("rule", ["policy", "queryset"])
def test_who_sees_some_tasks_brings_back_only_what_they_deleted(
    admin_client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    hidden, own = make_task("hidden"), make_task("own")
    if rule == "policy":
        settings.SCHEDULED_TASKS = {"ACCESS_POLICY": f"{__name__}.only_own"}
    else:
        seen = ScheduledTaskAdmin.get_queryset
        monkeypatch.setattr(ScheduledTaskAdmin, "get_queryset", lambda *a: seen(*a).exclude(name="hidden"))
    anna = person("anna", *RIGHTS)
    anna.post(f"{LIST}{own.pk}/delete/")
    logged = LogEntry.objects.get()
    root = User.objects.exclude(username="anna").get()
    LogEntry.objects.create(
        user=root,
        content_type=logged.content_type,
        object_id=hidden.pk,
        object_repr="hidden",
        action_flag=DELETION,
        change_message=logged.change_message,
    )
    ScheduledTask.objects.all().delete()
    page = anna.get(f"{LIST}deleted/").content.decode()
    assert ">own</a>" in page
    assert ">hidden</a>" not in page
    assert anna.get(f"{LIST}{hidden.pk}/history/").status_code == 302
    entry = LogEntry.objects.get(user=root).pk
    assert anna.post(f"{LIST}restore/", {"entry": entry}).status_code == 403
    assert anna.post(f"{LIST}restore/", {"entry": logged.pk}).status_code == 303
    assert ScheduledTask.objects.get().name == "own"


def test_the_newest_100_deletions_that_one_may_see_are_listed(admin_client: Client, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": f"{__name__}.only_own"}
    anna = person("anna", *RIGHTS)
    anna.post(f"{LIST}{make_task('own').pk}/delete/")
    logged = LogEntry.objects.get()
    user, root = logged.user, User.objects.exclude(username="anna").get()

    def delete(by: User, name: str, n: int) -> None:
        logged.user, logged.object_repr, logged.pk = by, name, None
        LogEntry.objects.bulk_create(copy(logged) for _number in range(n))

    def listed(name: str) -> tuple[int, bool]:
        page = anna.get(f"{LIST}deleted/").content.decode()
        assert ">hidden</a>" not in page
        return page.count(f">{name}</a>"), "Only the newest 100 deletions are listed." in page

    delete(root, "hidden", 101)
    assert listed("own") == (1, False)
    delete(user, "newer", 99)
    assert listed("newer") == (99, False)
    delete(user, "newer", 1)
    assert listed("newer") == (100, True)


def test_the_history_of_a_deleted_task_is_shown_and_restores_its_last_deletion(admin_client: Client) -> None:
    task = make_task()
    history, buttons = f"{LIST}{task.pk}/history/", r'name="entry" value="(\d+)" id="st-restore'
    admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "0", "note": "moves"}, headers=WAYS["script"])
    for _number in range(2):
        admin_client.post(f"{LIST}{task.pk}/delete/", headers=WAYS["script"])
        for page in (history, f"{LIST}deleted/"):
            (entry,) = re.findall(buttons, admin_client.get(page).content.decode())
        assert "Disabled: moves" in admin_client.get(history).content.decode()
        assert "Deleted." in admin_client.get(history).content.decode()
        admin_client.post(f"{LIST}restore/", {"entry": entry})
        assert ScheduledTask.objects.get().pk == task.pk
    assert not re.findall(buttons, admin_client.get(f"{LIST}deleted/").content.decode())
    assert "The deletion was undone." in admin_client.get(history).content.decode()
    assert admin_client.get(f"{LIST}4711/history/").status_code == 302, "there never was such a task"


def test_the_question_says_what_becomes_of_incidents_and_maintenance(admin_client: Client) -> None:
    task, now = make_task(kwargs='{"password": "hunter2hunter2"}'), database_now()
    url = f"{LIST}{task.pk}/delete/"
    assert "No Restore for purge" in admin_client.get(url).content.decode()
    ScheduledTask.objects.update(kwargs="{}")
    assert "“Deleted tasks”, below the list, has Restore." in admin_client.get(url).content.decode()
    for number, closed in enumerate((None, now)):
        key = None if closed else "late:1"
        kept = {"kind": "late", "opened_at": now, "last_seen_at": now, "closed_at": closed, "open_key": key}
        Incident.objects.create(key=number, task_id=task.pk, **kept)
    for ends_at in (None, now):
        window = MaintenanceWindow.objects.create(starts_at=now, ends_at=ends_at)
        MaintenanceTask.objects.create(window=window, task_id=task.pk)
    page = admin_client.get(url).content.decode()
    assert "1 open incident is closed; nobody is told." in page
    assert "1 pause or maintenance window stays, and pauses a restored task until its end." in page
    chosen = {"index": "0", "action": "delete_selected", "_selected_action": task.pk}
    assert "1 open incident is closed" in admin_client.post(LIST, chosen).content.decode()


def test_undo_takes_the_permission_to_delete() -> None:
    anna = person("anna", "view_scheduledtask", "change_scheduledtask", "delete_scheduledtask")
    html = anna.post(f"{LIST}{make_task().pk}/delete/", headers=WAYS["script"]).content.decode()
    User.objects.get().user_permissions.remove(Permission.objects.get(codename="delete_scheduledtask"))
    assert anna.post(f"{LIST}restore/", {"entry": undo_of(html)}).status_code == 403


def test_in_code_it_says_so_and_offers_to_disable(admin_client: Client) -> None:
    task = make_task()
    default = CodeDefault.objects.create(task_id=task.pk, name=task.name, source=Source.DECORATOR)
    page = admin_client.get(f"{LIST}{task.pk}/delete/").content.decode()
    assert "purge is declared in code" in page
    assert f'formaction="{LIST}{task.pk}/enabled/" name="enabled" value="0"' in page
    default.gone_since = default.task.date_changed
    default.save()
    assert "declared in code" not in admin_client.get(f"{LIST}{task.pk}/delete/").content.decode()


def test_several_are_named_and_deleted_together(admin_client: Client) -> None:
    tasks = [make_task(name) for name in ("one", "two", "three")]
    chosen = {"index": "0", "action": "delete_selected", "_selected_action": [task.pk for task in tasks[:2]]}
    page = admin_client.post(LIST, chosen).content.decode()
    assert "Delete 2 tasks?" in page
    assert ">one</li>" in page
    assert ">three</li>" not in page
    html = admin_client.post(LIST, {**chosen, "confirmed": "1"}, follow=True).content.decode()
    assert "2 tasks were deleted." in html
    assert [task.name for task in ScheduledTask.objects.all()] == ["three"]
    back = admin_client.post(f"{LIST}restore/", {"entry": undo_of(html)}, follow=True).content.decode()
    assert "2 tasks are back: one, two." in back
    assert ScheduledTask.objects.count() == 3


@pytest.mark.parametrize("what", [("rows", set(), ["invoice 1"]), ("rights", {"invoice"}, [])])
def test_rows_of_other_apps_may_keep_it(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, what: tuple[str, set[str], list[str]]
) -> None:
    task = make_task()
    _name, needed, protected = what
    found = ([], {"scheduled tasks": 1, "invoices": 2}, needed, protected)
    monkeypatch.setattr(ScheduledTaskAdmin, "get_deleted_objects", lambda *args: found)
    assert "invoices: 2" in admin_client.get(f"{LIST}{task.pk}/delete/").content.decode()
    answer = admin_client.post(f"{LIST}{task.pk}/delete/", headers=WAYS["script"])
    assert answer.status_code == 409
    assert "Nothing was deleted: other rows need it (invoice" in answer.content.decode()
    chosen = {"index": "0", "action": "delete_selected", "_selected_action": task.pk, "confirmed": "1"}
    assert "Nothing was deleted" in admin_client.post(LIST, chosen, follow=True).content.decode()
    assert ScheduledTask.objects.exists()


def test_hidden_tasks_are_neither_copied_nor_deleted_with_others(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = make_task()
    seen = ScheduledTaskAdmin.get_queryset
    monkeypatch.setattr(ScheduledTaskAdmin, "get_queryset", lambda *args: seen(*args).exclude(name="purge"))
    assert admin_client.get(f"{LIST}add/", {"source": hidden.pk}).status_code == 404
    chosen = {"index": "0", "action": "delete_selected", "_selected_action": hidden.pk, "confirmed": "1"}
    admin_client.post(LIST, chosen)
    assert ScheduledTask.objects.exists()
