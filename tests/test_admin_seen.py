"""A list that this process has answered is read only where it has moved, and shows what reading all would."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import PeriodicTasks

from scheduled_tasks import schedules, stamps
from scheduled_tasks.admin import rendered, seen
from scheduled_tasks.admin.rows import Rows
from scheduled_tasks.admin.tasks import ScheduledTaskAdmin
from scheduled_tasks.beat.records import retire
from scheduled_tasks.models import (
    ProcessKind,
    ScheduledTask,
    Status,
    TaskRun,
    TaskState,
    UtcNow,
    database_now,
)
from tests.factories import make_process, make_run, make_task
from tests.test_admin_list import CHANGES, LIST, html, keys, poll, statements

pytestmark = pytest.mark.django_db


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the tasks whose rows are read."""
    ids: list[int] = []
    original = Rows.read

    def watched(self: Rows, task_ids: Any) -> Any:
        ids.extend(task_ids)
        return original(self, task_ids)

    monkeypatch.setattr(Rows, "read", watched)
    return ids


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets that many seconds pass on the database's clock, which stands still otherwise."""
    clock = [datetime.now(UTC)]

    def text(*_args: Any, **_context: Any) -> tuple[str, list[Any]]:
        return f"'{clock[0]:%Y-%m-%d %H:%M:%S.%f}'", []

    def typed(*_args: Any, **_context: Any) -> tuple[str, list[Any]]:
        return f"TIMESTAMPTZ '{clock[0].isoformat()}'", []

    monkeypatch.setattr(UtcNow, "as_sqlite", text)
    monkeypatch.setattr(UtcNow, "as_mysql", lambda *_args, **_context: (f"TIMESTAMP{text()[0]}", []))
    monkeypatch.setattr(UtcNow, "as_postgresql", typed, raising=False)

    def passes(seconds: float) -> None:
        clock[0] += timedelta(seconds=seconds)

    return passes


class Browser:
    """The list as a browser has it."""

    def __init__(self, client: Client, query: str = "") -> None:
        self.client, self.query = client, query
        self.shown = keys(html(client, f"?{query}"))
        self.version = ""
        self.refresh()

    def ask(self, version: str) -> Any:
        headers = {"HX-Request": "true", "ST-Rows": self.shown, "If-None-Match": version}
        return self.client.get(f"{LIST}rows/?{self.query}", headers=headers)

    def refresh(self) -> str:
        """What a refresh brings."""
        answer = self.ask(self.version)
        assert answer.status_code == 200
        text = answer.content.decode()
        known = dict(pair.split(":") for pair in self.shown.split(".") if pair)
        known |= dict(re.findall(r'id="st-row-(\d+)" role="row" data-key="(\w+)"', text))
        self.shown, self.version = ".".join(map(":".join, known.items())), answer["ETag"]
        return text


def said(text: str) -> str:
    """A refresh without what is new in each rendering."""
    text = re.sub(r'name="run" value="[^"]*"|\b[\d.]+ (ms|s|m|min)\b', "", text)
    return re.sub(r"\s+", " ", text).strip()


def header(text: str) -> str:
    return said(text.partition("<template>")[0])


def rows(text: str) -> str:
    return said("".join(re.findall(r"<template>.*?</template>", text, re.DOTALL)))


def test_it_brings_what_comparing_all_would(admin_client: Client) -> None:
    """Control of the test below: nothing is known to a process that has answered nothing."""
    make_run(make_task())
    browser = Browser(admin_client)
    assert header(browser.ask("").content.decode())
    seen.memory.clear()
    make_run(make_task("another"))
    assert rows(browser.refresh())


def busy_task() -> tuple[ScheduledTask, TaskRun]:
    """A task beside two others, and its run under way."""
    task, other = accounted("task"), accounted("other")
    accounted("a third")
    make_process(boot_id="w")
    make_run(other, Status.LOST)
    return task, make_run(task, Status.RUNNING, ago=5, process_id="w")


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_known_is_as_good_as_comparing_all(admin_client: Client, change: Any) -> None:
    task, run = busy_task()
    browser = Browser(admin_client)
    before = browser.ask("").content.decode()
    change(task, run)
    found = browser.ask(browser.version).content.decode()
    seen.memory.clear()
    expected = browser.ask("").content.decode()
    assert rows(found) == rows(expected)
    assert (header(found) or header(before)) == header(expected)


