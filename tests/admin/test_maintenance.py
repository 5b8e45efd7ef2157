"""Maintenance on the pages: planned, shown, extended, ended; with script and as plain forms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from scheduled_tasks.admin import ScheduledTaskAdmin
from scheduled_tasks.models import MaintenanceTask, MaintenanceWindow, ScheduledTask, TaskState, database_now
from scheduled_tasks.moments import minute_of_day
from scheduled_tasks.operations import maintenance_token, publishing
from scheduled_tasks.reading.version import compiled_statement
from scheduled_tasks.schedules import current_zone
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db

TASKS = "/admin/scheduled_tasks/scheduledtask/"
WINDOWS = "/admin/scheduled_tasks/maintenancewindow/"
HOUR = timedelta(hours=1)
SCRIPT = {"ST-Request": "1"}


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    compiled_statement.cache_clear()
    yield
    compiled_statement.cache_clear()


def window(*tasks: Any, begins: timedelta = -HOUR, ends: timedelta | None = HOUR, **values: Any) -> Any:
    now = database_now()
    fields = {"note": "database move", "by": "anna", "covers_all": not tasks, **values}
    made = MaintenanceWindow.objects.create(
        starts_at=now + begins, ends_at=None if ends is None else now + ends, **fields
    )
    for each in tasks:
        MaintenanceTask.objects.create(window=made, task_id=each.pk)
    return made


def field(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%dT%H:%M}"


def shown(moment: datetime) -> str:
    return minute_of_day(moment, database_now(), current_zone())


def text_of(client: Client, url: str, **data: str) -> str:
    answer = client.get(url, data)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def row_of(client: Client, task: Any) -> str:
    html = client.get(TASKS).content.decode()
    found = re.search(rf'<tr class="st-row" id="st-row-{task.pk}".*?</tr>', html, re.DOTALL)
    assert found
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0]))


def test_a_row_says_who_paused_it_until_when_and_why(admin_client: Client) -> None:
    task, other = make_task(), make_task("other")
    made = window(task, other)
    row = row_of(admin_client, task)
    assert f"Paused Maintenance until {shown(made.ends_at)} (anna: database move)" in row
    assert "Skip next run" not in row
    assert "Run now" in row


def test_a_window_that_is_planned_over_the_next_run(admin_client: Client) -> None:
    task, now = make_task(), database_now()
    TaskState.objects.create(task_id=task.pk, accounted_until=now, next_run_at=now + 2 * HOUR)
    window(task, begins=HOUR, ends=3 * HOUR)
    assert "will be skipped: maintenance" in row_of(admin_client, task)


def test_an_operator_s_pause_stays_what_it_is(admin_client: Client) -> None:
    task = make_task(enabled=False)
    TaskState.objects.create(task_id=task.pk, paused_by="operator", paused_by_name="bob", pause_note="broken")
    window()
    row = row_of(admin_client, task)
    assert "Paused by bob" in row
    assert "anna" not in row


@pytest.mark.parametrize("where", [TASKS, f"{TASKS}timeline/"])
def test_banner_with_end_and_extend(admin_client: Client, where: str) -> None:
    made = window(make_task(), make_task("other"))
    window(make_task("third"), note="of one")
    text = text_of(admin_client, where)
    assert f"Maintenance until {shown(made.ends_at)} (anna: database move)" in text
    assert "2 tasks" in text
    assert "End now" in text
    assert "Extend by 1 h" in text
    assert "(anna: of one)" not in text


def test_the_refresh_brings_banner_and_rows(admin_client: Client) -> None:
    task = make_task()
    url = f"{TASKS}rows/"
    first = admin_client.get(url, headers={**SCRIPT, "ST-Rows": f"{task.pk}:x"})
    key = re.search(r'data-key="(\w+)"', first.content.decode())
    assert key
    etag = {"If-None-Match": first["ETag"], "ST-Rows": f"{task.pk}:{key[1]}", **SCRIPT}
    assert admin_client.get(url, headers=etag).status_code == 304
    made = window()
    answer = admin_client.get(url, headers=etag)
    assert b"database move" in answer.content
    assert b"st-banner" in answer.content
    assert f'id="st-row-{task.pk}"'.encode() in answer.content
    MaintenanceWindow.objects.filter(pk=made.pk).update(ends_at=database_now())
    again = {**etag, "If-None-Match": answer["ETag"]}
    assert b"st-banner-calm" not in admin_client.get(url, headers=again).content


def test_the_list_of_windows(admin_client: Client) -> None:
    window(begins=-3 * HOUR, ends=-2 * HOUR, note="over")
    window(begins=HOUR, ends=2 * HOUR, note="planned")
    window(make_task(), ends=None, note="now", changed_by="bob")
    window(begins=HOUR, ends=-HOUR, note="cancelled")
    text = text_of(admin_client, WINDOWS)
    words = ["Now", "now", "purge", "until it is ended", "changed by bob", "Planned", "planned", "All tasks"]
    assert all(word in text for word in [*words, "Over", "over", "Cancelled", "cancelled"])
    assert text.count("End now") == 1
    assert text.count("Cancel it") == 1
    assert "purge" in text_of(
        admin_client, f"{WINDOWS}{MaintenanceWindow.objects.get(note='now').pk}/change/"
    )


def test_the_list_takes_few_statements(admin_client: Client) -> None:
    make_process()
    tasks = [make_task(f"task-{n}") for n in range(30)]

    def statements(url: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(url).status_code == 200
        return len(captured)

    without = statements(TASKS)
    window(*tasks)
    window(tasks[0])
    one = statements(TASKS)
    assert one <= without + 3
    for task in tasks:
        window(task)
    assert statements(TASKS) == one
    assert statements(WINDOWS) <= 8


def plan(client: Client, *, save: bool = True, **data: str) -> Any:
    return client.post(f"{WINDOWS}add/", {"scope": "all", **data, **({"save": "1"} if save else {})})


def test_planned_by_a_form(admin_client: Client) -> None:
    now = database_now()
    starts, ends = field(now + HOUR), field(now + 3 * HOUR)
    answer = plan(admin_client, starts=starts, until=ends, note="database move", once="1")
    assert (answer.status_code, answer["Location"]) == (303, WINDOWS)
    made = MaintenanceWindow.objects.get()
    assert (field(made.starts_at), field(made.ends_at or now)) == (starts, ends)
    assert (made.covers_all, made.note, made.by, made.run_once_after) == (
        True,
        "database move",
        "admin",
        True,
    )


def test_told_before_it_is_saved(admin_client: Client) -> None:
    now = database_now()
    day = timezone.localtime(now) + timedelta(days=1)
    starts, ends = (f"{day:%Y-%m-%d}T02:00", f"{day:%Y-%m-%d}T06:00")
    make_task("every 10 min", "*/10 * * * *", zone=str(timezone.get_current_timezone()))
    make_task("at 5", "0 5 * * *", zone=str(timezone.get_current_timezone()))
    make_task("noon", "0 12 * * *", zone=str(timezone.get_current_timezone()))
    make_task("off", "* * * * *", enabled=False)
    text = plan(admin_client, save=False, starts=starts, until=ends, once="1").content.decode()
    assert "25 runs of 2 tasks will be skipped. 1 task runs once afterwards." in text
    text = plan(admin_client, save=False, starts=starts, until=ends).content.decode()
    assert "25 runs of 2 tasks will be skipped. None is run afterwards." in text
    text = plan(admin_client, save=False).content.decode()
    assert "Every run of 3 tasks is skipped. None is run afterwards." in text
    assert not MaintenanceWindow.objects.exists()


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({"q": "pur"}, ["purge"]),
        ({"owner": "billing"}, ["other"]),
        ({"queue": "slow"}, ["third"]),
        ({"app": "shop"}, ["third"]),
        ({"q": "r", "owner": "billing"}, ["other"]),
    ],
)
def test_a_filter_is_resolved_when_it_is_saved(
    admin_client: Client, chosen: dict[str, str], found: list[str]
) -> None:
    make_task()
    TaskState.objects.create(task_id=make_task("other").pk, owner="billing")
    make_task("third", queue="slow", task="shop.tasks.sell")
    assert plan(admin_client, scope="filter", **chosen).status_code == 303
    made = MaintenanceWindow.objects.get()
    make_task("purge later", queue="slow")
    assert not made.covers_all
    assert [row.task.name for row in made.members.select_related("task")] == found


@pytest.mark.parametrize("save", [True, False])
@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"until": "2020-01-01T00:00"}, "The end lies in the past. Choose a later time."),
        ({"starts": "2020-01-01T00:00"}, "The start lies in the past."),
        ({"starts": "2099-01-02T00:00", "until": "2099-01-01T00:00"}, "The end lies before the start."),
        ({"until": "soon"}, "This is no time. Write it as "),
        ({"starts": "1e9"}, "This is no time."),
        ({"starts": "9999-12-31T23:59"}, "This is no time."),
        ({"until": "3000-01-01T00:00"}, "This is no time."),
        ({"scope": "filter", "q": "nothing like it"}, "No task is chosen."),
        ({"note": "x" * 501}, "at most 500 characters"),
        ({"q": "pur"}, "All tasks are chosen, but the filter is filled in."),
    ],
)
def test_refused_in_one_sentence(admin_client: Client, data: dict[str, str], error: str, save: bool) -> None:
    make_task()
    answer = plan(admin_client, save=save, **data)
    assert answer.status_code == 422
    assert error in answer.content.decode()
    assert all(value[:100] in answer.content.decode() for value in data.values())
    assert not MaintenanceWindow.objects.exists()


@pytest.mark.parametrize("way", ["script", "plain"])
def test_extended_and_ended(admin_client: Client, way: str) -> None:
    made = window()
    headers = SCRIPT if way == "script" else {}

    def post(what: str, **data: str) -> Any:
        seen = maintenance_token(MaintenanceWindow.objects.get())
        return admin_client.post(f"{WINDOWS}{made.pk}/{what}/", {"seen": seen, **data}, headers=headers)

    assert post("extend", span="hour").status_code == (200 if way == "script" else 303)
    assert MaintenanceWindow.objects.get().ends_at == made.ends_at + HOUR
    until = field(database_now() + 5 * HOUR)
    post("extend", until=until)
    assert field(MaintenanceWindow.objects.get().ends_at) == until
    assert post("extend", until="soon").status_code == 409
    assert field(MaintenanceWindow.objects.get().ends_at) == until
    post("extend", until="")
    assert MaintenanceWindow.objects.get().ends_at is None
    post("end")
    assert MaintenanceWindow.objects.get().ends_at <= database_now()
    assert MaintenanceWindow.objects.get().changed_by == "admin"
    assert LogEntry.objects.count() == 4


def test_the_second_of_two_is_told_what_the_first_changed(admin_client: Client) -> None:
    made = window()
    seen = maintenance_token(made)
    bob = Client()
    bob.force_login(User.objects.create_superuser("bob"))
    bob.post(f"{WINDOWS}{made.pk}/extend/", {"seen": seen, "span": "hour"})
    answer = admin_client.post(f"{WINDOWS}{made.pk}/end/", {"seen": seen}, headers=SCRIPT)
    assert answer.status_code == 409
    assert "bob changed this maintenance meanwhile: it now ends at" in answer.content.decode()
    assert maintenance_token(MaintenanceWindow.objects.get()) in answer.content.decode()
    assert MaintenanceWindow.objects.get().ends_at > database_now()


def test_manual_runs_still_work(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "send", lambda *args: None)
    task = make_task()
    window()
    admin_client.post(f"{TASKS}{task.pk}/runs/", {"run": "x"})
    assert task.scheduled_runs.count() == 1


def test_the_setting_is_told_on_every_page(admin_client: Client, settings: Any) -> None:
    task = make_task()
    run = make_run(task)
    pages = [
        TASKS,
        WINDOWS,
        f"{TASKS}{task.pk}/change/",
        f"{TASKS}timeline/",
        "/admin/scheduled_tasks/taskrun/",
        f"/admin/scheduled_tasks/taskrun/{run.pk}/change/",
        "/admin/scheduled_tasks/incident/",
    ]
    for page in pages:
        assert "The setting PAUSED is on." not in text_of(admin_client, page)
    settings.SCHEDULED_TASKS = {**settings.SCHEDULED_TASKS, "PAUSED": True}
    for page in pages:
        assert "The setting PAUSED is on." in text_of(admin_client, page), page
    assert "Paused by the setting PAUSED" in row_of(admin_client, task)


def test_hostile_notes_are_text(admin_client: Client) -> None:
    task = make_task()
    window(task, make_task("other"), note="<script>alert(1)</script>\u202e")
    for page in (TASKS, WINDOWS):
        assert b"<script>alert(1)" not in admin_client.get(page).content
    admin_client.post(f"{TASKS}{task.pk}/until/", {"span": "hour", "note": "a\x00\u202eb"})
    assert "\x00" not in MaintenanceWindow.objects.latest("pk").note


def test_who_sees_only_some_tasks(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = make_task("mine"), make_task("other")
    monkeypatch.setattr(
        ScheduledTaskAdmin, "get_queryset", lambda self, request: ScheduledTask.objects.filter(name="mine")
    )
    of_all, of_both, of_mine = window(note="all"), window(mine, other, note="both"), window(mine, note="one")
    text = text_of(admin_client, WINDOWS)
    assert "one" in text
    assert "both" not in text
    for each in (of_all, of_both):
        assert admin_client.post(f"{WINDOWS}{each.pk}/end/").status_code == 404
    assert admin_client.post(f"{WINDOWS}{of_mine.pk}/end/").status_code == 303
    assert admin_client.post(f"{TASKS}{other.pk}/until/", {"span": "hour"}).status_code == 404
    plan(admin_client)
    made = MaintenanceWindow.objects.latest("pk")
    assert not made.covers_all
    assert [row.task_id for row in made.members.all()] == [mine.pk]


def test_the_timeline_shows_what_will_be_skipped(admin_client: Client) -> None:
    task, now = make_task(cron="* * * * *"), database_now()
    coming = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    TaskState.objects.create(task_id=task.pk, accounted_until=now, next_run_at=coming)
    assert "st-tl-left" not in admin_client.get(f"{TASKS}timeline/").content.decode()
    window(task, begins=timedelta(minutes=10), ends=timedelta(minutes=20))
    assert "st-tl-left" in admin_client.get(f"{TASKS}timeline/").content.decode()
