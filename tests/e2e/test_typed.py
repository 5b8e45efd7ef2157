"""What a person has typed in the drawer, in a real browser: no key, click or refused form throws it away."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Dialog, Locator, Page, Route, expect

from scheduled_tasks.models import TaskRun
from tests.e2e.test_list import LIST, make_process, make_task, row, toast

pytestmark = pytest.mark.usefixtures("transactional_db")


class Questions:
    """The questions that a page has asked, and what to answer to the next."""

    def __init__(self, page: Page) -> None:
        self.asked: list[str] = []
        self.yes = False
        page.on("dialog", self._answer)

    def _answer(self, dialog: Dialog) -> None:
        self.asked.append(dialog.message)
        if self.yes:
            dialog.accept()
        else:
            dialog.dismiss()


@pytest.fixture
def task() -> Any:
    make_process(task_names=["tests.tasks.add"])
    return make_task()


def form_of_arguments(page: Page, task: Any) -> Locator:
    page.goto(LIST)
    row(page, task).locator("summary").click()
    row(page, task).get_by_role("link", name="Run with arguments").click()
    field = page.get_by_role("dialog").get_by_label("Arguments", exact=True)
    expect(field).to_be_focused()
    return field


def leave(page: Page, way: str) -> None:
    if way == "button":
        page.get_by_role("dialog").get_by_role("button", name="Close").click()
    elif way == "outside":
        page.mouse.click(100, 300)
    elif way == "gesture":
        page.evaluate("document.getElementById('st-drawer').requestClose()")
    else:
        page.keyboard.press("Escape")


@pytest.mark.parametrize("way", ["button", "outside", "gesture", "Escape"])
def test_drawer_asks_before_it_throws_typed_text_away(admin_page: Page, task: Any, way: str) -> None:
    questions = Questions(admin_page)
    field = form_of_arguments(admin_page, task)
    field.fill("[20, ")
    for n in (1, 2):
        leave(admin_page, way)
        expect(field).to_have_value("[20, ")
        assert questions.asked == ["Discard what you have typed?"] * n
    questions.yes = True
    leave(admin_page, way)
    expect(admin_page.get_by_role("dialog")).to_be_hidden()


def test_drawer_without_typed_text_closes_without_a_question(admin_page: Page, task: Any) -> None:
    questions = Questions(admin_page)
    form_of_arguments(admin_page, task)
    leave(admin_page, "Escape")
    expect(admin_page.get_by_role("dialog")).to_be_hidden()
    assert questions.asked == []


def test_back_asks_too_and_leaves_the_address_of_the_drawer(
    admin_page: Page, base_url: str, task: Any
) -> None:
    questions = Questions(admin_page)
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("View history").click()
    drawer = admin_page.get_by_role("dialog")
    drawer.get_by_role("link", name="Edit alerts").click()
    drawer.get_by_label("Owner").fill("billing")
    admin_page.go_back()
    expect(admin_page).to_have_url(f"{base_url}{LIST}#task={task.pk}")
    expect(drawer.get_by_label("Owner")).to_have_value("billing")
    assert len(questions.asked) == 1
    questions.yes = True
    admin_page.go_back()
    expect(drawer).to_be_hidden()
    expect(admin_page).to_have_url(f"{base_url}{LIST}")


def test_refused_arguments_are_marked_at_the_field_and_stay(admin_page: Page, task: Any) -> None:
    questions = Questions(admin_page)
    field = form_of_arguments(admin_page, task)
    drawer = admin_page.get_by_role("dialog")
    others = drawer.get_by_label("Keyword arguments")
    field.fill("[20, ")
    others.fill('{"x": 1}')
    drawer.get_by_role("button", name="Run now").click()
    expect(field).to_have_attribute("aria-invalid", "true")
    sentence, hint = "Arguments must be a JSON list, such as [1, 2].", "A JSON list, such as [1, 2]."
    expect(field).to_have_accessible_description(f"{hint} {sentence}")
    expect(drawer.get_by_text("Arguments must be a JSON list")).to_have_count(1)
    expect(admin_page.locator(".st-toast")).to_have_count(0)
    expect(field).to_be_focused()
    expect(field).to_have_value("[20, ")
    expect(others).to_have_value('{"x": 1}')
    expect(others).not_to_have_attribute("aria-invalid", "true")
    leave(admin_page, "Escape")
    expect(field).to_have_value("[20, ")
    assert len(questions.asked) == 1, "what was refused is not saved"
    assert not TaskRun.objects.exists()


def test_refused_arguments_are_marked_without_javascript(plain_page: Page, task: Any) -> None:
    plain_page.goto(f"{LIST}{task.pk}/runs/new/")
    plain_page.get_by_label("Arguments", exact=True).fill("[20, ")
    plain_page.get_by_label("Keyword arguments").fill("[]")
    plain_page.get_by_role("button", name="Run now").click()
    for label in ("Arguments", "Keyword arguments"):
        expect(plain_page.get_by_label(label, exact=True)).to_have_attribute("aria-invalid", "true")
    expect(plain_page.get_by_label("Arguments", exact=True)).to_have_value("[20, ")
    expect(plain_page.get_by_text("Keyword arguments must be a JSON object")).to_be_visible()


@pytest.mark.parametrize("held", ["details", "change"], ids=["the answer", "the page after it"])
def test_escape_right_after_save_closes_the_drawer_for_good(admin_page: Page, task: Any, held: str) -> None:
    questions, waiting = Questions(admin_page), list[Route]()
    row_of = row(admin_page, task)
    admin_page.goto(LIST)
    row_of.get_by_role("link", name=task.name, exact=True).click()
    drawer = admin_page.get_by_role("dialog")
    drawer.locator("#st-d-more").click()
    drawer.get_by_role("link", name="Edit details…").click()
    drawer.get_by_label("Tags", exact=True).fill("new")
    admin_page.route(f"**/{task.pk}/{held}/", lambda route: waiting.append(route), times=1)
    with admin_page.expect_request(f"**/{task.pk}/{held}/"):
        drawer.get_by_role("button", name="Save").click()
    admin_page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    waiting[0].continue_()
    expect(toast(admin_page, "Details of purge saved.")).to_be_visible()
    expect(row_of.locator(".st-label")).to_have_text(["new"])
    expect(drawer).to_be_hidden()
    assert "#" not in admin_page.url
    assert questions.asked == []


def test_a_refusal_that_comes_after_the_drawer_was_closed_is_told(admin_page: Page, task: Any) -> None:
    waiting: list[Route] = []
    field = form_of_arguments(admin_page, task)
    field.fill("[20, ")
    admin_page.route(f"**/{task.pk}/runs/", lambda route: waiting.append(route))
    drawer = admin_page.get_by_role("dialog")
    with admin_page.expect_request(f"**/{task.pk}/runs/"):
        drawer.get_by_role("button", name="Run now").click()
    admin_page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    row(admin_page, task).get_by_role("link", name=task.name, exact=True).click()
    expect(drawer.get_by_role("heading", name=task.name)).to_be_visible()
    waiting[0].continue_()
    expect(toast(admin_page, "Arguments must be a JSON list", "alert")).to_be_visible()
    expect(drawer.get_by_role("heading", name=task.name)).to_be_visible()
    expect(field).to_have_count(0)