@pytest.mark.parametrize("change", CHANGES)
def test_a_list_that_is_known_shows_what_reading_all_would(admin_client: Client, change: Any) -> None:
    task, run = busy_task()
    Browser(admin_client)
    page(admin_client)
    change(task, run)
    found = page(admin_client)
    forget_all()
    assert found == page(admin_client)


def page(client: Client, query: str = "", **headers: str) -> str:
    """The list from its header to its last row, without what is new in each rendering."""
    text = client.get(LIST + query, headers=headers).content.decode()
    found = re.search(r'<header class="st-head">.*</table>', text, re.DOTALL)
    assert found is not None
    return said(found[0])


def forget_all() -> None:
    """As in another process."""
    seen.memory.clear()
    rendered.memory.clear()
    stamps.forget()


NARROW = ("pause_note", "come_due", "change_description", "disable", "reschedule", "start_run", "end_run")
NARROW += ("report_progress",)


@pytest.mark.parametrize("change", [change for change in CHANGES if change.__name__ in NARROW])
def test_only_the_row_that_moved_is_read(admin_client: Client, read: list[int], change: Any) -> None:
    task, other = accounted("task"), accounted("other")
    make_run(other)
    run = make_run(task, Status.RUNNING, ago=5)
    browser = Browser(admin_client)
    read.clear()
    change(task, run)
    assert f'id="st-row-{task.pk}"' in browser.refresh()
    assert read == [task.pk]


@pytest.mark.parametrize("change", [change for change in CHANGES if change.__name__ in NARROW])
def test_a_list_reads_only_the_row_that_moved(admin_client: Client, read: list[int], change: Any) -> None:
    task, other = accounted("task"), accounted("other")
    make_run(other)
    run = make_run(task, Status.RUNNING, ago=5)
    Browser(admin_client)
    page(admin_client)
    read.clear()
    change(task, run)
    page(admin_client)
    assert read == [task.pk]


def test_a_list_of_which_nothing_moved_is_not_read(admin_client: Client, read: list[int]) -> None:
    for name in ("task", "other"):
        make_run(accounted(name))
    Browser(admin_client)
    page(admin_client)
    read.clear()
    assert "in 5 h" in page(admin_client)
    assert read == []


def test_a_list_tells_the_next_refresh_what_it_knows(admin_client: Client, read: list[int]) -> None:
    """Also another browser's, whose version this process may never have answered."""
    task, other = accounted("task"), accounted("other")
    make_run(other)
    browser = Browser(admin_client)
    make_run(task)
    page(admin_client)
    seen_by_other = keys(html(admin_client))
    make_run(other)
    read.clear()
    text = poll(admin_client, seen_by_other, '"of another process.x"').content.decode()
    assert read == [other.pk]
    assert f'id="st-row-{other.pk}"' in text
    assert f'id="st-row-{task.pk}"' not in text
    assert f'id="st-row-{task.pk}"' in browser.refresh()


def test_a_known_list_takes_at_most_nine_statements(admin_client: Client) -> None:
    make_process(boot_id="w")
    tasks = [accounted(f"task-{n}") for n in range(50)]
    make_run(tasks[2])
    Browser(admin_client)
    assert statements(admin_client) <= 7
    make_run(tasks[0], Status.RUNNING, process_id="w")
    tasks[1].description = "new"
    tasks[1].save()
    assert statements(admin_client) <= 9
    rendered.memory.clear()
    assert statements(admin_client) <= 8


def test_texts_of_many_lines_hide_no_task(admin_client: Client, read: list[int]) -> None:
    """What is stored of all tasks comes as one text."""
    task, other = accounted("task"), accounted("other")
    ScheduledTask.objects.filter(pk=task.pk).update(description="one\n2 1 two\u2028three\r\n")
    browser = Browser(admin_client)
    read.clear()
    ScheduledTask.objects.filter(pk=other.pk).update(description="new")
    browser.refresh()
    assert read == [other.pk]
    read.clear()
    ScheduledTask.objects.filter(pk=task.pk).update(description="one\n2 1 two\u2028four\r\n")
    browser.refresh()
    assert read == [task.pk]


