"""What strangers say stays text in a real browser; the policy that would stop a script is there too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from scheduled_tasks.models import TaskRun
from tests.admin.test_security import hostile_rows
from tests.csp import POLICY, TRUSTED_TYPES
from tests.e2e.conftest import LogIn
from tests.e2e.test_list import LIST, make_task, refresh, row, toast

RUNS = "/admin/scheduled_tasks/taskrun/"
TRAP = "Object.defineProperty(window, 'pwned', {set() { console.error('a script of the text ran'); }});"


@pytest.fixture
def defenceless_page(browser: Browser, base_url: str, admin_user: User, log_in: LogIn) -> Iterator[Page]:
    """A page that no Content-Security-Policy protects; the test fails when a script of a text runs in it."""
    context = browser.new_context(base_url=base_url, bypass_csp=True)
    context.add_init_script(TRAP)
    page = log_in(context, admin_user)
    ran: list[str] = []
    page.on("console", lambda message: ran.append(message.text))
    page.on("dialog", lambda dialog: ran.append(dialog.message))
    yield page
    context.close()
    assert [text for text in ran if "Failed to load resource" not in text] == []


def test_the_trap_would_notice(browser: Browser, base_url: str, transactional_db: None) -> None:
    context = browser.new_context(base_url=base_url, bypass_csp=True)
    context.add_init_script(TRAP)
    page = context.new_page()
    page.goto("/admin/login/")
    with page.expect_console_message(lambda message: "script of the text" in message.text):
        page.evaluate("document.body.innerHTML = '<img src=x onerror=pwned=1>'")
    context.close()


def test_no_text_runs_as_a_script(defenceless_page: Page, transactional_db: None) -> None:
    page, rows = defenceless_page, hostile_rows()
    task = rows["task"]
    page.goto(LIST)
    expect(row(page, task)).to_contain_text("<img src=x onerror=pwned=1>")
    row(page, task).get_by_role("button", name="Run ").first.click()
    expect(toast(page, "No running worker knows", "alert")).to_contain_text("onerror=pwned=1")
    row(page, task).get_by_label("Edit schedule").click()
    page.get_by_label("Cron expression").fill("<img/src=x/onerror=pwned=1> * * * *")
    expect(page.locator(".st-editor .st-error")).to_contain_text("onerror=pwned=1")
    page.keyboard.press("Enter")
    expect(toast(page, "not saved", "alert")).to_be_visible()
    refresh(page)
    row(page, task).get_by_label("View history").click()
    drawer = page.get_by_role("dialog")
    runs = drawer.locator(".st-run")
    expect(runs.first).to_be_visible()
    for n in range(runs.count()):
        runs.nth(n).get_by_role("button").click()
        expect(drawer.locator(".st-run-body")).to_have_count(n + 1)
    expect(drawer.locator("pre", has_text="onerror=pwned=1").first).to_be_visible()


def test_no_text_runs_as_a_script_on_pages_of_their_own(
    defenceless_page: Page, transactional_db: None
) -> None:
    task = hostile_rows()["task"]
    paths = ("change/", "schedule/", "pause/", "runs/new/", "history/")
    runs = [f"{RUNS}{run.pk}/change/" for run in TaskRun.objects.all()]
    for url in [*(f"{LIST}{task.pk}/{path}" for path in paths), *runs, RUNS, "/admin/"]:
        response = defenceless_page.goto(url)
        assert response is not None
        assert response.status == 200
        defenceless_page.wait_for_load_state("load")


def test_policy_forbids_scripts_in_the_page(admin_page: Page, transactional_db: None) -> None:
    make_task()
    response = admin_page.goto(LIST)
    assert response is not None
    assert response.headers["content-security-policy"] == POLICY + TRUSTED_TYPES
