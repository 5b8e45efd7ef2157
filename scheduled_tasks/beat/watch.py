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

from ..recording.session import set_timeouts

SILENT_AFTER = 30.0
"""Seconds after which a server that has not answered is taken for gone."""

logger = get_logger(__name__)


class Watch:
    """Breaks ``connection``, which one thread works with, from another one when the server keeps it waiting.

    The drivers notice a host that has vanished. They do not notice a server or pooler that takes what it is
    sent and never answers; those for MariaDB do, and SQLite has none.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        connection.close()
        set_timeouts(connection)
        connection.execute_wrappers.append(self._execute)
        self._connection = connection
        self._waits_since: float | None = None

    def rest(self) -> None:
        """Nothing is asked of the database now."""
        self._waits_since = None

    def look(self) -> None:
        """Break the connection when the last statement is too long ago; what waits for it raises."""
        if self._connection.vendor != "postgresql" or self._waited() < SILENT_AFTER:
            return
        logger.error("The database has not answered for %g s: beat connects anew.", SILENT_AFTER)
        with suppress(Exception), self._socket() as end:  # it may just have been closed
            end.shutdown(socket.SHUT_RDWR)

    def _waited(self) -> float:
        since = self._waits_since
        return 0.0 if since is None else time.monotonic() - since

    def _socket(self) -> socket.socket:
        return socket.socket(fileno=os.dup(self._connection.connection.fileno()))

    def _execute(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        self._waits_since = time.monotonic()
        return execute(sql, params, many, context)