def accounted(name: str, due: float = 5.5 * 3600) -> ScheduledTask:
    """A task whose next run beat knows, in that many seconds."""
    task, now = make_task(name), database_now()
    TaskState.objects.create(task_id=task.pk, accounted_until=now, next_run_at=now + timedelta(seconds=due))
    return ScheduledTask.objects.get(pk=task.pk)


def test_a_row_that_the_browser_kept_comes_again(admin_client: Client) -> None:
    """A row in use is not replaced, and still has its old key."""
    kept, other = accounted("kept"), accounted("other")
    make_run(kept), make_run(other)
    browser = Browser(admin_client)
    old = browser.shown
    make_run(kept, Status.FAILED)
    browser.refresh()
    browser.shown = old
    make_run(other)
    assert f'id="st-row-{kept.pk}"' in browser.refresh()


def test_a_run_that_is_committed_late_is_seen(admin_client: Client) -> None:
    """Ids are given out before they are committed."""
    first, second = accounted("first"), accounted("second")
    make_run(second, pk=11)
    browser = Browser(admin_client)
    make_run(first, Status.FAILED, pk=10)
    assert f'id="st-row-{first.pk}"' in browser.refresh()


def test_more_new_runs_than_are_told_one_by_one(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "NEWEST", 2)
    tasks = [accounted(f"task-{n}") for n in range(5)]
    make_run(tasks[0])
    browser = Browser(admin_client)
    for task in tasks:
        make_run(task)
    assert len(re.findall(r'id="st-row-\d+"', browser.refresh())) == len(tasks)


def test_what_no_stamp_tells_comes_within_a_minute(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, wait: Callable[[float], None]
) -> None:
    """An ended run's end is replaced long after, as nothing of this app does."""
    monkeypatch.setattr(stamps, "NEWEST", 2)
    old, other = accounted("old"), accounted("other")
    run = make_run(old)
    for _ in range(3):
        make_run(other)
    browser = Browser(admin_client)
    TaskRun.objects.filter(pk=run.pk).update(status=Status.FAILED)
    make_run(other)
    assert f'id="st-row-{old.pk}"' not in browser.refresh()
    wait(61)
    make_run(other)
    text = browser.refresh()
    assert f'id="st-row-{old.pk}"' in text
    assert "<b>1</b> failing" in text


def test_what_no_stamp_tells_is_on_the_list_within_a_minute(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, wait: Callable[[float], None]
) -> None:
    """Looks at the list do not lengthen the minute."""
    monkeypatch.setattr(stamps, "NEWEST", 2)
    old, other = accounted("old"), accounted("other")
    run = make_run(old)
    for _ in range(3):
        make_run(other)
    Browser(admin_client)
    page(admin_client)
    TaskRun.objects.filter(pk=run.pk).update(status=Status.FAILED)
    for _ in range(2):
        wait(29)
        assert "<b>1</b> failing" not in page(admin_client)
    wait(3)
    text = page(admin_client)
    assert "<b>1</b> failing" in text
    assert "Failed" in text


@pytest.mark.parametrize("query", ["", "q=listed"])
def test_who_fails_is_counted_listed_or_not(admin_client: Client, query: str) -> None:
    accounted("listed")
    other = make_task("elsewhere", description="")
    browser = Browser(admin_client, query)
    make_run(other, Status.FAILED)
    assert "<b>1</b> failing" in browser.refresh()
    make_run(other, Status.RUNNING)
    text = browser.refresh()
    assert "<b>1</b> failing" in text
    assert "<b>1</b> running" in text
    TaskRun.objects.filter(status=Status.RUNNING).update(status=Status.SUCCEEDED, open_since=None)
    assert "failing" not in header(browser.refresh())


def test_the_header_tells_of_tasks_that_are_not_listed(admin_client: Client) -> None:
    accounted("listed")
    other = make_task("elsewhere")
    browser = Browser(admin_client, "q=listed")
    other.enabled = False
    other.save()
    assert "<b>1</b> paused" in browser.refresh()
    TaskState.objects.create(task_id=other.pk, broken_reason="Its schedule cannot be read.")
    assert "<b>1</b> broken" in browser.refresh()


