"""What is handed over to the writer, and how its thread and those who wait for it wake each other."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass

from .session import Write


class Bell:
    """Wakes one thread: what ``threading.Event`` does, at a fraction of its cost per run."""

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has been rung already
            self._silence.release()

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep until it rings; False when it did not within ``seconds``."""
        return self._silence.acquire(timeout=-1 if seconds is None else seconds)


@dataclass(eq=False, slots=True)
class Order:
    """A write that was handed over; ``done`` rings once it was carried out or put off."""

    write: Write | None
    size: int = 0
    done: Bell | None = None
    tries: int = 0

    def withdraw(self) -> None:
        """Another order makes this one superfluous."""
        self.write = None
