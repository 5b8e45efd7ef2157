"""What a refresh brings besides changed rows: what is around them, and what the viewer may do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from scheduled_tasks.models import ProcessKind, ScheduledTask
from scheduled_tasks.operations import details_token
from tests.admin.test_list import LIST, html
from tests.admin.test_refresh import Browser, accounted, said
from tests.factories import make_process

pytestmark = pytest.mark.django_db


def test_rows_follow_the_rights_of_who_looks(client: Client, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {}
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="scheduled_tasks"))
    client.force_login(user)
    accounted("task")
    browser = Browser(client)
    user.user_permissions.remove(Permission.objects.get(codename="run_scheduledtask"))
    text = browser.refresh()
    assert 'id="st-row-' in text
    assert "/runs/" not in text
    assert 'value="run_selected"' not in text
    assert 'value="disable_selected"' in text


def test_the_number_of_tasks_follows(admin_client: Client) -> None:
    accounted("first")
    browser = Browser(admin_client)
    for name in ("second", *(f"{n:03}" for n in range(50))):
        accounted(name)
        text = browser.refresh()
    assert "52 scheduled tasks" in said(text)
    assert '<a href="?p=2">2</a>' in text


def test_a_beat_that_stops_greys_the_next_runs(admin_client: Client) -> None:
    accounted("task")
    beat = make_process(ProcessKind.BEAT)
    browser = Browser(admin_client)
    assert "is-stalled" not in html(admin_client)
    beat.delete()
    assert "is-stalled" in browser.refresh()
    make_process(ProcessKind.BEAT)
    assert 'id="st-problems">' in browser.refresh()


def menus_of(text: str) -> dict[str, list[str]]:
    """The choices of each menu that a refresh brings."""
    menus = re.findall(r'id="st-picker-(\w+)">(.*?)</details>', text, re.DOTALL)
    return {name: re.findall(r"<bdi>(.*?)</bdi>", menu) for name, menu in menus}


def test_the_menus_follow_what_is_saved_also_for_a_task_that_is_not_listed(admin_client: Client) -> None:
    accounted("listed")
    pk = accounted("elsewhere").pk
    browser = Browser(admin_client, "q=listed")

    def save(owner: str, tags: str) -> dict[str, list[str]]:
        seen = details_token(ScheduledTask.objects.with_schedules().get(pk=pk))
        admin_client.post(f"{LIST}{pk}/details/", {"owner": owner, "tags": tags, "seen": seen})
        return menus_of(browser.refresh())

    assert save("ops", "eu,new") == {"owner": ["ops"], "tag": ["eu", "new"]}
    assert save("", "new") == {"tag": ["new"]}
    assert browser.ask(browser.version).status_code == 304