def test_the_header_comes_when_it_says_something_else(admin_client: Client) -> None:
    task = accounted("task")
    make_run(task)
    browser = Browser(admin_client)
    make_run(task)
    assert header(browser.refresh()) == ""
    make_run(task, Status.FAILED)
    text = header(browser.refresh())
    assert "<b>1</b> failing" in text
    assert "Beat is not running." in text


def test_time_alone_brings_a_row(admin_client: Client, wait: Callable[[float], None]) -> None:
    task, other = accounted("task", due=10), accounted("other")
    make_run(other)
    browser = Browser(admin_client)
    assert browser.ask(browser.version).status_code == 304
    wait(11)
    text = browser.refresh()
    assert f'id="st-row-{task.pk}"' in text
    assert ">Now<" in text
    assert browser.ask(browser.version).status_code == 304
    wait(30 * 60)
    text = browser.refresh()
    assert f'id="st-row-{task.pk}"' in text
    assert "<b>1</b> late" in text


def test_time_alone_changes_the_list(admin_client: Client, wait: Callable[[float], None]) -> None:
    accounted("task", due=10)
    make_run(accounted("other"))
    Browser(admin_client)
    assert ">Now<" not in page(admin_client)
    wait(11)
    assert ">Now<" in page(admin_client)
    Browser(admin_client)
    wait(30 * 60)
    text = html(admin_client)
    assert "<b>1</b> late" in text
    assert "30 min late" in text


def test_a_list_in_another_language_is_another(admin_client: Client) -> None:
    """What a row says depends on it."""
    make_run(accounted("task"))
    Browser(admin_client)
    english, german = page(admin_client), page(admin_client, **{"Accept-Language": "de"})
    assert "Success" in english
    assert "Success" not in german
    shown = keys(html(admin_client))
    headers = {"HX-Request": "true", "ST-Rows": shown, "Accept-Language": "de"}
    text = admin_client.get(f"{LIST}rows/", headers=headers).content.decode()
    assert "st-row" in rows(text)
    assert "Success" not in text


def test_a_list_on_another_host_is_another(admin_client: Client) -> None:
    """Its tasks may be others, with the same ids."""
    make_run(accounted("task"))
    Browser(admin_client)
    assert reads_stamp(admin_client)
    assert not reads_stamp(admin_client, Host="other.example")


def reads_stamp(client: Client, **headers: str) -> bool:
    with CaptureQueriesContext(connection) as found:
        client.get(LIST, headers=headers)
    return any(each["sql"].startswith("SELECT 'world'") for each in found)


def test_tasks_that_come_and_go_are_on_the_list(admin_client: Client) -> None:
    make_run(accounted("a"))
    gone = accounted("b")
    Browser(admin_client)
    page(admin_client)
    for name in ("c", "d"):
        accounted(name)
        assert f">{name}<" in page(admin_client)
    gone.delete()
    assert re.findall(r">([a-z])<", page(admin_client)) == ["a", "c", "d"]
    ScheduledTask.objects.filter(name="d").update(description="new")
    assert "new" in page(admin_client)


def test_a_run_that_waits_becomes_late(admin_client: Client, wait: Callable[[float], None]) -> None:
    task = accounted("task")
    make_run(task, Status.QUEUED, ago=1)
    browser = Browser(admin_client)
    wait(50)
    assert browser.ask(browser.version).status_code == 304
    wait(30 * 60)
    assert "waiting in queue" in browser.refresh()


