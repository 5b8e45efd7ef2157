"""The list's refresh: it brings what has changed, and a second look shows what the first did not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from scheduled_tasks import schedules
from scheduled_tasks.beat.loading import retire
from scheduled_tasks.models import (
    ProcessKind,
    ScheduledTask,
    Status,
    TaskRun,
    TaskState,
    UtcNow,
    database_now,
)
from scheduled_tasks.reading.version import compiled_statement
from tests.admin.test_list import CHANGES, LIST, html, keys, poll
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
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
        compiled_statement.cache_clear()  # the clock is a part of it

    passes(0)
    yield passes
    compiled_statement.cache_clear()


class Browser:
    """The list as a browser has it."""

    def __init__(self, client: Client, query: str = "") -> None:
        self.client, self.query = client, query
        self.shown = keys(html(client, f"?{query}"))
        self.version = ""
        self.refresh()

    def ask(self, version: str) -> Any:
        headers = {"ST-Request": "1", "ST-Rows": self.shown, "If-None-Match": version}
        return self.client.get(f"{LIST}rows/?{self.query}", headers=headers)

    def refresh(self) -> str:
        """What a refresh brings."""
        answer = self.ask(self.version)
        assert answer.status_code == 200
        text = answer.content.decode()
        known = dict(pair.split(":") for pair in self.shown.split(".") if pair)
        known |= dict(re.findall(r'id="st-row-(\d+)" role="row" data-key="(\w+)"', text))
        for gone in re.findall(r'<tr id="st-row-(\d+)" data-st-put="remove">', text):
            known.pop(gone)
        self.shown, self.version = ".".join(map(":".join, known.items())), answer["ETag"]
        return text


def said(text: str) -> str:
    """A refresh without what is new in each rendering."""
    text = re.sub(r'name="(run|csrfmiddlewaretoken)" value="[^"]*"|\b[\d.]+ (ms|s|m|min)\b', "", text)
    return re.sub(r"\s+", " ", text).strip()


def header(text: str) -> str:
    return said(text.partition("<template>")[0])


def rows(text: str) -> str:
    return said("".join(re.findall(r"<template>.*?</template>", text, re.DOTALL)))


def busy_task() -> tuple[ScheduledTask, TaskRun]:
    """A task beside two others, and its run under way."""
    task, other = accounted("task"), accounted("other")
    accounted("a third")
    make_process(boot_id="w")
    make_run(other, Status.LOST)
    return task, make_run(task, Status.RUNNING, ago=5, process_id="w")


def page(client: Client, query: str = "", **headers: str) -> str:
    """The list from its header to its last row, without what is new in each rendering."""
    text = client.get(LIST + query, headers=headers).content.decode()
    found = re.search(r'<header class="st-head">.*</table>', text, re.DOTALL)
    assert found is not None
    return said(found[0])


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


@pytest.mark.parametrize("query", ["", "state=late"])
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
    browser = Browser(admin_client, "state=late")
    other.enabled = False
    other.save()
    assert "<b>1</b> paused" in browser.refresh()
    TaskState.objects.create(task_id=other.pk, broken_reason="no_schedule")
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
    assert "due 30 min ago" in text


def test_a_list_in_another_language_is_another(admin_client: Client) -> None:
    """What a row says depends on it."""
    make_run(accounted("task"))
    english, german = page(admin_client), page(admin_client, **{"Accept-Language": "de"})
    assert "Success" in english
    assert "Success" not in german
    shown = keys(html(admin_client))
    headers = {"ST-Request": "1", "ST-Rows": shown, "Accept-Language": "de"}
    text = admin_client.get(f"{LIST}rows/", headers=headers).content.decode()
    assert "st-row" in rows(text)
    assert "Success" not in text


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
    text = browser.refresh()
    assert ">queued 30 min</time>" in text
    assert "<b>1</b> late" in text


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


@pytest.mark.parametrize("query", ["o=-5", "state=failing"])
def test_rows_in_the_order_of_their_runs_are_asked_for(admin_client: Client, query: str) -> None:
    first, second = accounted("first"), accounted("second")
    make_run(first, Status.FAILED, ago=20), make_run(second, ago=10)
    browser = Browser(admin_client, query)
    make_run(second, Status.FAILED)
    text = browser.refresh()
    assert f'id="st-row-{second.pk}"' in text
    if query == "state=failing":
        assert f'data-st-put="afterend:#st-row-{first.pk}"' in text


def test_what_beat_retires_is_noted(admin_client: Client) -> None:
    """No worker listens to its queue, which does not matter any more."""
    make_process(boot_id="w", queues=["celery"])
    make_process(ProcessKind.BEAT, boot_id="b")
    task = accounted("over")
    ScheduledTask.objects.filter(pk=task.pk).update(queue="slow")
    browser = Browser(admin_client)
    assert "“slow”" in browser.ask("").content.decode()
    retire([task.pk], database_now())
    text = browser.refresh()
    assert f'id="st-row-{task.pk}"' in text
    assert "Paused" in text
    assert "“slow”" not in text


@pytest.mark.parametrize("change", CHANGES)
def test_a_refresh_shows_what_a_new_page_does(admin_client: Client, change: Any) -> None:
    task, run = busy_task()
    browser = Browser(admin_client)
    change(task, run)
    browser.refresh()
    assert sorted(browser.shown.split(".")) == sorted(keys(html(admin_client)).split("."))


@pytest.mark.parametrize("change", CHANGES)
def test_a_refresh_brings_what_one_without_a_version_would(admin_client: Client, change: Any) -> None:
    task, run = busy_task()
    browser = Browser(admin_client)
    before = browser.ask("").content.decode()
    change(task, run)
    found, expected = (browser.ask(version).content.decode() for version in (browser.version, ""))
    assert rows(found) == rows(expected)
    assert (header(found) or header(before)) == header(expected)


def test_a_page_of_the_list_that_is_gone_takes_its_rows_away(admin_client: Client) -> None:
    task = [make_task(f"task-{n:03}") for n in range(210)][-1]
    response = admin_client.get(f"{LIST}rows/?p=7", headers={"ST-Request": "1", "ST-Rows": f"{task.pk}:abc"})
    assert response.status_code == 200
    text = response.content.decode()
    assert f'id="st-row-{task.pk}"' in text
    assert "remove" in text
