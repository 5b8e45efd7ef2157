"""Which beats and workers are there: each keeps one row alive by its heartbeat."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

from celery import current_app

from ..masking import masked_text
from ..models import Process, ProcessKind, UtcNow, database
from ..recording.complaints import complaints
from ..recording.connection import in_ascii
from ..recording.recorder import record, recorder
from .startup import app_argument, broker_addresses

BEAT_EVERY = 10.0
"""Seconds between two heartbeats."""

STALE_AFTER = timedelta(seconds=60)
"""A process that has been silent for longer is taken for dead."""

WRITE_GAP = 30.0
"""Seconds between two written heartbeats after which a process counts as having been silent itself."""


class Heartbeat:
    """Keeps this process's row: ``start()`` once it works, ``stop()`` when it ends cleanly.

    ``kind`` is a :class:`ProcessKind`, ``node`` the name people know the process by, ``pool`` as in
    :class:`.models.Process`; ``queues`` and ``task_names`` are names, ``task_queues``,
    ``task_options`` and ``task_signatures`` are as there. ``every`` is in seconds, by default
    :data:`BEAT_EVERY`. ``on_beat`` is called before each beat in the heartbeat's thread; what it raises is
    logged. ``looped()`` and ``broker_ok()`` only note the time, which the next beat writes.
    """

    def __init__(
        self,
        kind: ProcessKind,
        node: str,
        *,
        pool: str = "",
        queues: Iterable[str] = (),
        task_names: Iterable[str] = (),
        task_queues: Mapping[str, str] | None = None,
        task_options: Mapping[str, Mapping[str, Any]] | None = None,
        task_signatures: Mapping[str, Mapping[str, Any]] | None = None,
        boot_id: str = "",
        every: float | None = None,
        on_beat: Callable[[], object] | None = None,
    ) -> None:
        self.boot_id = boot_id or uuid4().hex
        self.node = node[:255]
        self._columns = {
            "boot_id": self.boot_id,
            "kind": kind,
            "node": self.node,
            "pool": pool[:100],
            "queues": sorted(queues),
            "app": app_argument(sys.argv)[:255],
            "brokers": _brokers(kind),
            "task_names": sorted(task_names),
            "task_queues": task_queues or {},
            "task_options": task_options or {},
            "task_signatures": task_signatures or {},
        }
        self._every = BEAT_EVERY if every is None else every
        self._on_beat = on_beat
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._noted: dict[str, float] = {}
        self._handed_over_at: float | None = None
        self.writing_since: float | None = None
        """``time.monotonic()`` from which on the database has taken every heartbeat without a gap."""
        self._written_at = -math.inf

    def start(self) -> None:
        """Write the row and keep it alive from a thread of its own."""
        self.beat()
        self._thread = threading.Thread(target=self._run, name="scheduled-tasks-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write that the process has stopped. A process that is killed cannot: its row goes stale."""
        self._stopping.set()
        record(self._write_stop, wait=True)

    def written_for(self) -> float:
        """For how many seconds the database has taken this process's heartbeats; 0 when it does not now."""
        now = time.monotonic()
        if self.writing_since is None or now - self._written_at > WRITE_GAP:
            return 0.0
        return now - self.writing_since

    def looped(self) -> None:
        """The process has completed a turn of its main loop. This shows a hung loop under a live thread."""
        self._noted["loop_at"] = time.monotonic()

    def broker_ok(self) -> None:
        """The broker has just answered."""
        self._noted["broker_ok_at"] = time.monotonic()

    def noted_within(self, seconds: float) -> bool:
        """Whether the main loop has completed a turn, and the broker answered, within so many seconds."""
        earliest = time.monotonic() - seconds
        return all(self._noted.get(name, -math.inf) >= earliest for name in ("loop_at", "broker_ok_at"))

    def beat(self) -> None:
        """Have a heartbeat written, unless the last one still waits for the database."""
        now = time.monotonic()
        if self._handed_over_at is None or now - self._handed_over_at > STALE_AFTER.total_seconds():
            self._handed_over_at = now
            record(self._write, wait=False)

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            for step in (self._on_beat, self.beat):
                try:
                    if step is not None:
                        step()
                except Exception as error:  # noqa: BLE001 - the heartbeat must go on
                    complaints.log("The heartbeat of this process was disturbed.", error)

    def _write(self) -> None:
        self._handed_over_at = None
        if self._stopping.is_set():
            return
        now = time.monotonic()
        ages = {column: timedelta(seconds=now - at) for column, at in self._noted.copy().items()}
        noted = {column: UtcNow() - age for column, age in ages.items()}
        error = in_ascii(masked_text(recorder().error))  # which every table can keep
        if not self._update(last_seen_at=UtcNow(), stopped_at=None, recorder_error=error, **noted):
            row = Process(**self._columns, started_at=UtcNow(), last_seen_at=UtcNow(), **noted)
            Process.objects.using(database()).bulk_create([row])  # which sends no signals
        if now - self._written_at > WRITE_GAP:
            self.writing_since = now
        self._written_at = now

    def _write_stop(self) -> None:
        self._update(stopped_at=UtcNow(), last_seen_at=UtcNow())

    def _update(self, **columns: object) -> int:
        return Process.objects.using(database()).filter(pk=self.boot_id).update(**columns)


def _brokers(kind: ProcessKind) -> list[str]:
    connect = (
        current_app.connection_for_read if kind == ProcessKind.WORKER else current_app.connection_for_write
    )
    return broker_addresses(connect)
