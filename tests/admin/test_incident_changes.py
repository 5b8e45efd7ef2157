"""Acknowledging and muting from the page, and trying the channels out: with and without the script."""

from __future__ import annotations

import re
import socket
import threading
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.core import mail
from django.db import transaction
from django.test import Client
from django.utils.html import escape

from scheduled_tasks.alerts import trial
from scheduled_tasks.models import Incident, database_now
from scheduled_tasks.operations import AuditEntry
from tests.alerts.rows import make_incident

pytestmark = pytest.mark.django_db

INCIDENTS = "/admin/scheduled_tasks/incident/"
SCRIPT = {"ST-Request": "1"}


def make_fault() -> Incident:
    now = database_now()
    return Incident.objects.create(
        kind="beat", key="beat:", open_key="beat:", opened_at=now, last_seen_at=now
    )


def said(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def toasts(answer: Any) -> list[str]:
    return re.findall(r"<p>([^<]+)</p>\s*<a class=\"st-ib\"", answer.content.decode())


def seen_on(client: Client, incident: Incident) -> str:
    """What the page of an incident says that its viewer saw."""
    text = client.get(f"{INCIDENTS}{incident.pk}/change/").content.decode()
    return re.findall(r'name="seen" value="([^"]+)"', text)[0]


@pytest.mark.parametrize("make", [make_incident, make_fault])
def test_without_the_script_each_change_leads_back_with_a_message(admin_client: Client, make: Any) -> None:
    incident = make()
    at = f"{INCIDENTS}{incident.pk}/"
    for tail, sent, told in (
        ("acknowledge/", {"note": "on it"}, "The incident is acknowledged."),
        ("mute/", {"span": "hour"}, "The incident is muted. Nobody is told of it."),
        ("unmute/", {}, "The incident is not muted any more."),
        ("unacknowledge/", {}, "The incident is not acknowledged any more."),
        ("acknowledge/", {"note": "on it"}, "The incident is acknowledged."),
    ):
        answer = admin_client.post(at + tail, {**sent, "next": "/admin/x/"})
        assert (answer.status_code, answer["Location"]) == (303, "/admin/x/")
        assert said(answer)[-1] == told
    assert (
        admin_client.post(f"{at}unmute/", {"next": "https://evil.example.com/"})["Location"] == f"{at}change/"
    )
    incident.refresh_from_db()
    assert (incident.acknowledged_by, incident.note, incident.muted_by) == ("admin", "on it", "")
    history = f"{at}history/" if incident.task_id is None else ""
    history = history or f"/admin/scheduled_tasks/scheduledtask/{incident.task_id}/history/"
    text = admin_client.get(history).content.decode()
    for entry in LogEntry.objects.all():
        assert str(AuditEntry.of(entry.change_message)) in text
    assert LogEntry.objects.count() == 5


def test_the_note_that_is_shown_can_be_removed(admin_client: Client) -> None:
    incident = make_incident()
    at = f"{INCIDENTS}{incident.pk}/"
    admin_client.post(f"{at}acknowledge/", {"note": "on it"})
    admin_client.post(f"{at}acknowledge/", {"note": "", "seen": seen_on(admin_client, incident)})
    incident.refresh_from_db()
    assert (incident.acknowledged_by, incident.note) == ("admin", "")


def test_for_the_script_the_story_comes_anew(admin_client: Client) -> None:
    incident = make_incident()
    answer = admin_client.post(f"{INCIDENTS}{incident.pk}/mute/", {"span": "resolved"}, headers=SCRIPT)
    assert answer.status_code == 200
    assert toasts(answer) == ["The incident is muted. Nobody is told of it."]
    text = answer.content.decode()
    assert 'id="st-incident"' in text
    assert "Muted until resolved by admin" in text
    assert f"{INCIDENTS}{incident.pk}/unmute/" in text


@pytest.fixture
def anna(admin_client: Client) -> Client:
    user = User.objects.create_user("anna", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("headers", [{}, SCRIPT])
@pytest.mark.parametrize("make", [make_incident, make_fault])
@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        (
            [("acknowledge/", {"note": "<b>"}), ("mute/", {"span": "hour"})],
            ("acknowledge/", {"note": "mine"}),
        ),
        (
            [("mute/", {"span": "hour"}), ("acknowledge/", {})],
            ("mute/", {"span": "resolved", "note": "mine"}),
        ),
    ],
)
def test_what_somebody_did_meanwhile_is_told_and_mine_can_be_saved(
    admin_client: Client, anna: Client, make: Any, theirs: Any, mine: Any, headers: dict[str, str]
) -> None:
    incident = make()
    at = f"{INCIDENTS}{incident.pk}/"
    seen = seen_on(admin_client, incident)
    for tail, sent in theirs:
        anna.post(at + tail, sent)
    entry = LogEntry.objects.filter(user__username="anna").order_by("pk")[0]
    answer = admin_client.post(at + mine[0], {**mine[1], "seen": seen}, headers=headers)
    assert answer.status_code == 409
    text = answer.content.decode()
    told = f"anna changed this incident meanwhile. {escape(str(AuditEntry.of(entry.change_message)))}"
    assert f"<p>{told}</p>" in text
    assert ('value="mine"' in text) == (not headers)  # the script leaves what is typed as it is
    assert f'formaction="{at}{mine[0]}" name="span" value="{mine[1].get("span", "")}"' in text
    now_seen = re.findall(r'name="seen" value="([^"]+)"', text)[-1]
    answer = admin_client.post(at + mine[0], {**mine[1], "seen": now_seen}, headers=headers)
    assert answer.status_code == (200 if headers else 303)
    incident.refresh_from_db()
    assert "admin" in (incident.acknowledged_by, incident.muted_by)


