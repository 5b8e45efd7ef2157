"""The bars of a task's runs: what each tells, and the page of the history that it leads to."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client

from scheduled_tasks.models import Status, database_now
from tests.admin.test_history import SCRIPT, page
from tests.admin.test_list import LIST
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db


def test_the_page_with_the_run_asked_for_is_shown(admin_client: Client) -> None:
    task = make_task()
    runs = [make_run(task, Status.FAILED if n % 2 else Status.SUCCEEDED) for n in range(45)]
    make_run(make_task("other"))
    text = page(admin_client, task, f"?run={runs[20].pk}", **SCRIPT)
    assert "21–40 of 45 runs" in text
    assert f'id="st-run-body-{runs[20].pk}"' in text
    assert f'data-url="{LIST}{task.pk}/change/?page=2"' in text  # what the script asks for from then on
    assert f'id="st-run-body-{runs[1].pk}"' in page(admin_client, task, f"?status=failed&run={runs[1].pk}")
    assert "1–20 of 45 runs" in page(admin_client, task, "?run=999999999999")


def test_each_bar_says_when_how_long_and_why(admin_client: Client) -> None:
    task = make_task()
    at = database_now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)
    values = {"queued_at": at, "started_at": at, "finished_at": at + timedelta(seconds=2.4)}
    failed = make_run(task, Status.FAILED, error_type="a.b.RatesUnavailable", error="<no> answer", **values)
    waits = make_run(task, Status.QUEUED, ago=5)
    text = admin_client.get(f"{LIST}{task.pk}/bars/", headers=SCRIPT).content.decode()
    links = re.findall(r'href="([^"]*)"', text)
    assert links == [f"{LIST}{task.pk}/change/?run={run.pk}#st-run-{run.pk}" for run in (failed, waits)]
    tips = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", each)).strip() for each in text.split("</a>")]
    assert tips[0].endswith(", 12:00:00 · Failed · 2.4 s RatesUnavailable: &lt;no&gt; answer")
    assert tips[1].endswith(" · Queued")
