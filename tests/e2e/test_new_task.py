"""A task is made, copied, shown as code and deleted in a real browser; with script and without."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import Process, ScheduledTask, TaskState
from scheduled_tasks.worker.task_signatures import signature_of
from tests.e2e.test_accessibility import violations
from tests.e2e.test_list import LIST, make_process, make_task, row, toast
from tests.tasks import add

pytestmark = pytest.mark.usefixtures("transactional_db")

ADD = f"{LIST}add/"


@pytest.fixture(autouse=True)
def worker(no_other_worker: None) -> None:
    """One that tells of no signatures, as the shared one would."""
    make_process(task_names=["tests.tasks.add", "tests.tasks.nap"])


def test_made_with_a_preview_while_typing(admin_page: Page) -> None:
    make_task()
    admin_page.goto(LIST)
    admin_page.get_by_role("link", name="Add scheduled task").first.click()
    expect(admin_page.get_by_label("Celery task")).to_be_focused()
    admin_page.keyboard.type("tests.tasks.add")
    admin_page.get_by_label("Name").fill("nightly")
    preview = admin_page.locator(".st-preview h3")
    admin_page.get_by_label("Cron expression").fill("weekdays at 9:30")
    expect(preview).to_have_text("Weekdays at 9:30 AM")
    admin_page.get_by_label("Cron expression").fill("0 24 * * *")
    expect(admin_page.locator("#st-error-new")).to_be_visible()
    admin_page.get_by_role("button", name="Hourly").click()
    expect(preview).to_have_text("Hourly")
    expect(admin_page.get_by_label("Name")).to_have_value("nightly")
    admin_page.get_by_label("Arguments", exact=True).fill("[1, 2]")
    admin_page.get_by_label("Name").press("Enter")
    expect(admin_page.get_by_role("dialog").get_by_role("heading", name="nightly")).to_be_visible()
    expect(toast(admin_page, "nightly was added: Hourly.")).to_be_visible()
    admin_page.get_by_role("dialog").get_by_text("Copy as code").click()
    expect(admin_page.get_by_role("dialog").locator("pre")).to_contain_text("name='nightly'")
    assert violations(admin_page) == []


def test_made_and_deleted_without_script(plain_page: Page) -> None:
    plain_page.goto(ADD)
    plain_page.get_by_label("Name").fill("nightly")
    plain_page.get_by_role("button", name="Interval", exact=True).click()
    plain_page.get_by_role("button", name="Every 15 minutes").click()
    expect(plain_page.get_by_label("Every", exact=True)).to_have_value("15")
    plain_page.get_by_label("Celery task").fill("tests.tasks.none")
    plain_page.get_by_role("button", name="Save").click()
    expect(plain_page.locator("#st-error-task")).to_be_visible()
    expect(plain_page.get_by_label("Name")).to_have_value("nightly")
    plain_page.get_by_label("Celery task").fill("tests.tasks.add")
    plain_page.get_by_role("button", name="Save").click()
    expect(toast(plain_page, "nightly was added: Every 15 minutes.")).to_be_visible()
    plain_page.goto(f"{LIST}{ScheduledTask.objects.get().pk}/delete/")
    plain_page.get_by_role("button", name="Delete").click()
    expect(toast(plain_page, "nightly was deleted.")).to_be_visible()
    plain_page.get_by_role("button", name="Undo").click()
    expect(plain_page.get_by_role("link", name="nightly", exact=True)).to_be_visible()


@pytest.mark.parametrize("place", ["row", "drawer"])
def test_deleted_from_its_row_or_drawer_and_undone(admin_page: Page, place: str) -> None:
    task: Any = make_task("nightly")
    admin_page.goto(LIST)
    drawer = admin_page.get_by_role("dialog")
    if place == "row":
        row(admin_page, task).locator("summary").click()
        row(admin_page, task).get_by_role("link", name="Delete…").click()
    else:
        row(admin_page, task).get_by_role("link", name="nightly", exact=True).click()
        drawer.locator("#st-d-more").click()
        drawer.get_by_role("link", name="Delete…").click()
    expect(drawer.get_by_role("heading", name="Delete nightly?")).to_be_visible()
    assert violations(admin_page) == []
    drawer.get_by_role("button", name="Delete").click()
    expect(drawer).to_be_hidden()
    expect(row(admin_page, task)).to_have_count(0)
    assert "#" not in admin_page.url
    admin_page.get_by_role("button", name="Undo").click()
    expect(row(admin_page, task)).to_be_visible()


def test_several_are_deleted_together(admin_page: Page) -> None:
    tasks = [make_task(name) for name in ("one", "two", "three")]
    admin_page.goto(LIST)
    for task in tasks[:2]:
        row(admin_page, task).get_by_role("checkbox").check()
    admin_page.get_by_role("button", name="Delete…").click()
    drawer = admin_page.get_by_role("dialog")
    expect(drawer.locator(".st-asked li")).to_have_text(["one", "two"])
    drawer.get_by_role("button", name="Delete").click()
    expect(drawer).to_be_hidden()
    expect(row(admin_page, tasks[0])).to_have_count(0)
    expect(row(admin_page, tasks[2])).to_be_visible()


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_form_is_accessible_and_fits(admin_page: Page, width: int, scheme: Any) -> None:
    admin_page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(ADD)
    admin_page.get_by_label("Arguments", exact=True).fill("x")
    admin_page.get_by_role("button", name="Save").click()
    expect(admin_page.locator("#st-args_error")).to_be_visible()
    assert violations(admin_page) == []
    assert admin_page.evaluate("document.documentElement.scrollWidth") <= width


def choose(page: Page) -> None:
    """Choose the Celery task whose arguments a worker has told."""
    told = {"tests.tasks.add": signature_of(add)}
    Process.objects.update(task_signatures=told)
    page.goto(ADD)
    page.get_by_label("Celery task").fill("tests.tasks.add")


def test_its_arguments_have_fields_as_soon_as_it_is_chosen(admin_page: Page) -> None:
    choose(admin_page)
    admin_page.get_by_label("Name").fill("sum")
    admin_page.get_by_label("x", exact=True).fill("1")
    assert violations(admin_page) == []
    admin_page.get_by_role("button", name="Edit as JSON").click()
    expect(admin_page.get_by_label("Keyword arguments")).to_have_value('{"x": 1.0}')
    expect(admin_page.get_by_label("Name")).to_have_value("sum")
    admin_page.get_by_role("button", name="Edit in fields").click()
    expect(admin_page.get_by_label("x", exact=True)).to_have_value("1.0")
    admin_page.get_by_role("button", name="Save").click()
    expect(admin_page.get_by_label("y", exact=True)).to_be_focused()
    admin_page.get_by_label("y", exact=True).fill("2")
    admin_page.get_by_role("button", name="Save").click()
    expect(toast(admin_page, "sum was added: Daily at 3 AM.")).to_be_visible()
    assert json.loads(ScheduledTask.objects.get().kwargs) == {"x": 1.0, "y": 2.0}


def test_without_script_a_button_shows_the_fields(plain_page: Page) -> None:
    choose(plain_page)
    plain_page.get_by_role("button", name="Show its arguments").click()
    plain_page.get_by_label("x", exact=True).fill("1")
    plain_page.get_by_label("y", exact=True).fill("2")
    plain_page.get_by_role("button", name="Save").click()
    expect(toast(plain_page, "add was added: Daily at 3 AM.")).to_be_visible()


def test_a_name_in_use_is_told_while_it_is_typed(admin_page: Page) -> None:
    make_task("nightly")
    admin_page.goto(ADD)
    admin_page.get_by_label("Name").fill("nightly")
    expect(admin_page.locator("#st-error-name")).to_have_text(
        "The name “nightly” is in use. Choose another one."
    )
    expect(admin_page.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    admin_page.get_by_label("Name").press_sequentially("2")
    expect(admin_page.locator("#st-error-name")).to_be_hidden()


def test_refused_the_first_wrong_field_has_the_focus_and_leaving_asks(admin_page: Page) -> None:
    asked: list[str] = []
    admin_page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    admin_page.goto(ADD)
    admin_page.get_by_label("Celery task").fill("tests.tasks.add")
    admin_page.get_by_label("Priority").fill("x")
    admin_page.get_by_role("button", name="Save").click()
    expect(admin_page.locator("#st-error-priority")).to_be_visible()
    expect(admin_page.get_by_label("Priority")).to_be_focused()
    assert asked == []
    admin_page.get_by_role("link", name="Cancel").click()
    expect(admin_page.get_by_label("Priority")).to_have_value("x")
    assert asked == ["beforeunload"]


def test_details_in_the_drawer_and_the_menu_of_tags(admin_page: Page) -> None:
    other, task = make_task("other"), make_task("nightly")
    TaskState.objects.create(task_id=other.pk, tags="eu", owner="ops")
    admin_page.goto(LIST)
    row(admin_page, task).get_by_role("link", name="nightly", exact=True).click()
    drawer = admin_page.get_by_role("dialog")
    drawer.locator("#st-d-more").click()
    drawer.get_by_role("link", name="Edit details…").click()
    drawer.get_by_label("Tags", exact=True).fill("new")
    drawer.get_by_role("button", name="eu").click()
    expect(drawer.get_by_label("Tags", exact=True)).to_have_value("new, eu")
    assert violations(admin_page) == []
    drawer.get_by_role("button", name="Save").click()
    expect(toast(admin_page, "Details of nightly saved.")).to_be_visible()
    admin_page.keyboard.press("Escape")
    expect(row(admin_page, task).locator(".st-label")).to_have_text(["new", "eu"])
    expect(admin_page.locator("#st-picker-tag li")).to_have_text(["All tags", "eu 2", "new 1"])
    admin_page.locator("#st-pick-tag").click()
    assert violations(admin_page) == []
    admin_page.locator("#st-picker-tag").get_by_role("link", name="new").click()
    expect(row(admin_page, task)).to_be_visible()
    expect(row(admin_page, other)).to_have_count(0)
    expect(admin_page.locator("#st-count-1")).to_have_text("1 task")
