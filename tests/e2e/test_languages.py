"""What the script of the page says is in the language of the reader, in the words of the server."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect

from tests.e2e.conftest import LogIn
from tests.e2e.test_list import LIST, make_task, row
from tests.factories import make_run


@pytest.mark.parametrize(
    ("language", "ago", "took", "updated"),
    [
        ("de", "vor 3 h", "1,5 s", "Aktualisiert vor"),
        ("fr", "il y a 3 h", "1,5 s", "Actualisé il y a"),
        ("es", "hace 3 h", "1,5 s", "Actualizado hace"),
    ],
)
def test_script_speaks_the_readers_language(
    browser: Browser,
    base_url: str,
    admin_user: User,
    log_in: LogIn,
    language: str,
    ago: str,
    took: str,
    updated: str,
) -> None:
    task = make_task()
    make_run(task, ago=3 * 3600 + 600, took=1.5)
    context = browser.new_context(base_url=base_url, locale=language)
    page = log_in(context, admin_user)
    page.goto(LIST)
    expect(page.locator("[data-st-updated]")).to_contain_text(updated)
    expect(row(page, task).locator(".st-c-last time")).to_have_text(ago)
    expect(row(page, task).locator(".st-c-dur")).to_contain_text(took)
    context.close()
