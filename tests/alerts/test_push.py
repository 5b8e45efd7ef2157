"""Other services, through Apprise: here its ``json://``, to a real receiver."""

from __future__ import annotations

import json
import logging
import re
import threading
from dataclasses import replace

import pytest
from requests import Response

from scheduled_tasks.alerts.channels import Channel
from scheduled_tasks.alerts.harmless import ZERO_WIDTH_SPACE
from tests.alerts.receiver import Receiver, redirect, status
from tests.alerts.test_webhook import fault, notification


def address(receiver, rest="/s3cr3t-hook"):
    return f"json://user:s3cr3t-pass@127.0.0.1:{receiver.server_port}{rest}"


def test_json(receiver):
    receiver.answers = [status(200)]
    Channel(address(receiver)).send(notification())
    sent = json.loads(receiver.posts[0].body)
    assert sent["title"] == "Failing: sync (3 failures in a row)"
    assert sent["message"].startswith("Opened: 2026-11-29")
    assert sent["type"] == "failure"


@pytest.mark.parametrize(
    ("event", "kind"), [("closed", "success"), ("flapping", "warning"), ("summary", "info")]
)
def test_type(receiver, event, kind):
    receiver.answers = [status(200)]
    Channel(address(receiver)).send(notification(event=event))
    assert json.loads(receiver.posts[0].body)["type"] == kind


def test_text_is_no_markup(receiver):
    """A service that shows HTML gets what a person is to read, not tags out of an error."""
    receiver.answers = [status(200)]
    incident = replace(notification().incidents[0], error="<b>bold</b> & more")
    Channel(address(receiver)).send(notification(incidents=(incident,)))
    message = json.loads(receiver.posts[0].body)["message"]
    assert "Error: <b>bold</b> & more" in message.replace(ZERO_WIDTH_SPACE, "")


HOSTILE = (
    "@everyone @here <!channel> <!subteam^S1> <@U1> <@&2> <at>all</at> [pay](https://evil.example.com/x)"
)
MENTION = re.compile(r"@(?!\u200b)|(<|&lt;)(?=[!@#a])|\]\\?\(")
"""Of mark-up, only Telegram's is made by Apprise: ``<b>`` and ``</b>``."""


@pytest.mark.parametrize(
    "service",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?format=markdown",
        "tgram://123456789:abcdefg_hijklmnop/12315544",
        "mmost://127.0.0.1/3ccdd113474722377935511fc85d3dd4",
    ],
)
def test_an_error_calls_nobody_and_hides_no_link(monkeypatch, service):
    sent = []

    def request(self, method, url, data=None, **kwargs):
        sent.append(json.loads(data))
        answer = Response()
        answer.status_code, answer._content = 200, b"ok"
        return answer

    monkeypatch.setattr("requests.sessions.Session.request", request)
    hostile = {"error": HOSTILE, "subject": "@here", "runbook": "https://wiki.example.com/@ops"}
    Channel(service).send(notification(incidents=(replace(notification().incidents[0], **hostile),)))
    (message,) = (json.dumps(each, ensure_ascii=False) for each in sent)
    assert "everyone" in message
    assert not MENTION.search(message)
    assert "/%40ops" in message


@pytest.mark.parametrize("code", [401, 404, 500])
def test_refused(receiver, code, caplog):
    caplog.set_level(logging.DEBUG)
    receiver.answers = [status(code)]
    assert str(code) in fault(address(receiver))
    assert "s3cr3t" not in caplog.text


def test_redirect_is_followed_only_if_the_address_says_so(receiver):
    with Receiver() as other:
        receiver.answers, other.answers = [redirect(307, other.url())], [status(200)]
        assert "307" in fault(address(receiver))
        assert other.posts == []
        Channel(address(receiver, "/s3cr3t-hook?redirect=yes")).send(notification())
        assert len(other.posts) == 1


def test_nobody_listens(caplog):
    caplog.set_level(logging.DEBUG)
    assert fault("json://user:s3cr3t-pass@127.0.0.1:9/s3cr3t-hook")
    assert "s3cr3t" not in caplog.text


def test_no_address_is_logged(receiver, caplog):
    """Not by Apprise, nor by what it uses, nor by threads of its own, at any level."""
    caplog.set_level(logging.DEBUG)
    receiver.answers = [status(200)]
    Channel(address(receiver, "/s3cr3t-hook?deadline=5")).send(notification())
    own = threading.Thread(target=logging.getLogger("apprise").error, args=["Sent to %s", "s3cr3t-hook"])
    own.start()
    own.join()
    assert "s3cr3t" not in caplog.text
    assert "Sent to ••••••" in caplog.text
    logging.getLogger("apprise").error("What a project's own use of %s logs", "Apprise")
    assert "What a project's own use of Apprise logs" in caplog.text


def test_plugin_that_raises(receiver, monkeypatch):
    import apprise

    def broken(*args, **kwargs):
        raise RuntimeError("POST http://127.0.0.1/s3cr3t-hook failed for s3cr3t-pass")

    monkeypatch.setattr(apprise.Apprise, "notify", broken)
    assert fault(address(receiver)) == "RuntimeError: POST http://••••••/•••••• failed for ••••••"
