"""How the app's own statements run: on the calling thread's Django connection, each its own transaction.

The recorder's thread has a connection of its own for that, which Celery and the project's code never touch.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.db import DataError, InterfaceError, InternalError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Choices
from django_celery_beat.models import PeriodicTask

from ..conf import settings
from ..models import TaskRun, database

TABLES = {"run": TaskRun._meta.db_table, "task": PeriodicTask._meta.db_table}
AGO = {
    "postgresql": "(STATEMENT_TIMESTAMP() - %(age)s * INTERVAL '1 microsecond')",
    "mysql": "(UTC_TIMESTAMP(6) - INTERVAL %(age)s MICROSECOND)",
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'now', PRINTF('-%%.6f seconds', %(age)s / 1000000.0))",
}
"""The moment ``age`` microseconds before the database's clock: a late write still stores a true time."""

AGO_TEXT = {
    "postgresql": f"TO_CHAR({AGO['postgresql']} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
    "mysql": AGO["mysql"],
    "sqlite": AGO["sqlite"],
}
"""The same as text in ISO 8601, in UTC."""

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

SILENCE = 10
"""Seconds after which the server ends a transaction of a process that says nothing more: it may keep rows
that all others need, and the server may not notice for hours that its host is gone. Less than any lease's
``ttl``, so that the next holder need not wait for it."""

NOT_OWN = ("pool", "server_side_binding")
"""Options of the project's connection that one long-lived connection has no use for."""

SQLITE_ERROR = 1
"""SQLite's code for a statement it cannot carry out, such as one with an unknown column. Its other codes tell
of the file: locked, read-only, disk full."""

MYSQL_TEXT_ERRORS = frozenset({1267, 1366, 3988})
"""A text that the table's character set cannot keep, or be compared with; the driver calls it an
``OperationalError``."""

MYSQL_STATEMENT_ERRORS = MYSQL_TEXT_ERRORS | {1054, 1364}
"""Also an unknown column and a column without a default, which the driver calls so as well."""

KEYS = frozenset({"celery_id", "name", "token"})
"""Values by which a run's row is found again."""

PARAMETER = re.compile(r"%\((\w+)\)s")
IDENTIFIER = re.compile(r'"(\w+)"')
CONCAT = re.compile(r"CONCAT\(((?:%\(\w+\)s|[^()])+)\)")


def execute(statement: str, params: Mapping[str, Any], *, at: float | None = None) -> int:
    """Run ``statement`` on this thread's connection and return how many rows it matched.

    It is SQL with named parameters, the tables ``"run"`` and ``"task"``, ``CONCAT(…)`` of columns and
    parameters, and ``{ago}``, or ``{ago_text}``, for the time ``at`` (``time.monotonic()``, by default now).
    Texts that the database refuses are tried again in ASCII, those by which a run is found only if need be.
    Inside the project's own transaction a savepoint keeps a failure from breaking it. Raises
    ``django.db.Error``.
    """
    connection = connections[database()]
    sql, names = _compiled(statement, connection.vendor)
    values = {name: _adapted(connection, params[name]) for name in names}
    values["age"] = 0 if at is None else max(0, int((time.monotonic() - at) * 1_000_000))
    in_ascii_too = {name: in_ascii(value) for name, value in values.items()}
    found_by = {name: value for name, value in values.items() if name in KEYS}
    for attempt in (values, in_ascii_too | found_by):
        try:
            return _run(connection, sql, attempt)
        except (DataError, OperationalError, UnicodeError) as error:
            if isinstance(error, OperationalError) and _code(error) not in MYSQL_TEXT_ERRORS:
                raise
    return _run(connection, sql, in_ascii_too)


def _run(connection: BaseDatabaseWrapper, sql: str, values: dict[str, Any]) -> int:
    savepoint = transaction.atomic(using=connection.alias) if connection.in_atomic_block else nullcontext()
    with savepoint, connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)


