"""A worker's pool forks while threads of its main process use the database: the fork waits for them.

SQLite's library keeps its locks by process and file (https://www.sqlite.org/howtocorrupt.html): a child that
inherits an open connection breaks the file. With other databases, a child in which an inherited connection is
collected may end the parent's session.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error, connections

from ..models import database
from ..private import forget_json_support

WAIT = 1.0
"""Seconds that a fork waits for what is under way."""

WAIT_ON_SQLITE = 30.0
"""The same on SQLite, where a statement may wait longer for others who write, and the file is at stake."""

_in_use = threading.RLock()
_held = False


@contextmanager
def connected() -> Iterator[None]:
    """Use the database in a thread beside the recorder's: no fork meanwhile, no open connection afterwards.

    One thread at a time. Keep whatever may hang, such as a channel, outside.
    """
    with _in_use:
        try:
            yield
        except Error:
            forget_json_support(connections[database()])
            raise
        finally:
            connections.close_all()


def patience() -> float:
    """Seconds that a fork may wait."""
    return WAIT_ON_SQLITE if connections[database()].vendor == "sqlite" else WAIT


def before_fork() -> None:
    """Wait until no thread is :func:`connected`."""
    global _held
    if _in_use.acquire(timeout=patience()):
        _held = True


def after_fork_in_parent() -> None:
    """Let the threads go on."""
    global _held
    if _held:
        _held = False
        _in_use.release()


def after_fork_in_child() -> None:
    """The threads are not there any more."""
    global _in_use, _held
    _in_use, _held = threading.RLock(), False
