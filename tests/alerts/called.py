"""Functions that channels of the tests name by their dotted path."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from django.db import connection

from scheduled_tasks.alerts.notification import Notification


class Calls:
    """What the functions were called with."""

    got: list[Notification] = []
    threads: list[str] = []
    hold = threading.Event()

    @classmethod
    def reset(cls) -> None:
        cls.got, cls.threads, cls.hold = [], [], threading.Event()

    @classmethod
    def release(cls) -> None:
        """Let go whoever hangs."""
        cls.hold.set()


def keep(notification: Notification) -> None:
    Calls.got.append(notification)
    Calls.threads.append(threading.current_thread().name)


def refuse(notification: Notification) -> None:
    Calls.got.append(notification)
    raise RuntimeError("no pager answers, password=hunter2")


def hang(notification: Notification) -> None:
    Calls.got.append(notification)
    Calls.hold.wait(120)


def detached(notification: Notification) -> None:
    """Refuses unless its thread has no open connection to the database."""
    assert connection.connection is None


async def never_awaited(notification: Notification) -> None:
    raise AssertionError


NOT_CALLABLE = "text"


def die_once(notification: Notification) -> None:
    """Kills its process when it is called for the first time; later it writes down what it sends."""
    place = Path(os.environ["DELIVERIES"])
    if not place.exists():
        place.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with place.open("a") as file:
        file.write(f"{notification.key}\n")
