"""Rows kept as HTML: made anew when, and only when, they say something else, and never another viewer's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.template import Template
from django.test import Client

from scheduled_tasks.admin import rendered
from scheduled_tasks.admin.rendered import MOST, Memory, Rendered, memory
from scheduled_tasks.admin.signs import Moment
from scheduled_tasks.models import Status, TaskState, database_now
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The ids of the tasks whose rows are made."""
    ids: list[int] = []
    make = rendered._rendered

    def watched(template: Template, shared: Any, task: Any) -> Rendered:
        ids.append(task.pk)
        return make(template, shared, task)

    monkeypatch.setattr(rendered, "_rendered", watched)
    return ids


def accounted(name: str, **values: Any) -> Any:
    """A task whose next run beat knows."""
    task, now = make_task(name, **values), database_now()
    TaskState.objects.create(task_id=task.pk, accounted_until=now, next_run_at=now + timedelta(hours=5))
    return task


def rows(client: Client, **headers: str) -> str:
    text = client.get(LIST, headers=headers).content.decode()
    return " ".join(re.findall(r'<tr class="st-row".*?</tr>', text, re.DOTALL))


def test_a_second_look_makes_only_what_has_changed(admin_client: Client, made: list[int]) -> None:
    changed, same = accounted("changed"), accounted("same")
    make_run(same)
    first = rows(admin_client)
    assert sorted(made) == sorted([changed.pk, same.pk])
    made.clear()
    key = r'name="run" value="[^"]*"'
    assert re.sub(key, "", rows(admin_client)) == re.sub(key, "", first)
    assert made == []
    make_run(changed, Status.FAILED)
    assert "Failed" in rows(admin_client)
    assert made == [changed.pk]


def test_rows_keep_their_order_when_one_is_made_anew(admin_client: Client) -> None:
    tasks = [accounted(f"task-{n}") for n in range(3)]
    rows(admin_client)
    make_run(tasks[1])
    shown = re.findall(r'id="st-row-(\d+)"', rows(admin_client))
    assert shown == [str(task.pk) for task in tasks]


def test_every_rendering_has_forms_of_its_own(admin_client: Client) -> None:
    accounted("purge")
    keys = [re.findall(r'name="run" value="([^"]+)"', rows(admin_client)) for _ in range(2)]
    assert len(keys[0]) == len(keys[1]) == 1
    assert keys[0] != keys[1]


def test_an_open_run_is_looked_at_each_time(admin_client: Client, made: list[int]) -> None:
    task = accounted("purge")
    make_run(task, Status.RUNNING)
    rows(admin_client)
    rows(admin_client)
    assert made == [task.pk, task.pk]


def test_who_may_do_less_sees_no_controls(admin_client: Client, client: Client, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {}
    accounted("purge")
    assert 'name="run"' in rows(admin_client)
    user = User.objects.create_user("reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_scheduledtask"))
    client.force_login(user)
    text = rows(client)
    assert "purge" in text
    assert 'name="run"' not in text
    assert 'role="switch"' not in text
    assert 'name="run"' in rows(admin_client)


def test_everybody_reads_their_own_language(admin_client: Client) -> None:
    accounted("purge")
    assert "Run purge now" in rows(admin_client, **{"Accept-Language": "en"})
    assert "Run purge now" not in rows(admin_client, **{"Accept-Language": "de"})
    assert "Run purge now" in rows(admin_client, **{"Accept-Language": "en"})


def test_everybody_reads_their_own_zone(admin_client: Client, settings: Any) -> None:
    accounted("purge", zone="Asia/Tokyo")
    zone = '<span class="st-sub">Asia/Tokyo</span>'
    assert zone in rows(admin_client)
    settings.TIME_ZONE = "Asia/Tokyo"
    assert zone not in rows(admin_client)


def test_relative_times_are_those_of_the_moment() -> None:
    now = database_now()
    last, due = Moment(now, "0 s ago", ""), Moment(now + timedelta(hours=5), "in 5 h", "", "next")
    row = Rendered("key", ["<b>", "next_relative", "</b><i>", "last_relative", "</i>"], due, last, now)
    assert row.html(now + timedelta(hours=2)) == "<b>in 3 h</b><i>2 h ago</i>"


def test_no_row_is_kept_for_long(admin_client: Client) -> None:
    accounted("purge")
    rows(admin_client)
    (viewer,) = memory._kept
    assert memory.rows(viewer, database_now())
    assert not memory.rows(viewer, database_now() + rendered.LASTS)


def test_no_more_are_kept_than_stated() -> None:
    now = database_now()
    kept = Memory()
    row = Rendered("key", [""], None, None, now)
    kept.keep("one", dict.fromkeys(range(MOST), row))
    assert len(kept.rows("one", now)) == MOST
    kept.keep("other", dict.fromkeys(range(2), row))
    assert not kept.rows("one", now)
    kept.keep("other", dict.fromkeys(range(MOST + 5), row))
    assert list(kept.rows("other", now)) == list(range(5, MOST + 5))
