"""A statement that PostgreSQL parses and plans once, carried out by libpq's own blocking call.

psycopg waits for an answer in steps, between which Python may run a signal's handler: a statement costs the
client three times as much. The recorder bounds its statements by other means, and a handler runs right after.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

TYPES = {
    "age": "int8",
    "pid": "int8",
    "retries": "int8",
    "redelivered": "bool",
    "replaces": "bool",
}
"""Types of the parameters that are not texts."""


class Prepared:
    """Stands in for the driver's cursor, for one statement on one open connection of psycopg 3.

    ``text`` is SQL with the named parameters ``names``. Raises psycopg's errors, as its cursors do.
    """

    def __init__(self, connection: BaseDatabaseWrapper, text: str, names: Iterable[str]) -> None:
        self.rowcount = 0
        self._driver: Any = connection.Database  # type: ignore[attr-defined]
        self._link = connection.connection.pgconn
        self._names = sorted(names)
        known, types = self._driver.adapters.types, [TYPES.get(name, "text") for name in self._names]
        body = text % {name: f"${place}" for place, name in enumerate(self._names, start=1)}
        # Behind a pooler others may have prepared on the same server process: one name, one statement.
        digest = blake2b(f"{types} {body}".encode(), digest_size=8).hexdigest()
        self._name = f"scheduled_tasks_{digest}".encode()
        self._check(self._link.prepare(self._name, body.encode(), [known[each].oid for each in types]))

    def execute(self, sql: str, values: Mapping[str, Any]) -> None:
        """As a cursor's: ``rowcount`` says then how many rows it matched. ``sql`` is the known one."""
        result = self._link.exec_prepared(self._name, [self._encoded(values[name]) for name in self._names])
        self._check(result)
        self.rowcount = result.command_tuples or 0

    def _encoded(self, value: Any) -> bytes | None:
        if value is None:
            return None
        found = str(value).encode()
        if b"\0" in found:
            raise self._driver.DataError("PostgreSQL keeps no NUL in a text.")
        return found

    def _check(self, result: Any) -> None:
        driver = self._driver
        if result.status == driver.pq.ExecStatus.COMMAND_OK:
            return
        if result.error_field(driver.pq.DiagnosticField.SQLSTATE):
            raise driver.errors.error_from_result(result)
        # Only what the server says has a code: the connection is lost.
        raise driver.OperationalError(result.error_message.decode(errors="replace"))


def can_prepare(connection: BaseDatabaseWrapper) -> bool:
    """Whether :class:`Prepared` can serve this connection: an open one of psycopg 3.

    Not under gevent and eventlet: a call that blocks in C would hold up the tasks of all greenlets.
    """
    patched = socket.socket.__module__ != "socket"
    return hasattr(connection.connection, "pgconn") and not patched
