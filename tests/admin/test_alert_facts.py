"""What a task's drawer says of its alerts, and its runbook beside every error."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client

from scheduled_tasks.models import Status, TaskState
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
SCRIPT = {"ST-Request": "1"}


@pytest.fixture
def task() -> Any:
    return make_task()


def drawer(client: Client, task: Any, query: str = "") -> str:
    return unescape(client.get(f"{LIST}{task.pk}/change/{query}", headers=SCRIPT).content.decode())


@pytest.mark.parametrize(
    ("columns", "when"),
    [
        ({}, "after the first failure · when late · when slow"),
        ({"alert_after": 3, "alert_on": "failing"}, "after 3 failures in a row"),
        (
            {"recover_after": 2, "alert_on": "failing"},
            "after the first failure · recovered after 2 successes in a row",
        ),
        ({"recover_after": 2, "alert_on": "late"}, "when late"),
        ({"max_runtime": timedelta(seconds=90), "alert_on": "slow"}, "when slow, after 90 s at the latest"),
        ({"alert_on": "none"}, "none"),
    ],
)
def test_drawer_says_when_somebody_is_told(
    admin_client: Client, task: Any, columns: dict[str, Any], when: str
) -> None:
    TaskState.objects.create(task_id=task.pk, **columns)
    facts = drawer(admin_client, task).partition("<dt>Alerts</dt>")[2].partition("</dd>")[0]
    assert re.sub(r"<[^>]*>|\s+", " ", facts).split("No channel")[0].strip() == when


@pytest.mark.parametrize(
    ("alerts", "owner", "note"),
    [
        ({}, "", "No channel is set up for it."),
        ({"default": ["mailto:a@example.com"]}, "", ""),
        ({"default": ["mailto:a@example.com"]}, "billing", "Not in ALERTS: “default” is told."),
        ({"billing": ["mailto:a@example.com"]}, "billing", ""),
        ({"default": ["mailto:a@example.com"], "billing": []}, "billing", "No channel is set up for it."),
    ],
)
def test_drawer_says_where_alerts_go_otherwise_than_to_the_owner(
    admin_client: Client, task: Any, settings: Any, alerts: Any, owner: str, note: str
) -> None:
    settings.SCHEDULED_TASKS = {**settings.SCHEDULED_TASKS, "ALERTS": alerts}
    TaskState.objects.create(task_id=task.pk, owner=owner)
    text = drawer(admin_client, task)
    assert "a@example.com" not in text
    assert ("<dt>Owner</dt>" in text) == bool(owner)
    for each in ("No channel is set up for it.", "Not in ALERTS: “default” is told."):
        assert (each in text) == (bool(note) and note in each)


LINK = '<a class="st-link" href="https://wiki.example.com/" rel="noopener noreferrer">'


@pytest.mark.parametrize(
    ("status", "error", "shown"),
    [
        (Status.FAILED, "no", True),
        (Status.LOST, "", True),
        (Status.MISSED, "", True),
        (Status.RETRYING, "no", True),
        (Status.SUCCEEDED, "", False),
        (Status.RUNNING, "", False),
    ],
)
def test_runbook_is_a_link_beside_every_error(
    admin_client: Client, task: Any, status: Status, error: str, shown: bool
) -> None:
    TaskState.objects.create(task_id=task.pk, runbook="https://wiki.example.com/")
    run = make_run(task, status, error=error)
    page = f"/admin/scheduled_tasks/taskrun/{run.pk}/change/"
    for text in (
        drawer(admin_client, task, f"?run={run.pk}"),
        admin_client.get(page).content.decode(),
        admin_client.get(page, headers=SCRIPT).content.decode(),
    ):
        assert (LINK in text) == shown


@pytest.mark.parametrize(
    "runbook", ["javascript:alert(1)", "data:text/html,x", "//evil.example", "https://["]
)
def test_a_stored_runbook_that_is_no_web_address_is_no_link(
    admin_client: Client, task: Any, runbook: str
) -> None:
    TaskState.objects.create(task_id=task.pk, runbook=runbook)
    run = make_run(task, Status.FAILED, error="no")
    for text in (
        drawer(admin_client, task, f"?run={run.pk}"),
        admin_client.get(f"/admin/scheduled_tasks/taskrun/{run.pk}/change/").content.decode(),
    ):
        assert runbook not in unescape(text)
    text = admin_client.get(f"{LIST}{task.pk}/alerts/").content.decode()
    assert f'value="{runbook}"' in unescape(text)  # to be corrected


def test_run_of_a_deleted_task_has_no_runbook(admin_client: Client, task: Any) -> None:
    run = make_run(task, Status.FAILED, error="no")
    task.delete()
    assert admin_client.get(f"/admin/scheduled_tasks/taskrun/{run.pk}/change/").status_code == 200
