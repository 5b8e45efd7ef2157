"""The one thread per process that writes, so that no task waits long or shares its transaction with a record.

Orders are carried out one after another. A database that fails or hangs delays whoever hands over next once,
by ``RECORD_WAIT`` at most; from then on orders are only kept, in a bounded backlog, until a write succeeds.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

from django.db import InterfaceError, InternalError, OperationalError

from ..conf import settings
from .session import Session, Write, ordinary_session, own_session

IDLE_CLOSE = 30.0
"""Seconds without an order after which the connection goes back to the server."""

RETRY_PAUSES = (0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while the database fails; the last one repeats."""

MAX_TRIES = 5
"""Attempts for an order that fails although the database answers: it must not hold up the others."""

BACKLOG_BYTES = 16_000_000
"""About what waiting orders may hold; beyond it the oldest are given up."""

LOG_EVERY = 60.0
"""Seconds between two lines of log about the same trouble."""

TRANSIENT = (OperationalError, InterfaceError, InternalError)

Answer = TypeVar("Answer")

logger = logging.getLogger("scheduled_tasks")


class Bell:
    """Wakes one thread: what ``threading.Event`` does, at a fraction of its cost per run."""

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has been rung already
            self._silence.release()

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep until it rings; False when it did not within ``seconds``."""
        return self._silence.acquire(timeout=-1 if seconds is None else seconds)


@dataclass(eq=False, slots=True)
class Order:
    """A write that was handed over; ``done`` rings once it was carried out or put off."""

    write: Write | None
    size: int = 0
    done: Bell | None = None
    tries: int = 0

    def withdraw(self) -> None:
        """Another order makes this one superfluous."""
        self.write = None


class Unanswered(Exception):
    """The database did not answer in time; the text says why, as far as it is known."""


class Complaints:
    """One line of log a minute for each kind of trouble, with how often it happened meanwhile."""

    def __init__(self) -> None:
        self._logged: dict[str, tuple[float, int]] = {}

    def log(self, message: str, error: BaseException | None = None) -> None:
        now = time.monotonic()
        logged_at, count = self._logged.get(message, (-LOG_EVERY, 0))
        if now - logged_at < LOG_EVERY:
            self._logged[message] = (logged_at, count + 1)
            return
        self._logged[message] = (now, 0)
        cause = f" ({type(error).__name__}: {error})" if error else ""
        again = f" It happened {count} more times since the last such line." if count else ""
        logger.error("%s%s%s", message, cause, again)


complaints = Complaints()


class Writer:
    """Carries out orders in a thread of its own, on a connection of its own."""

    def __init__(self) -> None:
        self.error = ""
        """Why the last write failed; empty after one that succeeded."""
        self.session: Session | None = None
        self.busy = threading.Lock()
        self._orders: deque[Order] = deque()
        self._size = 0
        self._later: dict[Hashable, tuple[float, Write]] = {}
        self._lock = threading.Lock()
        self._bell = Bell()
        self._thread: threading.Thread | None = None
        self._prompt = True
        self._failures = 0
        self._retry_at = 0.0
        self._used_at = 0.0
        self._closing = False

    @property
    def connected(self) -> bool:
        """Whether a connection is open at the moment."""
        session = self.session
        return session is not None and session.is_open

    def put(self, write: Write, *, wait: bool, size: int = 1_000) -> Order:
        """Hand over ``write``; with ``wait``, return once it is done, after ``RECORD_WAIT`` at the latest.

        ``size`` is about how many bytes the order holds while it waits.
        """
        order = Order(write, size, Bell() if wait and self._prompt else None)
        self._hand_over(order)
        if order.done is not None and not order.done.wait(settings.RECORD_WAIT):
            # Nobody else needs to wait for a database that does not answer.
            self._prompt = False
        return order

    def ask(self, question: Callable[[Session], Answer], timeout: float) -> Answer:
        """What ``question`` answers. Raises :class:`Unanswered` after ``timeout`` seconds without one."""
        answers: list[Answer] = []
        done = Bell()
        order = Order(lambda session: answers.append(question(session)), 0, done)
        self._hand_over(order)
        if not done.wait(timeout) or not answers:
            order.withdraw()
            raise Unanswered(self.error)
        return answers[-1]

    def later(self, key: Hashable, seconds: float, write: Write) -> None:
        """Hand over ``write`` after ``seconds``, unless one with the same ``key`` is already waiting."""
        if key in self._later:
            return
        with self._lock:
            self._later[key] = (time.monotonic() + seconds, write)
            self._start()
        self._bell.ring()

    def close(self, timeout: float) -> None:
        """Carry out what waits, for at most ``timeout`` seconds, and give the connection back."""
        with self._lock:
            thread, self._closing = self._thread, True
        self._bell.ring()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _hand_over(self, order: Order) -> None:
        with self._lock:
            self._append(order)
            self._start()
        self._bell.ring()

    def _append(self, order: Order) -> None:
        self._orders.append(order)
        self._size += order.size
        while self._size > BACKLOG_BYTES:
            self._size -= self._orders.popleft().size
            complaints.log("The database does not answer; the oldest records of runs were given up.")

    def _start(self) -> None:
        if self._thread is None:
            self._closing = False
            self._thread = threading.Thread(target=self._run, name="scheduled-tasks-writer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._ended():
            order = self._next()
            if order is None:
                self._disconnect()
            else:
                self._carry_out(order)
        self._disconnect()

    def _ended(self) -> bool:
        with self._lock:
            if not self._closing or self._orders or self._later:
                return False
            self._thread = None
            return True

    def _next(self) -> Order | None:
        """The first order in line once it can be carried out; None when the connection is not needed."""
        while True:
            with self._lock:
                now = time.monotonic()
                self._move_due(now)
                if self._orders and (self._closing or now >= self._retry_at):
                    return self._orders[0]
                if self._closing or self._idle(now):
                    return None
                patience = self._patience(now)
            self._bell.wait(patience)

    def _move_due(self, now: float) -> None:
        for key, (due, write) in list(self._later.items()):
            if due <= now or self._closing:
                del self._later[key]
                self._append(Order(write))

    def _idle(self, now: float) -> bool:
        if not self.connected or self._orders:
            return False
        return now - self._used_at >= IDLE_CLOSE or not settings.OWN_CONNECTION

    def _patience(self, now: float) -> float | None:
        moments = [due for due, _ in self._later.values()]
        if self._orders:
            moments.append(self._retry_at)
        elif self.connected:
            moments.append(self._used_at + IDLE_CLOSE)
        return max(0.0, min(moments) - now) if moments else None

    def _carry_out(self, order: Order) -> None:
        try:
            with self.busy:
                self._write(order)
        except TRANSIENT as error:
            self._put_off(order, error)
        except Exception as error:  # noqa: BLE001 - the thread must survive whatever a driver raises
            self._give_up(order, error)
        else:
            self._prompt, self._failures, self._retry_at, self.error = True, 0, 0.0, ""
            self._remove(order)
        finally:
            self._used_at = time.monotonic()
            if order.done is not None:
                order.done.ring()

    def _write(self, order: Order) -> None:
        write = order.write
        if write is None:
            return
        if self.session is None:
            self.session = own_session() if settings.OWN_CONNECTION else ordinary_session()
        used = self.session.is_open
        try:
            write(self.session)
        except TRANSIENT:
            if not used or self.session.is_locked_out:
                raise
            # The server may have closed the connection while it was idle.
            self.session.close()
            write(self.session)

    def _put_off(self, order: Order, error: Exception) -> None:
        order.tries += 1
        if order.tries >= MAX_TRIES and self._answers():
            self._give_up(order, error)
            return
        self._prompt, self.error = False, str(error)
        self._retry_at = time.monotonic() + RETRY_PAUSES[min(self._failures, len(RETRY_PAUSES) - 1)]
        self._failures += 1
        complaints.log("Runs cannot be recorded at the moment; tasks run on.", error)
        self._disconnect()
        if self._closing:
            with self._lock:
                self._orders.clear()
                self._later.clear()
                self._size = 0

    def _answers(self) -> bool:
        session = self.session
        return session is not None and not session.is_locked_out and session.is_open and session.is_usable

    def _give_up(self, order: Order, error: Exception) -> None:
        self.error = str(error)
        complaints.log("A run could not be recorded.", error)
        self._remove(order)
        self._disconnect()

    def _remove(self, order: Order) -> None:
        with self._lock:
            if self._orders and self._orders[0] is order:
                self._orders.popleft()
                self._size -= order.size

    def _disconnect(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            with contextlib.suppress(Exception):
                session.close()
