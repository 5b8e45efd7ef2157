"""The page on a phone, on a tablet, on a wide screen, by touch and with little motion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from scheduled_tasks.models import (
    CodeDefault,
    MaintenanceWindow,
    ProcessKind,
    ScheduledTask,
    Source,
    Status,
    TaskState,
    database_now,
)
from tests.e2e.conftest import LogIn
from tests.e2e.test_list import LIST, make_process, make_task, row, toast
from tests.factories import make_run

WIDTHS = [1440, 1024, 800, 390]
CONTROLS = (
    ":is(.st, .st-drawer) :is(a[href]:not(.st-heat-days > a), button, input:not([type=hidden]), select, "
    "textarea, summary)"
)
"""All but the days of the calendar, of which 13 weeks fit a phone: filters by date do the same.."""

TOO_SMALL = """selector => {
    const reaches = (element, x, y) => {
        const outside = x < 0 || x > innerWidth;
        return outside || element.contains(document.elementFromPoint(x, y));
    };
    const tooSmall = element => {
        element.scrollIntoView({block: 'center', behavior: 'instant'});
        const box = element.getBoundingClientRect();
        const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
        const around = [[21, 0], [-21, 0], [0, 21], [0, -21]];
        return !around.every(([right, down]) => reaches(element, x + right, y + down));
    };
    const scope = document.querySelector('dialog[open]') || document;
    const shown = [...scope.querySelectorAll(selector)].filter(element => element.checkVisibility());
    return shown.filter(tooSmall).map(element => element.outerHTML.slice(0, 120));
}"""
MOVING = """() => {
    const moves = element => {
        const {animationName, transitionDuration} = getComputedStyle(element);
        return animationName !== 'none' || transitionDuration.split(',').some(time => parseFloat(time) > 0);
    };
    const all = document.querySelectorAll('.st *, .st-drawer, .st-drawer *, .st-toasts *');
    return [...all].filter(moves).map(element => element.getAttribute('class'));
}"""

WIDER_THAN_THEIR_COLUMN = """drawer => {
    const cells = [...drawer.querySelectorAll('.st-run > :not(:last-child)')];
    const shown = cells.filter(cell => cell.checkVisibility());
    const reach = cell => {
        const range = document.createRange();
        range.selectNodeContents(cell);
        return range.getBoundingClientRect();
    };
    const isWider = cell => {
        const [box, text] = [cell.getBoundingClientRect(), reach(cell)];
        return text.right > box.right + 0.5 || text.left < box.left - 0.5;
    };
    const isCut = element => element.scrollWidth > element.clientWidth + 1;
    const cut = [...drawer.querySelectorAll('.st-started .st-quiet')].filter(isCut);
    return [...shown.filter(isWider), ...cut].map(element => element.textContent.trim());
}"""

HEADS = """() => {
    const edges = head => {
        const range = document.createRange();
        range.selectNodeContents(head);
        const {left, right} = range.getBoundingClientRect();
        return [left, right];
    };
    const heads = [...document.querySelectorAll('#st-table thead th:not(.st-c-check, .st-c-act)')];
    return heads.filter(head => head.checkVisibility()).map(edges);
}"""
"""Where the words over the columns begin and end."""

END_OF_TEXT = """element => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return range.getBoundingClientRect().right;
}"""

COUNT_TRANSITIONS = """() => {
    window.moved = [];
    const note = ({target, propertyName}) => target.matches('.st-switch') && moved.push(propertyName);
    document.addEventListener('transitionrun', note);
}"""


@pytest.fixture
def task(transactional_db: None) -> Any:
    """A task with every control a row can have."""
    make_process(ProcessKind.BEAT)
    make_process(task_names=["tests.tasks.add"], boot_id="w")
    task = make_task("webhook-delivery-retry", description="Retries failed deliveries", args="[1]")
    declared = {"schedule": "0 5 * * *", "description": task.description}
    CodeDefault.objects.create(task_id=task.pk, name=task.name, source=Source.DECORATOR, declared=declared)
    for n in range(22):
        make_run(
            task, Status.FAILED, ago=1000 - n, error="no", error_type="ValueError", traceback="Traceback"
        )
    make_run(make_task("running"), Status.RUNNING, ago=5, process_id="w")
    return task


@pytest.fixture
def phone(browser: Browser, base_url: str, admin_user: User, log_in: LogIn) -> Iterator[Page]:
    """A logged-in page of a phone, on which nothing moves while it is measured."""
    context = browser.new_context(
        base_url=base_url,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        reduced_motion="reduce",
    )
    yield log_in(context, admin_user)
    context.close()


def test_checkboxes_are_large_enough_for_a_finger(phone: Page, task: Any) -> None:
    phone.set_viewport_size({"width": 1024, "height": 768})
    phone.goto(LIST)
    boxes = [phone.get_by_label("Select all tasks"), row(phone, task).get_by_role("checkbox")]
    for box in boxes:
        expect(box).to_be_visible()
        size = box.bounding_box()
        assert size is not None
        assert min(size["width"], size["height"]) >= 24
    boxes[1].check()
    expect(phone.locator(".st-foot")).to_contain_text("1 of")


def test_targets_of_the_list_are_large_enough_for_a_finger(phone: Page, task: Any) -> None:
    phone.goto(f"{LIST}?q=e")
    assert phone.evaluate(TOO_SMALL, CONTROLS) == []
    row(phone, task).locator("summary").click()
    assert phone.evaluate(TOO_SMALL, ".st-menu[open] :is(a, button)") == []
    row(phone, task).locator("summary").click()
    row(phone, task).get_by_label("Edit schedule").click()
    expect(phone.get_by_label("Cron expression")).to_be_focused()
    assert phone.evaluate(TOO_SMALL, CONTROLS) == []


def test_targets_of_the_drawer_are_large_enough_for_a_finger(phone: Page, task: Any) -> None:
    phone.goto(LIST)
    row(phone, task).get_by_label("View history").click()
    drawer = phone.get_by_role("dialog")
    drawer.locator(".st-run").first.get_by_role("button").click()
    expect(drawer.locator(".st-run-body")).to_be_visible()
    assert phone.evaluate(TOO_SMALL, CONTROLS) == []


@pytest.mark.parametrize("path", ["", "add/"])
def test_targets_of_maintenance_are_large_enough_for_a_finger(phone: Page, task: Any, path: str) -> None:
    now = database_now()
    MaintenanceWindow.objects.create(
        starts_at=now, ends_at=now + timedelta(hours=1), note="move", covers_all=True
    )
    phone.goto(f"/admin/scheduled_tasks/maintenancewindow/{path}")
    for summary in phone.locator(".st summary").all():
        summary.click()
    assert phone.evaluate(TOO_SMALL, CONTROLS) == []


@pytest.mark.parametrize("path", ["add/", "add/?source=%s", "%s/delete/"])
def test_targets_of_a_new_and_a_deleted_task_are_large_enough(phone: Page, task: Any, path: str) -> None:
    phone.goto(LIST + (path % task.pk if "%" in path else path))
    assert phone.evaluate(TOO_SMALL, CONTROLS) == []


@pytest.mark.parametrize("page", ["deleted/", "%s/history/"])
def test_deleted_tasks_stand_below_their_heads_and_fit_a_phone(
    phone: Page, admin_page: Page, page: str
) -> None:
    task = make_task("x" * 150)
    phone.goto(f"{LIST}{task.pk}/delete/")
    phone.get_by_role("button", name="Delete").click()
    address = LIST + (page % task.pk if "%" in page else page)
    phone.goto(address)
    assert phone.evaluate(TOO_SMALL, CONTROLS) == []
    assert phone.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    admin_page.goto(address)
    starts = [
        admin_page.locator(f".st-runs {part} tr > :first-child").evaluate(
            "cell => getComputedStyle(cell).paddingInlineStart"
        )
        for part in ("thead", "tbody")
    ]
    assert starts == ["8px", "8px"]


@pytest.mark.parametrize("width", WIDTHS)
def test_run_now_and_history_are_there_at_every_width(admin_page: Page, task: Any, width: int) -> None:
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(LIST)
    for label in ("Run webhook-delivery-retry now", "View history of", "More actions for"):
        control = row(admin_page, task).get_by_label(label)
        control.scroll_into_view_if_needed()
        expect(control).to_be_in_viewport(ratio=0.99)  # it may end within a pixel
    assert admin_page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", WIDTHS)
def test_endless_words_break(admin_page: Page, transactional_db: None, width: int) -> None:
    endless = make_task("x" * 200, description="y" * 999, zone="America/Argentina/ComodRivadavia")
    policy = {"owner": "o" * 100, "runbook": "https://example.com/" + "r" * 480}
    TaskState.objects.create(task_id=endless.pk, pause_note="n" * 400, paused_by_name="p" * 150, **policy)
    ScheduledTask.objects.update(enabled=False)
    make_run(endless, Status.FAILED, error="e" * 900, error_type="t" * 200)
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(LIST)
    assert admin_page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    cells = row(admin_page, endless).locator(":is(.st-c-name, .st-when > span, .st-c-next, .st-c-status)")
    assert not cells.evaluate_all("cells => cells.some(cell => cell.scrollWidth > cell.clientWidth + 1)")


@pytest.mark.parametrize("width", WIDTHS)
def test_endless_words_break_on_every_page(admin_page: Page, transactional_db: None, width: int) -> None:
    minutes = ",".join(map(str, range(0, 60, 2)))
    make_process(task_names=["tests.tasks.add"])
    endless = make_task("x" * 200, task="z" * 200, cron=f"{minutes} 3 * * *", description="y" * 999)
    words = {"error": "e" * 900, "error_type": "t" * 200, "worker": "w" * 255, "actor": "a" * 150}
    run = make_run(endless, Status.FAILED, summary=json.dumps({"k" * 90: "v"}), **words)
    policy = {"owner": "o" * 100, "runbook": "https://example.com/" + "r" * 480}
    TaskState.objects.create(task_id=endless.pk, pause_note="n" * 400, paused_by_name="p" * 150, **policy)
    ScheduledTask.objects.update(enabled=False)
    admin_page.emulate_media(reduced_motion="reduce")
    admin_page.set_viewport_size({"width": width, "height": 900})
    tasks = [
        f"{endless.pk}/{path}/"
        for path in ("change", "schedule", "alerts", "arguments", "pause", "runs/new", "delete")
    ]
    tasks.append(f"add/?source={endless.pk}")
    for path in [*tasks, "timeline/", "../taskrun/", f"../taskrun/{run.pk}/change/", ""]:
        admin_page.goto(f"{LIST}{path}")
        assert admin_page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), path
    row(admin_page, endless).get_by_role("button", name="Run ").first.click()
    expect(toast(admin_page, "z" * 200, "alert")).to_be_visible()
    row(admin_page, endless).get_by_label("View history").click()
    drawer = admin_page.get_by_role("dialog")
    drawer.locator(".st-run").last.get_by_role("button").click()
    expect(drawer.locator(".st-run-body")).to_be_visible()
    for scope in (admin_page.locator("#st-drawer"), admin_page.locator(".st-toast p").first):
        assert scope.evaluate("scope => scope.scrollWidth <= scope.clientWidth")


@pytest.mark.parametrize(("width", "lines"), [(1440, 1), (1024, 1), (390, 2)])
def test_longer_words_have_room(
    browser: Browser, base_url: str, admin_user: User, log_in: LogIn, width: int, lines: int
) -> None:
    task = make_task("retention", enabled=False)
    for n in range(10):
        make_run(task, ago=900 - n)
    make_run(task, Status.FAILED, took=9)
    make_run(make_task("running"), Status.RUNNING, ago=1300, trigger="manual", actor="anna")
    make_task("unknown", task="nobody.knows")
    size = {"width": width, "height": 900}
    page = log_in(browser.new_context(base_url=base_url, locale="de", viewport=size), admin_user)
    page.goto(LIST)
    hint = row(page, task).get_by_text("9,0×").locator("visible=true")
    expect(hint).to_be_visible()
    cells = page.locator("#st-rows :is(.st-c-last, .st-c-dur)")
    assert not cells.evaluate_all("cells => cells.some(cell => cell.scrollWidth > cell.clientWidth)")
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    heads = page.evaluate(HEADS) if width > 640 else []  # above cards they wrap
    assert all(head[1] < next_head[0] for head, next_head in pairwise(heads)), heads
    for part, most in (("h1", 40), (".st-counts", 44 * lines)):
        box = page.locator(f".st-head {part}").bounding_box()
        assert box is not None
        assert box["height"] < most
    page.context.close()


@pytest.mark.parametrize("page_of", ["drawer", "runs"])
@pytest.mark.parametrize(("language", "status"), [("de", Status.SKIPPED), ("fr", Status.QUEUED)])
def test_longer_statuses_have_room(
    browser: Browser,
    base_url: str,
    admin_user: User,
    log_in: LogIn,
    language: str,
    status: Status,
    page_of: str,
) -> None:
    task = make_task()
    run = make_run(task, status)
    size = {"width": 1024, "height": 900}
    page = log_in(browser.new_context(base_url=base_url, locale=language, viewport=size), admin_user)
    page.goto(f"{LIST}../taskrun/" if page_of == "runs" else LIST)
    if page_of == "drawer":
        row(page, task).locator(".st-hist").click()
    word, trigger = (page.locator(f"#st-run-{run.pk} {part}") for part in (".st-r-status", ".st-r-trig span"))
    ends, begins = word.evaluate(END_OF_TEXT), trigger.bounding_box()
    assert begins is not None
    assert ends <= begins["x"]
    assert begins["height"] < 25
    page.context.close()


@pytest.mark.parametrize("width", [1440, 1024])
def test_percents_of_progress_are_on_one_line(admin_page: Page, task: Any, width: int) -> None:
    make_process(task_names=["tests.tasks.add"], boot_id="p")
    make_run(task, Status.RUNNING, ago=5, process_id="p", progress='{"done": 3, "total": 3}')
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(LIST)
    percents = row(admin_page, task).get_by_text("100 %")
    assert percents.evaluate("element => element.offsetHeight") < 30


def test_pages_of_the_list_stand_beside_its_number_of_tasks(admin_page: Page, transactional_db: None) -> None:
    for n in range(51):
        make_task(f"task-{n:03}")
    admin_page.goto(LIST)
    pages = admin_page.get_by_role("navigation", name="Pages of tasks")
    places = [pages, admin_page.get_by_text("51 scheduled tasks"), admin_page.locator("#st-table")]
    boxes = [place.bounding_box() for place in places]
    links, number, table = (box for box in boxes if box)
    assert links["y"] <= number["y"] < links["y"] + links["height"]
    assert links["x"] + links["width"] == pytest.approx(table["x"] + table["width"], abs=1)
    pages.get_by_role("link", name="2").click()
    expect(admin_page.locator("#st-rows > tr")).to_have_count(1)


def test_details_of_a_tasks_runs_have_room(admin_page: Page, task: Any) -> None:
    admin_page.set_viewport_size({"width": 1024, "height": 900})
    admin_page.goto(f"{LIST}{task.pk}/change/")
    details = admin_page.locator(".st-run td").last.bounding_box()
    assert details is not None
    assert details["width"] > 150


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_columns_of_the_drawers_runs_hold_what_they_show(
    browser: Browser,
    base_url: str,
    admin_user: User,
    log_in: LogIn,
    task: Any,
    width: int,
    language: str,
) -> None:
    for days in (0, 40, 400):
        make_run(task, Status.TIMED_OUT, ago=days * 86_400 + 60 * 59, took=3599)
    size = {"width": width, "height": 900}
    context = browser.new_context(base_url=base_url, locale=language, viewport=size)
    page = log_in(context, admin_user)
    page.goto(LIST)
    row(page, task).locator(".st-name > a").first.click()
    drawer = page.get_by_role("dialog")
    expect(drawer.locator(".st-run").first).to_be_visible()
    assert drawer.evaluate(WIDER_THAN_THEIR_COLUMN) == []
    assert drawer.evaluate("drawer => drawer.scrollWidth - drawer.clientWidth") <= 0
    if width > 390:
        heads = drawer.locator(".st-runs thead th").evaluate_all("all => all.map(each => each.offsetWidth)")
        assert heads[0] < heads[-1]
    context.close()


def test_details_of_runs_have_room_in_the_drawer(admin_page: Page, task: Any) -> None:
    admin_page.emulate_media(reduced_motion="reduce")
    admin_page.set_viewport_size({"width": 1024, "height": 900})
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("View history").click()
    details = admin_page.get_by_role("dialog").locator(".st-run td").last.bounding_box()
    assert details is not None
    assert details["width"] > 200


@pytest.mark.parametrize("width", [1440, 1024])
def test_long_schedule_is_cut_in_its_row_and_whole_on_focus_and_in_the_drawer(
    admin_page: Page, transactional_db: None, width: int
) -> None:
    long, short = make_task("long", cron="*/7 3-5,9 1,15 * 1-5"), make_task("short")
    usual = make_task("usual", cron="*/10 * * * *")
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(LIST)
    label = row(admin_page, long).get_by_text("At 0, 7, 14").first
    box = label.bounding_box()
    assert box is not None
    assert box["height"] <= 3 * 18
    line = row(admin_page, usual).get_by_text("Every 10 minutes").bounding_box()
    assert line is not None
    assert line["height"] <= 18
    tip = row(admin_page, long).get_by_role("tooltip", include_hidden=True)
    expect(tip).to_be_hidden()
    label.focus()
    expect(tip).to_be_visible()
    expect(tip.get_by_text("(both the date and the weekday must match)")).to_be_visible()
    expect(tip).to_contain_text("*/7 3-5,9 1,15 * 1-5")
    expect(row(admin_page, short).get_by_role("tooltip", include_hidden=True)).to_have_text("0 3 * * *")
    row(admin_page, long).get_by_label("View history").click()
    expect(admin_page.get_by_role("dialog").get_by_text("the weekday must match)")).to_be_visible()


@pytest.mark.parametrize("width", WIDTHS)
def test_note_of_a_disabled_task_is_read_at_every_width(
    admin_page: Page, transactional_db: None, width: int
) -> None:
    task = make_task(enabled=False)
    TaskState.objects.create(task_id=task.pk, pause_note="Until the audit", paused_by_name="anna")
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(LIST)
    expect(row(admin_page, task).get_by_text("Until the audit").locator("visible=true")).to_have_count(1)


def test_facts_of_a_run_stand_in_one_column_on_a_phone(phone: Page, task: Any) -> None:
    phone.goto(LIST)
    row(phone, task).get_by_label("View history").tap()
    drawer = phone.get_by_role("dialog")
    drawer.locator(".st-run").first.get_by_role("button").tap()
    values = drawer.locator(".st-twice dd")
    expect(values.first).to_be_visible()
    assert len(set(values.evaluate_all("all => all.map(each => each.getBoundingClientRect().left)"))) == 1


def test_durations_beside_the_chart_are_whole_on_a_phone(phone: Page, transactional_db: None) -> None:
    task = make_task()
    for ago in (200, 100):
        make_run(task, ago=ago, took=30)
    phone.goto(LIST)
    row(phone, task).get_by_label("View history").tap()
    texts = phone.locator(".st-chart text")
    expect(texts).to_have_count(2)
    tops = texts.evaluate_all("all => all.map(each => each.getBoundingClientRect().top)")
    shown = phone.locator(".st-chart").evaluate(
        "chart => chart.getBoundingClientRect().top + parseFloat(getComputedStyle(chart).paddingTop)"
    )
    assert min(tops) >= shown


def test_message_of_one_line_is_one_line_high_by_touch(phone: Page, task: Any) -> None:
    phone.goto(LIST)
    row(phone, task).get_by_role("switch").tap()
    message = toast(phone, "is disabled")
    heights = message.evaluate("box => [box, box.querySelector('p')].map(each => each.offsetHeight)")
    assert heights[0] == heights[1] + 24


def test_long_schedule_is_whole_on_a_card(phone: Page, transactional_db: None) -> None:
    task = make_task(cron="*/7 3-5,9 1,15 * 1-5")
    phone.goto(LIST)
    label = row(phone, task).get_by_text("At 0, 7, 14").first
    assert label.evaluate("label => label.scrollHeight <= label.clientHeight")
    label.tap()
    tip = row(phone, task).get_by_role("tooltip")
    expect(tip).to_be_visible()
    expect(tip.get_by_text("At 0, 7, 14")).to_be_hidden()


def test_name_of_a_task_is_not_squeezed_by_its_buttons(admin_page: Page, task: Any) -> None:
    admin_page.set_viewport_size({"width": 640, "height": 900})
    admin_page.goto(f"{LIST}{task.pk}/change/")
    name = admin_page.locator(".st-d-head h1").bounding_box()
    assert name is not None
    assert name["height"] < 40


def test_dates_of_runs_have_room_beside_their_names(admin_page: Page, task: Any) -> None:
    make_run(task, ago=3 * 86400)
    admin_page.set_viewport_size({"width": 1024, "height": 900})
    admin_page.goto(f"{LIST}../taskrun/")
    date, name = (
        admin_page.locator(f".st-run {part}").first.bounding_box() for part in ("time", ".st-r-name a")
    )
    assert date is not None
    assert name is not None
    assert date["width"] > 100
    assert date["x"] + date["width"] + 5 < name["x"]


def test_every_drawer_closes_at_the_same_place(admin_page: Page, task: Any) -> None:
    admin_page.emulate_media(reduced_motion="reduce")
    admin_page.goto(LIST)
    drawer = admin_page.get_by_role("dialog")
    places = []
    for link in ("View history", "Run with arguments"):
        if link != "View history":
            row(admin_page, task).locator("summary").click()
        row(admin_page, task).get_by_role("link", name=link).click()
        expect(drawer.locator(".st-run, .st-form").first).to_be_visible()
        places.append(drawer.get_by_label("Close").bounding_box())
        admin_page.keyboard.press("Escape")
    assert places[0] is not None
    assert places[0] == places[1]


def test_long_text_of_a_run_leaves_its_buttons_near(admin_page: Page, transactional_db: None) -> None:
    long = {"error": "e" * 10_000, "traceback": "t" * 10_000, "log": "l" * 10_000}
    run = make_run(make_task(), Status.FAILED, **long)
    admin_page.goto(f"{LIST}../taskrun/{run.pk}/change/")
    button = admin_page.get_by_role("button", name="Retry").bounding_box()
    assert button is not None
    assert button["y"] < 2000
    texts = admin_page.locator(".st-errline, .st-block pre")
    assert texts.evaluate_all("all => all.map(text => [text.tabIndex, text.scrollTop = 99])") == [[0, 99]] * 3


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_its_width(admin_page: Page, task: Any, width: int) -> None:
    admin_page.set_viewport_size({"width": width, "height": 900})
    paths = [
        f"{task.pk}/{path}/" for path in ("change", "schedule", "alerts", "arguments", "pause", "runs/new")
    ]
    for path in [*paths, "timeline/", "../taskrun/", "../taskrun/?status=failed"]:
        admin_page.goto(f"{LIST}{path}")
        assert admin_page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), path


@pytest.mark.parametrize(("width", "wide"), [(1440, 720), (390, 390)])
def test_drawer_comes_from_the_right(admin_page: Page, task: Any, width: int, wide: int) -> None:
    admin_page.emulate_media(reduced_motion="reduce")
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("View history").click()
    drawer = admin_page.get_by_role("dialog")
    expect(drawer.locator(".st-run").first).to_be_visible()
    box = drawer.bounding_box()
    assert box is not None
    assert (box["width"], box["x"], box["height"]) == (wide, width - wide, 900)


def test_table_becomes_cards_on_a_phone(admin_page: Page, task: Any) -> None:
    admin_page.goto(LIST)
    head = admin_page.get_by_role("columnheader", name="Schedule")
    expect(head).to_be_visible()
    admin_page.set_viewport_size({"width": 390, "height": 900})
    expect(head).to_be_hidden()  # it sorts nothing
    next_run, last_run = (row(admin_page, task).locator(f".st-c-{name}") for name in ("next", "last"))
    expect(next_run).to_be_visible()
    assert "Next run" in next_run.evaluate("cell => getComputedStyle(cell, '::before').content")
    assert "Last run" in last_run.evaluate("cell => getComputedStyle(cell, '::before').content")


def test_nothing_moves_for_those_who_want_no_motion(admin_page: Page, task: Any) -> None:
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("View history").click()
    expect(admin_page.get_by_role("dialog").locator(".st-run").first).to_be_visible()
    assert {"st-drawer", "st-switch"} <= set(admin_page.evaluate(MOVING))
    admin_page.emulate_media(reduced_motion="reduce")
    assert admin_page.evaluate(MOVING) == []


def test_switches_do_not_move_when_the_layout_changes(admin_page: Page, task: Any) -> None:
    admin_page.set_viewport_size({"width": 1024, "height": 900})
    admin_page.goto(LIST)
    admin_page.evaluate(COUNT_TRANSITIONS)
    admin_page.set_viewport_size({"width": 390, "height": 900})
    expect(admin_page.get_by_role("columnheader", name="Schedule")).to_be_hidden()
    admin_page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert admin_page.evaluate("moved") == []
    row(admin_page, task).get_by_role("switch").click()
    admin_page.wait_for_function("moved.length")


def test_slash_is_shown_to_those_who_can_use_it(
    admin_page: Page, plain_page: Page, phone: Page, task: Any
) -> None:
    for page, shown in ((admin_page, True), (plain_page, False), (phone, False)):
        page.goto(LIST)
        expect(page.locator(".st-search kbd")).to_be_visible(visible=shown)