def test_next_runs_that_beat_does_not_tell_are_looked_at(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, other = make_task("stock"), accounted("other")
    browser = Browser(admin_client)
    make_run(task)
    browser.refresh()
    later = database_now() + timedelta(days=3)
    monkeypatch.setattr(schedules, "next_run", lambda *_args: later)
    make_run(other)
    assert f'id="st-row-{task.pk}"' in browser.refresh()


def test_a_task_of_which_no_stamp_tells_all_is_read_anew(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without beat's word, the next run follows from the last, which is no news by itself."""
    task, now = make_task("stock"), database_now()
    later = {None: now + timedelta(days=1), now: now + timedelta(days=9.5)}
    monkeypatch.setattr(schedules, "next_run", lambda task, _after: later[task.last_run_at])
    browser = Browser(admin_client)
    make_run(task)
    browser.refresh()
    ScheduledTask.objects.filter(pk=task.pk).update(last_run_at=now)
    make_run(task)
    assert "in 9 days" in browser.refresh()


def test_a_version_made_weak_on_its_way_is_known(admin_client: Client) -> None:
    """As a proxy does that compresses the answer."""
    make_task()
    shown = keys(html(admin_client))
    version = poll(admin_client, shown)["ETag"]
    assert poll(admin_client, shown, f"W/{version}").status_code == 304


def test_lists_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "MOST", 3)
    memory, stamp = seen.Memory(), stamps.read([]).stamp()
    for n in (0, 1, 2, 0, 3, 4):
        memory.keep(n, seen.Seen(stamp, {}, frozenset(), set(), by_edits=True, compared_at=stamp.at))
    assert [n for n in range(5) if memory.look(n)] == [0, 3, 4]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets that many seconds pass on this process's clock."""
    passed = [0.0]
    monkeypatch.setattr(stamps, "monotonic", lambda: time.monotonic() + passed[0])

    def passes(seconds: float) -> None:
        passed[0] += seconds

    return passes


def calm(client: Client, later: Callable[[float], None], query: str = "") -> Browser:
    """A list whose tasks were read long enough after their last edit not to be read again before the next."""
    browser = Browser(client, query)
    later(stamps.SETTLES)
    assert browser.ask(browser.version).status_code == 304
    return browser


UNNOTED = ("change_description", "disable", "gone_from_code")


@pytest.mark.parametrize("change", [change for change in CHANGES if change.__name__ not in UNNOTED])
def test_tasks_that_are_not_read_again_are_as_if_they_were(
    admin_client: Client, later: Callable[[float], None], change: Any
) -> None:
    task, run = busy_task()
    browser = calm(admin_client, later)
    before = browser.ask("").content.decode()
    change(task, run)
    answer = browser.ask(browser.version)
    assert answer.status_code == 200
    forget_all()
    expected = browser.ask("").content.decode()
    assert rows(answer.content.decode()) == rows(expected)
    assert (header(answer.content.decode()) or header(before)) == header(expected)


def test_tasks_are_not_read_again_until_an_edit_is_noted(
    admin_client: Client, later: Callable[[float], None]
) -> None:
    """An update of many rows at once is not, and beat does not see it either."""
    task, _run = busy_task()
    browser = calm(admin_client, later)
    ScheduledTask.objects.filter(pk=task.pk).update(description="new")
    assert browser.ask(browser.version).status_code == 304
    PeriodicTasks.update_changed()
    assert ">new<" in browser.refresh()


def test_a_calm_list_takes_one_statement_more_at_the_first_look_after_an_edit(
    admin_client: Client, later: Callable[[float], None]
) -> None:
    make_process(boot_id="w")
    tasks = [accounted(f"task-{n}") for n in range(5)]
    make_run(tasks[0])
    calm(admin_client, later)
    page(admin_client)
    tasks[1].description = "new"
    tasks[1].save()
    make_run(tasks[0], Status.RUNNING, process_id="w")
    assert statements(admin_client) <= 10
    make_run(tasks[0], Status.RUNNING, process_id="w")
    assert statements(admin_client) <= 9


def test_an_edit_without_a_note_is_seen_within_a_minute(
    admin_client: Client, later: Callable[[float], None]
) -> None:
    task, _run = busy_task()
    browser = calm(admin_client, later)
    ScheduledTask.objects.filter(pk=task.pk).update(description="new")
    later(stamps.LASTS)
    assert ">new<" in browser.refresh()


def test_an_edit_may_be_noted_before_it_is_seen(admin_client: Client, later: Callable[[float], None]) -> None:
    """As django-celery-beat does it, outside a transaction."""
    task, _run = busy_task()
    browser = calm(admin_client, later)
    PeriodicTasks.update_changed()
    browser.refresh()
    ScheduledTask.objects.filter(pk=task.pk).update(description="new")
    assert ">new<" in browser.refresh()


def test_lists_whose_edits_are_kept_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "MOST", 3)
    stamps.forget()
    for n in (0, 1, 2, 0, 3, 4):
        stamps.read([n])
    assert [*stamps._edits] == [(0,), (3,), (4,)]


