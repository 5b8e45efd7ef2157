"""axe-core finds nothing serious on any page, light and dark, wide and narrow."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from scheduled_tasks.models import CodeDefault, ProcessKind, Source, Status, TaskState, database_now
from scheduled_tasks.worker.task_signatures import signature_of
from tests.alerts.rows import make_incident, make_notice
from tests.e2e.conftest import LogIn
from tests.e2e.test_list import LIST, make_process, make_task, row, toast
from tests.factories import make_run
from tests.typed_tasks import tell_types

pytestmark = pytest.mark.usefixtures("transactional_db")


def violations(page: Page, part: str = ".st, .st-drawer, .st-toasts") -> list[str]:
    """Serious and critical ones inside our part of the page, each with the elements concerned."""
    found = Axe().run(page, context={"include": [[part]]}).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.fixture
def task() -> Any:
    make_process(ProcessKind.BEAT)
    make_process(task_names=["tests.tasks.add"], boot_id="w")
    failing = make_task("webhook-delivery-retry", description="Retries failed deliveries")
    for ago in (400, 300, 200):
        make_run(
            failing,
            Status.FAILED,
            ago=ago,
            error_type="ValueError",
            error="no",
            traceback="Traceback",
            log="x",
        )
    running = make_task("certificate-processing", zone="America/New_York")
    make_run(running, Status.RUNNING, ago=5, process_id="w", progress='{"done": 1, "total": 3}')
    make_task("retention", enabled=False)
    return failing


@pytest.fixture(params=["light", "dark"])
def themed_page(request: pytest.FixtureRequest, admin_page: Page) -> Page:
    admin_page.emulate_media(color_scheme=request.param, reduced_motion="reduce")
    return admin_page


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_list_with_an_open_editor_and_menu(themed_page: Page, task: Any, width: int) -> None:
    themed_page.set_viewport_size({"width": width, "height": 900})
    themed_page.goto(LIST)
    row(themed_page, task).get_by_label("Edit schedule").click()
    themed_page.get_by_label("Cron expression").fill("0 24 * * *")
    expect(themed_page.locator(".st-error")).to_be_visible()
    themed_page.keyboard.press("Enter")
    expect(toast(themed_page, "not saved", "alert")).to_be_visible()
    row(themed_page, task).locator("summary").click()
    assert violations(themed_page) == []


def test_drawer_with_an_open_run(themed_page: Page, task: Any) -> None:
    themed_page.goto(LIST)
    row(themed_page, task).get_by_role("link", name="webhook-delivery-retry", exact=True).click()
    themed_page.locator(".st-run").first.get_by_role("button").click()
    expect(themed_page.locator(".st-run-body")).to_be_visible()
    for fold in ("How it runs", "Changes"):
        themed_page.locator(".st-drawer summary").filter(has_text=fold).click()
    assert violations(themed_page) == []


PAGES = ["change/", "schedule/", "alerts/", "arguments/", "pause/", "runs/new/", "delete/"]


@pytest.mark.parametrize("path", PAGES)
def test_pages_of_their_own(themed_page: Page, task: Any, path: str) -> None:
    themed_page.goto(f"{LIST}{task.pk}/{path}")
    expect(themed_page.locator(".st")).to_be_visible()
    assert violations(themed_page) == []


def test_run_page_and_empty_list(themed_page: Page) -> None:
    themed_page.goto(LIST)
    expect(themed_page.get_by_text("No scheduled tasks yet")).to_be_visible()
    assert violations(themed_page) == []
    run = make_run(make_task(), Status.FAILED, error="x", traceback="Traceback")
    themed_page.goto(f"/admin/scheduled_tasks/taskrun/{run.pk}/change/")
    assert violations(themed_page) == []


def test_list_of_all_runs_with_an_open_run(themed_page: Page, task: Any) -> None:
    themed_page.goto("/admin/scheduled_tasks/taskrun/")
    themed_page.locator(".st-run").last.get_by_role("button").click()
    expect(themed_page.locator(".st-run-body")).to_be_visible()
    assert violations(themed_page) == []


@pytest.mark.parametrize("width", [1440, 390])
def test_a_field_for_each_argument(themed_page: Page, task: Any, width: int) -> None:
    name = tell_types.name
    make_process(task_names=[name], task_signatures={name: signature_of(tell_types)})
    themed_page.set_viewport_size({"width": width, "height": 900})
    themed_page.goto(f"{LIST}{make_task('typed', task=name, args='[]').pk}/runs/new/")
    assert violations(themed_page) == []
    assert themed_page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    themed_page.get_by_role("button", name="Run now").click()
    expect(themed_page.get_by_label("number")).to_have_attribute("aria-invalid", "true")
    assert violations(themed_page) == []


@pytest.mark.parametrize("width", [1440, 390])
def test_incidents(themed_page: Page, task: Any, width: int) -> None:
    themed_page.set_viewport_size({"width": width, "height": 900})
    incident = make_incident("open", acknowledged_by="anna", acknowledged_at=database_now(), note="on it")
    make_incident("muted", muted_for_good=True, muted_by="anna")
    make_incident("past", closed_at=database_now(), closing="recovered")
    make_notice("mailto:ops@example.com", incident, state="given_up", attempts=9, error="no answer")
    for path in ("", f"{incident.pk}/change/"):
        themed_page.goto(f"/admin/scheduled_tasks/incident/{path}")
        expect(themed_page.locator(".st-inc").first).to_be_visible()
        assert violations(themed_page) == []
    themed_page.goto(LIST)
    row(themed_page, incident.task).get_by_label("View history").click()
    expect(themed_page.get_by_role("button", name="Save note")).to_be_visible()
    assert violations(themed_page) == []


def test_form_in_the_drawer(themed_page: Page, task: Any) -> None:
    themed_page.goto(LIST)
    row(themed_page, task).locator("summary").click()
    row(themed_page, task).get_by_role("link", name="Run with arguments").click()
    field = themed_page.get_by_label("Arguments", exact=True)
    expect(field).to_be_focused()
    assert violations(themed_page) == []
    field.fill("[1,")
    themed_page.get_by_role("button", name="Run now").last.click()
    expect(field).to_have_attribute("aria-invalid", "true")
    assert violations(themed_page) == []


@pytest.mark.parametrize("width", [1440, 390])
def test_form_of_alerts_with_a_conflict_and_errors(themed_page: Page, task: Any, width: int) -> None:
    declared = {"owner": "billing"}
    CodeDefault.objects.create(task_id=task.pk, name=task.name, source=Source.DECORATOR, declared=declared)
    TaskState.objects.create(task_id=task.pk, owner="ops", runbook="https://wiki.example.com/")
    themed_page.set_viewport_size({"width": width, "height": 900})
    themed_page.goto(LIST)
    row(themed_page, task).get_by_role("link", name="webhook-delivery-retry", exact=True).click()
    themed_page.get_by_role("link", name="Edit alerts of").click()
    themed_page.get_by_label("Only these").check()
    assert violations(themed_page) == []
    TaskState.objects.update(owner="theirs")
    themed_page.get_by_role("button", name="Save").click()
    expect(themed_page.locator(".st-conflict")).to_be_visible()
    assert violations(themed_page) == []
    themed_page.get_by_label("Runbook").fill("x")
    themed_page.get_by_label("Runbook").press("Enter")
    expect(themed_page.locator("#st-error-runbook")).to_be_visible()
    assert violations(themed_page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_refusal(browser: Browser, base_url: str, log_in: LogIn, scheme: Any) -> None:
    context = browser.new_context(base_url=base_url, color_scheme=scheme)
    page = log_in(context, User.objects.create_user("nobody", is_staff=True))
    page.goto(LIST)
    expect(page.get_by_text("You do not have permission")).to_be_visible()
    assert violations(page, "#content") == []
    context.close()
