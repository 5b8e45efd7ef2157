"""Tasks of every kind that keep their own book: one file for each execution, written by nobody else."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from celery import Task, shared_task
from celery.exceptions import Ignore, Reject
from django.contrib.auth.models import User
from django.db import transaction

from scheduled_tasks import track


@dataclass(frozen=True)
class Entry:
    """A word of an execution, when it was written (``time.time()``), and the process and its parent."""

    word: str
    at: float
    pid: int
    parent: int

    @classmethod
    def all_of(cls, home: Path, celery_id: str) -> list[Self]:
        """What the executions of a run wrote, in the order of time."""
        lines = [line for file in home.glob(f"{celery_id}-*") for line in file.read_text().splitlines()]
        entries = [
            cls(word, float(at), int(pid), int(parent)) for word, at, pid, parent in map(str.split, lines)
        ]
        return sorted(entries, key=lambda entry: entry.at)


class Book:
    """What one execution says of itself: that it started, and how it ended."""

    def __init__(self, task: Task, home: str) -> None:
        self._file = Path(home) / f"{task.request.id}-{uuid4().hex}"
        self.write("start")

    def write(self, word: str) -> None:
        with self._file.open("a") as file:
            file.write(f"{word} {time.time()} {os.getpid()} {os.getppid()}\n")


@shared_task(bind=True)
def succeed(self: Task, home: str, seconds: float) -> dict[str, float]:
    book = Book(self, home)
    for _ in track(range(5), description="Soaking"):
        time.sleep(seconds / 5)
    book.write("succeeded")
    return {"seconds": seconds}


@shared_task(bind=True, acks_late=True)
def succeed_late(self: Task, home: str, seconds: float) -> str:
    book = Book(self, home)
    time.sleep(seconds)
    book.write("succeeded")
    return "late"


@shared_task(bind=True)
def fail(self: Task, home: str, seconds: float) -> None:
    book = Book(self, home)
    time.sleep(seconds)
    book.write("failed")
    raise ValueError("as meant")


@shared_task(bind=True, max_retries=3)
def retry(self: Task, home: str, seconds: float) -> str:
    book = Book(self, home)
    time.sleep(seconds)
    if self.request.retries < 2:
        book.write("retry")
        try:
            raise self.retry(countdown=seconds)
        except Reject:  # the broker is away: there will be no retry
            book.write("failed")
            raise
    book.write("succeeded")
    return "at last"


@shared_task(bind=True)
def ignore(self: Task, home: str, seconds: float) -> None:
    Book(self, home).write("ignored")
    raise Ignore()


@shared_task(bind=True)
def write(self: Task, home: str, seconds: float) -> str:
    """Holds a transaction open; fails when the database is away, as any task would."""
    book = Book(self, home)
    try:
        with transaction.atomic():
            User.objects.create(username=uuid4().hex)
            time.sleep(seconds)
    except Exception:
        book.write("failed")
        raise
    book.write("succeeded")
    return "written"


@shared_task(bind=True)
def die(self: Task, home: str, seconds: float) -> None:
    """Only for a pool of processes."""
    book = Book(self, home)
    time.sleep(seconds)
    book.write("dies")
    os.kill(os.getpid(), signal.SIGKILL)


ANYWHERE = (succeed, succeed_late, fail, retry, ignore, write)
