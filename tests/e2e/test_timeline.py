"""The next 24 hours in a real browser: drawn where it says, inside its own box on a phone, and readable."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import ProcessKind
from tests.e2e.test_accessibility import themed_page, violations
from tests.e2e.test_list import LIST, make_process, make_task

__all__ = ["themed_page"]
pytestmark = pytest.mark.usefixtures("transactional_db")

NEXT = "Next 24 hours"


@pytest.fixture
def tasks() -> list[Any]:
    make_process(ProcessKind.BEAT)
    make_process(task_names=["tests.tasks.add"])
    crons = {
        "minutely": "* * * * *",
        "hourly": "30 * * * *",
        "nightly": "0 3 * * *",
        "nightly too": "0 3 * * *",
    }
    return [make_task(name, cron=cron) for name, cron in crons.items()]


def test_link_lane_and_back_to_the_row(admin_page: Page, tasks: list[Any]) -> None:
    admin_page.goto(LIST)
    admin_page.get_by_role("link", name=NEXT).click()
    lane = admin_page.get_by_role("row", name="minutely")
    expect(lane).to_contain_text("runs")
    cell, band = (lane.locator(part).bounding_box() for part in ("td.st-tl-lane", ".st-tl-band"))
    assert cell is not None
    assert band is not None
    assert cell["y"] < band["y"] < band["y"] + band["height"] < cell["y"] + cell["height"]
    assert band["width"] > 0.9 * cell["width"]
    lane.get_by_role("link").click()
    expect(admin_page.locator(f"#st-row-{tasks[0].pk}")).to_be_visible()
    expect(admin_page.locator(".st-row")).to_have_count(1)


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_it_is_accessible_and_scrolls_only_in_its_own_box(
    themed_page: Page, tasks: list[Any], width: int
) -> None:
    themed_page.set_viewport_size({"width": width, "height": 800})
    themed_page.goto(f"{LIST}timeline/")
    expect(themed_page.get_by_role("row", name="nightly too")).to_be_visible()
    assert themed_page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    overflow = themed_page.locator(".st-tl-box").evaluate("box => box.scrollWidth > box.clientWidth")
    assert overflow is (width < 1440)
    assert violations(themed_page) == []


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_hours_stay_above_the_lanes(admin_page: Page, width: int) -> None:
    for n in range(30):
        make_task(f"task-{n:02}")
    admin_page.set_viewport_size({"width": width, "height": 600})
    admin_page.goto(f"{LIST}timeline/")
    admin_page.get_by_role("row", name="task-29").scroll_into_view_if_needed()
    expect(admin_page.get_by_role("row", name="task-29")).to_be_in_viewport()
    expect(admin_page.locator(".st-tl thead")).to_be_in_viewport(ratio=0.3)
