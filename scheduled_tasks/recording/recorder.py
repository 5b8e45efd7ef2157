"""The recorder: one thread per process that writes runs to the database, on a connection of its own.

Callers hand over what is to be written and wait for it, ``RECORD_WAIT`` at most. A database that fails or
hangs delays one caller once: from then on writes are kept in a bounded backlog, and nobody waits until a
write succeeds again.
"""

from __future__ import annotations

import atexit
import math
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from celery.exceptions import SoftTimeLimitExceeded
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from ..conf import settings
from ..models import database
from ..private import under_test
from . import ended, forks
from .complaints import complaints
from .connection import is_outage, recorders_connection

IDLE_CLOSE = 30.0
"""Seconds without a write after which the connection goes back to the server."""

RETRY_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while the database fails; the last one repeats. The first is for a connection that
the server closed while it was idle."""

BACKLOG_BYTES = 16_000_000
"""About what waiting writes may hold; beyond it the oldest are given up."""

CLOSE_WAIT = 2.0
"""Seconds a process that ends waits for what is still to be written, or ``RECORD_WAIT`` if that is longer."""

Write = Callable[[], object]
"""Writes something on its thread's connection to :func:`..models.database`; called again after an outage."""

Answer = TypeVar("Answer")


class Unanswered(Exception):
    """The database did not answer in time; the text says why, as far as it is known."""


@dataclass(eq=False, slots=True)
class Order:
    """A write that was handed over; ``tried`` receives an item once it was carried out or has failed."""

    write: Write
    size: int = 0
    tried: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue)


class Recorder:
    """Carries out orders one after another, in a thread that starts with the first.

    A soft time limit may raise at any bytecode of a caller. So callers use only locks and queues written in
    C, which a signal's handler cannot leave half-way; ``threading.Condition`` and ``Event`` are not.
    """

    def __init__(self) -> None:
        self.error = ""
        """Why the last write failed; empty after one that succeeded."""
        self.answering = True
        """Whether the database took the last write in time."""
        self.connection: BaseDatabaseWrapper | None = None
        self.busy = threading.Lock()
        """Held by the thread while it writes. Whoever else holds it keeps the thread from that."""
        self._orders: deque[Order] = deque()
        self._later: dict[Hashable, tuple[float, Write]] = {}
        self._size = 0
        self._lock = threading.RLock()  # what is garbage-collected meanwhile may log, and so come here again
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._idle_at = 0.0

    def put(self, write: Write, *, wait: bool, size: int = 1_000) -> None:
        """Hand over ``write``; with ``wait``, return once it is done, after ``RECORD_WAIT`` at the latest.

        ``size`` is about how many bytes the order holds while it waits.
        """
        order = Order(write, size)
        if not (wait and self.answering and settings.RECORD_WAIT):
            self._hand_over(order)
        elif not self._tried_within(order, settings.RECORD_WAIT):
            self.answering = False  # nobody else needs to wait for a database that does not answer

    def ask(self, question: Callable[[], Answer], timeout: float) -> Answer:
        """What ``question`` answers. Raises :class:`Unanswered` after ``timeout`` seconds without one."""
        answers: list[Answer] = []
        order = Order(lambda: answers.append(question()))
        if not self._tried_within(order, timeout) or not answers:
            raise Unanswered(self.error)
        return answers[-1]

    def later(self, key: Hashable, seconds: float, write: Write) -> None:
        """Hand over ``write`` after ``seconds``, unless one with the same ``key`` is already waiting."""
        if key in self._later:
            return
        with self._lock:
            self._later[key] = (time.monotonic() + seconds, write)
            self._start()
        self._ring()

    def close(self, timeout: float) -> None:
        """Carry out what waits, for at most ``timeout`` seconds, and give the connection back."""
        with self._lock:
            self._move_due(math.inf)
            self._retry_at = 0.0
        if self._thread is not None:
            self._tried_within(Order(self._disconnect), timeout)

    def _tried_within(self, order: Order, timeout: float) -> bool:
        with suppress(queue.Empty):
            if self._hand_over(order):
                order.tried.get(timeout=timeout)
                return True
        return False

    def _hand_over(self, order: Order) -> bool:
        with self._lock:
            self._append(order)
            started = self._start()
        self._ring()
        return started

    def _append(self, order: Order) -> None:
        self._orders.append(order)
        self._size += order.size
        while self._size > BACKLOG_BYTES:
            self._size -= self._orders.popleft().size
            complaints.log("The database does not answer; the oldest records of runs were given up.")

    def _start(self) -> bool:
        if self._thread is None:
            try:
                thread = threading.Thread(target=self._run, name="scheduled-tasks-recorder", daemon=True)
                thread.start()  # waits for the lock that is held here
            except RuntimeError as error:  # no thread is to be had; the next order tries again
                complaints.log("Runs cannot be recorded at the moment; tasks run on.", error)
                return False
            self._thread = thread
        return True

    def _ring(self) -> None:
        if self._wake.empty():
            self._wake.put(None)

    def _run(self) -> None:
        while True:
            order = self._next()
            with self.busy:
                if order is None:
                    self._disconnect()
                else:
                    self._carry_out(order)

    def _next(self) -> Order | None:
        """Wait for the first order that can be carried out; None when the connection has been idle."""
        while True:
            with self._lock:
                now = time.monotonic()
                self._move_due(now)
                due = self._retry_at if self._orders else self._idle_at if self.connection else math.inf
                if now >= due:
                    return self._orders[0] if self._orders else None
                due = min([due, *(moment for moment, _ in self._later.values())])
            with suppress(queue.Empty):
                self._wake.get(timeout=None if due == math.inf else due - now)

    def _move_due(self, now: float) -> None:
        for key, (due, write) in list(self._later.items()):
            if due <= now:
                del self._later[key]
                self._append(Order(write, 1_000))

    def _carry_out(self, order: Order) -> None:
        try:
            self.connection = self.connection or recorders_connection()
            order.write()
        except Exception as error:  # noqa: BLE001 - the thread must survive whatever a driver raises
            if is_outage(error):
                self._put_off(error)
                return
            self.error = str(error)
            complaints.log("A run could not be recorded.", error)
        else:
            self.error = ""
        self.answering, self._failures, self._retry_at = True, 0, 0.0
        self._idle_at = time.monotonic() + (IDLE_CLOSE if settings.OWN_CONNECTION else 0)
        with self._lock:
            if self._orders and self._orders[0] is order:
                self._size -= self._orders.popleft().size
        order.tried.put(None)

    def _put_off(self, error: Exception) -> None:
        self._disconnect()
        self._retry_at = time.monotonic() + RETRY_PAUSES[min(self._failures, len(RETRY_PAUSES) - 1)]
        self._failures += 1
        if self._failures == 1:
            return
        self.answering, self.error = False, str(error)
        complaints.log("Runs cannot be recorded at the moment; tasks run on.", error)
        with self._lock:
            for order in self._orders:
                order.tried.put(None)

    def _disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()


