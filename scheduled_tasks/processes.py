"""Which beats and workers are there: each keeps one row alive by its heartbeat."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cache
from uuid import uuid4

from .models import ProcessKind
from .recording.complaints import complaints
from .recording.handover import record, writer
from .recording.session import Session, Statement

BEAT_EVERY = 10.0
"""Seconds between two heartbeats."""

STALE_AFTER = timedelta(seconds=60)
"""A process that has been silent for longer is taken for dead."""

INSERT: Statement = """
INSERT INTO "process" (
    "boot_id", "kind", "node", "host", "pid", "pool", "queues", "task_names", "started_at", "last_seen_at",
    "loop_at", "broker_ok_at", "recorder_error"
) VALUES (
    %(boot_id)s, %(kind)s, %(node)s, %(host)s, %(pid)s, %(pool)s, %(queues)s, %(task_names)s, {ago}, {ago},
    NULL, NULL, ''
)
"""
SEEN: Statement = """
UPDATE "process" SET "last_seen_at" = {ago}, "stopped_at" = NULL, "recorder_error" = %(recorder_error)s<noted>
WHERE "boot_id" = %(boot_id)s
"""
STOPPED: Statement = """
UPDATE "process" SET "stopped_at" = {ago}, "last_seen_at" = {ago} WHERE "boot_id" = %(boot_id)s
"""


class Heartbeat:
    """Keeps this process's row: ``start()`` once it works, ``stop()`` when it ends cleanly.

    ``kind`` is a :class:`ProcessKind`, ``node`` the name people know the process by, ``pool`` as in
    :class:`.models.Process`; ``queues`` and ``task_names`` are names. ``every`` is in seconds, by default
    :data:`BEAT_EVERY`. ``on_beat`` is called before each beat in the heartbeat's thread; what it raises is
    logged. ``looped()`` and ``broker_ok()`` only note the time.
    """

    def __init__(
        self,
        kind: ProcessKind,
        node: str,
        *,
        pool: str = "",
        queues: Iterable[str] = (),
        task_names: Iterable[str] = (),
        boot_id: str = "",
        every: float | None = None,
        on_beat: Callable[[], object] | None = None,
    ) -> None:
        self.boot_id = boot_id or uuid4().hex
        self.node = node[:255]
        self._params = {
            "boot_id": self.boot_id,
            "kind": kind,
            "node": self.node,
            "host": socket.gethostname()[:255],
            "pid": os.getpid(),
            "pool": pool[:100],
            "queues": json.dumps(sorted(queues)),
            "task_names": json.dumps(sorted(task_names)),
        }
        self._every = BEAT_EVERY if every is None else every
        self._on_beat = on_beat
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._noted: dict[str, float] = {}
        self._handed_over_at: float | None = None

    def start(self) -> None:
        """Write the row and keep it alive from a thread of its own."""
        self.beat()
        self._thread = threading.Thread(target=self._run, name="scheduled-tasks-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write that the process has stopped. A process that is killed cannot: its row goes stale."""
        self._stopping.set()
        record(self._write_stop, wait=True)

    def looped(self) -> None:
        """The process has completed a turn of its main loop: a live thread over a hung loop shows by this."""
        self._noted["loop_at"] = time.monotonic()

    def broker_ok(self) -> None:
        """The broker has just answered."""
        self._noted["broker_ok_at"] = time.monotonic()

    def beat(self) -> None:
        """Hand one sign of life to the writer, unless the last one still waits for the database."""
        now = time.monotonic()
        if self._handed_over_at is None or now - self._handed_over_at > STALE_AFTER.total_seconds():
            self._handed_over_at = now
            record(self._write, wait=False)

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                if self._on_beat is not None:
                    self._on_beat()
                self.beat()
            except Exception as error:  # noqa: BLE001 - the heartbeat must go on
                complaints.log("The heartbeat of this process was disturbed.", error)

    def _write(self, session: Session) -> None:
        self._handed_over_at = None
        if self._stopping.is_set():
            return
        if self._write_seen(session):
            return
        session.execute(INSERT, self._params)
        if self._noted:
            self._write_seen(session)

    def _write_seen(self, session: Session) -> int:
        noted, now = dict(self._noted), time.monotonic()
        spans = {column: int((now - at) * 1_000_000) for column, at in noted.items()}
        params = {"boot_id": self.boot_id, "recorder_error": writer().error}
        return session.execute(_seen(tuple(noted)), params | spans, at=now)

    def _write_stop(self, session: Session) -> None:
        session.execute(STOPPED, {"boot_id": self.boot_id})


@cache
def _seen(noted: tuple[str, ...]) -> Statement:
    """A sign of life that also tells when those columns were noted, as microseconds before it."""
    return SEEN.replace("<noted>", "".join(f', "{column}" = {{ago {column}}}' for column in noted))
