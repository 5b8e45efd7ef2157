"""Which channel an address makes, what is shown of it, and which addresses cannot work."""

from __future__ import annotations

import subprocess
import sys
from importlib import util

import pytest

from scheduled_tasks import checks
from scheduled_tasks.alerts import push
from scheduled_tasks.alerts.channels import Channel, ChannelError, channels_for, find, problem_of
from scheduled_tasks.alerts.notification import Notification
from scheduled_tasks.declarations import registry
from tests.test_checks import ids

HERE = "tests.alerts.called"


@pytest.fixture
def nothing_declared(monkeypatch):
    """No task names an owner, whichever task modules earlier tests have imported."""
    monkeypatch.setattr(registry, "definitions", {})


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("mailto:ops@example.com", "ops@example.com"),
        ("mailto: ,", "mailto:"),
        ("mailto:ops@example.com,%20b%2Bc@example.com", "ops@example.com, b+c@example.com"),
        ("https://hooks.example.com/services/T0/B0/s3cr3t?key=s3cr3t", "https://hooks.example.com"),
        ("HTTPS://user:s3cr3t@hooks.example.com:8443/x", "https://hooks.example.com:8443"),
        ("https://[::1]:8443/s3cr3t", "https://[::1]:8443"),
        ("proj.alerts.page_on_call", "proj.alerts.page_on_call"),
    ],
)
def test_label(address, label):
    assert Channel(address).label == label


@pytest.mark.parametrize(
    "address",
    [
        "slack://s3cr3tA/s3cr3tB/s3cr3tC",
        "tgram://s3cr3t/1234",
        "json://user:s3cr3t@host/s3cr3t",
        "hooks.slack.com/s3cr3t",
        "https://[s3cr3t",
        "https:/s3cr3t",
        "s3cr3t",
        "",
    ],
)
def test_label_of_what_may_be_all_token(address):
    """Also where somebody forgot the scheme."""
    channel = Channel(address)
    assert "s3cr3t" not in channel.label + repr(channel)
    assert channel.label
    assert "s3cr3t" not in problem_of(address)


def test_labels_tell_two_tokens_apart():
    assert Channel("slack://a/b/c").label != Channel("slack://a/b/d").label


def test_long_label_fits_its_column():
    assert len(Channel("mailto:" + ",".join(f"person{n}@example.com" for n in range(50))).label) <= 255


def test_owner_or_default(alerts):
    alerts(default=["a.b", "c.d", "a.b"], billing=["e.f"], quiet=[])
    assert [each.label for each in channels_for("billing")] == ["e.f"]
    assert [each.label for each in channels_for("nobody")] == ["a.b", "c.d"]
    assert [each.label for each in channels_for("")] == ["a.b", "c.d"]
    assert channels_for("quiet") == []
    alerts()
    assert channels_for("") == []


@pytest.mark.parametrize("listed", [None, 5, [None, 5, b"mailto:x@example.com", ["x"]]])
def test_what_is_no_address_harms_no_other_owner(alerts, listed):
    alerts(default=["mailto:ops@example.com"], billing=listed)
    assert channels_for("billing") == []
    assert [each.label for each in channels_for("crew")] == ["ops@example.com"]
    ops = channels_for("default")[0]
    assert find(ops.fingerprint).label == "ops@example.com"


@pytest.mark.parametrize("alerts", [None, 5, ["mailto:ops@example.com"]])
def test_alerts_that_are_no_dict_name_no_channel(settings, alerts):
    settings.SCHEDULED_TASKS = {"ALERTS": alerts}
    assert channels_for("billing") == []
    assert find("0" * 16) is None


@pytest.mark.parametrize("sign", ["\x00", "\ud800"])
def test_label_can_be_stored(sign):
    assert Channel(f"mailto:a{sign}@example.com").label == "a\N{REPLACEMENT CHARACTER}@example.com"


def test_found_by_its_fingerprint(alerts):
    alerts(default=["a.b"], billing=["https://hooks.example.com/x"])
    channel = channels_for("billing")[0]
    assert len(channel.fingerprint) == 16
    assert find(channel.fingerprint).label == "https://hooks.example.com"
    alerts(default=["a.b"])
    assert find(channel.fingerprint) is None


