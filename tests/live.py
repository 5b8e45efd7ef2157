"""Real Celery processes of the example project, on this run's database and broker."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from django.db import OperationalError, connection, transaction

from example_project.celery import app
from tests.guard import Guarded

Found = TypeVar("Found")

ROOT = Path(__file__).parent.parent
PATIENCE = 60
"""Seconds to wait for anything a loaded machine may be slow at."""

SETTLE_TIMEOUT = 10
ANSWER_TIMEOUT = 5

started: list[CeleryProcess] = []
_numbers = itertools.count(1)


def wait_for(
    condition: Callable[[], Found], *, timeout: float = PATIENCE, message: str = "", interval: float = 0.05
) -> Found:
    """Call ``condition`` until it returns something true, and return that.

    Raises AssertionError with ``message`` and the last value after ``timeout`` seconds. In the condition,
    read the database afresh (a new queryset, ``refresh_from_db()``).
    """
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > deadline:
            what = message or getattr(condition, "__name__", repr(condition))
            raise AssertionError(f"{what}: not within {timeout:g} s; last seen: {found!r}")
        time.sleep(interval)
    return found


IDLE_IN_TRANSACTION = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx"
    " JOIN information_schema.processlist ON id = trx_mysql_thread_id"
    " WHERE db = database() AND command = 'Sleep'",
}


def in_a_transaction() -> bool:
    """Whether any process has a transaction open on this database and says nothing."""
    if connection.vendor not in IDLE_IN_TRANSACTION:
        return False
    with connection.cursor() as cursor:
        cursor.execute(IDLE_IN_TRANSACTION[connection.vendor])
        return bool(cursor.fetchone()[0])


class CeleryProcess(Guarded):
    """One ``celery`` command of the example project; ``name`` also names its log file.

    ``within`` is a command that runs it, such as ``nsenter`` with its options. ``shown`` is how much of the
    log belongs to tests that are over.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        *,
        logs: Path,
        env: dict[str, str] | None = None,
        within: Sequence[str] = (),
    ):
        self.name, self.shown = name, 0
        logs.mkdir(parents=True, exist_ok=True)
        command = [*within, sys.executable, "-m", "celery", "-A", "example_project", *arguments]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        super().__init__(command, log=logs / f"{name}.log", env=environment, cwd=ROOT)
        started.append(self)

    def end(self) -> None:
        """Ask the process to end, and wait until it has; :meth:`stop` leaves it ten seconds."""
        self.signal(signal.SIGTERM)
        wait_for(lambda: not self.running, message=f"the end of {self.name}")

    def pause(self) -> None:
        """SIGSTOP, at a moment when the process keeps no lock of the database for as long."""
        wait_for(self._paused, message=f"a moment in which {self.name} writes nothing")

    def _paused(self) -> bool:
        self.signal(signal.SIGSTOP)
        try:
            with transaction.atomic():  # which takes SQLite's only write lock
                if not in_a_transaction():
                    return True
        except OperationalError:
            pass
        self.signal(signal.SIGCONT)
        return False

    def wait_for_log(self, text: str, *, timeout: float = PATIENCE) -> None:
        """Wait until the process has written ``text`` in this test; fails at once when it ends without it."""

        def written() -> bool:
            running = self.running
            if text in self.output()[self.shown :]:
                return True
            assert running, f"{self.name} ended before it wrote {text!r}:\n{self.output()}"
            return False

        wait_for(written, timeout=timeout, message=f"{text!r} in the log of {self.name}")


class Worker(CeleryProcess):
    """A worker that answers; ``node`` is its node name and ``queue`` the first queue it consumes.

    Without ``queues`` it consumes one queue of its own, so that no other worker takes what is meant for it.
    """

    def __init__(
        self,
        *,
        logs: Path,
        queues: list[str] | None = None,
        pool: str = "prefork",
        concurrency: int = 2,
        node: str | None = None,
        options: list[str] | None = None,
        env: dict[str, str] | None = None,
    ):
        name = f"worker{next(_numbers)}"
        self.node = node or f"{name}@tests-{os.getpid()}"
        queues = queues or [f"{name}-{os.getpid()}"]
        self.queue = queues[0]
        arguments = ["worker", "-n", self.node, "-P", pool, "-c", str(concurrency), "-Q", ",".join(queues)]
        arguments += ["-E", "-l", "INFO", "--without-mingle", "--without-gossip", *(options or [])]
        super().__init__(name, arguments, logs=logs, env=env)
        self.wait_for_log(f"{self.node} ready.")

    def says(self, what: str) -> list[Any]:
        """What the worker answers when it is asked for its "active" or "revoked" tasks and the like.

        It is asked again after some seconds: through Redis a worker hears no question from before its event
        loop began, which is after it said that it is ready. Raises AssertionError when it never answers.
        """
        inspect = app.control.inspect(destination=[self.node], timeout=ANSWER_TIMEOUT, limit=1)
        answers = wait_for(getattr(inspect, what), message=f"{self.node} answers")
        return list(answers[self.node])

    def holds(self, what: str) -> list[str]:
        """Ids of the tasks that are "active", "reserved" (taken, not started) or "scheduled" (due later)."""
        return [entry.get("request", entry)["id"] for entry in self.says(what)]

    def settle(self) -> bool:
        """Empty the queues, let what runs end; False when that takes too long or something is due later."""
        app.control.purge()
        try:
            wait_for(lambda: not (self.holds("active") or self.holds("reserved")), timeout=SETTLE_TIMEOUT)
        except AssertionError:
            return False
        return not self.holds("scheduled")


def delete_queue(name: str) -> None:
    """Remove a queue and what waits in it from the broker, which may outlive the test run."""
    with app.connection_for_write() as connection:
        connection.default_channel.queue_delete(name)


class Beat(CeleryProcess):
    """A beat that has started; ``options`` are added to its command line, and ``within`` runs it."""

    def __init__(
        self,
        *,
        logs: Path,
        options: list[str] | None = None,
        env: dict[str, str] | None = None,
        within: Sequence[str] = (),
    ):
        arguments = ["beat", "-l", "INFO", "--pidfile=", "--max-interval", "1", *(options or [])]
        super().__init__(f"beat{next(_numbers)}", arguments, logs=logs, env=env, within=within)
        self.wait_for_log("beat: Starting...")
