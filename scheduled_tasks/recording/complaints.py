"""What goes wrong with recording harms no task: it is logged, once a minute and not once a task."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from ..private import SIG_SOFT_TIMEOUT

LOG_EVERY = 60.0
"""Seconds between two lines of log about the same trouble."""

LIMIT_AGAIN = 0.1
"""Seconds after which a soft time limit that struck at the wrong moment strikes again."""

logger = logging.getLogger("scheduled_tasks")


class Complaints:
    """One line of log a minute for each kind of trouble, with how often it happened meanwhile."""

    def __init__(self) -> None:
        self._logged: dict[str, tuple[float, int]] = {}

    def log(self, message: str, error: BaseException | None = None) -> None:
        now = time.monotonic()
        logged_at, count = self._logged.get(message, (-LOG_EVERY, 0))
        if now - logged_at < LOG_EVERY:
            self._logged[message] = (logged_at, count + 1)
            return
        self._logged[message] = (now, 0)
        again = f" It happened {count} more times since the last such line." if count else ""
        if error is None:
            logger.error("%s%s", message, again)
        else:
            logger.error("%s (%s: %s)%s", message, type(error).__name__, error, again)


complaints = Complaints()


def quiet(receiver: Callable[..., Any]) -> Callable[..., None]:
    """A signal receiver whose own trouble is only logged.

    A soft time limit that strikes in it is meant for the task, and strikes once. Celery would take it for
    trouble of the receiver. So it comes again when the task goes on.
    """

    @wraps(receiver)
    def quietly(*args: Any, **kwargs: Any) -> None:
        try:
            receiver(*args, **kwargs)
        except SoftTimeLimitExceeded:
            again = threading.Timer(LIMIT_AGAIN, os.kill, (os.getpid(), SIG_SOFT_TIMEOUT))
            again.daemon = True
            again.start()
        except Exception as error:  # noqa: BLE001 - no sender or task may suffer from its record
            complaints.log(f"{receiver.__name__}: a run could not be recorded.", error)

    return quietly


def or_nothing(make: Callable[..., str], *args: Any) -> str:
    """What ``make`` returns, and an empty text when it raises.

    For what only adds to a run: no log, progress, summary or argument may keep its end from being written.
    A soft time limit of the task that strikes meanwhile goes through.
    """
    try:
        return make(*args)
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:  # noqa: BLE001 - a project's values may raise anything when they are read
        complaints.log("A part of a run could not be kept.", error)
        return ""
