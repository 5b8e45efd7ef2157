"""One connection: what the database refuses, and what it only cannot take now."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from django.db import DataError, InterfaceError, InternalError, OperationalError, ProgrammingError

from scheduled_tasks.models import Status, TaskRun
from scheduled_tasks.recording import connection as connecting
from scheduled_tasks.recording import statements
from scheduled_tasks.recording.connection import is_outage
from tests.recording.runs import attempt, message, the_run


@pytest.mark.parametrize("error", [DataError("untranslatable"), OperationalError(1366, "Incorrect string")])
def test_text_that_the_database_cannot_keep_is_kept_in_ascii(
    error: Exception, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = connecting._run

    def like_latin1(connection: object, sql: str, values: dict[str, object]) -> int:
        if any(isinstance(value, str) and not value.isascii() for value in values.values()):
            raise error
        return run(connection, sql, values)

    monkeypatch.setattr(connecting, "_run", like_latin1)
    sent = message()
    statements.end(attempt(sent), statements.Ending(status=Status.FAILED, error="café 🙂"))
    assert the_run(sent).error == "caf\\xe9 \\U0001f642"


def test_key_that_no_row_can_have_blocks_nothing(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """MariaDB cannot compare a column in utf8mb3 with a name that has an emoji: it is no outage."""
    run, error = connecting._run, OperationalError(1267, "Illegal mix of collations")

    def like_utf8mb3(connection: object, sql: str, values: dict[str, object]) -> int:
        if any("🙂" in str(value) for value in values.values()):
            raise error
        return run(connection, sql, values)

    assert not is_outage(error)
    monkeypatch.setattr(connecting, "_run", like_utf8mb3)
    sent = message()
    sent.header = replace(sent.header, name="job 🙂")
    statements.end(attempt(sent), statements.Ending(status=Status.FAILED, error="🙂"))
    assert the_run(sent).name == "job \\U0001f642"


def test_failed_statement_leaves_the_projects_transaction_usable(db: None) -> None:
    sent = message()
    statements.queue(sent, at=time.monotonic())
    statements.queue(sent, at=time.monotonic())
    assert TaskRun.objects.count() == 1


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("server closed the connection unexpectedly"),
        OperationalError("canceling statement due to statement timeout"),
        OperationalError("could not extend file: No space left on device"),
        OperationalError(1290, "The MariaDB server is running with the --read-only option"),
        OperationalError(1205, "Lock wait timeout exceeded"),
        OperationalError(1040, "Too many connections"),
        InterfaceError("connection already closed"),
        InternalError("cannot execute UPDATE in a read-only transaction"),
    ],
)
def test_condition_of_the_database_is_an_outage(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        DataError("value out of range"),
        ProgrammingError("column does not exist"),
        OperationalError(1366, "Incorrect string value"),
        OperationalError(1054, "Unknown column"),
        ValueError("not the database's"),
    ],
)
def test_refusal_of_a_statement_is_none(error: Exception) -> None:
    assert not is_outage(error)


@pytest.mark.parametrize(
    ("provoke", "outage"),
    [
        (lambda cursor: cursor.execute("SELECT no_such_column"), False),
        (
            lambda cursor: (cursor.execute("PRAGMA query_only = 1"), cursor.execute("CREATE TABLE t (x)")),
            True,
        ),
    ],
    ids=["unknown column", "read-only"],
)
def test_sqlite_tells_them_apart_by_its_code(provoke: Callable[[object], object], outage: bool) -> None:
    try:
        provoke(sqlite3.connect(":memory:").cursor())
    except sqlite3.OperationalError as cause:
        error = OperationalError(str(cause))
        error.__cause__ = cause
    assert is_outage(error) is outage
