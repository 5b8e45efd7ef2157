"""The list keeps itself current: how often it asks, what it brings, and what it leaves as it is.

Time passes only when a test says so, with the browser's clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import ProcessKind, Status, TaskRun, TaskState, database_now
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
WATCH_CELLS = """() => {
    window.touched = new Set();
    new MutationObserver(changes => {
        for (const {target} of changes) {
            const element = target.closest ? target : target.parentElement;
            const cell = element?.closest('#st-rows :is(td, th)');
            if (cell) touched.add(`${cell.parentElement.id} ${cell.classList[0]}`);
        }
    }).observe(document.getElementById('st-rows'), {
        subtree: true, childList: true, characterData: true, attributes: true,
    });
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
    page.clock.fast_forward(milliseconds)  # asks once, however fast the answer
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


def test_list_asks_a_second_after_a_shown_time_and_while_it_says_now(
    clocked_page: Page, asked: Callable[[], int]
) -> None:
    task, now = make_task(), database_now()
    TaskState.objects.create(task_id=task.pk, accounted_until=now, next_run_at=now + timedelta(minutes=10))
    clocked_page.goto(LIST)
    left = clocked_page.evaluate(
        "Date.parse(document.querySelector('.st-c-next time').dateTime) - Date.parse(st.dataset.now)"
    )
    poll_after(clocked_page, left - 5_000)
    before = asked()
    clocked_page.clock.run_for(5_500)
    expect(row(clocked_page, task).locator(".st-c-next")).to_have_text("Now")
    assert asked() == before
    for _ in range(9):
        poll_after(clocked_page, 1_000)
    clocked_page.clock.run_for(2_000)
    before = asked()
    clocked_page.clock.run_for(10_000)
    assert asked() == before


def test_own_change_shows_in_counts_and_row_at_once(clocked_page: Page) -> None:
    """No time passes on the browser's clock."""
    task = make_task(queue="nobody-listens")
    clocked_page.goto(LIST)
    counts = clocked_page.get_by_role("list", name="Filter by state")
    row(clocked_page, task).get_by_role("switch").click()
    expect(counts).to_contain_text("1 paused")
    row(clocked_page, task).get_by_role("switch").click()
    expect(counts).not_to_contain_text("paused")
    make_run(task, Status.RUNNING)
    row(clocked_page, task).get_by_label("More actions").click()
    row(clocked_page, task).get_by_role("button", name="Skip next run").click()
    expect(counts).to_contain_text("1 running")


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


def test_a_run_that_does_not_start_is_not_said_to_start_now(clocked_page: Page) -> None:
    """Neither beat nor a worker is there."""
    due, sent = make_task("due"), make_task("sent")
    now = database_now()
    TaskState.objects.create(task_id=due.pk, accounted_until=now, next_run_at=now + timedelta(seconds=60))
    make_run(sent, Status.QUEUED, ago=5)
    clocked_page.goto(LIST)
    clocked_page.get_by_role("button", name="Pause refresh").click()
    next_run, waits = (row(clocked_page, task).locator(".st-c-next time") for task in (due, sent))
    expect(waits).to_have_text("Now")
    clocked_page.clock.run_for(62_000)
    expect(next_run).to_have_text("Now")
    clocked_page.clock.run_for(185_000)
    expect(next_run).to_have_text("due 3 min ago")
    expect(waits).to_have_text("queued 4 min")


def test_duration_counts_while_a_run_is_under_way(clocked_page: Page) -> None:
    make_process(boot_id="w")
    task = make_task()
    make_run(task, Status.RUNNING, ago=3600 + 4 * 60 + 5, process_id="w")
    clocked_page.goto(LIST)
    took = row(clocked_page, task).locator(".st-c-dur [data-st-since]")
    expect(took).to_have_text("1 h 4 m")
    clocked_page.clock.run_for(60_000)
    expect(took).to_have_text("1 h 5 m")


def test_only_the_cells_that_changed_are_touched(admin_page: Page) -> None:
    make_task("quiet")
    changed = make_task("changed")
    admin_page.goto(LIST)
    admin_page.evaluate(WATCH_CELLS)
    make_run(changed, Status.FAILED)
    refresh(admin_page)
    expect(status(admin_page, changed)).to_have_text("Failed")
    touched = admin_page.evaluate("[...touched]")
    assert f"st-row-{changed.pk} st-c-status" in touched
    assert {place.split()[0] for place in touched} == {f"st-row-{changed.pk}"}
    assert not {place.split()[1] for place in touched} & {"st-c-check", "st-c-name", "st-c-on"}


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_jumps_when_the_table_refreshes(admin_page: Page, width: int) -> None:
    make_process(ProcessKind.BEAT)
    make_process(task_names=["tests.tasks.add"], boot_id="w")
    tasks = [make_task(f"task-{n:02}") for n in range(30)]
    admin_page.set_viewport_size({"width": width, "height": 700})
    admin_page.goto(LIST)
    focused = row(admin_page, tasks[15]).get_by_role("switch")
    focused.focus()
    before = focused.bounding_box()
    assert admin_page.evaluate("scrollY") > 0
    admin_page.evaluate(WATCH_SHIFTS)
    for task in tasks[:5] + tasks[14:18]:
        make_run(task, Status.FAILED, ago=300)
    make_run(tasks[16], Status.RUNNING, ago=5, process_id="w", progress='{"done": 1, "total": 3}')
    refresh(admin_page)
    expect(status(admin_page, tasks[16])).to_contain_text("Running")
    admin_page.evaluate(TWO_FRAMES)
    assert admin_page.evaluate("shifts") == []
    assert focused.bounding_box() == before  # of the window: the browser scrolls along when rows above grow
    expect(focused).to_be_focused()


ERROR = {"error_type": "rates.errors.RatesUnavailable", "error": "no luck today " * 20}


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_jumps_while_runs_come_and_go(admin_page: Page, width: int) -> None:
    make_process(ProcessKind.BEAT)
    make_process(task_names=["tests.tasks.add"], boot_id="w")
    tasks = [make_task(f"task-{n:02}") for n in range(12)]
    for task in tasks[::4]:
        for _ in range(30):
            make_run(task, Status.FAILED, ago=60, **ERROR)
    runs = [make_run(task, Status.QUEUED, ago=5) for task in tasks[::2]]
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(LIST)
    refresh(admin_page)  # the admin's own sidebar has come to rest by then
    admin_page.evaluate(WATCH_SHIFTS)
    for values in (
        {"status": Status.RUNNING, "process_id": "w"},
        {"progress": '{"done": 1, "total": 3}'},
        {"progress": '{"done": 2, "total": 3}'},
        {"status": Status.FAILED, **ERROR, "open_since": None, "progress": ""},
    ):
        TaskRun.objects.filter(pk__in=[run.pk for run in runs]).update(**values)
        refresh(admin_page)
        admin_page.evaluate(TWO_FRAMES)
    expect(status(admin_page, tasks[0])).to_contain_text("Failed")
    assert admin_page.evaluate("shifts") == []


def test_nothing_typed_is_lost_whatever_a_refresh_brings(admin_page: Page) -> None:
    make_process(boot_id="w")
    gone, edited, other = make_task("a-gone"), make_task("b-edited"), make_task("d-other")
    for task in (gone, edited, other):
        make_run(task, Status.RUNNING, process_id="w")
    admin_page.goto(f"{LIST}?state=running")
    row(admin_page, edited).get_by_label("Edit schedule").click()
    field = admin_page.get_by_label("Cron expression")
    field.fill("0 5 * * *")
    field.press("ArrowLeft")
    make_run(make_task("c-new"), Status.RUNNING, process_id="w")  # its row goes below the edited one
    gone.delete()
    edited.description = "Tells of something else now"
    edited.save()
    refresh(admin_page)
    expect(row(admin_page, gone)).to_have_count(0)
    expect(row(admin_page, edited)).to_contain_text("something else")
    TaskRun.objects.filter(task_id=edited.pk).update(status=Status.SUCCEEDED, open_since=None)
    refresh(admin_page)  # no running task any more, yet somebody is at its row
    expect(admin_page.locator(f"#st-row-{edited.pk} + #st-edit-{edited.pk}")).to_be_visible()
    expect(field).to_be_focused()
    admin_page.keyboard.type("1-")
    expect(field).to_have_value("0 5 * * 1-*")
    field.press("Escape")
    row(admin_page, other).get_by_label("View history").focus()
    refresh(admin_page)
    expect(row(admin_page, edited)).to_have_count(0)


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
