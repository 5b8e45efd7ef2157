"""Webhooks: signed, bounded in time, and never led to another place."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest

from scheduled_tasks.alerts import webhook
from scheduled_tasks.alerts.channels import Channel, ChannelError
from scheduled_tasks.alerts.notification import IncidentFacts, Notification
from tests.alerts.receiver import Receiver, documented_verifier, drip, garbage, hang, redirect, status

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def notification(**values) -> Notification:
    incident = IncidentFacts(id=7, kind="failing", subject="sync", opened_at=NOON, run_count=3)
    fields = {"event": "opened", "owner": "default", "notice_id": 41, "key": "41", "total": 1}
    return Notification(**{**fields, "incidents": (incident,), **values})


def fault(address: str) -> str:
    """Why it cannot be sent there. No part of it may be secret."""
    with pytest.raises(ChannelError) as refused:
        Channel(address).send(notification())
    assert "s3cr3t" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(webhook, "TIMEOUT", 1.5)


@pytest.fixture
def verify():
    return documented_verifier()


def test_post(receiver):
    Channel(receiver.url("/hook/s3cr3t?to=us")).send(notification())
    (post,) = receiver.posts
    assert post.path == "/hook/s3cr3t?to=us"
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["Idempotency-Key"] == "41"
    assert post.headers["Host"] == f"127.0.0.1:{receiver.server_port}"
    sent = json.loads(post.body)
    assert (sent["event"], sent["notice_id"], sent["incidents"][0]["id"]) == ("opened", 41, 7)
    assert sent["title"] == "Failing: sync (3 failures in a row)"


@pytest.mark.parametrize("secret", [None, "a shared secret of ours"])
def test_signature_passes_the_documented_verifier(settings, receiver, verify, secret):
    settings.SCHEDULED_TASKS = {"ALERT_SECRET": secret}
    key = secret or webhook.signing_key()
    Channel(receiver.url()).send(notification())
    (post,) = receiver.posts
    header = post.headers["ST-Signature"]
    assert verify(key, header, post.body)
    assert not verify(key, header, post.body + b" ")
    assert not verify("another secret", header, post.body)
    assert not verify(key, webhook.signature(post.body, int(time.time()) - 400), post.body)
    assert abs(int(re.match(r"t=(\d+),v1=[0-9a-f]{64}$", header)[1]) - time.time()) < 5


def test_signing_key_is_not_the_secret_key(settings):
    settings.SCHEDULED_TASKS = {}
    assert len(webhook.signing_key()) == 64
    assert settings.SECRET_KEY not in webhook.signing_key()


@pytest.mark.parametrize("code", [HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT])
def test_taken(receiver, code):
    receiver.answers = [status(code)]
    Channel(receiver.url()).send(notification())


@pytest.mark.parametrize("code", [400, 401, 404, 410, 429, 500, 503])
def test_refused(receiver, code):
    receiver.answers = [status(code)]
    assert fault(receiver.url()) == f"The receiver answered {code}."
    assert len(receiver.posts) == 1


@pytest.mark.parametrize("answer", [hang, drip], ids=["hangs", "drips"])
def test_time_is_bounded_in_all(receiver, impatient, answer):
    """Also where a byte arrives again and again."""
    receiver.answers = [answer]
    began = time.monotonic()
    assert fault(receiver.url()) == "The receiver did not answer within 1.5 s."
    assert 1.4 < time.monotonic() - began < 3


def test_redirects_do_not_prolong_the_time(receiver, impatient):
    def slowly(handler):
        time.sleep(1)
        redirect(307, "/hook/s3cr3t")(handler)

    receiver.answers = [slowly]
    began = time.monotonic()
    assert "within 1.5 s" in fault(receiver.url())
    assert time.monotonic() - began < 3


def test_no_http(receiver):
    receiver.answers = [garbage]
    assert "BadStatusLine" in fault(receiver.url())


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert fault(f"http://127.0.0.1:{free.getsockname()[1]}/s3cr3t") == "The host refuses connections."


def test_unknown_host():
    assert fault("https://nowhere.invalid/s3cr3t") == "The host's name is not known."


@pytest.mark.parametrize("code", [307, 308])
@pytest.mark.parametrize("relative", [True, False], ids=["path", "url"])
def test_redirect_on_the_same_host_is_followed(receiver, code, relative):
    receiver.answers = [redirect(code, "/other" if relative else receiver.url("/other")), status(204)]
    Channel(receiver.url()).send(notification())
    first, second = receiver.posts
    assert (second.path, second.body) == ("/other", first.body)
    assert second.headers["Idempotency-Key"] == first.headers["Idempotency-Key"]


@pytest.mark.parametrize("code", [301, 302, 303])
def test_redirect_that_drops_the_message(receiver, code):
    receiver.answers = [redirect(code, "/other")]
    assert fault(receiver.url()) == f"The receiver answered {code}, a redirect that drops the message."
    assert len(receiver.posts) == 1


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:{port}/",
        "http://[::1]:{port}/",
        "http://127.0.0.1:{other}/",
        "http://127.0.0.1/",
        "https://127.0.0.1:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "//elsewhere.example.com/",
        "http://user@127.0.0.1:{port}/",
        "http://2130706433:{port}/",
        "file:///etc/passwd",
        "http://[",
        "http://127.0.0.1:{port}/a b",
    ],
)
def test_redirect_elsewhere_is_not_followed(receiver, location):
    """Neither to another host, port or scheme, nor to this machine by another name."""
    with Receiver() as other:
        ports = {"port": receiver.server_port, "other": other.server_port}
        receiver.answers = [redirect(307, location.format(**ports)), status(204)]
        assert fault(receiver.url()) == "The receiver answered 307, a redirect to another host: not followed."
        assert (len(receiver.posts), other.posts) == (1, [])


def test_redirects_end(receiver):
    receiver.answers = [redirect(307, "/hook/s3cr3t")]
    assert fault(receiver.url()) == "The receiver redirects too often."
    assert len(receiver.posts) == 1 + webhook.REDIRECTS


def test_a_name_that_changes_its_address_meanwhile(receiver, monkeypatch):
    """DNS rebinding: the second request goes where the first went, whatever the name means by now."""
    asked = []

    def lookup(host, port, *args, **kwargs):
        asked.append(host)
        address = "127.0.0.1" if asked.count("localhost") <= 1 or host != "localhost" else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    receiver.answers = [redirect(307, "/other"), status(204)]
    Channel(f"http://localhost:{receiver.server_port}/").send(notification())
    assert [post.path for post in receiver.posts] == ["/", "/other"]
    assert asked.count("localhost") == 1


@pytest.fixture
def certificate(tmp_path):
    """A certificate for 127.0.0.1 and localhost, and its key."""
    files = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", files[0], "-out", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    return files


@pytest.fixture
def secure(receiver, certificate):
    """The receiver, with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    receiver.context = context
    return receiver


