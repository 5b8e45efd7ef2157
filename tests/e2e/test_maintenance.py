"""Maintenance in a real browser: with script, by keyboard, and without script."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from scheduled_tasks import operations
from scheduled_tasks.models import MaintenanceWindow, database_now
from scheduled_tasks.operations import Actor
from tests.e2e.test_accessibility import violations
from tests.e2e.test_list import LIST, make_process, make_task, refresh, row, toast

pytestmark = pytest.mark.usefixtures("transactional_db")

WINDOWS = "/admin/scheduled_tasks/maintenancewindow/"
HOUR = timedelta(hours=1)
ANNA = Actor("anna", lambda about, entry: None)


@pytest.fixture
def task() -> Any:
    make_process(task_names=["tests.tasks.add"])
    return make_task("purge-stale-conversations")


def picture(page: Page, name: str) -> None:
    """Kept where TEST_PICTURES says: for who wants to see it."""
    if folder := os.environ.get("TEST_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def error(page: Page) -> Locator:
    return page.locator("#st-toasts").get_by_role("alert")


def begin(**values: Any) -> MaintenanceWindow:
    return operations.plan_maintenance(
        actor=ANNA, **{"ends_at": database_now() + HOUR, "note": "database move", **values}
    )


def test_pause_until_and_resume_in_the_row_s_menu(admin_page: Page, task: Any) -> None:
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("More actions for").click()
    row(admin_page, task).get_by_role("link", name="Pause until…").click()
    drawer = admin_page.get_by_role("dialog")
    expect(drawer.get_by_role("heading", name=f"Pause {task.name}")).to_be_visible()
    expect(drawer.get_by_label("Until", exact=True)).to_be_focused()
    drawer.get_by_label("Note").fill("waits for the archive")
    picture(admin_page, "pause-until")
    drawer.get_by_role("button", name="1 h").click()
    expect(toast(admin_page, f"{task.name} is paused until")).to_be_visible()
    expect(drawer).to_be_hidden()
    expect(row(admin_page, task)).to_contain_text("Paused until")
    expect(row(admin_page, task)).to_contain_text("waits for the archive")
    row(admin_page, task).get_by_label("More actions for").click()
    row(admin_page, task).get_by_role("button", name="Resume now").click()
    expect(row(admin_page, task)).not_to_contain_text("Paused")
    toast(admin_page, "starts on schedule again.").get_by_role("button", name="Undo").click()
    expect(row(admin_page, task)).to_contain_text("Paused until")


def test_a_refused_pause_leaves_the_form_as_it_was(admin_page: Page, task: Any) -> None:
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("More actions for").click()
    row(admin_page, task).get_by_role("link", name="Pause until…").click()
    drawer = admin_page.get_by_role("dialog")
    drawer.get_by_label("Note").fill("why")
    drawer.get_by_label("Until", exact=True).fill("2020-01-01T06:00")
    drawer.get_by_label("Until", exact=True).press("Enter")
    expect(error(admin_page)).to_contain_text("The end lies in the past.")
    expect(drawer.get_by_label("Note")).to_have_value("why")


def test_selected_tasks_are_paused_together(admin_page: Page, task: Any) -> None:
    other = make_task("other")
    admin_page.goto(LIST)
    for each in (task, other):
        admin_page.get_by_label(f"Select {each.name}").check()
    admin_page.get_by_role("button", name="Pause until…").click()
    drawer = admin_page.get_by_role("dialog")
    expect(drawer.get_by_role("heading", name="Pause 2 tasks")).to_be_visible()
    drawer.get_by_role("button", name="Until tomorrow").click()
    expect(toast(admin_page, "2 tasks are paused until")).to_be_visible()
    for each in (task, other):
        expect(row(admin_page, each)).to_contain_text("Maintenance until")


def test_banner_extends_and_ends(admin_page: Page, task: Any) -> None:
    admin_page.goto(LIST)
    refresh(admin_page)
    window = begin()
    refresh(admin_page)
    banner = admin_page.locator(f"#st-banner-{window.pk}")
    expect(banner).to_contain_text("(anna: database move)")
    picture(admin_page, "banner")
    banner.get_by_role("button", name="Extend by 1 h").click()
    expect(toast(admin_page, "The maintenance ends at")).to_be_visible()
    assert MaintenanceWindow.objects.get().ends_at == window.ends_at + HOUR
    banner.get_by_role("button", name="End now").click()
    expect(banner).to_be_hidden()
    expect(row(admin_page, task)).not_to_contain_text("Paused")


def test_the_end_by_keyboard_leaves_the_focus_to_what_follows(admin_page: Page, task: Any) -> None:
    first, second = begin(), begin(note="another", ends_at=database_now() + 2 * HOUR)
    admin_page.goto(LIST)
    for window, heir in (
        (first, admin_page.locator(f"#st-banner-{second.pk} a")),
        (second, admin_page.get_by_label("Select all tasks")),
    ):
        admin_page.locator(f"#st-end-now-{window.pk}").press("Enter")
        expect(admin_page.locator(f"#st-banner-{window.pk}")).to_be_hidden()
        expect(heir).to_be_focused()
    third = begin(task_ids=[task.pk])
    admin_page.goto(WINDOWS)
    admin_page.locator(f"#st-end-now-{third.pk}").press("Enter")
    expect(admin_page.locator(f"#st-end-now-{third.pk}")).to_be_hidden()
    expect(admin_page.locator("body")).not_to_be_focused()


def test_the_banner_on_the_timeline_ends_it(admin_page: Page, task: Any) -> None:
    window = begin()
    admin_page.goto(f"{LIST}timeline/")
    banner = admin_page.locator(f"#st-banner-{window.pk}")
    expect(banner).to_contain_text("(anna: database move)")
    picture(admin_page, "timeline-banner")
    banner.get_by_role("button", name="End now").press("Enter")
    expect(banner).to_be_hidden()
    expect(admin_page).to_have_url(re.compile("timeline/$"))
    expect(admin_page.locator("body")).not_to_be_focused()


def test_another_time_and_undo_of_a_pause(admin_page: Page, task: Any) -> None:
    window = begin(task_ids=[task.pk])
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("More actions for").click()
    row(admin_page, task).get_by_role("link", name="Pause until…").click()
    drawer = admin_page.get_by_role("dialog")
    until = drawer.get_by_label("Until", exact=True)
    expect(until).to_have_value(timezone.localtime(window.ends_at).strftime("%Y-%m-%dT%H:%M"))
    picture(admin_page, "pause-moved")
    until.fill("2020-01-01T06:00")
    until.press("Enter")
    expect(drawer.locator("#st-error-until")).to_have_text("The end lies in the past. Choose a later time.")
    expect(until).to_be_focused()
    expect(until).to_have_value("2020-01-01T06:00")
    picture(admin_page, "pause-refused")
    until.fill("2090-01-01T06:00")
    until.press("Enter")
    expect(toast(admin_page, f"{task.name} is paused until")).to_be_visible()
    assert MaintenanceWindow.objects.get().ends_at.year == 2090
    picture(admin_page, "pause-toast")
    admin_page.locator("#st-toasts").get_by_role("button", name="Undo").click()
    expect(toast(admin_page, "is as it was before that change.")).to_be_visible()
    assert MaintenanceWindow.objects.get().ends_at == window.ends_at


def test_the_second_of_two_is_told_and_sees_what_holds_now(admin_page: Page, task: Any) -> None:
    window = begin()
    admin_page.goto(WINDOWS)
    operations.move_maintenance_end(window.pk, actor=Actor("bob", ANNA.log), until=window.ends_at + HOUR)
    admin_page.get_by_role("button", name="End now").click()
    expect(error(admin_page)).to_contain_text("bob changed this maintenance meanwhile")
    assert MaintenanceWindow.objects.get().ends_at > database_now()


@pytest.mark.parametrize("with_script", [True, False])
def test_planned_by_keyboard(
    admin_page: Page, plain_page: Page, base_url: str, task: Any, with_script: bool
) -> None:
    page = admin_page if with_script else plain_page
    day = timezone.localtime() + timedelta(days=1)
    page.goto(WINDOWS)
    page.get_by_role("link", name="Plan maintenance").press("Enter")
    page.get_by_label("From").fill(f"{day:%Y-%m-%d}T02:00")
    page.get_by_label("Until").fill(f"{day:%Y-%m-%d}T06:00")
    page.get_by_label("Note").fill("database move")
    page.get_by_label("Note").press("Enter")
    expect(page.get_by_role("status").filter(has_text="will be skipped")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("database move")
    picture(page, f"plan-{with_script}")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page).to_have_url(f"{base_url}{WINDOWS}")
    expect(page.get_by_role("row").filter(has_text="database move")).to_contain_text("Planned")
    picture(page, f"windows-{with_script}")
    page.get_by_role("button", name="Cancel it").press("Enter")
    expect(page.get_by_role("row").filter(has_text="database move")).to_contain_text("Cancelled")


def test_who_fills_in_the_filter_has_chosen_it(admin_page: Page, task: Any) -> None:
    make_task("other")
    admin_page.goto(f"{WINDOWS}add/")
    expect(admin_page.get_by_role("radio", name="All tasks")).to_be_checked()
    admin_page.get_by_label("Search").press_sequentially("purge")
    expect(admin_page.get_by_role("radio", name="Those under this filter")).to_be_checked()
    admin_page.get_by_role("button", name="Save").click()
    expect(admin_page.get_by_role("row").filter(has_text="Now")).to_contain_text(task.name)
    assert [row.task_id for row in MaintenanceWindow.objects.get().members.all()] == [task.pk]


LEFT_OF_TEXT = """element => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return Math.round(range.getBoundingClientRect().left);
}"""


def test_windows_stand_under_their_head(admin_page: Page, task: Any) -> None:
    begin(run_once_after=True)
    admin_page.goto(WINDOWS)
    head, state, title, after = (
        admin_page.locator(f".st-windows {each}").evaluate(LEFT_OF_TEXT)
        for each in ("thead th:first-child", ".st-state", ".st-i-what > a", ".st-i-what > .st-sub")
    )
    assert head == state
    assert title == after
    expect(admin_page.get_by_role("link", name="Plan maintenance")).to_have_css(
        "border-color", "rgba(0, 0, 0, 0)"
    )


@pytest.mark.parametrize("width", [1440, 1024, 800, 390])
def test_another_end_stays_on_the_screen(admin_page: Page, task: Any, width: int) -> None:
    begin(task_ids=[task.pk])
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(WINDOWS)
    admin_page.get_by_text("Another end…").click()
    box = admin_page.get_by_label("New end of database move").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_accessible_and_no_wider_than_the_screen(
    admin_page: Page, task: Any, width: int, scheme: Any
) -> None:
    begin()
    begin(starts_at=database_now() + HOUR, ends_at=None, note="planned")
    admin_page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    admin_page.set_viewport_size({"width": width, "height": 900})
    for path in (LIST, WINDOWS, f"{WINDOWS}add/", f"{LIST}{task.pk}/until/"):
        admin_page.goto(path)
        assert violations(admin_page) == [], path
        assert admin_page.evaluate("document.documentElement.scrollWidth") <= width, path
        picture(admin_page, f"{path.strip('/').replace('/', '-')}-{width}-{scheme}")
