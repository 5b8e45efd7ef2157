"""What goes wrong with recording is logged once a minute, not once a task."""

from __future__ import annotations

import logging
import time

LOG_EVERY = 60.0
"""Seconds between two lines of log about the same trouble."""

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
        cause = f" ({type(error).__name__}: {error})" if error else ""
        again = f" It happened {count} more times since the last such line." if count else ""
        logger.error("%s%s%s", message, cause, again)


complaints = Complaints()
