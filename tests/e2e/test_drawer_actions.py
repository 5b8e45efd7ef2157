"""What the drawer offers besides a list of runs, in a real browser: actions, policies, changes, frames."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import ScheduledTask, Status, TaskState
from tests.e2e.test_drawer import open_drawer
from tests.e2e.test_list import LIST, make_process, make_task, refresh, row, toast
from tests.factories import make_run
from tests.live import Worker

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture
def task() -> Any:
    make_process(task_names=["tests.tasks.add"])
    task = make_task(args="[1, 2]")
    make_run(task, ago=3600)
    return task


def test_schedule_is_edited_in_the_row_that_the_drawer_leads_to(
    admin_page: Page, base_url: str, task: Any
) -> None:
    drawer = open_drawer(admin_page, task)
    drawer.get_by_role("link", name="Edit schedule").click()
    expect(drawer).to_be_hidden()
    field = admin_page.get_by_label("Cron expression")
    expect(field).to_be_focused()
    field.fill("0 5 * * *")
    field.press("Enter")
    expect(row(admin_page, task)).to_contain_text("Daily at 5 AM")
    expect(admin_page).to_have_url(f"{base_url}{LIST}")


def test_schedule_has_a_page_where_the_row_is_not(admin_page: Page, base_url: str, task: Any) -> None:
    admin_page.goto(f"/admin/scheduled_tasks/taskrun/#task={task.pk}")
    admin_page.get_by_role("dialog").get_by_role("link", name="Edit schedule").click()
    expect(admin_page).to_have_url(f"{base_url}{LIST}{task.pk}/schedule/")
    admin_page.go_back()
    expect(admin_page.get_by_role("heading", name="Task runs")).to_be_visible()
    expect(admin_page.get_by_role("dialog")).to_be_hidden()


def test_task_is_disabled_in_the_drawer_and_says_so_in_its_changes(admin_page: Page, task: Any) -> None:
    drawer = open_drawer(admin_page, task)
    drawer.get_by_text("Changes", exact=True).click()
    changes = drawer.locator("#st-d-changes")
    expect(changes).to_contain_text("Nobody has changed it.")
    drawer.get_by_role("button", name="Disable").click()
    expect(drawer.get_by_role("button", name="Enable", exact=True)).to_be_focused()
    expect(changes.get_by_role("listitem")).to_contain_text("Disabled.")
    expect(row(admin_page, task).get_by_role("switch", include_hidden=True)).not_to_be_checked()
    drawer.get_by_role("button", name="Enable", exact=True).click()
    expect(changes.get_by_role("listitem").first).to_contain_text("Enabled.")
    assert ScheduledTask.objects.get().enabled


@pytest.mark.parametrize("width", [1440, 390])
def test_a_task_that_runs_as_before_follows_the_projects_policies(
    admin_page: Page, task: Any, width: int
) -> None:
    TaskState.objects.create(task_id=task.pk, runs_as_before=True)
    admin_page.set_viewport_size({"width": width, "height": 900})
    drawer = open_drawer(admin_page, task)
    drawer.get_by_text("How it runs", exact=True).click()
    policies = drawer.locator("#st-d-policies")
    expect(policies).to_contain_text("Run both")
    policies.get_by_role("button", name="Follow the project's policies").press("Enter")
    expect(policies).to_contain_text("Skip the new run")
    expect(policies).not_to_contain_text("as it did before")
    expect(policies.locator("summary")).to_be_focused()  # the button is gone
    expect(policies).to_have_attribute("open", "")
    toast(admin_page, "follows the project's policies now").get_by_role("button", name="Undo").click()
    expect(policies).to_contain_text("Run both")


def test_policies_stay_unfolded_without_javascript(plain_page: Page, base_url: str, task: Any) -> None:
    TaskState.objects.create(task_id=task.pk, runs_as_before=True)
    plain_page.goto(f"{LIST}{task.pk}/change/?status=success")
    plain_page.get_by_text("How it runs", exact=True).click()
    plain_page.get_by_role("button", name="Follow the project's policies").click()
    expect(plain_page.get_by_text("Skip the new run")).to_be_visible()
    plain_page.get_by_role("button", name="Undo").click()
    expect(plain_page.get_by_text("Run both")).to_be_visible()
    expect(plain_page).to_have_url(f"{base_url}{LIST}{task.pk}/change/?status=success&unfold=policies")


def test_form_of_arguments_leads_back_to_the_task(admin_page: Page, base_url: str, task: Any) -> None:
    drawer = open_drawer(admin_page, task)
    more, link = drawer.locator("#st-d-more"), drawer.get_by_role("link", name="Run with arguments")
    more.click()
    link.click()
    field = drawer.get_by_label("Arguments", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_value("[1, 2]")
    drawer.get_by_role("link", name="Cancel").click()
    expect(more).to_be_focused()
    make_run(task, Status.RUNNING)
    more.click()
    link.click()
    field.fill("[3, 4]")
    drawer.get_by_role("button", name="Run now").click()
    expect(toast(admin_page, "may not overlap", "alert")).to_be_visible()
    expect(field).to_have_value("[3, 4]")
    expect(admin_page).to_have_url(f"{base_url}{LIST}#task={task.pk}")


def test_what_is_unfolded_stays_so_and_follows(admin_page: Page, task: Any) -> None:
    drawer = open_drawer(admin_page, task)
    drawer.get_by_text("How it runs").click()
    policies = drawer.locator("#st-d-policies")
    expect(policies).to_contain_text("Skip the new run")
    ScheduledTask.objects.update(queue="slow")
    refresh(admin_page)
    expect(policies.get_by_text("slow", exact=True)).to_be_visible()
    policies.locator("summary").press("Enter")
    expect(policies.get_by_text("slow", exact=True)).to_be_hidden()


TRACEBACK = """Traceback (most recent call last):
  File "/v/lib/python3.12/site-packages/celery/app/trace.py", line 453, in trace_task
    R = retval = fun(*args, **kwargs)
  File "/srv/shop/rates.py", line 41, in sync
    rates = fetch(day)