@cache
def _compiled(statement: str, vendor: str) -> tuple[str, frozenset[str]]:
    quote = "`" if vendor == "mysql" else '"'
    text = statement
    if vendor != "mysql":
        text = CONCAT.sub(lambda found: f"({found[1].replace(', ', ' || ')})", text)
    text = text.replace("{ago}", AGO[vendor]).replace("{ago_text}", AGO_TEXT[vendor])
    text = IDENTIFIER.sub(lambda found: f"{quote}{TABLES.get(found[1], found[1])}{quote}", text)
    return text, frozenset(PARAMETER.findall(text)) - {"age"}


def _adapted(connection: BaseDatabaseWrapper, value: Any) -> Any:
    if isinstance(value, Choices):
        return value.value
    if not isinstance(value, datetime):
        return value
    if not django_settings.USE_TZ:
        value = value.astimezone(UTC).replace(tzinfo=None)
    adapt: Any = connection.ops.adapt_datetimefield_value
    return adapt(value)


CHARACTER_SET = {
    "postgresql": "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()",
    "mysql": "SELECT character_set_name FROM information_schema.columns WHERE table_schema = DATABASE()"
    " AND table_name = 'scheduled_tasks_taskrun' AND column_name = 'actor'",
}


def keepable(text: str) -> str:
    """The text, in ASCII where the database's character set does not have every character."""
    return text if text.isascii() or _has_every_character() else str(in_ascii(text))


@cache
def _has_every_character() -> bool:
    connection = connections[database()]
    if connection.vendor not in CHARACTER_SET:
        return True
    with connection.cursor() as cursor:
        cursor.execute(CHARACTER_SET[connection.vendor])
        return cursor.fetchone() in (("UTF8",), ("utf8mb4",))


def in_ascii(value: Any) -> Any:
    """A text that every character set can keep; other values as they are."""
    if not isinstance(value, str):
        return value
    return value.encode("ascii", "backslashreplace").decode().replace("\0", "\\x00")


def is_outage(error: Exception) -> bool:
    """Whether the database's condition is to blame, so that the same statement may succeed later.

    Such are a lost connection, a failover that leaves the server read-only, a timeout, a lock, a full disk;
    not a statement or a value that the database refuses.
    """
    if not isinstance(error, OperationalError | InterfaceError | InternalError):
        return False
    if getattr(error.__cause__, "sqlite_errorcode", None) == SQLITE_ERROR:
        return False
    return _code(error) not in MYSQL_STATEMENT_ERRORS


def _code(error: Exception) -> Any:
    return error.args[0] if error.args else None


def recorders_connection() -> BaseDatabaseWrapper:
    """This thread's connection, set up to be kept open if ``OWN_CONNECTION`` says so."""
    connection = connections[database()]
    if settings.OWN_CONNECTION:
        set_timeouts(connection)
        options = connection.settings_dict["OPTIONS"]
        options = {name: value for name, value in options.items() if name not in NOT_OWN}
        if connection.vendor == "sqlite":
            options["timeout"] = settings.RECORD_WAIT
        connection.settings_dict = {**connection.settings_dict, "AUTOCOMMIT": True, "OPTIONS": options}
    return connection


def set_timeouts(connection: BaseDatabaseWrapper) -> None:
    """Give this one connection, before it is opened, the bounds of :data:`CLIENT_TIMEOUTS`."""
    options = CLIENT_TIMEOUTS.get(connection.vendor, {}) | connection.settings_dict["OPTIONS"]
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}


@contextmanager
def own_transaction(alias: str) -> Iterator[None]:
    """A transaction on a connection of the app's own; the server ends it when this process falls silent.

    On SQLite nothing can: whoever stands still in a transaction keeps the file locked.
    """
    connection = connections[alias]
    outermost = not connection.in_atomic_block
    with transaction.atomic(using=alias):
        if outermost:
            _bound_silence(connection)
        yield


def _bound_silence(connection: BaseDatabaseWrapper) -> None:
    if connection.vendor == "postgresql":
        statement = f"SET LOCAL idle_in_transaction_session_timeout = '{SILENCE}s'"
    elif getattr(connection, "mysql_is_mariadb", False):
        statement = f"SET SESSION idle_transaction_timeout = {SILENCE}"
    else:
        return
    with connection.cursor() as cursor:
        cursor.execute(statement)
