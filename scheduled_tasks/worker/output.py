"""What a running task shows of itself: how far it is, and the lines that :mod:`.logs` adds."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sized
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from ..masking import masked_text, printable
from ..recording import statements
from ..recording.complaints import or_nothing
from ..recording.recorder import later

Item = TypeVar("Item")

LOG_LIMIT = 64_000
"""Characters kept of a run's log, the last ones."""

TEXT_LIMIT = 200
"""Characters kept of a progress text."""

SHOW_EVERY = 1.0
"""Seconds between two writes of a running task's output."""

LARGEST = 1e15
"""A number of a progress report beyond this is not a count of anything."""


class Output:
    """Log and progress of one attempt; filled by the task's threads, read by the recorder's.

    ``keeps_log`` is False for a task that asked that its lines are not kept.
    """

    def __init__(self, attempt: statements.Attempt, *, keeps_log: bool = True) -> None:
        self._attempt = attempt
        self.keeps_log = keeps_log
        self.ended = False
        self._outer: Output | None = None
        self._lines: deque[str] = deque()
        self._length = 0
        self._dropped = 0
        self._progress = ""
        self._changed = False
        self.joining = False
        """Whether the next printed piece continues the last line."""
        self.printing = False
        """Whether the last line was printed: a carriage return begins it anew."""
        self._shown_at = 0.0
        self._lock = threading.RLock()  # what is garbage-collected meanwhile may log

    @property
    def log(self) -> str:
        """The kept lines, secrets masked, after a line that says how much was left out before them."""
        with self._lock:
            text, dropped = "\n".join(self._lines), self._dropped
        text = masked_text(text)
        return f"… {dropped} characters left out …\n{text}" if dropped else text

    @property
    def progress(self) -> str:
        """JSON ``{"done": …, "total": …, "text": …}`` as last reported, or nothing."""
        return self._progress

    def enter(self) -> None:
        """Make this the current output, until :meth:`leave`."""
        self._outer = _current.get()
        _current.set(self)

    def leave(self) -> None:
        """Threads that outlive the task add nothing from now on."""
        self.ended = True
        _current.set(self._outer)

    def add(self, text: str, *, join: bool = False, instead: bool = False) -> None:
        """Keep a line; with ``join``, continue the last one, with ``instead``, replace it."""
        text = printable(text)
        with self._lock:
            if (join or instead) and self._lines:
                last = self._lines.pop()
                self._length -= len(last)
                text = last + text if join else text
            cut = max(0, len(text) - LOG_LIMIT)
            self._lines.append(text[cut:])
            self._length += len(text) - cut
            while self._length > LOG_LIMIT and len(self._lines) > 1:
                first = len(self._lines.popleft())
                self._length -= first
                cut += first
            self._dropped += cut
        self._show_soon()

    def report(self, done: Any, total: Any, text: Any) -> None:
        """Keep how far the task is. Without two usable numbers no share is kept. Raises nothing."""
        count = _count(done)
        kept = {
            "done": count or 0,
            "total": None if count is None else _count(total),
            "text": masked_text(printable("" if text is None else or_nothing(str, text)))[:TEXT_LIMIT],
        }
        self._progress = json.dumps(kept, ensure_ascii=False)
        self._show_soon()

    def show(self) -> None:
        """Write what has changed; called again when the database fails."""
        self._shown_at = time.monotonic()
        self._changed = False
        statements.show(self._attempt, log=self.log, progress=self.progress)

    def _show_soon(self) -> None:
        if not self._changed:
            self._changed = True
            wait = self._shown_at + SHOW_EVERY - time.monotonic()
            later(self._attempt.token, max(0.0, wait), self.show)


_current: ContextVar[Output | None] = ContextVar("scheduled_tasks_output", default=None)


def current() -> Output | None:
    """The output of the run that the calling code is in; None outside a recorded run.

    A task that the run's own calls as a function is part of the run, and so is a thread that runs in a copy
    of the task's context.
    """
    output = _current.get()
    return None if output is None or output.ended else output


def _count(value: Any) -> float | None:
    """A number as JSON has it; None for what is no finite number."""
    with suppress(Exception):  # a value of any class may be given
        found = value if type(value) is int else float(value)
        if math.isfinite(found) and abs(found) <= LARGEST:
            return found
    return None


def track(iterable: Iterable[Item], *, description: str = "", total: int | None = None) -> Iterator[Item]:
    """Yield the items of ``iterable`` and show on the page how many are done.

    ``total`` is their number, by default ``len(iterable)`` where it has one. Outside a recorded run this is
    a plain loop. It never waits for the database: what is shown lags by a second at most.
    """
    output = current()
    if output is None:
        yield from iterable
        return
    if total is None and isinstance(iterable, Sized):
        with suppress(Exception):  # a class may have a length that cannot be told
            total = len(iterable)
    output.report(0, total, description)
    for done, item in enumerate(iterable, start=1):
        yield item
        output.report(done, total, description)


def progress(done: float, total: float | None = None, text: str = "") -> None:
    """Show on the page that ``done`` of ``total`` are done, with a short ``text``.

    Does nothing outside a recorded run and never waits for the database.
    """
    output = current()
    if output is not None:
        output.report(done, total, text)
