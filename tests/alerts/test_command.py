"""``send_test_alert`` says per channel whether it works."""

from __future__ import annotations

from io import StringIO
from socket import gethostname

import pytest
from django.core.management import CommandError, call_command

from scheduled_tasks.alerts import trial
from tests.alerts.receiver import status

KEEP, REFUSE, HANG = (f"tests.alerts.called.{name}" for name in ("keep", "refuse", "hang"))


def run(*arguments: str) -> tuple[str, str]:
    """What the command writes, and its error."""
    out = StringIO()
    try:
        call_command("send_test_alert", *arguments, stdout=out)
    except CommandError as error:
        return out.getvalue(), str(error)
    return out.getvalue(), ""


def test_all_channels_take_it(alerts, function, receiver, settings, monkeypatch):
    monkeypatch.setattr("scheduled_tasks.management.system_user.getuser", lambda: "anna")
    alerts(default=[KEEP, receiver.url()], billing=[REFUSE])
    out, error = run()
    assert (out, error) == (f"{KEEP}: sent\nhttp://127.0.0.1:{receiver.server_port}: sent\n", "")
    title = "Test message: alerts for default arrive here"
    assert function.got[0].text == f"{title}\n\nSite: {gethostname()}\nSent by: anna"
    settings.SCHEDULED_TASKS = {**settings.SCHEDULED_TASKS, "SITE_URL": "https://example.com"}
    run()
    assert function.got[1].text == f"{title}\n\nSite: https://example.com\nSent by: anna"
    assert receiver.posts[0].headers["Idempotency-Key"].startswith("test-")


def test_why_not(alerts, function, receiver):
    receiver.answers = [status(500)]
    alerts(default=[KEEP], billing=[receiver.url(), REFUSE, "slack://s3cr3t"])
    out, error = run("billing")
    lines = out.splitlines()
    assert lines[0] == f"http://127.0.0.1:{receiver.server_port}: The receiver answered 500."
    assert lines[1] == f"{REFUSE}: RuntimeError: no pager answers, password=••••••"
    assert lines[2].startswith("slack://… (")
    assert "s3cr3t" not in out
    assert error == "3 of 3 channels did not take the test message."


def test_owner_that_alerts_does_not_name(alerts, function):
    alerts(default=[KEEP])
    out, error = run("biling")
    assert out == f"ALERTS does not name biling: its alerts go to “default”.\n{KEEP}: sent\n"
    assert (error, function.got[0].owner) == ("", "biling")


@pytest.mark.parametrize("owners", [{}, {"default": []}])
def test_nobody_is_told(alerts, owners):
    alerts(**owners)
    assert run()[1] == "ALERTS names no channel for it: nobody is told of incidents."


def test_a_channel_that_hangs(alerts, function, monkeypatch):
    monkeypatch.setattr(trial, "ANSWER_WITHIN", 0.5)
    alerts(default=[HANG, KEEP])
    out, error = run()
    assert out == f"{HANG}: It did not answer.\n{KEEP}: sent\n"
    assert error == "1 of 2 channels did not take the test message."


def test_an_address_that_cannot_work_stops_no_other(alerts, function):
    """The command's own lines say what the system check would."""
    alerts(default=["https://", KEEP])
    out, error = run()
    assert "It has no host." in out
    assert f"{KEEP}: sent" in out
    assert error
