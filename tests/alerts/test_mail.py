"""Mail, to a real SMTP server."""

from __future__ import annotations

import email
import socket
import time
from dataclasses import replace
from email import policy

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from scheduled_tasks.alerts import mail
from scheduled_tasks.alerts.channels import Channel, ChannelError
from scheduled_tasks.alerts.notification import Notification
from tests.alerts.test_webhook import fault, notification
from tests.embedded import lasting_port

SECRET = "s3cr3t-password"


class Mailbox:
    """Takes mail, except for ``refused@example.com``; ``answer`` is what it says to a whole message."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.answer = "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("refused@"):
            return "550 no such person here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return self.answer


@pytest.fixture
def mailbox(settings):
    """A mail server, which the settings name."""
    box = Mailbox()

    def authenticate(server, session, envelope, mechanism, credentials):
        return AuthResult(success=False, handled=False, message=f"535 5.7.8 refused: {SECRET}")

    port = lasting_port()
    server = Controller(
        box, hostname="127.0.0.1", port=port, authenticator=authenticate, auth_require_tls=False
    )
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = port
    yield box
    server.stop()


def parsed(envelope: Envelope):
    return email.message_from_bytes(envelope.content, policy=policy.default)


def test_one_mail_to_several_people(mailbox):
    Channel("mailto:ops@example.com,second@example.com").send(notification())
    (envelope,) = mailbox.envelopes
    assert envelope.rcpt_tos == ["ops@example.com", "second@example.com"]
    assert envelope.mail_from == "site@example.com"
    message = parsed(envelope)
    assert message["To"] == "ops@example.com, second@example.com"
    assert message["Subject"] == "Failing: sync (3 failures in a row)"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().startswith("Failing: sync (3 failures in a row)\r\n\r\nOpened: 2026-11-29")


def test_subject_is_one_line(mailbox):
    """Whatever stands in an error, nobody adds a header with it."""
    error = "first\nBcc: x@example.com\r\n\r\n–" + "x" * 500
    incident = replace(notification().incidents[0], error=error)
    Channel("mailto:ops@example.com").send(notification(incidents=(incident,)))
    message = parsed(mailbox.envelopes[0])
    assert message["Bcc"] is None
    subject = " ".join(message["Subject"].split())  # Python 3.13 leaves a space of the folding
    assert subject.startswith("Failing: sync (3 failures in a row). first Bcc: x@example.com –xxx")
    assert len(subject) == 200


def test_one_of_several_people_is_unknown(mailbox):
    Channel("mailto:refused@example.com,ops@example.com").send(notification())
    assert [envelope.rcpt_tos for envelope in mailbox.envelopes] == [["ops@example.com"]]


def test_nobody_is_known(mailbox):
    assert "no such person here" in fault("mailto:refused@example.com")


def test_refused(mailbox):
    mailbox.answer = "554 this looks like spam, password=s3cr3t"
    assert "SMTPDataError" in fault("mailto:ops@example.com")


def test_server_that_repeats_the_password(mailbox, settings):
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "site-user", SECRET
    said = fault("mailto:ops@example.com")
    assert "SMTPAuthenticationError" in said
    assert "site-user" not in said


def test_server_that_hangs(settings, monkeypatch):
    monkeypatch.setattr(mail, "TIMEOUT", 1.0)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_PORT = silent.getsockname()[1]
        assert "timed out" in fault("mailto:ops@example.com")
    assert time.monotonic() - began < 5


def test_the_projects_shorter_timeout_holds(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    for chosen, used in ((None, 10), (3, 3), (60, 10)):
        settings.EMAIL_TIMEOUT = chosen
        assert mail._mailer().timeout == used


def test_no_server(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    assert "ConnectionRefusedError" in fault("mailto:ops@example.com")


def test_backend_that_sends_nothing(monkeypatch):
    monkeypatch.setattr(mail, "_mailer", Nothing)
    assert fault("mailto:ops@example.com") == "The mail backend sent nothing."


class Nothing:
    def send_messages(self, messages):
        return 0


def test_other_backends(settings, mailoutbox):
    Channel("mailto:ops@example.com").send(Notification(event="test", owner="billing"))
    (message,) = mailoutbox
    assert message.subject == message.body == "Test message: alerts for billing arrive here"


def test_mailers_of_django_6_1(settings, monkeypatch, mailoutbox):
    """Where the setting ``MAILERS`` exists, its default is used; without one, the check says so."""
    backend = mail._mailer()

    class Mailers:
        default = backend

    monkeypatch.setattr(mail.mail, "mailers", Mailers, raising=False)
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    Channel("mailto:ops@example.com").send(notification())
    assert len(mailoutbox) == 1
    settings.MAILERS = {"other": {}}
    assert fault("mailto:ops@example.com") == 'MAILERS has no "default".'
    with pytest.raises(ChannelError):
        mail.send("mailto:ops@example.com", notification())