@pytest.mark.parametrize(
    "address",
    [
        "mailto:ops@example.com",
        "mailto:a@example.com,b@example.com",
        "https://hooks.example.com/x",
        "http://127.0.0.1:8000/x",
        "http://localhost/x",
        "http://[::1]/x",
        "json://localhost/x",
        f"{HERE}.keep",
    ],
)
def test_addresses_that_work(address):
    assert problem_of(address) == ""


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("mailto:", "no mail address"),
        ("mailto:ops", "'ops' is not a mail address"),
        ("mailto:ops@example.com?subject=x", "not a mail address"),
        ("https://", "no host"),
        ("https:///path", "no host"),
        ("https://host:0/", "no host"),
        ("https://host:port/", "not a URL"),
        ("https://[x/", "not a URL"),
        ("https://user:s3cr3t@host/", "a user name"),
        ("http://hooks.example.com/", "not encrypted"),
        ("https://hooks.example.com/a b", "percent-encoded"),
        ("https://hooks.example.com/ä", "percent-encoded"),
        ("nosuch://s3cr3t", "does not understand"),
        ("slack://", "does not understand"),
        ("nowhere.at.all", "cannot be imported"),
        (f"{HERE}.nothing", "cannot be imported"),
        (f"{HERE}.NOT_CALLABLE", "not callable"),
        (f"{HERE}.never_awaited", "async"),
        ("hooks.slack.com/services", "neither"),
        ("", "neither"),
    ],
)
def test_addresses_that_cannot_work(address, problem):
    said = problem_of(address)
    assert problem in said
    assert "s3cr3t" not in said
    with pytest.raises(ChannelError) as refused:
        Channel(address).send(Notification(event="test", owner="default"))
    assert str(refused.value) == said


def test_apprise_is_not_installed(monkeypatch):
    monkeypatch.setattr(push, "find_spec", lambda name: None)
    assert problem_of("slack://a/b/c") == f"slack:// needs Apprise: {push.INSTALL}"
    assert problem_of("mailto:ops@example.com") == ""


def test_apprise_is_imported_only_when_needed():
    code = """
import sys
import django
django.setup()
from scheduled_tasks.alerts import channels, problems, sender, trial
channels.problem_of("https://hooks.example.com/x"), channels.problem_of("mailto:ops@example.com")
print([name for name in sys.modules if name.startswith(("apprise", "requests"))])
"""
    environment = {"DJANGO_SETTINGS_MODULE": "example_project.settings", "PATH": ""}
    assert util.find_spec("apprise")
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    assert run.stdout == "[]\n"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"ALERTS": {}}, []),
        ({"ALERTS": {"default": ["mailto:ops@example.com", f"{HERE}.keep"], "x": []}}, []),
        ({"ALERTS": ["mailto:ops@example.com"]}, ["E005"]),
        ({"ALERTS": {"default": "mailto:ops@example.com"}}, ["E005"]),
        ({"ALERTS": {"default": [5]}}, ["E005"]),
        ({"ALERTS": {"default": [], 5: []}}, ["E005"]),
        ({"ALERTS": {"default": [], "x" * 101: []}}, ["E005"]),
        ({"ALERTS": {"default": [], "": []}}, ["E005"]),
        ({"ALERTS": {"default": ["slack://"]}}, ["E011"]),
        ({"ALERTS": {"billing": ["https://", "nowhere.at.all"]}}, ["E011", "E011", "W004"]),
        ({"ALERT_SECRET": "x" * 16}, []),
        ({"ALERT_SECRET": "short"}, ["E005"]),
        ({"ALERT_SECRET": b"x" * 16}, ["E005"]),
        ({"SITE_URL": "https://example.com/below/"}, []),
        ({"SITE_URL": "example.com"}, ["E005"]),
        ({"SITE_URL": "https://[x"}, ["E005"]),
        ({"SITE_URL": 5}, ["E005"]),
    ],
)
def test_checks(settings, setting, expected, nothing_declared):
    settings.SCHEDULED_TASKS = setting
    assert ids(checks.check_settings()) == expected


def test_mail_without_a_sender(settings, alerts, nothing_declared):
    alerts(default=["mailto:ops@example.com"])
    settings.DEFAULT_FROM_EMAIL = "webmaster@localhost"
    assert ids(checks.check_settings()) == ["W005"]


def test_a_check_shows_no_token(settings, alerts, nothing_declared):
    alerts(default=["https://user:s3cr3t@host/s3cr3t", "nosuch://s3cr3t", "host/s3cr3t"])
    found = checks.check_settings()
    assert ids(found) == ["E011"] * 3
    assert not [each for each in found if "s3cr3t" in str(each)]
