"""Minutes of random trouble: at the end the runs are compared with what the tasks wrote down themselves.

``SOAK_SECONDS`` says how long (default 180), ``SOAK_SEED`` repeats a sequence of troubles.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Task
from django.contrib.auth.models import User
from django.db import Error, connection, transaction

from example_project.celery import app
from scheduled_tasks.models import Status, TaskRun
from tests import embedded
from tests.chaos import servers, soak_tasks
from tests.chaos.proxy import Proxy
from tests.chaos.servers import Place
from tests.live import Worker, wait_for

SECONDS = float(os.environ.get("SOAK_SECONDS", "180"))
SEED = int(os.environ.get("SOAK_SEED", "0")) or random.randrange(10**6)
RABBITMQ = os.environ["CELERY_BROKER_URL"].startswith("amqp")
PROCESSES, THREADS = "soak-processes", "soak-threads"
POOLS = {PROCESSES: "prefork", THREADS: "threads"}
EXPIRES = 60
CLOSED_WITHIN = EXPIRES + 90
TOLD_WITHIN = 45.0
"""Seconds after its end within which a task's outcome is told, whatever the trouble: a process that dies
meanwhile takes it along."""
ENDS = {Status.SUCCEEDED: "succeeded", Status.FAILED: "failed", Status.IGNORED: "ignored"}


class Soak:
    """Two workers, the troubles they are put to, and the tasks they are given."""

    def __init__(
        self, start: Callable[..., Worker], broker: Place, database: Place | None, home: Path
    ) -> None:
        self.random = random.Random(SEED)
        self.start, self.broker, self.database, self.home = start, broker, database, home
        self.sent: dict[str, str] = {}
        self.deaths: list[tuple[float, int]] = []
        self.troubles: Counter[str] = Counter()
        self.to_come: list[Callable[[], None]] = []
        self.workers = {queue: self.worker(queue) for queue in POOLS}

    def worker(self, queue: str) -> Worker:
        env = {"CELERY_BROKER_URL": self.broker.door.url}
        if self.database is not None:
            env["DATABASE_URL"] = self.database.door.url
        options = ("-I", "tests.chaos.soak_tasks")
        return self.start(env=env, queues=[queue], pool=POOLS[queue], concurrency=2, options=options)

    def send(self) -> None:
        queue = self.random.choice(list(POOLS))
        kinds = (*soak_tasks.ANYWHERE, soak_tasks.die) if queue == PROCESSES else soak_tasks.ANYWHERE
        kind: Task = self.random.choice(kinds)
        celery_id = uuid4().hex
        with app.connection_for_write(self.broker.url) as broker:
            kind.apply_async(
                (str(self.home), self.random.choice([0.0, 0.05, 0.5, 1.5])),
                connection=broker,
                task_id=celery_id,
                queue=queue,
                expires=EXPIRES,
                headers={"periodic_task_name": kind.name, "celery_beat_task": True},
            )
        self.sent[celery_id] = kind.name.rpartition(".")[2]

    def run(self) -> None:
        began, next_trouble = time.monotonic(), 3.0
        while time.monotonic() - began < SECONDS:
            self.send()
            time.sleep(self.random.uniform(0, 0.3))
            if time.monotonic() - began > next_trouble:
                self.trouble()
                next_trouble = time.monotonic() - began + self.random.uniform(1, 5)
            self.revive()

    def trouble(self) -> None:
        chosen = self.next_trouble()
        self.troubles[chosen.__name__] += 1
        for _ in range(8):  # to be done meanwhile
            self.send()
        chosen()

    def next_trouble(self) -> Callable[[], None]:
        """Each kind once, in random order, before one comes again."""
        if not self.to_come:
            kinds = [self.kill, self.stop, self.pause, self.shut_broker, self.shut_database]
            if self.broker.server is not None:
                kinds.append(self.crash_broker)
            if self.database is not None and self.database.server is not None:
                kinds.append(self.crash_database)
                if connection.vendor == "postgresql":
                    kinds.append(self.refuse_writes)
            self.to_come = self.random.sample(kinds, len(kinds))
        return self.to_come.pop()

    def kill(self) -> None:
        queue = self.random.choice(list(POOLS))
        self.deaths.append((time.time(), self.workers[queue].pid))
        self.workers[queue].kill()
        self.workers[queue] = self.worker(queue)

    def stop(self) -> None:
        """As a deploy does: what runs may end, but not for long."""
        queue = self.random.choice(list(POOLS))
        worker = self.workers[queue]
        worker.stop()
        if worker.wait() != 0:
            self.deaths.append((time.time(), worker.pid))
        self.workers[queue] = self.worker(queue)

    def pause(self) -> None:
        worker = self.random.choice(list(self.workers.values()))
        worker.signal(signal.SIGSTOP)
        time.sleep(self.random.choice([1, 14]))
        worker.signal(signal.SIGCONT)

    def shut_broker(self) -> None:
        self.shut(self.broker.door)

    def shut_database(self) -> None:
        if self.database is not None:
            self.shut(self.database.door)
            return
        with transaction.atomic():
            User.objects.create(username=uuid4().hex)  # and so nobody else writes to the file
            time.sleep(self.random.uniform(0.5, 5))

    def shut(self, door: Proxy) -> None:
        self.random.choice([door.refuse, door.hang, door.reset])()
        time.sleep(self.random.uniform(0.5, 5))
        door.restore()

    def crash_broker(self) -> None:
        self.crash(self.broker)

    def crash_database(self) -> None:
        assert self.database is not None
        self.crash(self.database)
        connection.close()

    def refuse_writes(self) -> None:
        """As in a failover, which may also end the connections."""
        assert self.database is not None
        cut = self.random.random() < 0.5
        embedded.refuse_writes(self.database.url, True, cut=cut)
        time.sleep(self.random.uniform(0.5, 12))
        embedded.refuse_writes(self.database.url, False, cut=cut)
        connection.close()

    def crash(self, place: Place) -> None:
        place.crash()
        time.sleep(self.random.uniform(0, 5))
        place.restart()

    def revive(self) -> None:
        """A worker whose broker went away may have ended by itself; a supervisor starts it again."""
        for queue, worker in self.workers.items():
            if not worker.running:
                self.deaths.append((time.time(), worker.pid))
                self.workers[queue] = self.worker(queue)

    def everything_ended(self) -> bool:
        self.revive()
        try:
            return not TaskRun.objects.open().exists()
        except Error:
            return False


class Verdict:
    """The runs, held against the books of their tasks."""

    def __init__(self, soak: Soak) -> None:
        self.soak = soak
        self.runs = list(TaskRun.objects.all())
        self.books = {celery_id: soak_tasks.Entry.all_of(soak.home, celery_id) for celery_id in soak.sent}
        entries = [entry for book in self.books.values() for entry in book]
        self.deaths = sorted(
            {*soak.deaths, *((each.at, each.pid) for each in entries if each.word == "dies")}
        )
        ids = Counter(str(run.celery_id) for run in self.runs)
        self.wrong = [self.story(run, why) for run in self.runs if (why := self.objection(run))]
        self.open = [self.story(run, "still open") for run in self.runs if run.is_open]
        self.unrecorded = soak.sent.keys() - ids.keys()
        self.duplicates = {celery_id: count for celery_id, count in ids.items() if count > 1}
        self.disturbed = [
            self.story(run, run.traceback) for run in self.runs if "/scheduled_tasks/" in run.traceback
        ]

    def __str__(self) -> str:
        counts = Counter(str(run.status) for run in self.runs)
        return "\n".join(
            [
                f"soak of {SECONDS:g} s, seed {SEED}: {len(self.runs)} runs {dict(counts)}",
                f"troubles: {dict(self.soak.troubles)}, deaths of processes: {len(self.deaths)}",
                f"wrong endings: {len(self.wrong)}",
                f"open without a live owner after {CLOSED_WITHIN - EXPIRES} s: {len(self.open)}",
                f"duplicates: {len(self.duplicates)}, not recorded: {len(self.unrecorded)}",
                f"tasks failed because of the recorder: {len(self.disturbed)}",
                *self.complaints(),
            ]
        )

    def complaints(self) -> Iterator[str]:
        yield from self.wrong
        yield from self.open
        yield from self.disturbed
        yield from (f"not recorded: {self.soak.sent[each]} {each}" for each in self.unrecorded)
        yield from (f"{count} rows of {each}" for each, count in self.duplicates.items())

    def objection(self, run: TaskRun) -> str:
        """What of the run its task contradicts; nothing when it agrees."""
        book = self.books[str(run.celery_id)]
        words = {entry.word for entry in book}
        if run.status in ENDS:
            return "" if ENDS[Status(run.status)] in words else "its task did not end so"
        if run.is_open or self.died(book):
            return ""
        if run.status == Status.EXPIRED:
            return "it ran" if "start" in words and "retry" not in words else ""
        return "its task ended and could have told" if words & {*ENDS.values()} else ""

    def died(self, book: list[soak_tasks.Entry]) -> bool:
        """Whether the process that wrote the last word, or its parent, died before it could tell more."""
        if not book:
            return False
        last = book[-1]
        return any(
            pid in (last.pid, last.parent) and last.at - 1 <= at <= last.at + TOLD_WITHIN
            for at, pid in self.deaths
        )

    def story(self, run: TaskRun, why: str) -> str:
        """All that is known of a run, for whoever must find out what went wrong."""
        book = self.books[str(run.celery_id)]
        pids = {pid for entry in book for pid in (entry.pid, entry.parent)}
        words = [f"{moment(each.at)} {each.word} in {each.pid} of {each.parent}" for each in book]
        deaths = [f"{moment(at)} death of {pid}" for at, pid in self.deaths if pid in pids]
        row = [
            f"{name} {value:%H:%M:%S.%f}"
            for name in ("queued_at", "started_at", "finished_at")
            if (value := getattr(run, name))
        ]
        return "\n    ".join(
            [
                f"{self.soak.sent[str(run.celery_id)]} {run.celery_id}: {run.status}, but {why}",
                f"reason {run.reason!r}, error {run.error!r}, attempts {run.attempts}, retries {run.retries}",
                f"worker {run.worker}, pid {run.pid}; {', '.join(row)}",
                *words,
                *deaths,
            ]
        )


def moment(at: float) -> str:
    return f"{time.strftime('%H:%M:%S', time.gmtime(at))}.{int(at % 1 * 1e6):06}"


@pytest.fixture
def home() -> Iterator[Path]:
    with servers.public_directory() as directory:
        yield directory


@pytest.fixture
def broker(home: Path) -> Iterator[Place]:
    """A Valkey of the soak's own, or a door before the RabbitMQ that the test run was given."""
    given = servers.given_broker() if RABBITMQ else servers.own_broker(home)
    with given as place:
        yield place


@pytest.fixture
def database(transactional_db: None, home: Path) -> Iterator[Place | None]:
    """A server of the soak's own where there can be one, else a door; None for a file."""
    with servers.own_database(home) as place:
        yield place


@pytest.mark.timeout(SECONDS + CLOSED_WITHIN + 300)
def test_soak(
    broker: Place, database: Place | None, start_impatient: Callable[..., Worker], tmp_path: Path
) -> None:
    soak = Soak(start_impatient, broker, database, tmp_path)
    soak.run()
    with suppress(AssertionError):
        wait_for(soak.everything_ended, timeout=CLOSED_WITHIN, interval=1)
    verdict = Verdict(soak)
    print(f"\n{verdict}")
    assert not list(verdict.complaints()), str(verdict)
    assert Counter(run.status for run in verdict.runs)[Status.SUCCEEDED] > len(verdict.runs) / 10
