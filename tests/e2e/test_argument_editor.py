"""A task's own arguments in the drawer, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import ScheduledTask
from scheduled_tasks.worker.task_signatures import signature_of
from tests.e2e.test_list import LIST, make_process, make_task, toast
from tests.live import wait_for
from tests.typed_tasks import tell_types

REST = '{"day": "soon", "at": "noon", "key": "k", "price": "1", "days": [], "level": "high"}'

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture
def task() -> Any:
    name = "shop.count"  # which this process does not know
    make_process(task_names=[name], task_signatures={name: signature_of(tell_types)})
    return make_task(task=name, args='["a", 1, 2.5, true]', kwargs='{"day": "soon"}')


def test_edit_leads_back_to_the_task_and_is_undone(admin_page: Page, task: Any) -> None:
    admin_page.goto(f"{LIST}#task={task.pk}")
    drawer = admin_page.get_by_role("dialog")
    link = drawer.get_by_role("link", name="Edit arguments")
    link.click()
    first = drawer.get_by_label("text", exact=True)
    expect(first).to_be_focused()
    first.fill("b")
    drawer.get_by_label("level").select_option("high")
    drawer.get_by_role("button", name="Edit as JSON").click()
    args = drawer.get_by_label("Arguments", exact=True)
    expect(args).to_have_value('["b", 1, 2.5, true]')
    drawer.get_by_role("button", name="Edit in fields").click()
    expect(drawer.get_by_label("level")).to_have_value('"high"')
    drawer.get_by_role("button", name="Save").click()
    expect(drawer.get_by_text("This argument is required.")).to_have_count(4)
    expect(drawer.get_by_label("at", exact=True)).to_be_focused()
    drawer.get_by_role("button", name="Edit as JSON").click()
    args.fill('["b", 1, 2.5, true]')
    drawer.get_by_label("Keyword arguments").fill(REST)
    drawer.get_by_role("button", name="Save").click()
    expect(link).to_be_focused()
    box = toast(admin_page, "Arguments of purge saved.")
    expect(box).to_be_visible()
    assert ScheduledTask.objects.get(pk=task.pk).args == '["b", 1, 2.5, true]'
    box.get_by_role("button", name="Undo").click()
    before = ScheduledTask.objects.filter(pk=task.pk, args='["a", 1, 2.5, true]')
    wait_for(before.exists, message="the earlier arguments")


def test_edit_without_javascript(plain_page: Page, task: Any) -> None:
    plain_page.goto(f"{LIST}{task.pk}/change/")
    plain_page.get_by_role("link", name="Edit arguments").click()
    plain_page.get_by_label("ratio").fill("x")
    plain_page.get_by_role("button", name="Edit as JSON").click()
    expect(plain_page.get_by_label("ratio")).to_have_attribute("aria-invalid", "true")
    plain_page.get_by_label("ratio").fill("3")
    plain_page.get_by_role("button", name="Edit as JSON").click()
    expect(plain_page.get_by_label("Arguments", exact=True)).to_have_value('["a", 1, 3.0, true]')
    plain_page.get_by_role("button", name="Save").click()
    expect(
        plain_page.get_by_text("The task needs these arguments, too: at, key, price, days, level.")
    ).to_be_visible()
    plain_page.get_by_label("Keyword arguments").fill(REST)
    plain_page.get_by_role("button", name="Save").click()
    expect(plain_page.get_by_text("Arguments of purge saved.")).to_be_visible()
