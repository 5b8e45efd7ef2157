"""Every other scheme (``slack://``, ``tgram://``, …), through Apprise, imported when needed."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from .faults import SHORTEST_SECRET, ChannelError, told, without
from .notification import Notification

INSTALL = "pip install 'celery-scheduled-tasks[alerts]'"
TALKATIVE = ("apprise", "urllib3.connectionpool")
"""Loggers that write addresses, with the tokens in them."""

TYPES = {"opened": "failure", "flapping": "warning", "closed": "success"}
"""Apprise's types, which choose a colour or an icon; the others are ``"info"``."""


def label(address: str) -> str:
    """The scheme, and a few digits to tell two addresses apart: what looks like a host may be a token."""
    scheme = address.partition("://")[0]
    return f"{scheme}://… ({hashlib.sha256(address.encode()).hexdigest()[:4]})"


def problem(address: str) -> str:
    """Why nothing can be sent to the address; empty when it can."""
    scheme = address.partition("://")[0]
    if find_spec("apprise") is None:
        return f"{scheme}:// needs Apprise: {INSTALL}"
    with _overheard(_secrets(address)):
        if _service(address) is None:
            return f"Apprise does not understand this {scheme}:// address."
    return ""


def send(address: str, notification: Notification) -> None:
    """Hand the notification to Apprise. Raises :class:`.ChannelError` when the service does not take it."""
    if fault := problem(address):
        raise ChannelError(fault)
    secrets = _secrets(address)
    with _overheard(secrets) as lines:
        try:
            taken = _notify(_service(address), notification)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            raise ChannelError(told(error, secrets)) from None
    if not taken:
        raise ChannelError(without(" ".join(lines), secrets) or "Apprise could not deliver it.")


def _secrets(address: str) -> list[str]:
    """Every part of the address but its scheme: which of them is a token depends on the service."""
    return [part for part in re.split(r"[/?&=@:#]", address.partition("://")[2]) if part]


def _service(address: str) -> Any:
    import apprise

    # Without a time limit, Apprise works in this thread and leaves none behind that may still send.
    asset = apprise.AppriseAsset(async_mode=False, service_timeout=0, http_redirects=False)
    return apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)


def _notify(service: Any, notification: Notification) -> bool:
    import apprise

    shown = notification.for_chats()
    found = apprise.Apprise()
    found.add(service)
    taken = found.notify(
        body=shown.details or shown.title,
        title=shown.title,
        notify_type=TYPES.get(notification.event, "info"),
        body_format=apprise.NotifyFormat.TEXT,
    )
    return bool(taken)


class _Listener(logging.Filter):
    """Keeps addresses out of the logs, and the warnings of our own threads for the fault.

    Apprise may work in threads of its own, so the address's parts are masked wherever they are logged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.here = threading.local()
        self.secrets: frozenset[str] = frozenset()

    def filter(self, record: logging.LogRecord) -> bool:
        lines: list[str] | None = getattr(self.here, "lines", None)
        message = record.getMessage()
        if lines is not None:
            lines += [message] if record.levelno >= logging.WARNING else []
            return False
        if any(secret in message for secret in self.secrets):
            record.msg, record.args = without(message, self.secrets), ()
        return True


_listener = _Listener()


@contextmanager
def _overheard(secrets: Iterable[str]) -> Iterator[list[str]]:
    """What Apprise complains about in this thread meanwhile. No log shows one of ``secrets``."""
    _listener.secrets |= {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
    for name in TALKATIVE:
        logging.getLogger(name).addFilter(_listener)  # once: a filter is not added twice
    lines: list[str] = []
    _listener.here.lines = lines
    try:
        yield lines
    finally:
        _listener.here.lines = None
