"""Minutes of random trouble: at the end the runs are compared with what the tasks wrote down themselves.

``SOAK_SECONDS`` says how long (default 60), ``SOAK_SEED`` repeats a sequence of troubles.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Task
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction

from scheduled_tasks.models import Status, TaskRun
from tests.chaos import soak_tasks
from tests.chaos.proxy import Proxy
from tests.live import Worker, wait_for

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
SEED = int(os.environ.get("SOAK_SEED", "0")) or random.randrange(10**6)
PROCESSES, THREADS = "soak-processes", "soak-threads"
POOLS = {PROCESSES: "prefork", THREADS: "threads"}
EXPIRES = 60
CLOSED_WITHIN = EXPIRES + 90
TOLD_TOO_LATE = 30.0
"""An execution may end and be killed, within this time, before anybody could hear of its end."""


class Soak:
    """Two workers behind doors, the troubles they are put to, and the tasks they are given."""

    def __init__(self, start: Callable[..., Worker], doors: dict[str, Proxy], home: Path) -> None:
        self.random = random.Random(SEED)
        self.start, self.doors, self.home = start, doors, home
        self.sent: dict[str, str] = {}
        self.kills: list[float] = []
        self.troubles: Counter[str] = Counter()
        self.workers = {queue: self.worker(queue) for queue in POOLS}

    def worker(self, queue: str) -> Worker:
        env = {name: door.url for name, door in self.doors.items()}
        options = ("-I", "tests.chaos.soak_tasks")
        return self.start(env=env, queues=[queue], pool=POOLS[queue], concurrency=2, options=options)

    def send(self) -> None:
        queue = self.random.choice(list(POOLS))
        kinds = (*soak_tasks.ANYWHERE, soak_tasks.die) if queue == PROCESSES else soak_tasks.ANYWHERE
        kind: Task = self.random.choice(kinds)
        celery_id = uuid4().hex
        kind.apply_async(
            (str(self.home), self.random.choice([0.0, 0.05, 0.5, 1.5])),
            task_id=celery_id,
            queue=queue,
            expires=EXPIRES,
            headers={"periodic_task_name": kind.name, "celery_beat_task": True},
        )
        self.sent[celery_id] = kind.name

    def trouble(self) -> None:
        troubles = [self.kill, self.pause, self.shut_broker, self.shut_database]
        chosen = self.random.choice(troubles)
        self.troubles[chosen.__name__] += 1
        chosen()

    def kill(self) -> None:
        queue = self.random.choice(list(POOLS))
        self.kills.append(time.time())
        self.workers[queue].kill()
        self.workers[queue] = self.worker(queue)

    def pause(self) -> None:
        worker = self.random.choice(list(self.workers.values()))
        worker.signal(signal.SIGSTOP)
        time.sleep(self.random.choice([1, 14]))
        worker.signal(signal.SIGCONT)

    def shut_broker(self) -> None:
        self.shut(self.doors["CELERY_BROKER_URL"])

    def shut_database(self) -> None:
        door = self.doors.get("DATABASE_URL")
        if door is not None:
            self.shut(door)
            return
        with transaction.atomic():
            User.objects.create(username=uuid4().hex)  # and so nobody else writes to the file
            time.sleep(self.random.uniform(0.5, 5))

    def shut(self, door: Proxy) -> None:
        self.random.choice([door.refuse, door.hang, door.reset])()
        time.sleep(self.random.uniform(0.5, 5))
        door.restore()

    def revive(self) -> None:
        """A worker whose broker went away may have ended by itself; a supervisor starts it again."""
        for queue, worker in self.workers.items():
            if not worker.running:
                self.kills.append(time.time())
                self.workers[queue] = self.worker(queue)

    def book(self, celery_id: str) -> tuple[set[str], float]:
        """What the executions of a run wrote down, and when the last word was written."""
        files = list(self.home.glob(f"{celery_id}-*"))
        words = {word for file in files for word in file.read_text().split()}
        return words, max((file.stat().st_mtime for file in files), default=0.0)

    def wrong(self, run: TaskRun) -> str:
        """Why the run is not what its task wrote down; empty when it is."""
        words, at = self.book(str(run.celery_id))
        told = {Status.SUCCEEDED: "succeeded", Status.FAILED: "failed", Status.IGNORED: "ignored"}
        if run.status in told:
            return "" if told[Status(run.status)] in words else f"{run.status}, but the task says {words}"
        if run.status == Status.EXPIRED:
            return "expired, but it ran" if "start" in words and "retry" not in words else ""
        ended = words & set(told.values())
        killed = any(at - 1 <= kill <= at + TOLD_TOO_LATE for kill in self.kills)
        return f"{run.status}, but the task says {words}" if ended and not killed else ""


@pytest.mark.timeout(SECONDS + CLOSED_WITHIN + 300)
def test_soak(start_impatient: Callable[..., Worker], tmp_path: Path) -> None:
    with ExitStack() as stack:
        doors = {"CELERY_BROKER_URL": stack.enter_context(Proxy(os.environ["CELERY_BROKER_URL"]))}
        if connection.vendor != "sqlite":
            doors["DATABASE_URL"] = stack.enter_context(Proxy(os.environ["DATABASE_URL"]))
        soak = Soak(start_impatient, doors, tmp_path)
        began, next_trouble = time.monotonic(), 3.0
        while time.monotonic() - began < SECONDS:
            soak.send()
            time.sleep(soak.random.uniform(0, 0.3))
            if time.monotonic() - began > next_trouble:
                soak.trouble()
                next_trouble = time.monotonic() - began + soak.random.uniform(1, 5)
            soak.revive()
        wait_for(
            lambda: everything_ended(soak), timeout=CLOSED_WITHIN, interval=1, message="the end of all runs"
        )
    runs = list(TaskRun.objects.all())
    wrong = {run.celery_id: found for run in runs if (found := soak.wrong(run))}
    statuses = Counter(run.status for run in runs)
    print(f"\nsoak, seed {SEED}: {len(runs)} runs {dict(statuses)}, {dict(soak.troubles)}, wrong {wrong}")
    assert {run.celery_id for run in runs} == set(soak.sent)
    assert not wrong, f"seed {SEED}"
    assert statuses[Status.SUCCEEDED] > len(runs) / 10


def everything_ended(soak: Soak) -> bool:
    soak.revive()
    try:
        return not TaskRun.objects.open().exists()
    except OperationalError:
        return False