def test_without_history_nobody_is_named(admin_client: Client) -> None:
    incident = make_incident()
    seen = seen_on(admin_client, incident)
    Incident.objects.update(acknowledged_at=database_now(), acknowledged_by="anna")
    at = f"{INCIDENTS}{incident.pk}/acknowledge/"
    answer = admin_client.post(at, {"note": "x", "seen": seen}, headers=SCRIPT)
    assert toasts(answer) == ["Somebody changed this incident meanwhile."]


@pytest.mark.parametrize("headers", [{}, SCRIPT])
def test_what_is_refused_is_one_sentence(admin_client: Client, headers: dict[str, str]) -> None:
    past, incident = make_incident("past", closed_at=database_now()), make_incident()
    for pk, tail, sent, told in (
        (incident.pk, "mute/", {"span": "for ever"}, "Choose how long to mute it: 1 h, until tomorrow or"),
        (incident.pk, "mute/", {}, "Choose how long to mute it"),
        (past.pk, "acknowledge/", {"note": "x"}, "This incident is over."),
    ):
        answer = admin_client.post(f"{INCIDENTS}{pk}/{tail}", sent, headers=headers)
        assert answer.status_code == (409 if headers else 303)
        found = toasts(answer) if headers else said(answer)
        assert told in found[-1]
    assert not LogEntry.objects.exists()


def test_an_incident_that_is_not_there_is_a_404(admin_client: Client) -> None:
    for tail in ("acknowledge/", "unacknowledge/", "mute/", "unmute/"):
        assert admin_client.post(f"{INCIDENTS}12345/{tail}").status_code == 404


# Send test alert


@pytest.fixture
def alerts(settings: Any) -> Any:
    def set_alerts(**owners: list[str]) -> None:
        settings.SCHEDULED_TASKS = {"ALERTS": owners}

    return set_alerts


def test_each_address_has_a_line_with_its_label(admin_client: Client, alerts: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/token-123"
        alerts(default=["mailto:ops@example.com", url], billing=["mailto:b@example.com"])
        answer = admin_client.post(f"{INCIDENTS}test/", headers=SCRIPT)
    assert answer.status_code == 409
    sent, failed = toasts(answer)
    assert sent == "ops@example.com: sent"
    assert failed.startswith("http://127.0.0.1")
    assert "token-123" not in answer.content.decode()
    assert [message.to for message in mail.outbox] == [["ops@example.com"]]
    assert mail.outbox[0].body.endswith("\n\nSite: testserver\nSent by: admin")
    answer = admin_client.post(f"{INCIDENTS}test/", {"owner": "billing", "next": INCIDENTS})
    assert answer["Location"] == INCIDENTS
    assert said(answer) == ["b@example.com: sent"]
    assert "<option selected>default</option>" in admin_client.get(INCIDENTS).content.decode()


def test_no_channel_and_no_such_owner_are_one_sentence(admin_client: Client, alerts: Any) -> None:
    alerts()
    for sent, told in (({}, "names no channel for “default”"), ({"owner": "x"}, "names no owner “x”")):
        assert told in toasts(admin_client.post(f"{INCIDENTS}test/", sent, headers=SCRIPT))[0]


def test_addresses_are_tried_at_once_and_no_transaction_waits(
    admin_client: Client, alerts: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Each waits for the other: one after the other they would never end."""
    together = threading.Barrier(2, timeout=30)
    alerts(default=["mailto:a@example.com", "mailto:b@example.com"])
    monkeypatch.setattr(trial.Channel, "send", lambda channel, notification: together.wait() and None)
    answer = admin_client.post(f"{INCIDENTS}test/", headers=SCRIPT)
    assert toasts(answer) == ["a@example.com: sent", "b@example.com: sent"]
    from scheduled_tasks.admin.incident_changes import send_test_alert

    assert transaction.get_connection().alias in send_test_alert._non_atomic_requests
