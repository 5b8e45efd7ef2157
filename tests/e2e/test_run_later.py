"""What was missed is run later: from the row in the drawer or in the list of runs, after a question."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import Status, TaskRun, database_now
from scheduled_tasks.reasons import Code
from tests.e2e.test_list import LIST, make_task, toast
from tests.e2e.test_list import row as listed
from tests.factories import make_run

RUNS = "/admin/scheduled_tasks/taskrun/"


def missed_nights(task: Any, count: int = 3) -> TaskRun:
    last = database_now().replace(hour=3, minute=0, second=0, microsecond=0) - timedelta(days=1)
    return make_run(
        task,
        Status.MISSED,
        celery_id=None,
        reason=Code.NO_BEAT,
        scheduled_for=last - timedelta(days=count - 1),
        scheduled_until=last,
        tick_count=count,
    )


def waiting(row: TaskRun) -> int:
    return TaskRun.objects.filter(retry_of=row, status=Status.WAITING, actor="admin").count()


@pytest.mark.parametrize("place", ["drawer", "list"])
def test_missed_times_are_run_later_after_a_question(admin_page: Page, place: str) -> None:
    task = make_task(cron="0 3 * * *")
    row = missed_nights(task)
    admin_page.goto(LIST if place == "drawer" else RUNS)
    if place == "drawer":
        listed(admin_page, task).get_by_label("View history").click()
    admin_page.locator(f"#st-run-link-{row.pk}").click()
    offer = admin_page.get_by_role("link", name="Run these 3 now")
    offer.click()
    question = admin_page.get_by_role("dialog", name=f"Run later: {task.name}")
    expect(question.get_by_role("listitem")).to_have_count(3)
    answer = question.get_by_role("button", name="Run these 3 now")
    expect(answer).to_be_focused()
    answer.click()
    expect(toast(admin_page, f"3 runs of {task.name} wait.")).to_be_visible()
    assert waiting(row) == 3


def test_missed_times_are_run_later_without_a_script(plain_page: Page) -> None:
    row = missed_nights(make_task(cron="0 3 * * *"), 1)
    plain_page.goto(f"{RUNS}{row.pk}/change/")
    plain_page.get_by_role("link", name="Run it now").click()
    plain_page.get_by_role("button", name="Run it now").click()
    expect(plain_page.get_by_text("1 run of")).to_be_visible()
    assert waiting(row) == 1
