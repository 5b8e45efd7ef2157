"""A missed or skipped row offers to run its scheduled times now, asks first, and says who did."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from scheduled_tasks.models import Status, TaskRun
from scheduled_tasks.reasons import Code
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db
RUNS = "/admin/scheduled_tasks/taskrun/"
AT = datetime(2026, 11, 17, 3, tzinfo=UTC)


def missed(task: Any, count: int, **values: Any) -> TaskRun:
    last = AT + timedelta(days=count - 1)
    fields = {"scheduled_for": AT, "scheduled_until": last, "tick_count": count, "reason": Code.NO_BEAT}
    return make_run(task, Status.MISSED, celery_id=None, **fields, **values)


def said(client: Client, url: str) -> str:
    text = client.get(url).content.decode()
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


@pytest.mark.parametrize(("count", "offer"), [(1, "Run it now"), (8, "Run these 8 now")])
def test_row_offers_it_and_the_question_lists_the_times(admin_client: Client, count: int, offer: str) -> None:
    task = make_task()
    for _ in range(5):
        make_run(task, took=90)
    row = missed(task, count)
    assert offer in said(admin_client, f"{RUNS}{row.pk}/change/")
    question = said(admin_client, f"{RUNS}{row.pk}/later/")
    assert "A run usually takes 1 m 30 s." in question
    assert "17 Nov, 03:00:00" in question
    assert ("24 Nov, 03:00:00" in question) == (count == 8)
    assert offer in question


def test_more_than_ten_times_are_counted(admin_client: Client) -> None:
    question = said(admin_client, f"{RUNS}{missed(make_task(), 13).pk}/later/")
    assert "26 Nov, 03:00:00 and 3 more" in question
    assert "Run these 13 now" in question


def test_answer_makes_the_runs_and_the_row_says_who(admin_client: Client) -> None:
    task = make_task()
    row = missed(task, 2)
    response = admin_client.post(f"{RUNS}{row.pk}/later/", headers={"ST-Request": "1"})
    assert "2 runs of purge wait." in response.content.decode()
    runs = TaskRun.objects.filter(retry_of=row).order_by("pk")
    assert [(run.status, run.actor) for run in runs] == [(Status.WAITING, "admin")] * 2
    details = said(admin_client, f"{RUNS}{row.pk}/change/")
    assert "Run later by admin." in details
    assert "Trigger schedule" in details, "who ran it later did not start it then"
    assert "Run these" not in details
    assert f"Retried as run {runs[0].pk} · Waiting" in details
    again = admin_client.post(f"{RUNS}{row.pk}/later/", headers={"ST-Request": "1"})
    assert again.status_code == 409
    assert TaskRun.objects.filter(retry_of=row).count() == 2


def test_refusal_is_said_before_anybody_asks(admin_client: Client) -> None:
    question = said(admin_client, f"{RUNS}{missed(make_task(), 101).pk}/later/")
    assert "101 scheduled times are too many" in question
    assert "Run these" not in question
    ended = make_run(make_task("other"), Status.FAILED)
    assert "These scheduled times did run" in said(admin_client, f"{RUNS}{ended.pk}/later/")


def test_row_of_a_task_that_is_gone_offers_nothing(admin_client: Client) -> None:
    task = make_task()
    row = missed(task, 2)
    task.delete()
    TaskRun.objects.filter(pk=row.pk).update(task_id=None)
    assert "Run these" not in said(admin_client, f"{RUNS}{row.pk}/change/")