def test_which_rows_there_are_is_asked_after_an_edit_only(
    admin_client: Client, later: Callable[[float], None]
) -> None:
    make_process(boot_id="w")
    task, other = accounted("task"), accounted("other")
    make_run(other)
    browser = calm(admin_client, later)
    make_run(task)
    with CaptureQueriesContext(connection) as queries:
        assert f'id="st-row-{task.pk}"' in browser.refresh()
    assert len(queries) == 6
    other.name = "a first"
    other.save()
    browser.refresh()
    added = accounted("b second")
    assert f'hx-swap-oob="afterend:#st-row-{other.pk}"' in browser.refresh()
    assert f"{added.pk}:" in browser.shown


@pytest.mark.parametrize("query", ["o=-5", "state=failing"])
def test_rows_in_the_order_of_their_runs_are_asked_for(
    admin_client: Client, later: Callable[[float], None], query: str
) -> None:
    first, second = accounted("first"), accounted("second")
    make_run(first, Status.FAILED, ago=20), make_run(second, ago=10)
    browser = calm(admin_client, later, query)
    make_run(second, Status.FAILED)
    text = browser.refresh()
    assert f'id="st-row-{second.pk}"' in text
    if query == "state=failing":
        assert f'hx-swap-oob="afterend:#st-row-{first.pk}"' in text


def test_what_beat_retires_is_noted(admin_client: Client, later: Callable[[float], None]) -> None:
    """No worker listens to its queue, which does not matter any more."""
    make_process(boot_id="w", queues=["celery"])
    make_process(ProcessKind.BEAT, boot_id="b")
    task = accounted("over")
    ScheduledTask.objects.filter(pk=task.pk).update(queue="slow")
    browser = calm(admin_client, later)
    assert "“slow”" in browser.ask("").content.decode()
    retire([task.pk], database_now())
    text = browser.refresh()
    assert f'id="st-row-{task.pk}"' in text
    assert "Paused" in text
    assert "“slow”" not in text


def test_an_edit_while_tasks_are_read_is_not_missed(
    admin_client: Client, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their reading may take as long as a note takes to settle."""
    task, _run = busy_task()
    browser = Browser(admin_client)

    def slow(*args: Any) -> Any:
        later(stamps.SETTLES)
        return keep(*args)

    keep = stamps._keep
    monkeypatch.setattr(stamps, "_keep", slow)
    browser.ask(browser.version)
    monkeypatch.setattr(stamps, "_keep", keep)
    ScheduledTask.objects.filter(pk=task.pk).update(description="new")
    assert ">new<" in browser.refresh()


@pytest.mark.parametrize("query", ["total_run_count__gt=0", "enabled__exact=1&total_run_count__gt=0"])
def test_rows_chosen_by_what_is_not_noted_are_asked_for(
    admin_client: Client, later: Callable[[float], None], query: str
) -> None:
    gone, kept = accounted("gone"), accounted("kept")
    ScheduledTask.objects.update(total_run_count=1)
    make_run(kept)
    browser = calm(admin_client, later, query)
    ScheduledTask.objects.filter(pk=gone.pk).update(total_run_count=0)
    make_run(kept)
    assert f'<tr id="st-row-{gone.pk}" hx-swap-oob="delete">' in browser.refresh()


def test_lists_with_several_values_of_a_filter_are_told_apart(rf: RequestFactory) -> None:
    lists = ScheduledTaskAdmin(ScheduledTask, admin.site)
    assert lists.list_name(rf.get(f"{LIST}?name=a&name=b")) != lists.list_name(rf.get(f"{LIST}?name=b"))


def test_viewers_who_may_have_other_rows_share_no_list(rf: RequestFactory) -> None:
    class Own(ScheduledTaskAdmin):
        def get_queryset(self, request: HttpRequest) -> Any:
            return super().get_queryset(request).filter(name=request.user.get_username())

    def names(of: type[ScheduledTaskAdmin]) -> set[Any]:
        requests = [rf.get(LIST), rf.get(LIST)]
        for pk, request in enumerate(requests):
            request.user = User(pk=pk)
        return {of(ScheduledTask, admin.site).list_name(request) for request in requests}

    assert len(names(ScheduledTaskAdmin)) == 1
    assert len(names(Own)) == 2
