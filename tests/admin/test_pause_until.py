"""Pause until: one task from its menu, or the selected ones; with script and as plain forms."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from scheduled_tasks.admin import ScheduledTaskAdmin
from scheduled_tasks.models import MaintenanceWindow, database_now
from scheduled_tasks.operations import maintenance_token
from tests.admin.test_maintenance import HOUR, SCRIPT, TASKS, WINDOWS, field, row_of, window
from tests.admin.test_undo import said, undo, undo_of
from tests.factories import make_task

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("way", ["script", "plain"])
def test_pause_until_of_one_task(admin_client: Client, way: str) -> None:
    task = make_task()
    url, headers = f"{TASKS}{task.pk}/until/", SCRIPT if way == "script" else {}
    assert b"Until tomorrow" in admin_client.get(url, headers=headers).content
    answer = admin_client.post(url, {"span": "hour", "note": "why"}, headers=headers)
    assert answer.status_code == (200 if way == "script" else 303)
    made = MaintenanceWindow.objects.get()
    assert abs(made.ends_at - made.starts_at - HOUR) < timedelta(minutes=1)
    assert [row.task_id for row in made.members.all()] == [task.pk]
    if way == "script":
        assert b"purge is paused until" in answer.content
        assert b"Resume now" in answer.content
    assert "Paused until" in row_of(admin_client, task)
    assert b"Paused from" in admin_client.get(f"{TASKS}{task.pk}/history/").content
    admin_client.post(f"{WINDOWS}{made.pk}/end/", headers=headers)
    assert "Paused" not in row_of(admin_client, task)


def test_pause_until_tomorrow_or_a_date_or_until_ended(admin_client: Client) -> None:
    task = make_task()
    url, now = f"{TASKS}{task.pk}/until/", database_now()
    admin_client.post(url, {"span": "tomorrow"})
    admin_client.post(url, {"until": field(now + 50 * HOUR)})
    admin_client.post(url, {})
    tomorrow, date, ended = MaintenanceWindow.objects.order_by("pk")
    morning = timezone.localtime(tomorrow.ends_at)
    assert (morning.hour, morning.date()) == (9, timezone.localtime(now).date() + timedelta(days=1))
    assert field(date.ends_at) == field(now + 50 * HOUR)
    assert ended.ends_at is None


def test_the_button_that_is_pressed_counts_more_than_a_typed_time(admin_client: Client) -> None:
    task, now = make_task(), database_now()
    admin_client.post(f"{TASKS}{task.pk}/until/", {"until": field(now + 50 * HOUR), "span": "hour"})
    made = MaintenanceWindow.objects.get()
    assert made.ends_at - made.starts_at < 2 * HOUR


def test_pause_until_refused_keeps_what_was_typed(admin_client: Client) -> None:
    task = make_task()
    answer = admin_client.post(f"{TASKS}{task.pk}/until/", {"until": "2020-01-01T00:00", "note": "my words"})
    assert answer.status_code == 409
    assert "The end lies in the past." in answer.content.decode()
    assert "my words" in answer.content.decode()
    gone = admin_client.post(f"{TASKS}999/until/", {"span": "hour"})
    assert gone.status_code in (303, 404)
    assert not MaintenanceWindow.objects.exists()


@pytest.mark.parametrize("way", ["script", "plain"])
def test_selected_tasks_are_paused_together(admin_client: Client, way: str) -> None:
    tasks = [make_task("a"), make_task("b"), make_task("c")]
    headers = SCRIPT if way == "script" else {}
    data = {"action": "pause_selected", "index": "0", "_selected_action": [tasks[0].pk, tasks[1].pk]}
    asked = admin_client.post(TASKS, data, headers=headers)
    assert b"Pause 2 tasks" in asked.content
    answer = admin_client.post(TASKS, {**data, "confirmed": "1", "span": "hour"}, headers=headers)
    assert answer.status_code in (200, 302, 303)
    made = MaintenanceWindow.objects.get()
    assert {row.task_id for row in made.members.all()} == {tasks[0].pk, tasks[1].pk}


def hidden(html: str, name: str) -> str:
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)">', html)
    return found[1] if found else ""


@pytest.mark.parametrize("way", ["script", "plain"])
def test_another_time_while_it_is_paused_moves_the_end(admin_client: Client, way: str) -> None:
    task, headers = make_task(), SCRIPT if way == "script" else {}
    made = window(task, note="why")
    for page in (TASKS, f"{TASKS}{task.pk}/change/"):
        html = admin_client.get(page).content.decode()
        assert "Resume now" in html
        assert f"{task.pk}/until/" in html
    url, until = f"{TASKS}{task.pk}/until/", field(database_now() + 5 * HOUR)
    html = admin_client.get(url, headers=headers).content.decode()
    assert f'name="until" value="{field(made.ends_at)}"' in html
    assert 'name="note"' not in html, "it stays what it is"
    data = {name: hidden(html, name) for name in ("window", "seen")}
    answer = admin_client.post(url, {**data, "until": until}, headers=headers)
    assert answer.status_code == (200 if way == "script" else 303)
    moved = MaintenanceWindow.objects.get()
    assert (moved.pk, field(moved.ends_at), moved.note) == (made.pk, until, "why")
    again = admin_client.post(url, {**data, "until": field(made.ends_at)}, headers=headers)
    assert again.status_code == 409
    assert "admin changed this maintenance meanwhile: it now ends at" in again.content.decode()
    assert hidden(again.content.decode(), "seen") == maintenance_token(moved)
    assert field(MaintenanceWindow.objects.get().ends_at) == until


def test_a_moved_end_is_refused_at_its_field(admin_client: Client) -> None:
    task = make_task()
    made = window(task)
    data = {"window": made.pk, "seen": maintenance_token(made)}
    for until in ("2020-01-01T00:00", "soon"):
        answer = admin_client.post(f"{TASKS}{task.pk}/until/", {**data, "until": until})
        assert answer.status_code == 409
        assert f'value="{until}"' in answer.content.decode()
    assert MaintenanceWindow.objects.get().ends_at == made.ends_at


def test_only_a_window_of_this_task_alone_is_moved(admin_client: Client) -> None:
    task, other = make_task(), make_task("other")
    url = f"{TASKS}{task.pk}/until/"
    for made in (window(), window(other), window(task, other)):
        assert admin_client.post(url, {"window": made.pk, "until": ""}).status_code == 404
    assert not MaintenanceWindow.objects.filter(ends_at=None).exists()
    other.delete()
    assert admin_client.post(url, {"window": made.pk, "until": ""}).status_code == 303
    assert MaintenanceWindow.objects.get(ends_at=None) == made
    assert "The end of the maintenance" in admin_client.get(f"{TASKS}{task.pk}/history/").content.decode()


@pytest.mark.parametrize("span", ["day", "resolved"])
def test_unknown_span_is_refused(admin_client: Client, span: str) -> None:
    task = make_task()
    url = f"{TASKS}{task.pk}/until/"
    assert admin_client.post(url, {"span": span}).status_code == 409
    assert not MaintenanceWindow.objects.exists()
    made = window(task)
    data = {"window": made.pk, "seen": maintenance_token(made), "span": span}
    answer = admin_client.post(url, data)
    assert answer.status_code == 409
    assert f"{span} is not one of the available choices." in answer.content.decode()
    assert admin_client.post(f"{WINDOWS}{made.pk}/extend/", data, headers=SCRIPT).status_code == 409
    assert MaintenanceWindow.objects.get().ends_at == made.ends_at


def test_undo_after_the_task_was_deleted_changes_nothing(admin_client: Client) -> None:
    task = make_task()
    url = f"{TASKS}{task.pk}/until/"
    paused = admin_client.post(url, {"span": "hour"}, headers=SCRIPT).content.decode()
    (entry,) = re.findall(r'name="entry" value="([^"]+)">Undo', paused)
    made = MaintenanceWindow.objects.get()
    task.delete()
    answer = admin_client.post(f"{TASKS}restore/", {"entry": entry}, headers=SCRIPT)
    assert answer.status_code == 409
    assert "This task no longer exists." in answer.content.decode()
    assert MaintenanceWindow.objects.get().ends_at == made.ends_at


def test_pause_until_takes_words(admin_client: Client) -> None:
    task = make_task()
    url = f"{TASKS}{task.pk}/until/"
    assert 'name="until_words"' in admin_client.get(url).content.decode()
    typed = {"until": "2020-01-01T00:00", "until_words": "tomorrow 9:00"}
    assert "purge is paused until" in admin_client.post(url, typed, headers=SCRIPT).content.decode()
    end = timezone.localtime(MaintenanceWindow.objects.get().ends_at)
    assert (end.hour, end.date()) == (9, timezone.localtime(database_now()).date() + timedelta(days=1))
    refused = admin_client.post(url, {"until_words": "soon"}, headers=SCRIPT).content.decode()
    assert "This is no time." in refused
    assert 'name="until_words" value="soon"' in refused


def test_an_unchanged_end_in_an_hour_that_comes_twice_stays(admin_client: Client, settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Paris"
    task, second = make_task(), datetime(2032, 10, 31, 1, 30, tzinfo=UTC)
    made = window(task)
    MaintenanceWindow.objects.update(ends_at=second)
    url, until = f"{TASKS}{task.pk}/until/", "2032-10-31T02:30"
    page = admin_client.get(url).content.decode()
    assert f'name="until" value="{until}"' in page
    data = {"window": made.pk, "until": until}
    assert admin_client.post(url, data, headers=SCRIPT).status_code == 200
    assert admin_client.post(f"{WINDOWS}{made.pk}/extend/", data, headers=SCRIPT).status_code == 200
    assert MaintenanceWindow.objects.get().ends_at == second
    data["until"] = "2032-10-31T02:45"
    assert "02:45 comes twice" in admin_client.post(url, data, headers=SCRIPT).content.decode()


@pytest.mark.parametrize("ends", [HOUR, None])
def test_undo_of_resume_puts_the_pause_back(admin_client: Client, ends: timedelta | None) -> None:
    task = make_task()
    made = window(task, ends=ends)
    resumed = admin_client.post(f"{TASKS}{task.pk}/resume/", headers=SCRIPT)
    undone = undo(admin_client, undo_of(resumed), **SCRIPT)
    assert "purge is as it was before that change." in said(undone)
    back = MaintenanceWindow.objects.get()
    assert (back.ends_at, back.note) == (made.ends_at, made.note)
    undo(admin_client, undo_of(undone), **SCRIPT)
    assert MaintenanceWindow.objects.get().ends_at <= database_now()


def test_undo_of_resume_comes_too_late_once_the_pause_would_be_over(admin_client: Client) -> None:
    task = make_task()
    made = window(task)
    entry = undo_of(admin_client.post(f"{TASKS}{task.pk}/resume/", headers=SCRIPT))
    ended = MaintenanceWindow.objects.get().ends_at
    logged = LogEntry.objects.get()
    past = (database_now() - HOUR / 2).isoformat()
    logged.change_message = logged.change_message.replace(made.ends_at.isoformat(), past)
    logged.save()
    refused = undo(admin_client, entry, **SCRIPT)
    assert refused.status_code == 409
    assert "This maintenance is over. Plan a new one." in said(refused)
    assert MaintenanceWindow.objects.get().ends_at == ended


def resume_button(html: str) -> str:
    found = re.search(r'resume/" name="seen" value="([^"]+)"', " ".join(html.split()))
    return found[1] if found else ""


@pytest.mark.parametrize("way", ["script", "plain"])
def test_resume_ends_every_pause_of_the_task_alone(admin_client: Client, way: str) -> None:
    """Paused once more from the list below, and by maintenance of others too, it is resumed in one go."""
    task, other = make_task(), make_task("other")
    shared, headers = window(task, other, note="move"), SCRIPT if way == "script" else {}
    own = [window(task), window(task)]
    url = f"{TASKS}{task.pk}/resume/"
    for page in (TASKS, f"{TASKS}{task.pk}/change/"):
        seen = resume_button(admin_client.get(page).content.decode())
        assert [int(each.split(":")[0]) for each in seen.split(",")] == [each.pk for each in own]
    answer = admin_client.post(url, {"seen": seen}, headers=headers, follow=True).content.decode()
    assert "The pause of purge has ended. Maintenance still pauses it" in answer
    assert not resume_button(admin_client.get(TASKS).content.decode())
    open_ones = MaintenanceWindow.objects.not_over_at(database_now())
    assert [each.pk for each in open_ones] == [shared.pk]
    MaintenanceWindow.objects.update(ends_at=database_now())
    last = window(task)
    assert "purge starts on schedule again." in admin_client.post(url, follow=True).content.decode()
    last.refresh_from_db()
    assert last.ends_at <= database_now()


def test_resume_tells_what_others_did_and_touches_no_other_window(admin_client: Client) -> None:
    task, other = make_task(), make_task("other")
    url = f"{TASKS}{task.pk}/resume/"
    own, shared = window(task), window(task, other)
    MaintenanceWindow.objects.filter(pk=own.pk).update(ends_at=database_now() + 9 * HOUR, changed_by="bert")
    stale = f"{own.pk}:{maintenance_token(own)}"
    answer = admin_client.post(url, {"seen": stale}, headers=SCRIPT)
    assert answer.status_code == 409
    assert "bert changed this maintenance meanwhile: it now ends at" in answer.content.decode()
    for seen in (f"{shared.pk}:{maintenance_token(shared)}", f"{window(other).pk}:x", "4711:x"):
        assert admin_client.post(url, {"seen": seen}, headers=SCRIPT).status_code == 409
    for seen in ("x", "1", "1:a,", ",", "1:a;2:b"):
        assert admin_client.post(url, {"seen": seen}).status_code == 400
    assert MaintenanceWindow.objects.not_over_at(database_now()).count() == 3


@pytest.mark.parametrize("way", ["script", "plain"])
def test_the_pause_of_selected_tasks_is_undone(admin_client: Client, way: str) -> None:
    tasks, headers = [make_task("a"), make_task("b")], SCRIPT if way == "script" else {}
    data = {"action": "pause_selected", "index": "0", "_selected_action": [task.pk for task in tasks]}
    sent = {**data, "confirmed": "1", "span": "hour"}
    answer = admin_client.post(TASKS, sent, headers=headers, follow=True).content.decode()
    (entry,) = re.findall(r'name="entry" value="(\d+)">Undo', answer)
    undone = admin_client.post(f"{TASKS}restore/", {"entry": entry}, headers=headers, follow=True)
    assert "2 tasks are as they were before." in undone.content.decode()
    assert not MaintenanceWindow.objects.not_over_at(database_now()).exists()
    again = admin_client.post(f"{TASKS}restore/", {"entry": entry}, headers=SCRIPT)
    assert again.status_code == 409
    assert "ended this maintenance meanwhile" in again.content.decode()


def test_the_pause_of_tasks_that_one_may_not_change_is_not_undone(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [make_task("a"), make_task("hidden")]
    data = {"action": "pause_selected", "index": "0", "_selected_action": [task.pk for task in tasks]}
    admin_client.post(TASKS, {**data, "confirmed": "1", "span": "hour"})
    entry, seen = {"entry": LogEntry.objects.get().pk}, ScheduledTaskAdmin.get_queryset
    with monkeypatch.context() as patch:
        patch.setattr(ScheduledTaskAdmin, "get_queryset", lambda *args: seen(*args).exclude(name="hidden"))
        assert admin_client.post(f"{TASKS}restore/", entry).status_code == 403
    for task in tasks:
        task.delete()
    assert admin_client.post(f"{TASKS}restore/", entry).status_code == 400
