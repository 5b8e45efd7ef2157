"""The list of all runs: its filters, its total, its errors by type, and retrying what failed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
from celery import current_app
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from scheduled_tasks.admin import run_changes, run_totals
from scheduled_tasks.admin.run_filters import STATUSES
from scheduled_tasks.models import Overlap, ScheduledTask, Status, TaskRun, TaskState
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db(transaction=True)

RUNS = "/admin/scheduled_tasks/taskrun/"
SCRIPT = {"ST-Request": "1"}


def page(client: Client, query: str = "", **headers: str) -> str:
    return unescape(client.get(RUNS + query, headers=headers).content.decode())


def shown(client: Client, query: str = "") -> list[int]:
    return [int(pk) for pk in re.findall(r'<tr class="st-run" id="st-run-(\d+)"', page(client, query))]


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def test_words_cover_every_status_once() -> None:
    covered = [status for _text, statuses in STATUSES.values() for status in statuses]
    assert sorted(covered) == sorted(Status)


def test_every_status_has_a_filter(admin_client: Client) -> None:
    task = make_task()
    runs = {status: make_run(task, status).pk for status in Status}
    for word, (_text, statuses) in STATUSES.items():
        assert sorted(shown(admin_client, f"?status={word}")) == sorted(runs[each] for each in statuses)
        offered = set(re.findall(rf"\?status={word}&only=(\w+)", page(admin_client, f"?status={word}")))
        assert offered == ({*statuses} if len(statuses) > 1 else set())
        for each in statuses:
            assert shown(admin_client, f"?status={word}&only={each}") == [runs[each]]
    assert len(shown(admin_client, "?status=failed&only=succeeded")) == 3


def test_days_are_those_of_the_pages_zone_and_both_included(admin_client: Client, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    task = make_task()
    first, second, third = (
        make_run(task, queued_at=datetime(2026, 3, day, 15, 30, tzinfo=UTC)).pk for day in (1, 2, 3)
    )
    assert shown(admin_client, "?from=2026-03-02&to=2026-03-03") == [second, first]
    assert shown(admin_client, "?from=2026-03-03") == [third, second]
    assert shown(admin_client, "?to=2026-03-01") == []
    text = page(admin_client, "?from=2026-03-02&to=2026-03-03&status=success&period=day")
    assert 'name="from" value="2026-03-02"' in text
    assert "?status=success&period=week" in text
    assert "?status=failed&from=2026-03-02&to=2026-03-03" in text


def test_the_total_is_exact_below_a_limit_and_estimated_above(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    for n in range(60):
        make_run(task, Status.FAILED if n % 2 else Status.SUCCEEDED, ago=1000 - n)
    assert "60 runs" in page(admin_client)
    monkeypatch.setattr(run_totals, "MOST_COUNTED", 20)
    assert "about 60 runs" in page(admin_client)
    assert re.search(r"about (59|60|61|62) runs|about 3\d runs", page(admin_client, "?status=failed"))
    assert ">60 runs" in page(admin_client, "?task=purge")
    make_run(make_task("purge too"))
    assert "about 61 runs" in page(admin_client, "?task=urg")


def test_the_list_says_what_it_is_ordered_by(admin_client: Client) -> None:
    task = make_task()
    late = make_run(task, ago=7200, started_at=datetime(2030, 1, 1, tzinfo=UTC))
    new = make_run(task, ago=60)
    text = page(admin_client)
    assert '<th scope="col" aria-sort="descending">Queued</th>' in text
    assert shown(admin_client) == [new.pk, late.pk]
    assert re.findall(r'<time datetime="([^"]+)" title', text) == [
        new.queued_at.isoformat(),
        late.queued_at.isoformat(),
    ]


def test_equal_errors_are_grouped_and_filter(admin_client: Client) -> None:
    task = make_task()
    rates = [make_run(task, Status.FAILED, error_type="app.RatesUnavailable", ago=n).pk for n in (30, 20, 10)]
    other = make_run(task, Status.FAILED, error_type="ValueError").pk
    lost = make_run(task, Status.LOST).pk
    make_run(task)
    assert "st-errors" not in page(admin_client)
    text = page(admin_client, "?status=failed")
    found = re.findall(r'<a class="st-link" href="(\?[^"]+)">(\w+)</a> ×(\d+)', text)
    assert [(name, int(n)) for _query, name, n in found] == [
        ("RatesUnavailable", 3),
        ("Lost", 1),
        ("ValueError", 1),
    ]
    assert [sorted(shown(admin_client, query)) for query, _name, _n in found] == [rates, [lost], [other]]
    assert re.search(r"first .+, last ", text)


def test_the_search_finds_parts_of_names(admin_client: Client) -> None:
    names = ("purge", "purge-old-logs", "send mails")
    purge, logs, mails = (make_run(make_task(name)).pk for name in names)
    make_task("purge-nothing")  # which has no run
    gone = make_run(make_task("old-import")).pk
    ScheduledTask.objects.filter(name="old-import").delete()
    assert shown(admin_client, "?task=urg") == [logs, purge]
    assert shown(admin_client, "?task=LOGS+purge") == [logs]
    assert shown(admin_client, "?task=mails+send") == [mails]
    assert shown(admin_client, "?task=purge") == [purge]  # a name in full is that of one task
    assert shown(admin_client, "?task=purge-n") == []
    assert shown(admin_client, "?task=100%25") == []
    assert shown(admin_client, "?task=import") == [gone]
    assert len(shown(admin_client, "?task=%00+%00")) == 4


def test_the_search_looks_for_names_among_tasks(admin_client: Client) -> None:
    """Among the runs it would read them all."""
    for name in ("purge", "purge-old-logs"):
        make_run(make_task(name))
    for query in ("?task=purge", "?task=urge"):
        with CaptureQueriesContext(connection) as context:
            assert shown(admin_client, query)
        statements = [query["sql"] for query in context if 'FROM "scheduled_tasks_taskrun"' in query["sql"]]
        assert not [each for each in statements if "LIKE" in each.upper() and "periodictask" not in each]
    with CaptureQueriesContext(connection) as plain:
        page(admin_client)
    assert len(context) <= len(plain) + 2


def test_failures_without_a_type_are_a_group_of_their_own(admin_client: Client) -> None:
    task = make_task()
    typed = make_run(task, Status.FAILED, error_type="ValueError").pk
    plain = make_run(task, Status.FAILED).pk
    text = page(admin_client, "?status=failed")
    groups = dict(re.findall(r'<a class="st-link" href="(\?[^"]+)">(\w+)</a> ×1', text))
    found = {name: shown(admin_client, unescape(query)) for query, name in groups.items()}
    assert found == {"Failed": [plain], "ValueError": [typed]}
    (query,) = (unescape(query) for query, name in groups.items() if name == "Failed")
    assert "No type of error <svg" in page(admin_client, query)


def test_a_refresh_brings_nothing_or_the_block(admin_client: Client) -> None:
    task = make_task()
    run = make_run(task, Status.RUNNING)
    block = re.compile(r'id="st-run-list" data-url="([^"]+)" data-version=""(\w+)"" data-open')
    url = block.search(page(admin_client))
    assert url is not None
    headers = {**SCRIPT, "If-None-Match": f'"{url[2]}"'}
    with CaptureQueriesContext(connection) as context:
        assert admin_client.get(url[1], headers=headers).status_code == 304
    assert len(context) <= 6
    assert "COUNT(" not in " ".join(query["sql"] for query in context)
    TaskRun.objects.filter(pk=run.pk).update(status=Status.SUCCEEDED, open_since=None)
    text = admin_client.get(url[1], headers=headers).content.decode()
    assert "<html" not in text
    assert "data-open" not in text
    opened = admin_client.get(f"{url[1]}run={run.pk}", headers=SCRIPT).content.decode()
    assert f'id="st-run-body-{run.pk}"' in opened


def test_all_failed_runs_of_the_filter_are_retried(admin_client: Client, sent: list[TaskRun]) -> None:
    one, two = make_task("one", args="[1]"), make_task("two", args="[2]")
    for task in (one, two):
        TaskState.objects.create(task_id=task.pk, overlap=Overlap.ALLOW)
    old = [make_run(one, Status.FAILED, args="[1]").pk, make_run(one, Status.LOST, args="[1]").pk]
    other = make_run(two, Status.FAILED, args="[2]").pk
    make_run(one)
    text = page(admin_client, "?status=failed&task=one")
    assert "Retry all 2 failed runs" in text
    question = page(admin_client, "retry/?status=failed&task=one")
    assert "Retry 2 failed runs?" in question
    assert '<li dir="auto">one ×2</li>' in question
    form = dict(re.findall(r'name="(runs|key|next)" value="([^"]*)"', question)[:3])
    assert not sent
    for _time in range(2):  # a form sent twice is one run each
        response = admin_client.post(f"{RUNS}retry/", form)
    assert response["Location"] == f"{RUNS}?status=failed&task=one"
    assert "2 runs are queued again." in said(response)
    assert sorted(run.retry_of_id for run in sent) == old
    assert {run.trigger for run in sent} == {"retry"}
    assert other not in [run.retry_of_id for run in sent]


def test_what_was_retried_is_not_retried_again(admin_client: Client, sent: list[TaskRun]) -> None:
    task = make_task()
    TaskState.objects.create(task_id=task.pk, overlap=Overlap.ALLOW)
    first, second = (make_run(task, Status.FAILED, args="[]") for _n in range(2))
    make_run(task, retry_of=first)
    question = page(admin_client, "retry/?status=failed")
    assert "Retry 1 failed run?" in question
    assert "1 other was retried already and is left out." in question
    values = {"runs": f"{first.pk},{second.pk}", "key": "x"}
    admin_client.post(f"{RUNS}retry/", values, headers=SCRIPT)
    assert [run.retry_of_id for run in sent] == [second.pk]
    again = admin_client.post(f"{RUNS}retry/", {**values, "key": "y"}, headers=SCRIPT)
    assert "No failed run is left to be retried." in again.content.decode()
    assert len(sent) == 1


def test_what_cannot_be_retried_is_told(admin_client: Client, sent: list[TaskRun]) -> None:
    task = make_task()
    pks = [make_run(task, Status.FAILED, args="[]").pk for _ in range(6)]
    good = make_run(make_task("good")).pk
    runs = ",".join(map(str, [*pks, good]))
    response = admin_client.post(f"{RUNS}retry/", {"runs": runs, "key": "x"}, headers=SCRIPT)
    text = response.content.decode()
    assert response.status_code == 200
    assert "1 run is queued again." in text
    assert text.count("purge was not started") == 1
    assert "may not overlap. ×5" in text
    assert "refused" not in text
    assert [run.retry_of_id for run in sent] == [pks[0]]


def test_too_many_are_refused_with_a_sentence(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_changes, "MOST_RUNS", 2)
    for _ in range(3):
        make_run(make_task(f"task-{_}"), Status.FAILED)
    text = page(admin_client, "retry/?status=failed")
    assert "More than 2 failed runs match." in text
    assert ">Retry</button>" not in text


def test_without_a_broker_one_message_says_so(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app.conf, "broker_write_url", "redis://127.0.0.1:9/0")
    pks = [make_run(make_task(name), Status.FAILED, args="[]").pk for name in ("a", "b")]
    response = admin_client.post(
        f"{RUNS}retry/", {"runs": ",".join(map(str, pks)), "key": "x"}, headers=SCRIPT
    )
    assert response.status_code == 409
    assert response.content.decode().count('role="alert"') == 1


@pytest.mark.parametrize("runs", ["", "x", "1,,2", "9" * 40])
def test_odd_forms_retry_nothing(admin_client: Client, sent: list[TaskRun], runs: str) -> None:
    make_run(make_task(), Status.SUCCEEDED)
    response = admin_client.post(f"{RUNS}retry/", {"runs": runs})
    assert response.status_code == 303
    assert "No failed run is left to be retried." in said(response)
    assert not sent


def test_days_in_the_wrong_order_are_named(admin_client: Client) -> None:
    run = make_run(make_task())
    for path in (RUNS, f"/admin/scheduled_tasks/scheduledtask/{run.task_id}/change/"):
        text = admin_client.get(f"{path}?from=2026-05-02&to=2026-05-01").content.decode()
        assert "The first day is after the last one." in text
