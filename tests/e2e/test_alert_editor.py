"""A task's alerts, edited in its drawer and without JavaScript in a real browser."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Locator, Page, expect

from scheduled_tasks.models import CodeDefault, ScheduledTask, Source, Status, TaskState
from tests.e2e.conftest import LogIn
from tests.e2e.test_list import LIST, make_task, row, toast
from tests.e2e.test_widths import CONTROLS, TOO_SMALL, phone
from tests.factories import make_run

__all__ = ["phone"]

RUNBOOK = "https://wiki.example.com/" + "webhooks" * 30
OVERFLOW = "element => element.scrollWidth - element.clientWidth"


@pytest.fixture
def task(transactional_db: None) -> Any:
    """A task that failed, with an owner and a runbook of its code."""
    task = make_task("webhook-delivery-retry")
    TaskState.objects.create(task_id=task.pk, owner="billing", runbook=RUNBOOK)
    declared = {"alert_after": None, "owner": "billing", "runbook": RUNBOOK, "max_runtime": None}
    CodeDefault.objects.create(task_id=task.pk, name=task.name, source=Source.DECORATOR, declared=declared)
    make_run(task, Status.FAILED, error_type="ValueError", error="no", traceback="Traceback")
    return task


def state(task: Any) -> TaskState:
    return TaskState.objects.get(task_id=task.pk)


def open_form(page: Page, task: Any) -> Locator:
    page.goto(LIST)
    row(page, task).get_by_role("link", name="webhook-delivery-retry", exact=True).click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_role("link", name="Edit alerts of").click()
    expect(drawer.get_by_label("Alert after failures in a row")).to_be_focused()
    return drawer


@pytest.mark.parametrize("width", [1440, 390])
def test_alerts_are_edited_in_the_drawer(admin_page: Page, task: Any, width: int) -> None:
    admin_page.set_viewport_size({"width": width, "height": 900})
    drawer = open_form(admin_page, task)
    drawer.get_by_label("Alert after failures in a row").fill("3")
    drawer.get_by_label("Longest run time").fill("2")
    drawer.get_by_label("Unit").select_option("hours")
    expect(drawer.get_by_role("checkbox", name="late")).to_be_hidden()
    drawer.get_by_label("Only these").check()
    drawer.get_by_role("checkbox", name="late").uncheck()
    assert drawer.evaluate(OVERFLOW) == 0
    admin_page.keyboard.press("Enter")
    edit = drawer.get_by_role("link", name="Edit alerts of")
    expect(edit).to_be_focused()
    expect(drawer).to_contain_text("after 3 failures in a row · when slow, after 2 h at the latest")
    expect(toast(admin_page, "Alerts of webhook-delivery-retry saved.")).to_be_visible()
    assert drawer.evaluate(OVERFLOW) == 0
    assert admin_page.evaluate("document.documentElement.scrollWidth") == width
    kept = state(task)
    assert (kept.alert_after, kept.max_runtime, kept.alert_on) == (3, timedelta(hours=2), "failing,slow")
    edit.click()
    drawer.get_by_role("link", name="Cancel").click()
    expect(edit).to_be_focused()
    admin_page.keyboard.press("Escape")
    expect(row(admin_page, task)).to_contain_text("Edited")


def test_what_is_wrong_is_said_at_its_field(admin_page: Page, task: Any) -> None:
    drawer = open_form(admin_page, task)
    drawer.get_by_label("Owner").fill("ops")
    drawer.get_by_label("Runbook").fill("javascript:alert(1)")
    drawer.get_by_role("button", name="Save").click()
    runbook = drawer.get_by_label("Runbook")
    expect(runbook).to_be_focused()
    expect(runbook).to_have_accessible_description(
        "Enter an address that begins with http:// or https://, of at most 500 characters. "
        "An address that is shown with every error and in every alert."
    )
    expect(drawer.get_by_label("Owner")).to_have_value("ops")
    runbook.fill("https://wiki.example.com/")
    runbook.press("Enter")
    expect(drawer.get_by_role("link", name="https://wiki.example.com/")).to_be_visible()
    assert state(task).owner == "ops"


@pytest.mark.parametrize("answer", ["Keep theirs", "Save mine"])
def test_conflict_names_the_person_and_either_can_stay(admin_page: Page, task: Any, answer: str) -> None:
    drawer = open_form(admin_page, task)
    drawer.get_by_label("Owner").fill("mine")
    anna = Client()
    anna.force_login(User.objects.create_superuser("anna"))
    anna.post(f"{LIST}{task.pk}/alerts/", {"owner": "theirs", "runbook": RUNBOOK})
    drawer.get_by_label("Owner").press("Enter")
    conflict = drawer.locator(".st-conflict")
    expect(conflict).to_contain_text("anna changed the alerts of webhook-delivery-retry meanwhile.")
    expect(conflict).to_contain_text("owner: billing → theirs")
    expect(conflict.get_by_role("link", name="Keep theirs")).to_be_focused()
    expect(drawer.get_by_label("Owner")).to_have_value("mine")
    conflict.get_by_text(answer).click()
    expect(drawer.get_by_role("link", name="Edit alerts of")).to_be_focused()
    assert state(task).owner == ("mine" if answer == "Save mine" else "theirs")


def test_reset_in_the_form_leads_back_to_the_task(admin_page: Page, task: Any) -> None:
    TaskState.objects.filter(task_id=task.pk).update(owner="ops")
    default = CodeDefault.objects.get(task_id=task.pk)
    CodeDefault.objects.update(declared={**default.declared, "description": "as declared"})
    drawer = open_form(admin_page, task)
    expect(drawer).to_contain_text("In code: billing")
    drawer.get_by_role("button", name="Reset to default").click()
    expect(drawer.get_by_role("link", name="Edit alerts of")).to_be_focused()
    expect(drawer.get_by_role("definition").filter(has_text="billing")).to_be_visible()
    assert state(task).owner == "billing"
    assert ScheduledTask.objects.get(pk=task.pk).description != "as declared"


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_buttons_of_the_form_fit_a_phone(
    browser: Browser, base_url: str, admin_user: User, log_in: LogIn, task: Any, language: str
) -> None:
    TaskState.objects.filter(task_id=task.pk).update(owner="ops")
    size = {"width": 390, "height": 844}
    page = log_in(browser.new_context(base_url=base_url, locale=language, viewport=size), admin_user)
    page.goto(f"{LIST}{task.pk}/alerts/")
    expect(page.locator(".st-alert-reset")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_runbook_is_beside_the_error_of_a_run(admin_page: Page, task: Any) -> None:
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("View history").click()
    drawer = admin_page.get_by_role("dialog")
    drawer.locator(".st-run").first.get_by_role("button").click()
    link = drawer.locator(".st-run-body").get_by_role("link", name=RUNBOOK)
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    assert drawer.evaluate(OVERFLOW) == 0


def test_targets_of_the_form_are_large_enough_for_a_finger(phone: Page, task: Any) -> None:
    drawer = open_form(phone, task)
    drawer.get_by_label("Only these").check()
    controls = CONTROLS.replace("input:not([type=hidden])", "input[type=text], label:has(input)")
    assert phone.evaluate(TOO_SMALL, controls) == []
    drawer.get_by_label("Runbook").fill("x")
    drawer.get_by_role("button", name="Save").click()
    expect(toast(phone, "not saved", "alert")).to_be_visible()
    drawer.get_by_label("Runbook").fill("")
    drawer.get_by_role("button", name="Save").tap()  # the toast does not lie on it once it is scrolled to
    expect(drawer.get_by_role("link", name="Edit alerts of")).to_be_visible()


def test_without_javascript_it_is_a_page(plain_page: Page, task: Any) -> None:
    plain_page.goto(f"{LIST}{task.pk}/change/")
    plain_page.get_by_role("link", name="Edit alerts of").click()
    plain_page.get_by_label("Alert after failures in a row").fill("x")
    plain_page.get_by_role("button", name="Save").click()
    expect(plain_page.get_by_text("Enter a whole number, 1 or more.").first).to_be_visible()
    plain_page.get_by_label("Alert after failures in a row").fill("4")
    plain_page.get_by_label("Only these").check()
    for kind in ("failing", "late", "slow"):
        plain_page.get_by_role("checkbox", name=kind).uncheck()
    plain_page.get_by_role("button", name="Save").click()
    expect(plain_page.get_by_text("Alerts of webhook-delivery-retry saved.")).to_be_visible()
    expect(plain_page).to_have_url(plain_page.url.partition("/alerts/")[0])
    assert (state(task).alert_after, state(task).alert_on) == (4, "none")
    assert ScheduledTask.objects.count() == 1
