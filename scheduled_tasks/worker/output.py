"""What a running task shows of itself: how far it is, and the lines it logs."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sized
from datetime import UTC, datetime
from typing import Any, TypeVar

from celery._state import _task_stack
from celery.signals import celeryd_after_setup

from ..recording import runs
from ..recording.handover import later
from ..recording.session import Session
from ..values import printable

Item = TypeVar("Item")

SHOWN_AS = "scheduled_tasks_output"
"""Attribute of a task's request by which its output is found."""

LOG_LIMIT = 64_000
"""Characters kept of a run's log, the last ones."""

TEXT_LIMIT = 200
"""Characters kept of a progress text."""

SHOW_EVERY = 1.0
"""Seconds between two writes of a running task's output."""

REDIRECTED = "celery.redirected"
"""Logger that receives what a task prints."""

NOT_OF_A_TASK = frozenset({"celery", "kombu", "amqp", "scheduled_tasks"})
"""Loggers of the machinery; ``get_task_logger()`` gives loggers that are called like the task's module."""

ADDED = "scheduled_tasks_added"
"""Attribute of a log record that was added: it may come by more than one way."""

formatter = logging.Formatter()


class Output:
    """Log and progress of one attempt; filled by the task's thread, read by the writer's.

    ``keeps_log`` is False for a task that asked that its lines are not kept.
    """

    def __init__(self, attempt: runs.Attempt, *, keeps_log: bool = True) -> None:
        self._attempt = attempt
        self.keeps_log = keeps_log
        self._lines: deque[str] = deque()
        self._length = 0
        self._dropped = 0
        self._reported: tuple[float, float | None, str] | None = None
        self._changed = False
        self.joining = False
        """Whether the next printed piece continues the last line."""
        self._shown_at = 0.0
        self._lock = threading.Lock()

    @property
    def log(self) -> str:
        """The kept lines, after a line that says how much was left out before them."""
        if not self._lines:
            return ""
        with self._lock:
            text = "\n".join(self._lines)
            return f"… {self._dropped} characters left out …\n{text}" if self._dropped else text

    @property
    def progress(self) -> str:
        """JSON ``{"done": …, "total": …, "text": …}`` as last reported, or nothing."""
        if self._reported is None:
            return ""
        done, total, text = self._reported
        kept = {"done": done, "total": total, "text": printable(text)[:TEXT_LIMIT]}
        return json.dumps(kept, ensure_ascii=False, default=str)

    def add(self, text: str, *, join: bool = False) -> None:
        """Keep a line; with ``join``, continue the last one."""
        text = printable(text)
        with self._lock:
            if join and self._lines:
                last = self._lines.pop()
                self._length -= len(last)
                text = last + text
            cut = max(0, len(text) - LOG_LIMIT)
            self._lines.append(text[cut:])
            self._length += len(text) - cut
            while self._length > LOG_LIMIT and len(self._lines) > 1:
                first = len(self._lines.popleft())
                self._length -= first
                cut += first
            self._dropped += cut
        self._show_soon()

    def report(self, done: float, total: float | None, text: str) -> None:
        """Keep how far the task is."""
        self._reported = (done, total, text)
        self._show_soon()

    def show(self, session: Session) -> None:
        """Write what has changed since the last time."""
        self._shown_at = time.monotonic()
        if self._changed:
            self._changed = False
            runs.show(session, self._attempt, log=self.log, progress=self.progress)

    def _show_soon(self) -> None:
        if not self._changed:
            self._changed = True
            wait = self._shown_at + SHOW_EVERY - time.monotonic()
            later(self._attempt.token, max(0.0, wait), self.show)


def current() -> Output | None:
    """The output of the run that the calling thread is in; None outside a recorded run.

    A task that the run's own calls as a function is part of the run.
    """
    found: Iterator[Output | None] = (
        vars(task.request).get(SHOWN_AS) for task in reversed(_task_stack.stack)
    )
    return next(filter(None, found), None)


def track(iterable: Iterable[Item], *, description: str = "", total: int | None = None) -> Iterator[Item]:
    """Yield the items of ``iterable`` and show on the page how many are done.

    ``total`` is their number, by default ``len(iterable)`` where it has one. Outside a recorded run this is
    a plain loop. It never waits for the database: what is shown lags by a second at most.
    """
    output = current()
    if output is None:
        yield from iterable
        return
    if total is None:
        total = len(iterable) if isinstance(iterable, Sized) else None
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


class RunHandler(logging.Handler):
    """Adds log records to the output of the run they were logged in."""

    def emit(self, record: logging.LogRecord) -> None:
        output = current()
        if output is None or not output.keeps_log or not _is_of_a_task(record):
            return
        try:
            self._add(output, record)
        except Exception:  # noqa: BLE001 - as the logging module has it
            self.handleError(record)

    def _add(self, output: Output, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.name == REDIRECTED:
            # print(a, b) arrives as "a", " ", "b".
            join = message.isspace() or output.joining
            output.joining = message.isspace()
        else:
            join = output.joining = False
            message = f"{record.levelname} {message}"
        if record.exc_info:
            message += "\n" + formatter.formatException(record.exc_info)
        moment = datetime.fromtimestamp(record.created, UTC)
        output.add(message if join else f"{moment:%H:%M:%S} {message}", join=join)


def _is_of_a_task(record: logging.LogRecord) -> bool:
    if vars(record).setdefault(ADDED, False):
        return False
    setattr(record, ADDED, True)
    return record.name == REDIRECTED or record.name.partition(".")[0] not in NOT_OF_A_TASK


handler = RunHandler()


def capture_logs() -> None:
    """Attach :data:`handler` once Celery, or the project's own ``setup_logging``, has set up logging.

    Not sooner: Celery gives no handler of its own to a logger that has one.
    """
    celeryd_after_setup.connect(_attach, weak=False, dispatch_uid="scheduled_tasks.logging")


def _attach(**kwargs: Any) -> None:
    # Loggers of tasks do not propagate to the root.
    for name in (None, "celery.task"):
        logging.getLogger(name).addHandler(handler)
