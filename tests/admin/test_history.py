"""A task's page and drawer, and a run's own page."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from scheduled_tasks.admin import task as task_page
from scheduled_tasks.models import ScheduledTask, Status, TaskRun, database_now
from scheduled_tasks.reasons import Code
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
SCRIPT = {"ST-Request": "1"}
NASTY = '<script>alert("x")</script>&\x07\u202e'


def page(client: Client, task: Any, query: str = "", **headers: str) -> str:
    response = client.get(f"{LIST}{task.pk}/change/{query}", headers=headers)
    assert response.status_code == 200
    return str(response.content.decode())


def test_page_and_drawer_show_the_same_runs(admin_client: Client) -> None:
    task = make_task()
    make_run(task, Status.FAILED, error_type="ValueError", error="broken")
    make_run(task, summary='{"delivered": 12, "gave_up": 1}', trigger="manual", actor="anna")
    for text in (page(admin_client, task), page(admin_client, task, **SCRIPT)):
        assert text.count('class="st-run"') == 2
        assert "ValueError: broken" in text
        assert "delivered: <b>12</b> · gave up: <b>1</b>" in text
        assert "by anna" in text
        assert "50 %" in text
    assert "<html" in page(admin_client, task)
    assert "<html" not in page(admin_client, task, **SCRIPT)


def test_more_than_twenty_runs_have_pages(admin_client: Client) -> None:
    task = make_task()
    for n in range(45):
        make_run(task, ago=n)
    assert page(admin_client, task).count('class="st-run"') == 20
    assert "1–20 of 45 runs" in page(admin_client, task)
    assert page(admin_client, task, "?page=3").count('class="st-run"') == 5
    assert "41–45 of 45 runs" in page(admin_client, task, "?page=3")


@pytest.mark.parametrize("far", [0, 10_000])
def test_pages_near_and_far_show_all_runs(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, far: int
) -> None:
    monkeypatch.setattr(task_page, "FAR", far)
    task = make_task()
    made = [make_run(task).pk for _ in range(45)]

    def shown(number: int) -> list[int]:
        return [
            int(pk) for pk in re.findall(r'id="st-run-(\d+)"', page(admin_client, task, f"?page={number}"))
        ]

    assert shown(1) + shown(2) + shown(3) == made[::-1]
    assert shown(4) == shown(9_999_999) == made[4::-1]


@pytest.mark.parametrize("runs", [1, 150])
def test_drawer_takes_at_most_eight_statements(admin_client: Client, runs: int) -> None:
    task = make_task()
    make_process()
    for n in range(runs):
        make_run(task, ago=n)
    page(admin_client, task)  # asks once per connection what the database can do
    with CaptureQueriesContext(connection) as context:
        text = page(admin_client, task, "?page=2" if runs > 20 else "", **SCRIPT)
    assert f"of {runs} run" in text
    assert len(context) <= 8


@pytest.mark.parametrize(
    "query", ["?page=0", "?page=99", "?page=x", "?status=no", "?period=no", "?run=x", "?run=1&run=2"]
)
def test_odd_addresses_show_runs(admin_client: Client, query: str) -> None:
    task = make_task()
    make_run(task)
    assert 'class="st-run' in page(admin_client, task, query)


def test_filters_by_status_and_period(admin_client: Client) -> None:
    task = make_task()
    make_run(task, Status.SUCCEEDED, ago=60)
    make_run(task, Status.TIMED_OUT, ago=3 * 86_400)
    make_run(task, Status.EXPIRED, ago=10 * 86_400)

    def shown(query: str) -> int:
        return page(admin_client, task, query).count('class="st-run"')

    assert [shown(f"?status={key}") for key in ("success", "failed", "missed", "skipped")] == [1, 1, 1, 0]
    assert [shown(f"?period={key}") for key in ("day", "week", "month")] == [1, 2, 3]
    assert shown("?status=missed&period=day") == 0
    assert (
        "status=failed"
        in re.search(r'href="([^"]*period=week[^"]*)"', page(admin_client, task, "?status=failed"))[1]
    )


def test_an_opened_run_says_in_full_who_started_it(admin_client: Client) -> None:
    task = make_task()
    run = make_run(task, trigger="command", actor="deploy")
    assert "<dd>by deploy on the command line</dd>" not in page(admin_client, task)
    assert "<dd>by deploy on the command line</dd>" in page(admin_client, task, f"?run={run.pk}")


def test_a_run_opens_in_place_without_a_script(admin_client: Client) -> None:
    task = make_task()
    trace = (
        "Traceback (most recent call last):\n"
        + "\n".join(f"  line {n}" for n in range(300))
        + "\nValueError: x"
    )
    run = make_run(
        task,
        Status.FAILED,
        error_type="ValueError",
        error="long " * 500,
        traceback=trace,
        log="one\ntwo",
        args="[1, 2]",
        kwargs='{"a": 3}',
        worker="celery@w",
        queue="q",
        attempts=3,
    )
    closed = page(admin_client, task)
    assert "line 299" not in closed
    assert len(re.search(r'<span class="st-one"[^>]*>([^<]*)', closed)[1]) < 400
    opened = page(admin_client, task, f"?run={run.pk}")
    for text in (
        "long " * 499,
        "line 299",
        "one\ntwo",
        "[1, 2]",
        "{&quot;a&quot;: 3}",
        "celery@w",
        run.celery_id,
    ):
        assert str(text) in opened


def test_run_has_a_permanent_address_that_outlives_its_task(admin_client: Client) -> None:
    task = make_task()
    run = make_run(task, Status.FAILED, error_type="ValueError", error="broken")
    url = f"/admin/scheduled_tasks/taskrun/{run.pk}/change/"
    assert "broken" in admin_client.get(url).content.decode()
    fragment = admin_client.get(url, headers=SCRIPT).content.decode()
    assert fragment.strip().startswith("<template>")
    ScheduledTask.objects.filter(pk=task.pk).delete()
    assert "broken" in admin_client.get(url).content.decode()


def test_runs_of_all_tasks_are_listed(admin_client: Client) -> None:
    make_run(make_task("one"))
    make_run(make_task("two"), Status.FAILED)
    text = admin_client.get("/admin/scheduled_tasks/taskrun/").content.decode()
    assert "one" in text
    assert "two" in text


@pytest.mark.parametrize(
    "address",
    [
        "scheduledtask/999/change/",
        "scheduledtask/x/change/",
        "taskrun/999/change/",
        "taskrun/x/change/",
        "scheduledtask/99999999999999999999/change/",
    ],
)
def test_what_is_not_there_is_not_found(admin_client: Client, address: str) -> None:
    assert admin_client.get(f"/admin/scheduled_tasks/{address}").status_code == 404


def test_nothing_a_run_says_is_html(admin_client: Client) -> None:
    task = make_task()
    names = ("error", "reason", "traceback", "log", "args", "kwargs", "worker", "queue")
    fields = dict.fromkeys(names, NASTY)
    run = make_run(
        task,
        Status.FAILED,
        error_type=NASTY,
        summary='{"<script>alert(1)": "<script>alert(2)"}',
        actor=NASTY,
        **fields,
    )
    for query in ("", f"?run={run.pk}"):
        assert "<script>alert" not in page(admin_client, task, query)
    assert (
        "<script>alert"
        not in admin_client.get(f"/admin/scheduled_tasks/taskrun/{run.pk}/change/").content.decode()
    )


@pytest.mark.parametrize(
    "summary", ["", "null", "12", '"text"', "[1, 2]", "broken", '{"a": {"b": [1]}}', '{"a": null}']
)
def test_summaries_of_any_shape(admin_client: Client, summary: str) -> None:
    task = make_task()
    run = make_run(task, summary=summary)
    page(admin_client, task, f"?run={run.pk}")


def test_skipped_and_missed_rows_say_why_and_how_many(admin_client: Client) -> None:
    task = make_task()
    run = make_run(task, Status.MISSED, celery_id=None, reason=Code.NO_BEAT, tick_count=4, finished_at=None)
    text = page(admin_client, task, f"?run={run.pk}")
    assert "No beat was running." in text
    assert "Scheduled times covered" in text


def test_a_late_start_is_said_where_it_is_notable(admin_client: Client) -> None:
    task = make_task()
    now = database_now()
    prompt, late, waiting = (make_run(task) for _ in range(3))
    for run, seconds in ((prompt, 9), (late, 12), (waiting, None)):
        started = None if seconds is None else now + timedelta(seconds=seconds)
        TaskRun.objects.filter(pk=run.pk).update(scheduled_for=now, started_at=started)
    text = page(admin_client, task, f"?run={late.pk}")
    assert re.findall(r'<span class="st-late">([^<]*)', text) == ["12 s late"]
    assert "<dt>Started late by</dt>\n        <dd>12.0 s</dd>" in text
    assert "Started late by" not in page(admin_client, task, f"?run={prompt.pk}")


def test_times_are_in_the_schedules_zone(admin_client: Client) -> None:
    task = make_task(zone="America/New_York")
    at = database_now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
    run = make_run(task)
    TaskRun.objects.filter(pk=run.pk).update(started_at=at)
    assert re.search(r"0[78]:00:00 E[SD]T \(America/New_York\)", page(admin_client, task))


def test_drawer_takes_few_statements_whatever_the_history(admin_client: Client) -> None:
    task = make_task()
    make_run(task)
    counts = []
    for more in (0, 200):
        for n in range(more):
            make_run(task, ago=n)
        with CaptureQueriesContext(connection) as context:
            page(admin_client, task, **SCRIPT)
        counts.append(len(context))
    assert counts[0] == counts[1] <= 9


def test_changes_are_listed_with_who_and_what(admin_client: Client) -> None:
    task = make_task()
    admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "0"})
    text = admin_client.get(f"{LIST}{task.pk}/history/").content.decode()
    assert "Disabled." in text
    assert "admin" in text
    assert f"<h1>Change history: {task.name}</h1>" in text


RUNS = "/admin/scheduled_tasks/taskrun/"


def shown(client: Client, query: str = "") -> list[int]:
    text = client.get(RUNS + query).content.decode()
    return [int(pk) for pk in re.findall(r'<tr class="st-run" id="st-run-(\d+)"', text)]


def test_runs_of_all_tasks_have_filters(admin_client: Client) -> None:
    one, two = make_task("one"), make_task("two")
    good = make_run(one, ago=100)
    bad = make_run(two, Status.FAILED, ago=3 * 86_400)
    mine = make_run(two, trigger="manual", actor="anna")
    assert shown(admin_client) == [mine.pk, bad.pk, good.pk]
    assert shown(admin_client, "?status=failed") == [bad.pk]
    assert shown(admin_client, "?trigger=manual") == [mine.pk]
    assert shown(admin_client, "?task=one") == [good.pk]
    assert shown(admin_client, "?period=day") == [mine.pk, good.pk]
    assert shown(admin_client, "?task=two&status=success") == [mine.pk]
    assert shown(admin_client, "?task=nobody") == []
    ScheduledTask.objects.filter(pk=one.pk).delete()
    assert shown(admin_client, "?task=one") == [good.pk]


def test_runs_of_all_tasks_have_pages_that_do_not_shift(admin_client: Client) -> None:
    task = make_task()
    pks = [make_run(task, ago=n).pk for n in range(120)][::-1]
    first = shown(admin_client)
    assert first == pks[:50]
    make_run(task)
    second = shown(admin_client, f"?before={first[-1]}")
    third = shown(admin_client, f"?before={second[-1]}")
    assert (second, third) == (pks[50:100], pks[100:])
    assert shown(admin_client, f"?after={third[0]}") == second
    assert "Older" in admin_client.get(RUNS).content.decode()
    assert "Older" not in admin_client.get(f"{RUNS}?before={second[-1]}").content.decode()


@pytest.mark.parametrize(
    "query", ["?status=x", "?before=x", "?after=-1", "?before=" + "9" * 40, "?task=%00", "?period=1"]
)
def test_odd_addresses_of_the_runs_list(admin_client: Client, query: str) -> None:
    make_run(make_task())
    assert admin_client.get(RUNS + query).status_code == 200


def test_runs_list_takes_few_statements(admin_client: Client) -> None:
    task = make_task()
    for n in range(60):
        make_run(task, ago=n)
    with CaptureQueriesContext(connection) as context:
        shown(admin_client)
    assert len(context) <= 8


def test_log_lines_are_coloured_by_level_and_keep_their_text(admin_client: Client) -> None:
    log = (
        "… 12 characters left out …\n10:00:00 INFO begins\n10:00:01 DEBUG one\n10:00:01 DEBUG two\n"
        "10:00:02 WARNING slow\n10:00:03 ERROR <b>no</b>\nTraceback\n10:00:04 printed"
    )
    run = make_run(make_task(), Status.FAILED, log=log)
    text = admin_client.get(f"/admin/scheduled_tasks/taskrun/{run.pk}/change/").content.decode()
    shown = re.search(r'<pre tabindex="0">(… 12.*?)</pre>', text, re.DOTALL)[1]
    assert re.sub(r"</?span[^>]*>", "", shown).strip() == log.replace("<b>no</b>", "&lt;b&gt;no&lt;/b&gt;")
    assert re.findall(r'<span class="(\w)">([^<]*)</span>', shown) == [
        ("q", "10:00:01 DEBUG one\n10:00:01 DEBUG two"),
        ("w", "10:00:02 WARNING slow"),
        ("e", "10:00:03 ERROR &lt;b&gt;no&lt;/b&gt;\nTraceback"),
    ]


@pytest.mark.parametrize("unknown", [{"status": "paused2"}, {"trigger": "webhook"}])
def test_a_run_that_another_version_wrote_is_shown(admin_client: Client, unknown: dict[str, str]) -> None:
    task = make_task()
    run = make_run(task, **unknown)
    for page in (
        LIST,
        f"{LIST}{task.pk}/change/",
        "/admin/scheduled_tasks/taskrun/",
        f"{RUNS}{run.pk}/change/",
    ):
        assert admin_client.get(page).status_code == 200
