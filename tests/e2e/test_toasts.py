"""Messages at the bottom of the screen: how long they stay, and that they are in nobody's way."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from scheduled_tasks.models import TaskRun
from tests.e2e.test_list import LIST, make_process, make_task, row, toast
from tests.live import wait_for

pytestmark = pytest.mark.usefixtures("transactional_db")

COVERED = """() => {
    const box = document.activeElement.getBoundingClientRect();
    const found = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
    return found?.closest('.st-toast') !== null;
}"""


BUTTONS_COVERED = """() => [...document.querySelectorAll('.st-edit .st-btn')].filter((button) => {
    const box = button.getBoundingClientRect();
    const found = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
    return !button.contains(found);
}).map((button) => button.textContent)"""


COVERED_AT_THE_EDGE = """() => [...document.querySelectorAll('.st .st-btn')].filter((button) => {
    button.scrollIntoView({block: 'end', behavior: 'instant'});
    const box = button.getBoundingClientRect();
    const found = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
    return !button.contains(found);
}).map((button) => button.textContent)"""


def test_message_leaves_after_six_seconds(clocked_page: Page) -> None:
    task = make_task()
    clocked_page.goto(LIST)
    row(clocked_page, task).get_by_role("switch").click()
    message = toast(clocked_page, "purge is disabled")
    expect(message).to_be_visible()
    clocked_page.clock.run_for(5_500)
    expect(message).to_be_visible()
    clocked_page.clock.run_for(1_000)
    expect(message).to_have_count(0)


def test_message_about_a_task_takes_the_place_of_the_one_before(admin_page: Page) -> None:
    tasks = [make_task(), make_task("other")]
    admin_page.goto(LIST)
    for task in tasks:
        row(admin_page, task).get_by_role("switch").click()
        expect(toast(admin_page, f"{task.name} is disabled")).to_be_visible()
    row(admin_page, tasks[0]).get_by_role("switch").click()
    expect(toast(admin_page, "purge is enabled")).to_be_visible()
    expect(toast(admin_page, "purge is disabled")).to_have_count(0)
    expect(toast(admin_page, "other is disabled")).to_be_visible()


def test_refusal_of_a_schedule_goes_once_another_is_saved(admin_page: Page) -> None:
    task = make_task()
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("Edit schedule").click()
    field = admin_page.get_by_label("Cron expression")
    field.fill("61 * * * *")
    field.press("Enter")
    expect(toast(admin_page, "It still runs as before", "alert")).to_be_visible()
    field.fill("15 4 * * *")
    field.press("Enter")
    expect(toast(admin_page, "purge: Daily at 4:15 AM.")).to_be_visible()
    expect(toast(admin_page, "It still runs as before", "alert")).to_have_count(0)


def test_message_stays_while_the_pointer_is_on_it(clocked_page: Page) -> None:
    task = make_task()
    clocked_page.goto(LIST)
    row(clocked_page, task).get_by_role("switch").click()
    message = toast(clocked_page, "purge is disabled")
    message.hover()
    clocked_page.clock.run_for(20_000)
    expect(message).to_be_visible()
    clocked_page.mouse.move(0, 0)
    clocked_page.clock.run_for(2_000)
    expect(message).to_have_count(0)


def test_error_stays_until_it_is_closed(clocked_page: Page) -> None:
    make_process()
    task = make_task(task="tests.no_worker_knows_it")
    clocked_page.goto(LIST)
    row(clocked_page, task).get_by_role("button", name="Run purge now").click()
    message = toast(clocked_page, "No running worker knows", "alert")
    expect(message).to_be_visible()
    clocked_page.clock.run_for(300_000)
    expect(message).to_be_visible()
    message.get_by_role("button", name="Close").click()
    expect(message).to_have_count(0)


def test_messages_stack(clocked_page: Page) -> None:
    one, two = make_task("one"), make_task("two")
    clocked_page.goto(LIST)
    for task in (one, two):
        row(clocked_page, task).get_by_role("switch").click()
        expect(toast(clocked_page, f"{task.name} is disabled")).to_be_visible()
    boxes = [toast(clocked_page, f"{name} is disabled").bounding_box() for name in ("one", "two")]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]


@pytest.mark.parametrize("width", [1440, 390])
def test_message_never_covers_what_has_the_focus(admin_page: Page, width: int) -> None:
    tasks = [make_task(f"task-{n:02}", queue="nobody-listens") for n in range(20)]
    admin_page.set_viewport_size({"width": width, "height": 700})
    admin_page.goto(LIST)
    for task in tasks[3:]:
        run = row(admin_page, task).get_by_role("button", name="Run ")
        run.focus()
        if task in tasks[10:12]:
            admin_page.keyboard.press("Enter")
            expect(toast(admin_page, f"{task.name} is queued")).to_be_visible()
            expect(run).to_be_focused()
        wait_for(lambda: not admin_page.evaluate(COVERED), message=f"{task.name} not covered")


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("place", [5, 19])
def test_error_covers_no_button_of_the_editor_it_is_about(admin_page: Page, width: int, place: int) -> None:
    tasks = [make_task(f"task-{n:02}") for n in range(20)]
    admin_page.set_viewport_size({"width": width, "height": 800})
    admin_page.goto(LIST)
    row(admin_page, tasks[place]).get_by_label("Edit schedule").click()
    field = admin_page.get_by_label("Cron expression")
    expect(field).to_be_focused()
    field.fill("61 0 * * *")
    admin_page.keyboard.press("Enter")
    expect(toast(admin_page, "not saved", "alert")).to_be_visible()
    wait_for(lambda: not admin_page.evaluate(BUTTONS_COVERED), message="no button covered")
    expect(field).to_be_in_viewport()
    # What is opened under a message that stays is not covered either.
    field.press("Escape")
    expect(field).to_have_count(0)
    row(admin_page, tasks[place]).get_by_label("Edit schedule").click()
    expect(field).to_be_focused()
    wait_for(lambda: not admin_page.evaluate(BUTTONS_COVERED), message="no button covered")


def test_message_leads_to_the_run(clocked_page: Page) -> None:
    task = make_task(queue="nobody-listens")
    clocked_page.goto(LIST)
    row(clocked_page, task).get_by_role("button", name="Run purge now").click()
    toast(clocked_page, "purge is queued").get_by_role("link", name="View run").click()
    expect(clocked_page.get_by_role("heading", level=1)).to_contain_text("purge")
    assert f"/taskrun/{TaskRun.objects.get().pk}/" in clocked_page.url


@pytest.mark.parametrize("size", [(390, 500), (390, 844), (1440, 500)])
def test_without_a_script_no_message_covers_a_button(plain_page: Page, size: tuple[int, int]) -> None:
    plain_page.set_viewport_size({"width": size[0], "height": size[1]})
    plain_page.goto(f"{LIST}{make_task().pk}/schedule/")
    plain_page.get_by_label("Cron expression").fill("0 24 * * *")
    plain_page.get_by_role("button", name="Save").click()
    expect(toast(plain_page, "not saved", "alert")).to_be_in_viewport(ratio=1)
    assert plain_page.evaluate(COVERED_AT_THE_EDGE) == []


def test_equal_messages_of_one_answer_are_one(admin_page: Page) -> None:
    task = make_task()
    admin_page.goto(LIST)
    said = '<div class="st-toast" role="status" data-st-put="beforeend:#st-toasts"><p>Said twice</p></div>'

    def say_twice(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text() + said + said)

    admin_page.route("**/scheduledtask/*/**", lambda route: say_twice(route))
    row(admin_page, task).get_by_role("switch").click()
    expect(toast(admin_page, "Said twice")).to_have_count(1)
    admin_page.unroute_all(behavior="wait")
