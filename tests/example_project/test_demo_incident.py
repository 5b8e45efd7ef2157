"""The demo shows an incident from its mail to its recovery, with real processes and nothing arranged."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable
from email import message_from_bytes, policy
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, build_opener

import pytest

from example_project import broker
from tests.example_project.test_demo import PATIENCE, Demo, processes, rows, start, wait

__all__ = ["start"]  # the fixture

pytestmark = pytest.mark.integration

SEPARATOR = b"-" * 79 + b"\n"


def subjects(home: Path) -> list[str]:
    """Subjects of the mails that lie in the mailbox, oldest first."""
    files = sorted((home / "data" / "mail").glob("*"))
    mails = [part for file in files for part in file.read_bytes().split(SEPARATOR) if part.strip()]
    return [str(message_from_bytes(mail, policy=policy.default)["Subject"]).strip() for mail in mails]


def log_in(site: str) -> Callable[[str, dict[str, str]], None]:
    """Call what it gives to send a form as the administrator."""
    cookies = CookieJar()
    browser: OpenerDirector = build_opener(HTTPCookieProcessor(cookies), ProxyHandler({}))
    browser.open(f"{site}/admin/login/", timeout=PATIENCE).close()

    def post(path: str, form: dict[str, str]) -> None:
        token = next(str(cookie.value) for cookie in cookies if cookie.name == "csrftoken")
        data = urlencode({**form, "csrfmiddlewaretoken": token}).encode()
        browser.open(f"{site}{path}", data, timeout=PATIENCE).close()

    post("/admin/login/", {"username": "admin", "password": "admin", "next": "/admin/"})
    return post


@processes
def test_an_incident_opens_is_told_and_recovers(
    start: Callable[..., Demo],
    tmp_path: Path,
) -> None:
    source = tmp_path / "data" / "rates.json"
    source.parent.mkdir()
    source.write_text("{}")  # what an earlier demo repaired
    demo = start("--port", str(broker.free_port()))
    post = log_in(demo.wait_for_page())
    assert not source.exists()
    assert str(tmp_path / "data" / "mail") in demo.output
    tasks = dict(rows(tmp_path, "select name, id from django_celery_beat_periodictask"))

    def run(name: str) -> None:
        post(f"/admin/scheduled_tasks/scheduledtask/{tasks[name]}/runs/", {"run": str(uuid.uuid4())})

    run("exchange-rate-sync")
    wait(lambda: subjects(tmp_path), 2 * PATIENCE, demo)
    (opened,) = subjects(tmp_path)
    assert opened.startswith("Failing: exchange-rate-sync")
    assert "RatesUnavailable" in opened
    run("rates-source-repair")
    wait(source.exists, PATIENCE, demo)
    run("exchange-rate-sync")
    wait(lambda: len(subjects(tmp_path)) > 1, 2 * PATIENCE, demo)
    assert subjects(tmp_path)[1].startswith("Recovered: exchange-rate-sync")
    closing = "select closing from scheduled_tasks_incident where kind = 'failing'"
    assert rows(tmp_path, closing) == [("recovered",)]
    os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.wait_for_end() == 0
    assert demo.left() == {}
