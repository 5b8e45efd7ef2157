"""Where messages go: the addresses of the setting ``ALERTS``.

Rows keep an address's fingerprint and label. The address, which may hold a token, stays in the settings.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Protocol

from ..conf import settings
from ..masking import printable
from . import function, mail, push, webhook
from .faults import ChannelError
from .notification import Notification

__all__ = ["DEFAULT", "Channel", "ChannelError", "channels_for", "find", "problem_of"]

DEFAULT = "default"
"""The owner whose channels serve the machinery and every owner that ``ALERTS`` does not name."""

WITH_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


class Way(Protocol):
    """How the addresses of one kind are read and served: the modules beside this one."""

    def label(self, address: str) -> str: ...
    def problem(self, address: str) -> str: ...
    def send(self, address: str, notification: Notification) -> None: ...


class Channel:
    """One address. It need not be one that works: :func:`problem_of` tells.

    ``fingerprint`` stands for the address in rows; ``label`` is what people may read of it: the mail
    addresses, scheme and host, or the dotted path.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self.fingerprint = hashlib.sha256(address.encode(errors="replace")).hexdigest()[:16]
        self.label = _label(address, self.fingerprint)

    def __repr__(self) -> str:
        return f"<Channel {self.label}>"

    def send(self, notification: Notification) -> None:
        """Send, and return when the other side has taken it. Raises :class:`ChannelError`."""
        way = _way(self._address)
        if way is None:
            raise ChannelError(problem_of(self._address))
        way.send(self._address, notification)


def channels_for(owner: str) -> list[Channel]:
    """The owner's channels, those of ``"default"`` when ``ALERTS`` does not name the owner; may be empty."""
    alerts = settings.ALERTS
    return _channels(alerts.get(owner, alerts.get(DEFAULT, ())))


def find(fingerprint: str) -> Channel | None:
    """The channel with this fingerprint; None when ``ALERTS`` does not have it any more."""
    everyone = (channel for listed in settings.ALERTS.values() for channel in _channels(listed))
    return next((channel for channel in everyone if channel.fingerprint == fingerprint), None)


def problem_of(address: str) -> str:
    """Why nothing can be sent to an address of ``ALERTS``, in one sentence; empty when it can."""
    way = _way(address)
    if way is None:
        return "It is neither an address with a scheme, such as mailto: or https://, nor a dotted path."
    return way.problem(address)


def _channels(listed: object) -> list[Channel]:
    """What is no text is no address: a system check names it, and all other owners are told."""
    addresses = [listed] if isinstance(listed, str) else listed if isinstance(listed, Iterable) else ()
    return [
        Channel(address) for address in dict.fromkeys(each for each in addresses if isinstance(each, str))
    ]


def _way(address: str) -> Way | None:
    lowered = address.lower()
    if lowered.startswith(("https://", "http://")):
        return webhook
    if WITH_SCHEME.match(address):
        return push
    if lowered.startswith(mail.SCHEME):
        return mail
    return function if DOTTED.fullmatch(address) else None


def _label(address: str, fingerprint: str) -> str:
    way = _way(address)
    try:
        if way is not None:
            return printable(way.label(address))[:255]
    except ValueError:  # not a URL
        pass
    return f"unreadable address ({fingerprint[:4]})"
