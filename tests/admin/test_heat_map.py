"""The calendar of a task's days: each in the colour of its worst outcome, each a filter of the runs."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from html import unescape
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from scheduled_tasks.models import Status, database_now
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

PARIS = ZoneInfo("Europe/Paris")  # the site's zone
SCRIPT = {"headers": {"ST-Request": "1"}}


def noon(days_ago: int) -> datetime:
    day = database_now().astimezone(PARIS).date() - timedelta(days=days_ago)
    return datetime.combine(day, time(12), PARIS)


def run_on(task: Any, days_ago: int, status: Status = Status.SUCCEEDED, hours: int = 0) -> Any:
    at = noon(days_ago) + timedelta(hours=hours)
    ended = at + timedelta(seconds=90)
    return make_run(task, status, queued_at=at, started_at=at, finished_at=ended)


def page(client: Client, task: Any, query: str = "", **ask: Any) -> str:
    response = client.get(f"/admin/scheduled_tasks/scheduledtask/{task.pk}/change/{query}", **ask)
    assert response.status_code == 200
    return str(response.content.decode())


def cells(text: str) -> list[tuple[str, str, str]]:
    """Colour, address and words of each day that has runs, the oldest first."""
    days = re.findall(r'<a class="(b-\w+)" href="([^"]+)" data-st-page[^>]*? title="([^"]+)"', text)
    return [(css, unescape(url), unescape(title)) for css, url, title in days]


@pytest.mark.parametrize("ask", [SCRIPT, {}], ids=["drawer", "page"])
def test_a_day_has_the_colour_of_its_worst_outcome(admin_client: Client, ask: Any) -> None:
    task = make_task()
    run_on(task, 100)
    run_on(task, 30, Status.SKIPPED)
    run_on(task, 20, Status.MISSED)
    run_on(task, 20, hours=1)
    run_on(task, 10)
    run_on(task, 10, Status.FAILED, hours=1)
    run_on(task, 10, hours=2)
    run_on(task, 5)
    text = page(admin_client, task, **ask)
    assert [css for css, _url, _title in cells(text)] == ["b-skip", "b-warn", "b-bad", "b-ok"]
    assert cells(text)[2][2].endswith(": 2 Success, 1 Failed · 4 m 30 s in all")
    assert text.count("st-heat-none") == 86
    assert len(re.findall(r"data-st-page\s+title=", text)) == 1  # one stop for Tab


def test_a_cell_shows_the_runs_of_its_day(admin_client: Client) -> None:
    task = make_task()
    run_on(task, 6)
    wanted = [run_on(task, 5), run_on(task, 5, Status.FAILED, hours=1)]
    run_on(task, 4)
    (address,) = [url for css, url, _title in cells(page(admin_client, task)) if css == "b-bad"]
    day = noon(5).date()
    assert address.endswith(f"change/?from={day}&to={day}")
    shown = page(admin_client, task, address.partition("change/")[2])
    assert re.findall(r'id="st-run-(\d+)"', shown) == [str(run.pk) for run in reversed(wanted)]
    assert 'aria-current="date"' in shown
    assert "show all" in shown
    last = page(admin_client, task, f"?from={noon(5).date()}&to={noon(4).date()}&status=success")
    assert len(re.findall(r'id="st-run-(\d+)"', last)) == 2


@pytest.mark.parametrize("status", ["status=failed", "status=failed&only=failed"])
def test_a_cell_keeps_the_filter_by_status_where_the_day_has_such_runs(
    admin_client: Client, status: str
) -> None:
    task = make_task()
    wanted = run_on(task, 5, Status.FAILED)
    other = run_on(task, 4, Status.LOST if "only" in status else Status.SUCCEEDED)
    run_on(task, 5)
    text = page(admin_client, task, f"?{status}&error=ValueError&page=1")
    addresses = [address.partition("change/")[2] for _css, address, _title in cells(text)]
    found = [re.findall(r'id="st-run-(\d+)"', page(admin_client, task, each)) for each in addresses]
    assert found == [[str(wanted.pk)], [str(other.pk)]]
    assert [each.startswith(f"?{status.split('&')[0]}&") for each in addresses] == [True, False]


@pytest.mark.parametrize(
    "query", ["?from=x&to=y", "?from=2026-01-32", "?from=9999-12-31&to=9999-12-31", "?to=0001-01-01"]
)
def test_days_that_cannot_be_read_filter_nothing(admin_client: Client, query: str) -> None:
    task = make_task()
    run_on(task, 5)
    shown = page(admin_client, task, query)
    assert len(re.findall(r'id="st-run-(\d+)"', shown)) == 1
    assert "show all" not in shown


def test_it_costs_one_statement_and_none_where_nothing_changed(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    task = make_task()
    run_on(task, 5)
    with django_assert_max_num_queries(10):
        text = page(admin_client, task, **SCRIPT)
    (version,) = re.findall(r'data-version="([^"]+)"', text)
    ask = {"ST-Request": "1", "If-None-Match": unescape(version)}
    with django_assert_max_num_queries(9):
        url = f"/admin/scheduled_tasks/scheduledtask/{task.pk}/change/"
        assert admin_client.get(url, headers=ask).status_code == 304


def test_a_refresh_keeps_the_calendar_that_is_shown(admin_client: Client) -> None:
    task = make_task()
    run_on(task, 5)
    assert "data-st-kept" not in page(admin_client, task, **SCRIPT)
    refreshed = page(admin_client, task, headers={"ST-Request": "1", "If-None-Match": '"older"'})
    assert '<section id="st-heat" data-st-kept></section>' in refreshed
