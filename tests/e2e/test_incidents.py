"""Incidents in a real browser: acknowledged, muted, filtered, tried out; and nothing moves when one opens."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Dialog, Locator, Page, expect

from scheduled_tasks.models import Incident, NoticeState, ProcessKind, Status, database_now
from tests.alerts.rows import make_notice
from tests.e2e.test_list import LIST, make_process, make_task, refresh, row, toast
from tests.e2e.test_live import TWO_FRAMES, WATCH_SHIFTS
from tests.factories import make_run

pytestmark = pytest.mark.usefixtures("transactional_db")

INCIDENTS = "/admin/scheduled_tasks/incident/"
OPS = "mailto:ops@example.com"


def open_incident(task: Any, kind: str = "failing", **values: Any) -> Incident:
    """An open incident of a task, or one of beat where there is none."""
    now, who = database_now(), task.pk if task else ""
    fields = {"kind": kind, "key": f"{kind}:{who}", "open_key": f"{kind}:{who}", "run_count": 3}
    times = {"opened_at": now - timedelta(minutes=14), "last_seen_at": now}
    whose = {"task_id": task.pk, "subject": task.name} if task else {}
    return Incident.objects.create(**{**fields, **times, **whose, **values})


@pytest.fixture
def task() -> Any:
    make_process(ProcessKind.BEAT)
    make_process(task_names=["tests.tasks.add"])
    task = make_task("exchange-rate-sync", description="Fetches today's exchange rates")
    make_run(task, Status.FAILED, error_type="RatesUnavailable", error="no answer")
    make_task("other")
    return task


def mute(place: Locator, span: str) -> None:
    place.get_by_role("group", name="Mute").get_by_role("button", name=span).click()


def test_acknowledge_and_mute_in_the_drawer(admin_page: Page, task: Any) -> None:
    incident = open_incident(task)
    admin_page.goto(LIST)
    mark = row(admin_page, task).locator(".st-mark")
    expect(mark).to_have_attribute("title", re.compile("^Failing, open since [^.]+$"))
    row(admin_page, task).get_by_label("View history").click()
    drawer = admin_page.get_by_role("dialog")
    line = drawer.locator(f"#st-incident-line-{incident.pk}")
    note = line.get_by_label("Note on Failing: exchange-rate-sync")
    note.fill("Asked the provider")
    note.press("Enter")
    expect(toast(admin_page, "The incident is acknowledged.")).to_be_visible()
    expect(line).to_contain_text("Acknowledged by admin: Asked the provider")
    mute(line, "Until resolved")
    expect(line).to_contain_text("Muted until resolved by admin")
    told = "Acknowledged by admin: Asked the provider. Muted until resolved by admin$"
    expect(mark).to_have_attribute("title", re.compile(told))
    drawer.get_by_role("button", name="Unmute").click()
    expect(line.get_by_role("group", name="Mute").get_by_role("button", name="1 h")).to_be_visible()
    line.get_by_role("link", name="Whole story").click()
    expect(admin_page.get_by_role("heading", name="Failing: exchange-rate-sync")).to_be_visible()


def test_acknowledge_and_mute_in_the_story(admin_page: Page, task: Any) -> None:
    incident = open_incident(task)
    admin_page.goto(f"{INCIDENTS}{incident.pk}/change/")
    story = admin_page.locator("#st-incident")
    story.get_by_role("button", name="Acknowledge").click()
    expect(story).to_contain_text("Acknowledged by admin")
    story.get_by_role("button", name="Take back").click()
    expect(story).not_to_contain_text("Acknowledged by admin")
    story.get_by_role("button", name="Acknowledge").click()
    expect(story).to_contain_text("Acknowledged by admin")
    mute(story, "1 h")
    expect(story.get_by_text("Muted until")).to_be_visible()
    expect(story).to_contain_text("Nobody was told. It is muted.")
    story.get_by_role("button", name="Unmute").click()
    expect(story.get_by_text("It is muted.")).to_have_count(0)
    refresh(admin_page)  # the next one comes when the button has been pressed
    Incident.objects.update(open_key=None, closed_at=database_now(), closing="recovered")
    mute(story, "Until tomorrow")
    expect(toast(admin_page, "This incident is over.", "alert")).to_be_visible()
    expect(story.get_by_role("group", name="Mute")).to_have_count(0)


def test_everything_works_without_javascript(plain_page: Page, task: Any) -> None:
    incident = open_incident(task)
    for path in (f"{INCIDENTS}{incident.pk}/change/", f"{LIST}{task.pk}/change/"):
        plain_page.goto(path)
        here = plain_page.url
        plain_page.locator(".st-ack input[name=note]").fill(f"seen on {path}")
        plain_page.locator(".st-ack-note button").click()
        expect(plain_page.get_by_text(f"Acknowledged by admin: seen on {path}")).to_be_visible()
        mute(plain_page.locator(".st-ack"), "Until tomorrow")
        expect(plain_page.get_by_text("The incident is muted.")).to_be_visible()
        plain_page.get_by_role("button", name="Unmute").click()
        expect(plain_page.get_by_role("button", name="1 h")).to_be_visible()
        assert plain_page.url == here


def test_filters_and_search(admin_page: Page, task: Any) -> None:
    open_incident(task)
    open_incident(None, "beat")
    past = open_incident(task, "late", open_key=None, closed_at=database_now(), closing="recovered")
    make_notice(OPS, past, state=NoticeState.SENT)
    admin_page.goto(LIST)
    admin_page.locator("#st-incidents").get_by_role("link", name="Incidents 2 open").click()
    rows = admin_page.locator(".st-inc")
    expect(rows).to_have_count(2)
    admin_page.get_by_role("link", name="Past", exact=True).click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("1 channel")
    admin_page.get_by_role("link", name="All", exact=True).click()
    admin_page.get_by_role("link", name="Beat is down").first.click()
    admin_page.get_by_label("Search incidents").fill("rate")
    admin_page.get_by_label("Search incidents").press("Enter")
    expect(admin_page.get_by_text("No incidents here.")).to_be_visible()
    admin_page.get_by_role("link", name="Any kind").click()
    expect(rows).to_have_count(2)


def test_test_alert_says_of_each_address_how_it_went(admin_page: Page, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {
        **settings.SCHEDULED_TASKS,
        "ALERTS": {"default": [OPS, "tests.nowhere.to_be_found"], "billing": ["mailto:billing@example.com"]},
    }
    admin_page.goto(INCIDENTS)
    admin_page.get_by_role("button", name="Send test alert").click()
    expect(toast(admin_page, "ops@example.com: sent")).to_be_visible()
    expect(toast(admin_page, "tests.nowhere.to_be_found: ", "alert")).to_be_visible()
    admin_page.get_by_label("Owner").select_option("billing")
    admin_page.get_by_role("button", name="Send test alert").click()
    expect(toast(admin_page, "billing@example.com: sent")).to_be_visible()


@pytest.mark.parametrize("width", [1440, 1024])
def test_nothing_moves_when_an_incident_opens(admin_page: Page, task: Any, width: int) -> None:
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(LIST)
    admin_page.evaluate(WATCH_SHIFTS)
    places = ".st-row, .st-head > *, .st-meta > *"
    where = "all => all.map(each => JSON.stringify(each.getBoundingClientRect().toJSON().y))"
    before = admin_page.locator(places).evaluate_all(where)
    open_incident(task)
    refresh(admin_page)
    expect(row(admin_page, task).locator(".st-mark")).to_be_visible()
    expect(admin_page.locator("#st-incidents")).to_contain_text("Incidents 1")
    expect(admin_page.locator("#st-counts")).to_contain_text("1 with an incident")
    admin_page.evaluate(TWO_FRAMES)
    assert admin_page.evaluate("shifts") == []
    assert admin_page.locator(places).evaluate_all(where) == before


def test_a_typed_note_survives_a_refresh(admin_page: Page, task: Any) -> None:
    incident = open_incident(task)
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("View history").click()
    line = admin_page.get_by_role("dialog").locator(f"#st-incident-line-{incident.pk}")
    note = line.get_by_label("Note on")
    note.fill("half a sen")
    Incident.objects.update(acknowledged_by="bert", acknowledged_at=database_now(), note="mine")
    refresh(admin_page)
    expect(line).to_contain_text("Acknowledged by bert: mine")
    expect(note).to_have_value("half a sen")
    expect(note).to_be_focused()


def test_an_incident_that_ends_says_so_and_a_typed_note_survives(admin_page: Page, task: Any) -> None:
    incident = open_incident(task)
    story = admin_page.locator("#st-incident")
    note = story.get_by_label("Note on")
    admin_page.goto(f"{INCIDENTS}{incident.pk}/change/")
    Incident.objects.update(acknowledged_by="bert", acknowledged_at=database_now(), note="mine")
    refresh(admin_page)
    expect(story).to_contain_text("Acknowledged by bert: mine")
    expect(note).to_have_value("mine")
    note.fill("saved")
    note.press("Enter")
    expect(story).to_contain_text("Acknowledged by admin: saved")
    Incident.objects.update(acknowledged_by="bert", note="and again")
    refresh(admin_page)
    expect(note).to_have_value("and again")
    note.fill("half a sen")
    Incident.objects.update(note="", acknowledged_by="", acknowledged_at=None)
    refresh(admin_page)
    expect(story.get_by_text("Acknowledged by")).to_have_count(0)
    place = note.bounding_box()
    Incident.objects.update(acknowledged_by="bert", acknowledged_at=database_now(), note="yours")
    make_notice(OPS, incident, state=NoticeState.SENT)
    refresh(admin_page)
    expect(story).to_contain_text("Acknowledged by bert: yours")
    expect(story.get_by_text("Nobody was told.")).to_have_count(0)
    assert note.bounding_box()["y"] == place["y"]
    Incident.objects.update(open_key=None, closed_at=database_now(), closing="recovered")
    refresh(admin_page)
    expect(story).to_contain_text("Recovered")
    expect(story.get_by_text("still open")).to_have_count(0)
    expect(note).to_have_value("half a sen")
    expect(note).to_be_focused()
    expect(note).not_to_be_editable()
    expect(story.locator(".st-ack button")).to_have_count(0)
    refresh(admin_page)
    expect(note).to_have_value("half a sen")


@pytest.mark.parametrize("place", ["story", "drawer"])
def test_what_somebody_did_meanwhile_is_asked(admin_page: Page, task: Any, place: str) -> None:
    incident = open_incident(task)
    if place == "story":
        admin_page.goto(f"{INCIDENTS}{incident.pk}/change/")
    else:
        admin_page.goto(LIST)
        row(admin_page, task).get_by_label("View history").click()
    where = admin_page.locator(f"#st-{'incident' if place == 'story' else 'drawer'}")
    form = where.locator(f"#st-ack-{incident.pk}")
    note = form.get_by_label("Note on")
    note.fill("my note")
    Incident.objects.update(acknowledged_by="bert", acknowledged_at=database_now(), note="theirs")
    refresh(admin_page)
    expect(where.get_by_text("Acknowledged by bert: theirs")).to_be_visible()
    note.press("Enter")
    box = form.locator(".st-conflict")
    expect(box).to_contain_text("Somebody changed this incident meanwhile.")
    expect(box.get_by_role("link", name="Keep theirs")).to_be_focused()
    Incident.objects.update(run_count=7)
    refresh(admin_page)
    expect(note).to_have_value("my note")
    box.get_by_role("button", name="Save mine").click()
    expect(where.get_by_text("Acknowledged by admin: my note")).to_be_visible()
    expect(box).to_be_hidden()
    expect(toast(admin_page, "Somebody changed this incident", "alert")).to_have_count(0)
    refresh(admin_page)
    Incident.objects.update(muted_by="bert", muted_for_good=True)
    mute(form, "1 h")
    expect(box).to_be_visible()
    box.get_by_role("link", name="Keep theirs").click()
    expect(box).to_be_hidden()
    expect(form.get_by_role("button", name="Unmute")).to_be_visible()
    form.get_by_role("button", name="Unmute").click()
    expect(toast(admin_page, "The incident is not muted any more.")).to_be_visible()


def test_the_list_of_incidents_keeps_up(admin_page: Page, task: Any) -> None:
    incident = open_incident(task)
    admin_page.goto(INCIDENTS)
    line = admin_page.locator(f"#st-inc-{incident.pk}")
    admin_page.evaluate("window.loaded = true")
    Incident.objects.update(open_key=None, closed_at=database_now(), closing="recovered")
    other = open_incident(None, "beat")
    refresh(admin_page)
    expect(line).to_contain_text("Recovered")
    expect(admin_page.locator(f"#st-inc-{other.pk}")).to_contain_text("Beat is down")
    assert admin_page.evaluate("loaded")


def test_the_second_half_of_a_double_click_does_nothing(admin_page: Page, task: Any) -> None:
    incident = open_incident(task, muted_by="bert", muted_for_good=True)
    admin_page.goto(f"{INCIDENTS}{incident.pk}/change/")
    box = admin_page.get_by_role("button", name="Unmute").bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    admin_page.mouse.click(*middle)
    button = admin_page.locator(".st-ack-mute button").first
    expect(button).to_have_text("1 h")
    admin_page.mouse.click(*middle)
    admin_page.wait_for_timeout(500)
    incident.refresh_from_db()
    assert not incident.muted_by


def test_a_typed_note_is_not_thrown_away(admin_page: Page, task: Any) -> None:
    """Neither by a link nor by the end of the session."""
    incident = open_incident(task)
    admin_page.goto(f"{INCIDENTS}{incident.pk}/change/")
    note = admin_page.get_by_label("Note on")
    note.press_sequentially("half a page")
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    admin_page.on("dialog", stay)
    admin_page.get_by_role("link", name="All runs of this task").click()
    expect(note).to_have_value("half a page")
    assert asked == ["beforeunload"]
    admin_page.context.clear_cookies()
    admin_page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(toast(admin_page, "your session has changed", "alert")).to_be_visible()
    expect(note).to_have_value("half a page")
    assert asked == ["beforeunload"]
