"""What a refresh brings besides changed rows: what is around them, and what the viewer may do."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from scheduled_tasks.models import ProcessKind
from tests.admin.test_list import html
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
