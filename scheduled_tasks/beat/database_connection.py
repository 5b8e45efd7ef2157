"""Beat's own connection to the database, on which no call may take for ever."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery.utils.log import get_logger
from django.db.backends.base.base import BaseDatabaseWrapper

from ..recording.connection import set_timeouts

SILENT_AFTER = 30.0
"""Seconds after which a server that has not answered is taken for gone."""

logger = get_logger(__name__)


class ConnectionGuard:
    """Breaks ``connection``, which one thread works with, from another one when the server keeps it waiting.

    The drivers notice a host that has vanished. They do not notice a server or pooler that takes what it is
    sent and never answers; those for MariaDB do, and SQLite has none.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        connection.close()
        set_timeouts(connection)
        connection.execute_wrappers.append(self._execute)
        self._connection = connection
        self._waiting_since: float | None = None

    def rest(self) -> None:
        """Nothing is asked of the database now."""
        self._waiting_since = None

    def check(self) -> None:
        """Break the connection when the last statement is too long ago; what waits for it raises."""
        since = self._waiting_since
        if self._connection.vendor != "postgresql" or since is None:
            return
        if time.monotonic() - since < SILENT_AFTER:
            return
        logger.error("The database has not answered for %g s: beat connects anew.", SILENT_AFTER)
        connection = self._connection.connection
        # It may just have been closed.
        with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    def _execute(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        self._waiting_since = time.monotonic()
        return execute(sql, params, many, context)
