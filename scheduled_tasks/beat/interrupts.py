"""Signals that may wait a moment."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back the first SIGTERM or SIGINT until the block ends, so that a claim is sent whole."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def hold(number: int, frame: object) -> None:
        if came:
            restore()
        came.append(number)
        if len(came) > 1:
            os.kill(os.getpid(), number)

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    handlers = {number: signal.signal(number, hold) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        restore()
        if len(came) == 1:
            os.kill(os.getpid(), came[0])
