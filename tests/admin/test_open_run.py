"""A run that is open: how the row and the drawer judge it, and what one can do about it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from scheduled_tasks.models import Status, TaskRun
from tests.admin.test_history import SCRIPT, page
from tests.admin.test_list import LIST, cell, html
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db

CANCEL = "/admin/scheduled_tasks/taskrun/{}/cancel/"


def make_running(ago: float = 129, usual: float = 30, successes: int = 5, **values: Any) -> TaskRun:
    """A run under way for ``ago`` seconds, of a task whose runs usually take ``usual``."""
    task = make_task()
    make_process(boot_id="w")
    for n in range(successes):
        make_run(task, ago=10_000 - n, took=usual)
    return make_run(task, Status.RUNNING, ago=ago, process_id="w", **values)


@pytest.mark.parametrize(
    ("values", "hint"),
    [({}, "4.3× usual"), ({"ago": 40}, ""), ({"successes": 4}, ""), ({"usual": 0.05}, "")],
)
def test_a_run_is_judged_while_it_runs(admin_client: Client, values: Any, hint: str) -> None:
    run = make_running(**values)
    text = cell(html(admin_client), run.task, "st-c-dur")
    assert re.sub(r"^[\dhms. ]+", "", text.replace(hint, "")) == ""
    assert hint in text


def test_a_run_that_ended_in_its_usual_time_has_no_hint(admin_client: Client) -> None:
    run = make_running()
    make_run(run.task, ago=5, took=31)
    TaskRun.objects.filter(pk=run.pk).update(status=Status.SUCCEEDED, open_since=None)
    assert "usual" not in cell(html(admin_client), run.task, "st-c-dur")


def test_the_menu_of_a_row_cancels_the_open_run(admin_client: Client) -> None:
    run = make_running()
    assert f'formaction="{CANCEL.format(run.pk)}"' in html(admin_client)
    TaskRun.objects.filter(pk=run.pk).update(status=Status.FAILED, open_since=None)
    assert "/cancel/" not in html(admin_client)


@pytest.mark.parametrize("query", ["", "?page=2", "?status=failed"])
def test_the_drawer_has_the_open_run_on_top(admin_client: Client, query: str) -> None:
    run = make_running(
        progress='{"done": 41, "total": 66, "text": "<certificates>"}', log="10:00:00 INFO <go>"
    )
    for _ in range(25):
        make_run(run.task, Status.SKIPPED)  # newer than the run
    text = page(admin_client, run.task, query, **SCRIPT)
    top = text[text.index('id="st-open-run"') : text.index('class="st-facts"')]
    for said in (
        "Running",
        "4.3× usual",
        "62 %",
        "41 of 66: &lt;certificates&gt;",
        "INFO &lt;go&gt;",
        "Cancel run",
    ):
        assert said in top
    assert 'class="st-run-body"' not in text


def test_the_drawer_follows_progress_and_log(admin_client: Client) -> None:
    run = make_running(progress='{"done": 1, "total": 2}')
    url = f"{LIST}{run.task_id}/change/"
    for change in ({"log": "10:00:00 INFO more"}, {"progress": '{"done": 2, "total": 2}'}):
        version = re.search(r'data-version="([^"]*)"', page(admin_client, run.task, **SCRIPT))
        assert version is not None
        headers = {**SCRIPT, "If-None-Match": version[1].replace("&quot;", '"')}
        assert admin_client.get(url, headers=headers).status_code == 304
        TaskRun.objects.filter(pk=run.pk).update(**change)
        assert admin_client.get(url, headers=headers).status_code == 200


def test_the_drawer_takes_no_more_than_ten_statements_and_a_refresh_nine(admin_client: Client) -> None:
    run = make_running()
    task = run.task
    page(admin_client, task)  # asks once per connection what the database can do
    for query, most in ((f"?run={run.pk}", 10), (f"?page=1&run={run.pk}", 9)):
        with CaptureQueriesContext(connection) as context:
            page(admin_client, task, query, **SCRIPT)
        assert len(context) <= most


def test_a_refresh_that_names_its_page_counts_no_runs_before_an_open_one(admin_client: Client) -> None:
    task = make_task()
    run = make_run(task)
    with CaptureQueriesContext(connection) as context:
        admin_client.get(f"{LIST}{task.pk}/change/?page=1&run={run.pk}", headers={"ST-Request": "1"})
    counts = [query["sql"] for query in context if "COUNT" in query["sql"]]
    assert not [sql for sql in counts if f'"id" > {run.pk}' in sql]
