"""Where a page is: the same way from the list of tasks to each of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from scheduled_tasks.models import MaintenanceWindow, database_now
from tests.admin.test_incidents import viewer
from tests.alerts.rows import make_incident

pytestmark = pytest.mark.django_db

AT = "/admin/scheduled_tasks/"


def crumbs(client: Client, path: str) -> list[str]:
    found = re.search(
        r'<div class="breadcrumbs">(.*?)</div>', client.get(AT + path).content.decode(), re.DOTALL
    )
    assert found is not None
    return [crumb.strip() for crumb in re.sub(r"<[^>]+>", "", found[1]).split("&rsaquo;")]


def test_every_page_is_below_the_list_of_tasks(admin_client: Client) -> None:
    incident = make_incident()
    task, run = incident.task_id, incident.first_run_id
    top = ["Home", "Scheduled tasks"]
    for path, rest in {
        "scheduledtask/": [],
        f"scheduledtask/{task}/change/": ["exchange-rate-sync"],
        f"scheduledtask/{task}/alerts/": ["Alerts of exchange-rate-sync"],
        "scheduledtask/timeline/": ["Timeline"],
        "taskrun/": ["Task runs"],
        f"taskrun/{run}/change/": ["Task runs", f"exchange-rate-sync #{run}"],
        "incident/": ["Incidents"],
        f"incident/{incident.pk}/change/": ["Incidents", "Failing: exchange-rate-sync"],
    }.items():
        assert crumbs(admin_client, path) == [*top, *rest]
    assert crumbs(admin_client, f"scheduledtask/{task}/history/") == [*top, "exchange-rate-sync", "History"]


def test_maintenance_is_below_its_list(admin_client: Client) -> None:
    window = MaintenanceWindow.objects.create(starts_at=database_now(), note="database move", covers_all=True)
    top = ["Home", "Scheduled tasks", "Maintenance"]
    assert crumbs(admin_client, "maintenancewindow/") == top
    assert crumbs(admin_client, "maintenancewindow/add/") == [*top, "Plan maintenance"]
    assert crumbs(admin_client, f"maintenancewindow/{window.pk}/change/") == [*top, "database move"]


def test_no_way_leads_where_one_may_not_go(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {}  # Django's permissions decide
    incident, client = make_incident(), viewer("view_incident")
    assert crumbs(client, "incident/") == ["Home", "Incidents"]
    assert crumbs(client, f"incident/{incident.pk}/change/") == [
        "Home",
        "Incidents",
        "Failing: exchange-rate-sync",
    ]
