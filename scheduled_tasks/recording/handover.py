"""How the rest of the app has something written down: by this process's one writer, or at once and here."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Hashable

from django.db import connections

from ..conf import settings
from ..models import database
from .complaints import complaints
from .orders import Order
from .session import Session, Write, ordinary_session
from .writer import Answer, Writer

FORK_WAIT = 1.0
"""Seconds a fork waits for the statement under way, whose state a child must not inherit half-way."""

_writer: Writer | None = None
_creating = threading.Lock()
_held_for_fork = False
_parked: list[Session] = []
"""Connections inherited from a parent process. Closing one, or letting it be collected, can end the parent's
too: with its TLS session, its server process or its file locks."""


def writer() -> Writer:
    """This process's writer."""
    global _writer
    if _writer is None:
        with _creating:
            _writer = _writer or Writer()
    return _writer


def record(write: Write, *, wait: bool = True, inline: bool | None = None, size: int = 1_000) -> Order | None:
    """Have ``write`` carried out: by the writer, or at once and here where that must share the connection.

    That is under a test runner, whose database and transaction another connection could not see, and with
    ``inline``, by default where a transaction is open. (None is around a worker's task, unless it is run
    eagerly, so its receivers need not look.) Raises nothing that a database causes.
    """
    if inline is None:
        inline = in_transaction()
    if not (inline or under_test()):
        return writer().put(write, wait=wait, size=size)
    try:
        write(ordinary_session())
    except Exception as error:  # noqa: BLE001 - no sender or task may suffer from its record
        complaints.log("A run could not be recorded.", error)
    return None


def later(key: Hashable, seconds: float, write: Write) -> None:
    """Have ``write`` carried out after ``seconds``, unless one with the same ``key`` is already waiting.

    Not under a test runner: there nothing may be written after the test.
    """
    if not under_test():
        writer().later(key, seconds, write)


def ask(question: Callable[[Session], Answer], timeout: float) -> Answer:
    """What ``question`` answers, asked as :func:`record` writes.

    Raises :class:`Unanswered` when the database does not answer within ``timeout`` seconds.
    """
    if under_test() or in_transaction():
        return question(ordinary_session())
    return writer().ask(question, timeout)


def in_transaction() -> bool:
    """Whether the calling thread is inside a transaction on the database of the runs."""
    return connections[database()].in_atomic_block


def under_test() -> bool:
    """Whether Django's test environment is set up in this process.

    ``manage.py test`` and pytest-django set it up before they make their databases. ``mail.outbox`` would not
    tell: Django's ``locmem`` mail backend makes it too, wherever a project uses that.
    """
    state = getattr(sys.modules.get("django.test.utils"), "_TestState", None)
    return hasattr(state, "saved_data")


def close(timeout: float | None = None) -> None:
    """Carry out what waits, for at most ``timeout`` seconds (by default ``RECORD_WAIT``), and disconnect."""
    if _writer is not None:
        _writer.close(settings.RECORD_WAIT if timeout is None else timeout)


def _before_fork() -> None:
    global _held_for_fork
    if _writer is None or not _writer.pause(FORK_WAIT):
        return
    _held_for_fork = True
    session = _writer.session
    if session is not None and session.connection.vendor == "sqlite":
        # SQLite's library keeps its locks by process and file: a child must not inherit them.
        with contextlib.suppress(Exception):
            session.close()


def _after_fork_in_parent() -> None:
    global _held_for_fork
    if _writer is not None and _held_for_fork:
        _held_for_fork = False
        _writer.resume()


def _after_fork_in_child() -> None:
    global _writer, _creating, _held_for_fork
    if _writer is not None and _writer.session is not None:
        _parked.append(_writer.session)
    _writer, _creating, _held_for_fork = None, threading.Lock(), False


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
atexit.register(close)
