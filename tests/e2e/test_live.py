"""The list keeps itself current: how often it asks, what it brings, and what it leaves as it is.

Time passes only when a test says so, with the browser's clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import ProcessKind, Status
from tests.e2e.test_list import LIST, make_process, make_task, refresh, row, status, toast
from tests.factories import make_run
from tests.live import wait_for

pytestmark = pytest.mark.usefixtures("transactional_db")

POLL = re.compile("/rows/")
HIDE = """hidden => {
    Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
}"""
WATCH_SHIFTS = """() => {
    window.shifts = [];
    new PerformanceObserver(list => {
        shifts.push(...list.getEntries().map(shift => shift.sources.map(source => source.node?.className)));
    }).observe({type: 'layout-shift'});
}"""
TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture
def asked(clocked_page: Page) -> Callable[[], int]:
    """Call it to learn how many requests the script of the page has made."""
    return lambda: int(clocked_page.evaluate("asked.length"))


def poll_after(page: Page, milliseconds: int) -> int:
    """Let time pass until the list asks, and wait until it has taken in the answer; gives its status."""
    answered = "asked.filter(request => request.isPoll && request.isOver).map(request => request.xhr.status)"
    before = len(page.evaluate(answered))
    page.clock.run_for(milliseconds)
    return int(wait_for(lambda: page.evaluate(answered)[before:], message="an answer")[-1])


def test_list_asks_every_15_seconds(clocked_page: Page, asked: Callable[[], int]) -> None:
    make_task()
    clocked_page.goto(LIST)
    clocked_page.clock.run_for(14_000)
    assert asked() == 0
    assert poll_after(clocked_page, 1_000) == 200


def test_list_asks_every_second_while_a_run_is_open(clocked_page: Page, asked: Callable[[], int]) -> None:
    make_process(boot_id="w")
    make_run(make_task(), Status.RUNNING, process_id="w")
    clocked_page.goto(LIST)
    clocked_page.clock.run_for(500)
    assert asked() == 0
    poll_after(clocked_page, 1_000)


def test_hidden_tab_asks_nothing_and_a_shown_one_at_once(
    clocked_page: Page, asked: Callable[[], int]
) -> None:
    make_run(make_task(), Status.RUNNING)
    clocked_page.goto(LIST)
    clocked_page.evaluate(HIDE, True)
    clocked_page.clock.run_for(120_000)
    assert asked() == 0
    with clocked_page.expect_response(POLL):
        clocked_page.evaluate(HIDE, False)


def test_refresh_can_be_paused(clocked_page: Page, asked: Callable[[], int]) -> None:
    make_task()
    clocked_page.goto(LIST)
    button = clocked_page.get_by_role("button", name="Pause refresh")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    clocked_page.clock.run_for(120_000)
    assert asked() == 0
    expect(clocked_page.get_by_text("Refresh paused")).to_be_visible()
    with clocked_page.expect_response(POLL):
        button.click()
    expect(button).to_have_attribute("aria-pressed", "false")


def test_list_says_how_old_it_is(clocked_page: Page) -> None:
    make_task()
    clocked_page.goto(LIST)
    clocked_page.clock.run_for(4_000)
    expect(clocked_page.get_by_text("Updated 4 s ago")).to_be_visible()
    poll_after(clocked_page, 11_000)
    clocked_page.clock.run_for(2_000)
    expect(clocked_page.get_by_text("Updated 2 s ago")).to_be_visible()


def test_relative_times_stay_true_when_nothing_changed(clocked_page: Page) -> None:
    task = make_task(cron="0 0 1 1 *")
    make_run(task, ago=10 * 60 + 5)
    clocked_page.goto(LIST)
    last = row(clocked_page, task).locator(".st-c-last time")
    expect(last).to_have_text("10 min ago")
    assert poll_after(clocked_page, 15_000) == 200
    assert poll_after(clocked_page, 525_000) == 304
    clocked_page.clock.run_for(60_000)
    expect(last).to_have_text("20 min ago")


def test_duration_counts_while_a_run_is_under_way(clocked_page: Page) -> None:
    make_process(boot_id="w")
    task = make_task()
    make_run(task, Status.RUNNING, ago=3600 + 4 * 60 + 5, process_id="w")
    clocked_page.goto(LIST)
    took = row(clocked_page, task).locator(".st-c-dur [data-st-since]")
    expect(took).to_have_text("1 h 4 m")
    clocked_page.clock.run_for(60_000)
    expect(took).to_have_text("1 h 5 m")


def test_only_the_row_that_changed_is_replaced(admin_page: Page) -> None:
    quiet, changed = make_task("quiet"), make_task("changed")
    admin_page.goto(LIST)
    for task in (quiet, changed):
        row(admin_page, task).evaluate("row => { row.before = true; }")
    make_run(changed, Status.FAILED)
    refresh(admin_page)
    expect(status(admin_page, changed)).to_have_text("Failed")
    assert row(admin_page, quiet).evaluate("row => row.before") is True
    assert row(admin_page, changed).evaluate("row => row.before") is None


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_jumps_when_the_table_refreshes(admin_page: Page, width: int) -> None:
    make_process(ProcessKind.BEAT)
    make_process(task_names=["tests.tasks.add"], boot_id="w")
    tasks = [make_task(f"task-{n:02}") for n in range(30)]
    admin_page.set_viewport_size({"width": width, "height": 700})
    admin_page.goto(LIST)
    focused = row(admin_page, tasks[15]).get_by_role("switch")
    focused.focus()
    before = admin_page.evaluate("scrollY")
    admin_page.evaluate(WATCH_SHIFTS)
    for task in tasks[:5] + tasks[14:18]:
        make_run(task, Status.FAILED, ago=300)
    make_run(tasks[16], Status.RUNNING, ago=5, process_id="w", progress='{"done": 1, "total": 3}')
    refresh(admin_page)
    expect(status(admin_page, tasks[16])).to_contain_text("Running")
    admin_page.evaluate(TWO_FRAMES)
    assert admin_page.evaluate("shifts") == []
    assert admin_page.evaluate("scrollY") == before > 0
    expect(focused).to_be_focused()


def test_the_shifts_would_be_seen(admin_page: Page) -> None:
    for n in range(30):
        make_task(f"task-{n:02}")
    admin_page.goto(LIST)
    admin_page.evaluate(WATCH_SHIFTS)
    admin_page.evaluate("document.querySelector('.st-row').style.paddingBlock = '40px'")
    # Not the page's own waiting, whose second look the policy of tests.csp forbids.
    wait_for(lambda: admin_page.evaluate("shifts.length"), message="a shift")


def test_after_an_error_the_list_recovers(admin_page: Page) -> None:
    task = make_task()
    admin_page.goto(LIST)
    admin_page.route("**/rows/**", lambda route: route.abort())
    admin_page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(admin_page.get_by_text("Not updated")).to_be_visible()
    expect(row(admin_page, task)).to_be_visible()
    admin_page.unroute("**/rows/**")
    refresh(admin_page)
    expect(admin_page.get_by_text(re.compile("^Updated"))).to_be_visible()


def test_refused_action_changes_nothing_and_says_so(admin_page: Page) -> None:
    task = make_task()
    admin_page.goto(LIST)
    admin_page.route("**/enabled/", lambda route: route.fulfill(status=500, body="broken"))
    switch = row(admin_page, task).get_by_role("switch")
    switch.click()
    expect(toast(admin_page, "error (500)", "alert")).to_be_visible()
    expect(switch).to_have_attribute("aria-checked", "true")


def test_health_appears_and_goes_without_a_reload(admin_page: Page) -> None:
    make_task()
    beat = make_process(ProcessKind.BEAT, silent=600)
    make_process(task_names=["tests.tasks.add"])
    admin_page.goto(LIST)
    banner = admin_page.locator(".st-banner")
    expect(banner).to_contain_text("beat -S scheduled_tasks")
    type(beat).objects.filter(pk=beat.pk).delete()
    make_process(ProcessKind.BEAT)
    refresh(admin_page)
    expect(banner).to_have_count(0)
    expect(admin_page.get_by_text("Healthy")).to_be_visible()
