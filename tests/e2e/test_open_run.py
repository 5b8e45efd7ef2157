"""An open run in a real browser: judged while it runs, on top of the drawer, cancelled from its row."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import Status, TaskRun
from tests.e2e.test_list import LIST, make_process, make_task, row, status
from tests.factories import make_run

pytestmark = pytest.mark.usefixtures("transactional_db")


def test_run_that_takes_far_too_long_is_told_while_it_runs(clocked_page: Page) -> None:
    make_process(boot_id="w", task_names=["tests.tasks.add"])
    task = make_task()
    for n in range(5):
        make_run(task, ago=5000 - n, took=100)
    make_run(task, Status.RUNNING, ago=120, process_id="w")
    clocked_page.goto(LIST)
    clocked_page.get_by_role("button", name="Pause refresh").click()
    took = row(clocked_page, task).locator(".st-c-dur")
    before = row(clocked_page, task).bounding_box()
    expect(took).not_to_contain_text("usual")
    clocked_page.clock.run_for(210_000)
    expect(took).to_contain_text("3.3× usual")
    assert row(clocked_page, task).bounding_box() == before


def test_open_run_is_cancelled_from_its_row_and_shown_on_top_of_the_drawer(admin_page: Page) -> None:
    task = make_task()
    run = make_run(task, Status.QUEUED, ago=5)
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("View history").click()
    drawer = admin_page.get_by_role("dialog")
    top = drawer.get_by_role("region", name="Queued")
    expect(top.get_by_role("button", name="Cancel run")).to_be_visible()
    make_process(boot_id="w", task_names=["tests.tasks.add"])
    started = {"status": Status.RUNNING, "started_at": run.queued_at, "process_id": "w"}
    TaskRun.objects.filter(pk=run.pk).update(**started, progress='{"done": 1, "total": 4}', log="a line")
    top = drawer.get_by_role("region", name="Running")
    expect(top.get_by_role("progressbar")).to_have_attribute("value", "25")
    expect(top).to_contain_text("a line")
    TaskRun.objects.filter(pk=run.pk).update(log="a line\nanother line")
    expect(top).to_contain_text("another line")
    TaskRun.objects.filter(pk=run.pk).update(status=Status.QUEUED, started_at=None, progress="")
    admin_page.keyboard.press("Escape")
    expect(status(admin_page, task)).to_have_text("Queued")
    row(admin_page, task).get_by_label("More actions").click()
    row(admin_page, task).get_by_role("button", name="Cancel run").click()
    expect(status(admin_page, task)).to_have_text("Never run")
    assert TaskRun.objects.get().status == Status.CANCELLED


def test_focus_stays_when_a_run_opens_and_ends(admin_page: Page) -> None:
    task = make_task()
    make_run(task, ago=60)
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("View history").click()
    drawer = admin_page.get_by_role("dialog")
    link = drawer.locator(".st-run").first.get_by_role("button")
    link.focus()
    name = link.evaluate("link => link.id")
    run = make_run(task, Status.RUNNING, ago=5)
    expect(drawer.get_by_role("region", name="Running")).to_be_visible()
    expect(drawer.locator(f"#{name}")).to_be_focused()
    TaskRun.objects.filter(pk=run.pk).update(status=Status.SUCCEEDED, open_since=None)
    expect(drawer.get_by_role("region", name="Running")).to_be_hidden()
    expect(drawer.locator(f"#{name}")).to_be_focused()