ValueError: no
"""


def test_frames_of_libraries_are_one_click_away(admin_page: Page, task: Any) -> None:
    run = make_run(task, Status.FAILED, error_type="ValueError", error="no", traceback=TRACEBACK)
    admin_page.goto(f"{LIST}#task={task.pk}&run={run.pk}")
    body = admin_page.locator(".st-run-body")
    library, own = body.get_by_text("in trace_task"), body.get_by_text("in sync").locator("visible=true")
    expect(own).to_have_count(1)
    expect(library).to_be_hidden()
    body.get_by_text("All frames").click()
    expect(library).to_be_visible()
    expect(own).to_have_count(1)
    make_run(task)
    refresh(admin_page)
    expect(admin_page.locator(".st-drawer .st-run")).to_have_count(3)
    expect(library).to_be_visible()


def test_retry_leads_to_the_run_it_retries_inside_the_drawer(admin_page: Page, task: Any) -> None:
    old = make_run(task, Status.FAILED, ago=900, error_type="ValueError", error="no")
    new = make_run(task, trigger="retry", retry_of=old)
    admin_page.goto(f"{LIST}#task={task.pk}&run={new.pk}")
    drawer = admin_page.get_by_role("dialog")
    drawer.get_by_role("link", name=f"run {old.pk}").click()
    expect(drawer.locator(f"#st-run-body-{old.pk} .st-errline")).to_contain_text("ValueError: no")
    expect(drawer.get_by_role("link", name=f"run {new.pk}")).to_be_visible()


def test_attempts_of_a_real_worker_are_told_while_it_waits_and_at_the_end(
    admin_page: Page, worker: Worker
) -> None:
    task = make_task(task="tests.tasks.succeed_at_attempt", args="[3]", kwargs='{"countdown": 5}')
    drawer = open_drawer(admin_page, task)
    drawer.get_by_role("button", name="Run purge now").click()
    drawer.locator(".st-run").get_by_role("button").click()
    lines = drawer.locator(".st-run-body .st-block").filter(has_text="Attempts").locator("dd")
    failed = re.compile("^started .*, waited .* · ConnectionError: not yet$")
    expect(lines).to_have_text([failed, "Retrying"])
    expect(lines).to_have_text([failed, failed, "Retrying"])
    expect(lines).to_have_text([failed, failed, re.compile("^started .*, waited .* · Success ")])


def test_frames_and_actions_without_javascript(plain_page: Page, task: Any) -> None:
    run = make_run(task, Status.FAILED, error_type="ValueError", error="no", traceback=TRACEBACK)
    plain_page.goto(f"{LIST}{task.pk}/change/?run={run.pk}")
    plain_page.get_by_text("All frames").click()
    expect(plain_page.get_by_text("in trace_task")).to_be_visible()
    plain_page.get_by_role("button", name="Disable").click()
    plain_page.get_by_text("Changes", exact=True).click()
    expect(plain_page.locator("#st-d-changes")).to_contain_text("Disabled.")


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_values_of_an_opened_run_stand_below_one_another(admin_page: Page, task: Any, width: int) -> None:
    run = make_run(task, worker="celery@host", pid=4711, queue="slow", kwargs='{"batch": 5}')
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(f"{LIST}#task={task.pk}&run={run.pk}")
    lists = admin_page.locator(".st-run-body .st-twice > dl")
    expect(lists).to_have_count(3)
    starts = lists.evaluate_all(
        "lists => lists.map(list => [...list.querySelectorAll('dd')].map(dd => dd.getBoundingClientRect().x))"
    )
    assert [len(set(each)) for each in starts] == [1, 1, 1]
    assert starts[0][0] == starts[2][0]


def test_the_menu_of_the_drawer_is_that_of_the_row(admin_page: Page, task: Any) -> None:
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("More actions for purge").click()
    items = row(admin_page, task).locator(".st-menu li")
    told = items.all_inner_texts()
    drawer = open_drawer(admin_page, task)
    more = drawer.locator("#st-d-more")
    more.press("Enter")
    own = drawer.locator("#st-d-menu li")
    assert own.all_inner_texts() == [text for text in told if not text.startswith("Pause until")]
    own.get_by_role("link", name="Run with arguments").press("Escape")
    expect(own.first).to_be_hidden()
    expect(more).to_be_focused()
    expect(drawer).to_be_visible()
    more.click()
    refresh(admin_page)
    ScheduledTask.objects.update(description="other words")
    refresh(admin_page)
    expect(own.first).to_be_visible()
    own.get_by_role("link", name="Delete…").click()
    drawer.get_by_role("link", name="Cancel").click()
    expect(more).to_be_focused()


def test_the_drawer_of_a_task_that_another_deleted_says_so_and_loses_nothing(
    admin_page: Page, task: Any
) -> None:
    drawer = open_drawer(admin_page, task)
    refresh(admin_page)
    task.delete()
    gone = "This no longer exists: it was deleted meanwhile."
    expect(drawer.get_by_role("alert").get_by_text(gone)).to_be_visible()
    expect(drawer.locator(".st-run")).to_have_count(1)
    expect(drawer.get_by_text(gone)).to_have_count(1)


def test_what_was_typed_stays_when_another_deletes_the_task(admin_page: Page, task: Any) -> None:
    drawer = open_drawer(admin_page, task)
    drawer.get_by_role("link", name="Edit arguments").click()
    field = drawer.get_by_label("Arguments", exact=True)
    field.fill("[3, 4]")
    refresh(admin_page)
    task.delete()
    drawer.get_by_role("button", name="Save").click()
    expect(toast(admin_page, "This no longer exists", "alert")).to_be_visible()
    expect(field).to_have_value("[3, 4]")


def test_arguments_are_shown_masked(admin_page: Page, task: Any) -> None:
    ScheduledTask.objects.update(kwargs='{"password": "hunter2hunter2"}')
    shown = open_drawer(admin_page, task).locator("#st-d-args")
    expect(shown).to_contain_text("[1, 2]")
    expect(shown).to_contain_text('{"password": "••••••"}')


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_a_title_keeps_its_room_without_javascript(plain_page: Page, task: Any, width: int) -> None:
    ScheduledTask.objects.update(name="recalculate-the-yearly-statements-of-every-customer")
    plain_page.set_viewport_size({"width": width, "height": 900})
    plain_page.goto(f"{LIST}{task.pk}/change/")
    title = plain_page.locator(".st-page h1").bounding_box()
    assert title is not None
    assert title["width"] >= 320
    assert title["height"] <= 90


@pytest.mark.parametrize("names", [["b"], ["a", "b"], ["c", "b", "a"]])
def test_after_a_deletion_the_focus_is_at_the_next_row(admin_page: Page, names: list[str]) -> None:
    rows = {name: make_task(name) for name in ("a", "b", "c")}
    admin_page.goto(LIST)
    for name in names:
        row(admin_page, rows[name]).get_by_role("checkbox").check()
    admin_page.locator("#st-bulk").get_by_role("button", name="Delete…").click()
    admin_page.locator(".st-drawer").get_by_role("button", name="Delete").click()
    left = [task for name, task in rows.items() if name not in names]
    heading = admin_page.get_by_role("heading", name="Scheduled tasks", exact=True)
    expect(row(admin_page, left[-1]).get_by_role("link").first if left else heading).to_be_focused()
    box = toast(admin_page, "was deleted." if len(names) == 1 else "were deleted.")
    box.get_by_role("button", name="Undo").click()
    expect(toast(admin_page, "back: ")).to_be_visible()
    expect(box).to_have_count(0)
