"""``https://``: a JSON document, posted and signed.

The address is the project's own choice and may be a private one. Nothing that the receiver answers leads
anywhere else: a redirect is followed only to the same scheme, host and port, over the IP address that
answered first, so that a name which changes its address meanwhile (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import ip_address
from urllib.parse import SplitResult, urljoin, urlsplit

from django.utils.crypto import salted_hmac

from ..conf import settings
from .faults import ChannelError, told
from .notification import Notification

TIMEOUT = 10.0
"""Seconds in which a receiver must have answered, redirects included. Looking up its name comes on top."""

REDIRECTS = 3
REPEATING = (307, 308)
"""Redirects that ask for the same request again; after others a client sends a GET."""

PORTS = {"https": 443, "http": 80}


def label(address: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(address)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if parts.port is None else f":{parts.port}")


def problem(address: str) -> str:
    """Why nothing can be sent to the address; empty when it can."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return "It is not a URL."
    if not parts.hostname or port == 0:
        return "It has no host."
    if parts.username is not None:
        return "It has a user name, which is not sent. Receivers check the signature instead."
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        return "It is not encrypted. Use https://, http:// is only for this machine itself."
    if not address.isascii() or any(sign.isspace() or sign < " " for sign in address):
        return "It has a character that must be percent-encoded."
    return ""


def send(address: str, notification: Notification) -> None:
    """Post the notification. Raises :class:`.ChannelError` unless the receiver answers with a 2xx status."""
    if fault := problem(address):
        raise ChannelError(fault)
    body = json.dumps(notification.as_json()).encode()
    ends_at = time.monotonic() + TIMEOUT
    parts, peer = urlsplit(address), ""
    for _attempt in range(1 + REDIRECTS):
        headers = _headers(notification, body)
        try:
            with _connected(parts, ends_at, peer) as (connection, peer):
                connection.request("POST", _target(parts), body, headers)
                response = connection.getresponse()
                status, location = response.status, response.getheader("Location", "")
            if time.monotonic() >= ends_at:  # http.client takes broken headers for their end
                raise TimeoutError
        except (OSError, HTTPException, ValueError) as error:
            raise ChannelError(_why(error, parts, ends_at)) from None
        if 200 <= status < 300:
            return
        parts = _followed(parts, status, location)
    raise ChannelError("The receiver redirects too often.")


def signing_key() -> str:
    """What signs: the setting ``ALERT_SECRET``, or a key made of Django's ``SECRET_KEY``."""
    chosen: str | None = settings.ALERT_SECRET
    return chosen or salted_hmac("scheduled_tasks.alerts", "webhook", algorithm="sha256").hexdigest()


def signature(body: bytes, at: int) -> str:
    """The value of the header ``ST-Signature`` for a body sent at a Unix time in seconds."""
    signed = hmac.new(signing_key().encode(), b"%d." % at + body, "sha256").hexdigest()
    return f"t={at},v1={signed}"


def _headers(notification: Notification, body: bytes) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "celery-scheduled-tasks",
        "Idempotency-Key": notification.key,
        "ST-Signature": signature(body, int(time.time())),
    }


@contextmanager
def _connected(parts: SplitResult, ends_at: float, peer: str) -> Iterator[tuple[HTTPConnection, str]]:
    """A connection that is broken at ``ends_at``, and its IP address: ``peer`` if that is given."""
    host, port = parts.hostname or "", _port(parts)
    plain = _open(peer or host, port, ends_at)
    peer = plain.getpeername()[0]
    with plain.dup() as end:  # still ours when TLS has taken over the socket
        alarm = threading.Timer(ends_at - time.monotonic(), _break, [end])
        alarm.daemon = True
        alarm.start()
        connection: HTTPConnection | None = None
        try:
            if parts.scheme == "https":
                context = ssl.create_default_context()
                connection = HTTPSConnection(host, port, context=context)
                connection.sock = context.wrap_socket(plain, server_hostname=host)
            else:
                connection = HTTPConnection(host, port)
                connection.sock = plain
            yield connection, peer
        finally:
            alarm.cancel()
            plain.close()
            if connection is not None:
                connection.close()


def _open(host: str, port: int, ends_at: float) -> socket.socket:
    """A TCP connection to the first of the host's addresses that answers within its share of the time."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _name, place) in enumerate(found):
        opened = socket.socket(family, kind, protocol)
        try:
            left = max(ends_at - time.monotonic(), 0.001)
            opened.settimeout(left / (len(found) - number))
            opened.connect(place)
            opened.settimeout(max(ends_at - time.monotonic(), 0.001))
        except OSError:
            opened.close()
            if number == len(found) - 1:
                raise
        else:
            return opened
    raise OSError("The host has no address.")


def _break(end: socket.socket) -> None:
    """Whoever waits for this connection gets an error, also while the other side sends byte after byte."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def _why(error: Exception, parts: SplitResult, ends_at: float) -> str:
    if time.monotonic() >= ends_at or isinstance(error, TimeoutError):
        return f"The receiver did not answer within {TIMEOUT:g} s."
    if isinstance(error, socket.gaierror):
        return "The host's name is not known."
    if isinstance(error, ConnectionRefusedError):
        return "The host refuses connections."
    return told(error, secrets_of(parts))


def secrets_of(parts: SplitResult) -> list[str]:
    """The parts of an address that may not be shown."""
    return [parts.netloc.rpartition("@")[0], parts.path.strip("/"), parts.query, *parts.path.split("/")]


def _followed(parts: SplitResult, status: int, location: str) -> SplitResult:
    """Where a redirect leads. Raises :class:`.ChannelError` for other answers, and for other hosts."""
    if not 300 <= status < 400:
        raise ChannelError(f"The receiver answered {status}.")
    if status not in REPEATING:
        raise ChannelError(f"The receiver answered {status}, a redirect that drops the message.")
    try:
        there = urlsplit(urljoin(parts.geturl(), location))
        same = (there.scheme, there.hostname, _port(there)) == (parts.scheme, parts.hostname, _port(parts))
    except ValueError:
        same = False
    if not same or problem(there.geturl()):
        raise ChannelError(f"The receiver answered {status}, a redirect to another host: not followed.")
    return there


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _port(parts: SplitResult) -> int:
    return parts.port or PORTS.get(parts.scheme, 0)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
