"""``mailto:``: one mail to one or more people, through the mail settings of the project."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from django.conf import settings as django_settings
from django.core import mail
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from .faults import ChannelError, told
from .notification import Notification

SCHEME = "mailto:"
TIMEOUT = 10.0
"""Seconds that each step of SMTP may take; a shorter timeout of the project holds."""

LONGEST_LABEL = 255
DEFAULT_MAILER = "default"


def recipients(address: str) -> list[str]:
    """The mail addresses: ``mailto:a@example.com,b@example.com``."""
    listed = unquote(address.removeprefix(SCHEME)).split(",")
    return [each.strip() for each in listed if each.strip()]


def label(address: str) -> str:
    """The mail addresses, as many as fit; the scheme where there is none."""
    shown = ", ".join(recipients(address)) or SCHEME
    return shown if len(shown) <= LONGEST_LABEL else f"{shown[: LONGEST_LABEL - 1]}…"


def problem(address: str) -> str:
    """Why no mail can be sent to the address; empty when it can."""
    found = recipients(address)
    if not found:
        return "It has no mail address."
    if DEFAULT_MAILER not in getattr(django_settings, "MAILERS", {DEFAULT_MAILER}):
        return 'MAILERS has no "default".'
    for each in found:
        try:
            validate_email(each)
        except ValidationError:
            return f"{each!r} is not a mail address."
    return ""


def send(address: str, notification: Notification) -> None:
    """Send the mail. Raises :class:`.ChannelError` when the mail server does not take it."""
    if fault := problem(address):
        raise ChannelError(fault)
    message = mail.EmailMessage(notification.title, notification.text, None, recipients(address))
    message.extra_headers["Auto-Submitted"] = "auto-generated"  # so that no absence notice answers
    mailer: Any = None
    try:
        mailer = _mailer()
        sent = mailer.send_messages([message])
    except Exception as error:  # noqa: BLE001 - a mail backend may raise anything
        secrets = [str(getattr(mailer, name, None) or "") for name in ("password", "username")]
        raise ChannelError(told(error, secrets)) from None
    if sent == 0:
        raise ChannelError("The mail backend sent nothing.")


def _mailer() -> Any:
    """The project's default mail backend: of ``MAILERS`` (Django 6.1), or of ``EMAIL_BACKEND``."""
    mailers: Any = getattr(mail, "mailers", None)  # Django 6.1; it reads the older settings too
    mailer: Any = mail.get_connection() if mailers is None else mailers.default
    if hasattr(mailer, "timeout"):
        mailer.timeout = min(mailer.timeout or TIMEOUT, TIMEOUT)
    return mailer
