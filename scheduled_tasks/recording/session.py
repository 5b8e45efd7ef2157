"""One database connection as the recorder uses it: plain statements, each its own transaction."""

from __future__ import annotations

import copy
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from django.conf import settings as django_settings
from django.db import DataError, OperationalError, ProgrammingError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Choices
from django.db.utils import load_backend
from django_celery_beat.models import PeriodicTask

from ..conf import settings
from ..models import Process, TaskRun, database
from .prepared import Prepared, can_prepare

TABLES = {
    "run": TaskRun._meta.db_table,
    "task": PeriodicTask._meta.db_table,
    "process": Process._meta.db_table,
}
AGO = {
    "postgresql": "(STATEMENT_TIMESTAMP() - %(age)s * INTERVAL '1 microsecond')",
    "mysql": "(UTC_TIMESTAMP(6) - INTERVAL %(age)s MICROSECOND)",
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'now', PRINTF('-%%.6f seconds', %(age)s / 1000000.0))",
}
"""The moment ``age`` microseconds before the database's clock: a late write still stores a true time."""

CLIENT_TIMEOUTS = {
    "postgresql": {
        "connect_timeout": 5,
        "tcp_user_timeout": 15_000,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    },
    "mysql": {"connect_timeout": 5, "read_timeout": 30, "write_timeout": 30},
}
"""Bounds the drivers keep by themselves, where the project's ``OPTIONS`` name none: a server that vanished
must hold neither the recorder nor beat for as long as the network stack would."""

NOT_COPIED = ("pool", "server_side_binding")
"""Options of the project's connection that one long-lived connection has no use for."""

MYSQL_TEXT_ERRORS = (1366, 3988)
"""A text that the table's character set cannot keep; the driver calls it an ``OperationalError``."""

PLAIN = frozenset({str, int, bool, type(None)})
PARAMETER = re.compile(r"%\((\w+)\)s")
IDENTIFIER = re.compile(r'"(\w+)"')
MOMENT = re.compile(r"{ago(?: (\w+))?}")

Statement = str
"""SQL with named parameters, tables ``"run"``, ``"task"`` and ``"process"``, and ``{ago}`` for a time.

``{ago lasted}`` is the time ``lasted`` microseconds before that, which is another parameter.
"""


class Frequent(Statement):
    """A statement that PostgreSQL had better parse and plan once: that is two thirds of its work with it."""


PREPARE_AFTER = 5
"""Uses on one connection after which a frequent statement is prepared, as psycopg has it."""


class Session:
    """Runs statements on a connection that is opened when first needed and may be lost at any time."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self._compiled: dict[Statement, tuple[str, tuple[str, ...]]] = {}
        self._cursor: Any = None

    def execute(self, statement: Statement, params: Mapping[str, Any], *, at: float | None = None) -> int:
        """Run ``statement`` and return how many rows it matched.

        ``at`` is the ``time.monotonic()`` of what is recorded, by default now. Inside the project's own
        transaction a savepoint keeps a failure from breaking it. Raises ``django.db.Error``.
        """
        return int(self._run(statement, params, at).rowcount)

    def fetch(
        self, statement: Statement, params: Mapping[str, Any], *, at: float | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows that ``statement`` selects; ``at`` as for :meth:`execute`. Raises ``django.db.Error``."""
        return list(self._run(statement, params, at).fetchall())

    @property
    def is_open(self) -> bool:
        """Whether a connection is held at the moment."""
        return self.connection.connection is not None

    @property
    def is_usable(self) -> bool:
        """Whether the server answers on this connection."""
        return bool(self.connection.is_usable())

    @property
    def is_locked_out(self) -> bool:
        """Whether a failure can only mean that others hold the database: a file needs no reconnecting."""
        return self.connection.vendor == "sqlite"

    @property
    def limit(self) -> float:
        """Seconds after which :meth:`cut` is to end another thread's statement; 0: no other may run one."""
        return 0.0

    def cut(self) -> None:
        """Have the statement under way fail, from another thread than the one that waits for it."""

    def close(self) -> None:
        """Give the connection back; the next statement opens another."""
        self._cursor = None
        self.connection.close()

    def _run(self, statement: Statement, params: Mapping[str, Any], at: float | None) -> Any:
        sql, names = self._compiled.get(statement) or self._compile(statement)
        values = {
            name: value if type(value := params[name]) in PLAIN else self._value(value) for name in names
        }
        values["age"] = 0 if at is None else max(0, int((time.monotonic() - at) * 1_000_000))
        try:
            return self._execute(sql, values)
        except (DataError, OperationalError) as error:
            if not _is_about_text(error):
                raise
        return self._execute(sql, {name: _in_ascii(value) for name, value in values.items()})

    def _execute(self, sql: str, values: dict[str, Any]) -> Any:
        if not self.connection.in_atomic_block:
            return self._on_cursor(sql, values)
        with transaction.atomic(using=self.connection.alias):
            return self._on_cursor(sql, values)

    def _on_cursor(self, sql: str, values: dict[str, Any]) -> Any:
        # One cursor serves for as long as the connection does: making one costs as much as a small statement.
        if self._cursor is None or not self.is_open:
            self._cursor = self.connection.cursor()
        self._cursor.execute(sql, values)
        return self._cursor

    def _compile(self, statement: Statement) -> tuple[str, tuple[str, ...]]:
        quote = self.connection.ops.quote_name
        vendor = self.connection.vendor
        text = MOMENT.sub(lambda found: _moment(vendor, found[1]), statement)
        text = IDENTIFIER.sub(lambda found: quote(TABLES.get(found[1], found[1])), text)
        compiled = text, tuple(set(PARAMETER.findall(text)) - {"age"})
        self._compiled[statement] = compiled
        return compiled

    def _value(self, value: Any) -> Any:
        if isinstance(value, Choices):
            return value.value
        if not isinstance(value, datetime):
            return value
        if not django_settings.USE_TZ:
            value = value.astimezone(UTC).replace(tzinfo=None)
        adapt: Any = self.connection.ops.adapt_datetimefield_value
        return adapt(value)