_recorder = Recorder()
_held_for_fork = False
_inherited: list[BaseDatabaseWrapper] = []
"""Connections of a parent process. Closing one, or letting it be collected, can end the parent's too: with
its TLS session, its server process or its file locks."""


def recorder() -> Recorder:
    """This process's recorder."""
    return _recorder


def record(write: Write, *, wait: bool = True, inline: bool | None = None, size: int = 1_000) -> None:
    """Have ``write`` carried out: by the recorder, or at once and here where that must share the connection.

    That is under a test runner, whose database and transaction another connection could not see, and with
    ``inline``, by default where a transaction is open. (None is around a worker's task, unless it is run
    eagerly, so its receivers need not look.) Raises nothing but a task's soft time limit that strikes here.
    """
    try:
        if inline is None:
            inline = in_transaction()
        if inline or under_test():
            write()
        else:
            _recorder.put(write, wait=wait, size=size)
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:  # noqa: BLE001 - no sender or task may suffer from its record
        complaints.log("A run could not be recorded.", error)


def later(key: Hashable, seconds: float, write: Write) -> None:
    """Have ``write`` carried out after ``seconds``, unless one with the same ``key`` is already waiting.

    Not under a test runner: there nothing may be written after the test.
    """
    if not under_test():
        _recorder.later(key, seconds, write)


def ask(question: Callable[[], Answer], timeout: float) -> Answer:
    """What ``question`` answers, asked as :func:`record` writes.

    Raises :class:`Unanswered` when the database does not answer within ``timeout`` seconds.
    """
    if under_test() or in_transaction():
        return question()
    return _recorder.ask(question, timeout)


def in_transaction() -> bool:
    """Whether the calling thread is inside a transaction on the database of the runs."""
    return connections[database()].in_atomic_block


def close() -> None:
    """Carry out what waits, for at most :data:`CLOSE_WAIT` or ``RECORD_WAIT`` seconds, and disconnect.

    Receivers that were not told of an end yet have :data:`CLOSE_WAIT` more.
    """
    _recorder.close(max(CLOSE_WAIT, settings.RECORD_WAIT))
    ended.close(CLOSE_WAIT)


def _before_fork() -> None:
    global _held_for_fork
    forks.before_fork()
    if not _recorder.busy.acquire(timeout=forks.patience()):
        return  # perhaps another thread forks, and will release it
    _held_for_fork = True
    connection = _recorder.connection
    if connection is not None and connection.vendor == "sqlite":
        # SQLite's library keeps its locks by process and file: a child must not inherit them.
        connection.inc_thread_sharing()
        with suppress(Exception):
            connection.close()


def _after_fork_in_parent() -> None:
    global _held_for_fork
    if _held_for_fork:
        _held_for_fork = False
        _recorder.busy.release()
    forks.after_fork_in_parent()


def _after_fork_in_child() -> None:
    global _recorder, _held_for_fork
    if _recorder.connection is not None:
        _inherited.append(_recorder.connection)
    _recorder, _held_for_fork = Recorder(), False
    forks.after_fork_in_child()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
atexit.register(close)
