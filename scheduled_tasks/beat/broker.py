"""Beat's side of the broker: bounded in time, so that beat goes on with its other work."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from celery import Celery
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from ..reasons import ReasonedError

TIMEOUT = 5.0
"""Seconds a broker may take to accept a connection or to answer on one."""

IDLE_LIMIT = 10.0
"""Seconds after which an unused connection is replaced: it may have ended without a word, and the message
sent on it would be lost."""

OUTAGES = (OperationalError, OSError)


class BrokerUnreachable(Exception):
    """No broker accepts a connection: the message has not left."""


class OutcomeUnknown(Exception):
    """The broker failed while it was given the message: it may have it."""


class NotPublished(ReasonedError):
    """The message has not left, whatever the broker does: it cannot be sent, or was not sent as it is."""


class Broker:
    """Messages of ``app`` leave on one connection, kept while it works."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection | None = None
        self._producer: Any = None
        self._used_at = 0.0

    def producer(self) -> Any:
        """A producer whose connection is open. Raises :class:`BrokerUnreachable`."""
        if time.monotonic() - self._used_at > IDLE_LIMIT:
            self.close()
        if self._producer is None:
            try:
                self._connection = _open(self._app)
                self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)
            except Exception as error:
                self.close()
                raise BrokerUnreachable(str(error)) from error
        self._used_at = time.monotonic()
        return self._producer

    def answers(self) -> bool:
        """Whether a broker accepts a connection; for any thread."""
        try:
            with _open(self._app):
                return True
        except Exception:  # noqa: BLE001 - a refused login is none of kombu's own errors
            return False

    def close(self) -> None:
        """Let the connection go; the next message makes a new one."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with suppress(Exception):  # it may be broken
                connection.release()  # type: ignore[no-untyped-call]


def _open(app: Celery) -> Connection:
    """A connection to the first broker that accepts one; each is tried once."""
    limits = {"socket_connect_timeout": TIMEOUT, "socket_timeout": TIMEOUT}
    connection: Connection = app.connection_for_write(connect_timeout=TIMEOUT, transport_options=limits)
    tries = max(len(connection.alt), 1)
    connection.ensure_connection(max_retries=tries - 1, interval_start=0, interval_step=0)  # type: ignore[no-untyped-call]
    return connection
