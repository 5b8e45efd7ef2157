"""One writer per process, with a connection of its own: no task waits long, or shares its transaction.

Orders are carried out one after another, by the writer's thread. Whoever has to wait for his order carries it
out himself while the connection is open and free: two changes of thread cost more than the statement. The
thread watches over him then, and cuts the connection when that takes longer than ``RECORD_WAIT``.

A database that fails or hangs delays whoever writes next once, by ``RECORD_WAIT`` at most; from then on
orders are only kept, in a bounded backlog, until a write succeeds.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import TypeVar

from django.db import Error, InterfaceError, InternalError, OperationalError

from ..conf import settings
from .complaints import complaints
from .orders import Bell, Order
from .session import Session, Write, ordinary_session, own_session

IDLE_CLOSE = 30.0
"""Seconds without an order after which the connection goes back to the server."""

RETRY_PAUSES = (0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while the database fails; the last one repeats."""

MAX_TRIES = 5
"""Attempts for an order that fails although the database answers: it must not hold up the others."""

BACKLOG_BYTES = 16_000_000
"""About what waiting orders may hold; beyond it the oldest are given up."""

PAUSE_STEP = 0.001
"""Seconds between looks at whether the session is free to be paused."""

PAUSED = object()
"""Holds the session while it is paused."""

TRANSIENT = (OperationalError, InterfaceError, InternalError)

Answer = TypeVar("Answer")


class Unanswered(Exception):
    """The database did not answer in time; the text says why, as far as it is known."""


class Writer:
    """Carries out orders in a thread of its own, on a connection of its own."""

    def __init__(self) -> None:
        self.error = ""
        """Why the last write failed; empty after one that succeeded."""
        self.session: Session | None = None
        self._holder: object | None = None
        self._cut_at = 0.0
        self._orders: deque[Order] = deque()
        self._size = 0
        self._later: dict[Hashable, tuple[float, Write]] = {}
        self._lock = threading.Lock()
        self._bell = Bell()
        self._thread: threading.Thread | None = None
        self._prompt = True
        self._doubtful = False
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
        order = Order(write, size)
        if not (wait and self._prompt):
            self._hand_over(order)
            return order
        began = time.monotonic()
        if self._written_here(order, began):
            return order
        order.done = Bell()
        self._hand_over(order)
        if not order.done.wait(max(0.0, began + settings.RECORD_WAIT - time.monotonic())):
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

    def pause(self, timeout: float) -> bool:
        """Keep everybody from the session until :meth:`resume`; False if it is not free in ``timeout``."""
        deadline = time.monotonic() + timeout
        while not self._take(PAUSED):
            if time.monotonic() >= deadline:
                return False
            time.sleep(PAUSE_STEP)
        return True

    def resume(self) -> None:
        """End a pause."""
        self._release()

    def _take(self, holder: object) -> bool:
        with self._lock:
            if self._holder is not None:
                return False
            self._holder = holder
            return True

    def _release(self) -> None:
        with self._lock:
            self._holder, self._cut_at = None, 0.0
            awaited = self._orders or self._closing
        if awaited:
            self._bell.ring()

    def _written_here(self, order: Order, now: float) -> bool:
        """Carry ``order`` out in the calling thread; False when it has to be handed over.

        A soft time limit may strike anywhere in here: what it interrupts is handed over, and it is passed on.
        """
        session, write = self.session, order.write
        if session is None or write is None or self._orders:
            return False
        try:
            if not self._take(order) or self.session is not session or not (limit := session.limit):
                return False
            self._cut_at = now + limit
            write(session)
        except Error:
            self._doubtful = True
            return False
        except BaseException:
            self._doubtful = True
            self._hand_over(order)
            raise
        finally:
            if self._holder is order:
                self._used_at = time.monotonic()
                self._release()
        return True

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
        ended = False
        while not ended:
            order = self._next()
            if order is None:
                self._disconnect()
            else:
                self._carry_out(order)
            self._release()
            ended = order is None and self._ended()

    def _ended(self) -> bool:
        with self._lock:
            if not self._closing or self._orders or self._later:
                return False
            self._thread = None
            return True

    def _next(self) -> Order | None:
        """The first order in line once it can be carried out; None when the connection is not needed.

        Either way the session is this thread's until it is released.
        """
        while True:
            with self._lock:
                now = time.monotonic()
                self._move_due(now)
                if self._holder is None:
                    if self._orders and (self._closing or now >= self._retry_at):
                        self._holder = self
                        return self._orders[0]
                    if self._closing or self._idle(now):
                        self._holder = self
                        return None
                elif self._cut_at and now >= self._cut_at:
                    self._cut(now)
                patience = self._patience(now)
            self._bell.wait(patience)

    def _cut(self, now: float) -> None:
        """End the statement of a caller who has waited for long enough."""
        self._cut_at = now + settings.RECORD_WAIT
        if self.session is not None:
            self.session.cut()

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
        watch = now + (settings.RECORD_WAIT or IDLE_CLOSE)
        if self._holder is not None:
            moments.append(self._cut_at or watch)
        elif self._orders:
            moments.append(self._retry_at)
        elif self.connected:
            moments += [self._used_at + IDLE_CLOSE, watch]
        return max(0.0, min(moments) - now) if moments else None

    def _carry_out(self, order: Order) -> None:
        try:
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
        if self._doubtful:
            self._doubtful = False
            if not self.session.is_locked_out:
                self.session.close()
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