def test_tls(secure, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    secure.answers = [redirect(308, "/other"), status(200)]
    Channel(secure.url()).send(notification())
    assert [post.path for post in secure.posts] == ["/hook/s3cr3t-token", "/other"]


def test_certificate_that_nobody_vouches_for(secure):
    assert "certificate verify failed" in fault(secure.url())
    assert secure.posts == []


@pytest.mark.parametrize("answer", [hang, drip], ids=["hangs", "drips"])
def test_time_is_bounded_under_tls(secure, certificate, monkeypatch, impatient, answer):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    secure.answers = [answer]
    began = time.monotonic()
    assert fault(secure.url()) == "The receiver did not answer within 1.5 s."
    assert time.monotonic() - began < 3


def test_time_is_bounded_where_tls_never_begins(impatient):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        said = fault(f"https://127.0.0.1:{silent.getsockname()[1]}/s3cr3t")
    assert said == "The receiver did not answer within 1.5 s."
    assert time.monotonic() - began < 3


def test_json_tells_all(receiver):
    incident = IncidentFacts(
        id=7,
        kind="queue",
        subject="billing",
        opened_at=NOON,
        closed_at=NOON + timedelta(minutes=14),
        runbook="https://wiki.example.com/queue",
    )
    sent = notification(event="closed", incidents=(incident,)).as_json()
    assert json.loads(json.dumps(sent)) == sent
    assert sent["title"] == "Recovered: the queue billing has a worker again, after 14 min"
    assert sent["incidents"][0]["duration"] == 840
    assert sent["incidents"][0]["closed_at"] == "2026-11-29T12:14:00+00:00"
