"""Incidents on a phone, on a tablet and on a wide screen; names and errors without a space break."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from scheduled_tasks.models import Incident, ProcessKind, TaskState, database_now
from tests.alerts.rows import make_incident, make_notice
from tests.e2e.conftest import LogIn
from tests.e2e.test_list import LIST, make_process, row
from tests.e2e.test_widths import CONTROLS, TOO_SMALL, WIDTHS

pytestmark = pytest.mark.usefixtures("transactional_db")

INCIDENTS = "/admin/scheduled_tasks/incident/"


@pytest.fixture
def incident() -> Incident:
    """One with everything that a story can have, and nothing in it has a space."""
    make_process(ProcessKind.BEAT)
    make_process(task_names=["tests.tasks.add", "tests.add"])
    handled = {"acknowledged_by": "a" * 150, "acknowledged_at": database_now(), "note": "n" * 500}
    incident = make_incident("x" * 200, owner="o" * 100, **handled)
    assert incident.first_run is not None
    incident.first_run.error, incident.first_run.error_type = "e" * 900, "t" * 200
    incident.first_run.save()
    TaskState.objects.create(task_id=incident.task_id, runbook="https://wiki.example.com/")
    make_notice("mailto:ops@example.com", incident, label="l" * 255, attempts=5, error="r" * 500)
    return incident


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_of_incidents_fits_its_width(admin_page: Page, incident: Incident, width: int) -> None:
    admin_page.emulate_media(reduced_motion="reduce")
    admin_page.set_viewport_size({"width": width, "height": 900})
    for muted in (False, True):
        Incident.objects.update(muted_for_good=muted, muted_by="m" * 150)
        for path in (
            INCIDENTS,
            f"{INCIDENTS}{incident.pk}/change/",
            f"{LIST}{incident.task_id}/change/",
            LIST,
        ):
            admin_page.goto(path)
            assert admin_page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), path
    row(admin_page, incident.task).get_by_label("View history").click()
    expect(admin_page.locator(".st-drawer .st-incidents")).to_be_visible()
    assert admin_page.locator("#st-drawer").evaluate("scope => scope.scrollWidth <= scope.clientWidth")


def test_targets_are_large_enough_for_a_finger(
    browser: Browser, base_url: str, admin_user: User, log_in: LogIn, incident: Incident, settings: Any
) -> None:
    owners = {"default": ["mailto:ops@example.com"], "billing": []}
    settings.SCHEDULED_TASKS = {**settings.SCHEDULED_TASKS, "ALERTS": owners}
    size = {"width": 390, "height": 844}
    context = browser.new_context(
        base_url=base_url, viewport=size, has_touch=True, is_mobile=True, reduced_motion="reduce"
    )
    phone = log_in(context, admin_user)
    for path in (INCIDENTS, f"{INCIDENTS}{incident.pk}/change/", LIST):
        phone.goto(path)
        assert phone.evaluate(TOO_SMALL, CONTROLS) == [], path
    row(phone, incident.task).get_by_label("View history").click()
    expect(phone.locator(".st-drawer .st-incidents")).to_be_visible()
    assert phone.evaluate(TOO_SMALL, CONTROLS) == []
    context.close()
