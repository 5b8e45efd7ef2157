"""Telling the receivers of ``run_ended``, in a thread of its own: no task and no record waits for them."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db import connections, transaction

from ..models import OPEN, TaskRun, database
from ..private import under_test
from ..signals import run_ended
from . import forks
from .complaints import complaints

MOST_WAITING = 10_000
"""Runs that may wait for slow receivers; the ends of others are not told."""


class Teller:
    """Tells of ends one after another, in a thread that starts with the first.

    As in the recorder, callers use only locks and queues written in C.
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Mapping[str, Any] | threading.Event] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def put(self, run: Mapping[str, Any]) -> None:
        """Have the receivers told of the run with these columns."""
        if self._waiting.qsize() >= MOST_WAITING:
            complaints.log("The receivers of run_ended are too slow; the ends of some runs were not told.")
            return
        self._waiting.put(run)
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="scheduled-tasks-signals", daemon=True)
                thread.start()
                self._thread = thread

    def close(self, timeout: float) -> None:
        """Tell what waits, for at most ``timeout`` seconds."""
        if self._thread is not None:
            done = threading.Event()
            self._waiting.put(done)
            done.wait(timeout)

    def _run(self) -> None:
        while True:
            item = self._waiting.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                with forks.connected():
                    tell(item)
            except Exception as error:  # noqa: BLE001 - the thread must survive whatever a driver raises
                complaints.log("The receivers of run_ended could not be told.", error)


_teller = Teller()


def ended(**columns: Any) -> None:
    """The end of the run with these columns was written: tell the receivers, if any, once it is committed.

    Raises nothing. Under a test runner they are told here and now: no other connection could see the row.
    """
    if not run_ended.receivers:
        return
    try:
        if under_test():
            tell(columns)
        elif (connection := connections[database()]).in_atomic_block:
            transaction.on_commit(partial(_teller.put, columns), using=connection.alias, robust=True)
        else:
            _teller.put(columns)
    except Exception as error:  # noqa: BLE001 - no task and no record may suffer from a receiver
        complaints.log("The receivers of run_ended could not be told.", error)


def tell(columns: Mapping[str, Any]) -> None:
    """Send the signal, unless the run goes on after all. Raises database errors."""
    run = (
        TaskRun.objects.using(database())
        .filter(**columns)
        .defer("args", "kwargs", "log", "traceback", "attempt_log")
        .first()
    )
    if run is None or run.status in OPEN:
        return
    run_ended.send_robust(
        sender=TaskRun,
        run_id=run.pk,
        celery_id=run.celery_id,
        task_id=run.task_id,
        name=run.name,
        status=run.status,
        reason=run.reason,
        duration=run.duration,
    )


def close(timeout: float) -> None:
    """Tell what waits, for at most ``timeout`` seconds, before the process ends."""
    _teller.close(timeout)


def _after_fork_in_child() -> None:
    global _teller
    _teller = Teller()


os.register_at_fork(after_in_child=_after_fork_in_child)