class OwnSession(Session):
    """A session on a connection of the recorder's own, by the driver's cursor.

    Django's cursor would rewrite a statement each time, at about the cost of a small one.
    """

    def __init__(self, connection: BaseDatabaseWrapper, limit: float) -> None:
        super().__init__(connection)
        self._limit = limit
        self._uses: Counter[Statement] = Counter()
        self._prepared: dict[str, Prepared] = {}
        self._prepares = connection.vendor == "postgresql"
        self._socket: int | None = None

    @property
    def limit(self) -> float:
        bounded = self.is_open and (self._socket is not None or self.connection.vendor == "sqlite")
        return self._limit if bounded else 0.0

    def cut(self) -> None:
        """End the conversation with the server. What waits for SQLite's lock gives up by itself."""
        if self._socket is None:
            return
        held = socket.socket(fileno=self._socket)
        with suppress(OSError):
            held.shutdown(socket.SHUT_RDWR)
        held.detach()

    def close(self) -> None:
        super().close()
        if self._socket is not None:
            os.close(self._socket)
            self._socket = None
        self._forget_prepared()
        self._compiled.clear()

    def _run(self, statement: Statement, params: Mapping[str, Any], at: float | None) -> Any:
        if not self._prepares or not isinstance(statement, Frequent):
            return super()._run(statement, params, at)
        try:
            self._uses[statement] += 1
            if self._uses[statement] == PREPARE_AFTER:
                self._prepare(statement)
            return super()._run(statement, params, at)
        except ProgrammingError:
            # A pooler has given the connection another server process, which knows other statements.
            self._prepares = False
            self._forget_prepared()
            return super()._run(statement, params, at)

    def _prepare(self, statement: Statement) -> None:
        self._prepares = can_prepare(self.connection)
        if not self._prepares:
            return
        text, names = self._compile(statement)
        with self.connection.wrap_database_errors:
            self._prepared[text] = Prepared(self.connection, text, (*names, "age"))

    def _forget_prepared(self) -> None:
        self._uses.clear()
        self._prepared.clear()

    def _execute(self, sql: str, values: dict[str, Any]) -> Any:
        cursor = self._prepared.get(sql) or self._opened_cursor()
        with self.connection.wrap_database_errors:
            cursor.execute(sql, values)
        return cursor

    def _opened_cursor(self) -> Any:
        if self._cursor is None or not self.is_open:
            self.connection.ensure_connection()
            self._cursor = self.connection.connection.cursor()
            self._socket = _socket_of(self.connection.connection)
        return self._cursor

    def _compile(self, statement: Statement) -> tuple[str, tuple[str, ...]]:
        text, names = super()._compile(statement)
        if self.connection.vendor == "sqlite":
            text %= {name: f":{name}" for name in (*names, "age")}
            self._compiled[statement] = text, names
        return text, names


def _moment(vendor: str, before: str | None) -> str:
    text = AGO[vendor]
    return text.replace("%(age)s", f"(%(age)s + %({before})s)") if before else text


def _is_about_text(error: Exception) -> bool:
    """Whether the database's character set lacks a character of a text."""
    return isinstance(error, DataError) or bool(error.args and error.args[0] in MYSQL_TEXT_ERRORS)


def _in_ascii(value: Any) -> Any:
    return value.encode("ascii", "backslashreplace").decode() if isinstance(value, str) else value


def _socket_of(connection: Any) -> int | None:
    """The socket of a driver's connection by a number that stays ours when the driver closes its own."""
    fileno = getattr(connection, "fileno", None)
    return None if fileno is None else os.dup(fileno())


Write = Callable[[Session], object]
"""Something to be written down, given the session to do it with. It may be called again after a failure."""


def own_session() -> OwnSession:
    """A session on a connection that Django, Celery and the project's code know nothing of."""
    name = database()
    chosen = copy.deepcopy(connections.settings[name])
    chosen |= {"AUTOCOMMIT": True, "ATOMIC_REQUESTS": False}
    backend = load_backend(chosen["ENGINE"])
    connection: BaseDatabaseWrapper = backend.DatabaseWrapper(chosen, name)
    for option in NOT_COPIED:
        chosen["OPTIONS"].pop(option, None)
    limit = settings.RECORD_WAIT
    if connection.vendor == "sqlite":
        chosen["OPTIONS"]["timeout"] = limit
    set_timeouts(connection)
    # The writer's thread uses it, but a thread that forks the process may have to close it.
    connection.inc_thread_sharing()
    return OwnSession(connection, limit)


def set_timeouts(connection: BaseDatabaseWrapper) -> None:
    """Give this one connection, before it is opened, the bounds of :data:`CLIENT_TIMEOUTS`."""
    options = CLIENT_TIMEOUTS.get(connection.vendor, {}) | connection.settings_dict["OPTIONS"]
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}


def ordinary_session() -> Session:
    """A session on the calling thread's own Django connection."""
    return Session(connections[database()])
