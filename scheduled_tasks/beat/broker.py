"""Beat's side of the broker: bounded in time, so that beat goes on with its other work."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from celery import Celery, Task
from celery.utils.saferepr import saferepr
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from .entries import Entry
from .outbox import Message

TIMEOUT = 5.0
"""Seconds the broker may take to accept a connection or to answer on one."""


class Broker:
    """Sends messages of ``app`` on one connection, kept while it works."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection | None = None
        self._producer: Any = None
        self._levels: int = app.conf.task_repr_maxlevels

    def send(self, message: Message) -> None:
        """Send one message, or raise what the broker or the message makes of it."""
        entry = message.entry
        task = self._app.tasks.get(entry.task)
        # The task's own options (serializer, time limits, ...) count where beat knows the task.
        send = partial(self._app.send_task, entry.task) if task is None else task.apply_async
        try:
            send(
                args=tuple(entry.args),
                kwargs=dict(entry.kwargs),
                producer=self._connected(),
                **self._texts(entry, task),
                **message.options(),
            )
        except Exception:
            self.close()
            raise

    def _texts(self, entry: Entry, task: Any) -> dict[str, str]:
        """The arguments as logs show them; nothing where the project's own way to send may change them.

        Celery asks its settings how to write them, for each message anew and even for no arguments: a tenth
        of the price of sending it.
        """
        own_task = task is not None and not _is(task.apply_async, Task.apply_async)
        if own_task or not _is(self._app.send_task, Celery.send_task):
            return {}
        amqp = self._app.amqp
        return {
            "argsrepr": self._text(tuple(entry.args), amqp.argsrepr_maxsize) if entry.args else "()",
            "kwargsrepr": self._text(entry.kwargs, amqp.kwargsrepr_maxsize) if entry.kwargs else "{}",
        }

    def _text(self, value: object, length: int) -> str:
        text: str = saferepr(value, length, maxlevels=self._levels)
        return text

    def answers(self) -> bool:
        """Whether the broker accepts a connection; for any thread."""
        try:
            with self._connect() as connection:
                _reach(connection)
        except (OperationalError, OSError):
            return False
        return True

    def close(self) -> None:
        """Let the connection go; the next message makes a new one."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with suppress(Exception):  # it may be broken
                connection.release()  # type: ignore[no-untyped-call]

    def _connected(self) -> Any:
        if self._producer is None:
            self._connection = self._connect()
            _reach(self._connection)
            self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)
        return self._producer

    def _connect(self) -> Connection:
        limits = {"socket_connect_timeout": TIMEOUT, "socket_timeout": TIMEOUT}
        connection: Connection = self._app.connection_for_write(
            connect_timeout=TIMEOUT, transport_options=limits
        )
        return connection


def _is(method: Any, stock: Any) -> bool:
    return getattr(method, "__func__", None) is stock


def _reach(connection: Connection) -> None:
    connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)  # type: ignore[no-untyped-call]
