"""The browser, the live server and the worker work together."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests import tasks
from tests.live import PATIENCE, Worker


def test_page_and_worker_see_one_database(admin_page: Page, worker: Worker) -> None:
    admin_page.goto("/admin/auth/user/")
    expect(admin_page.get_by_role("link", name="admin", exact=True)).to_be_visible()
    assert tasks.count_users.delay().get(timeout=PATIENCE) == 1
