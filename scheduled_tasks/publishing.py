"""Sending a task's message at a person's word, and stopping a run: bounded in time, never retried."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import Any

from celery import current_app
from django.utils.translation import gettext as _
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from . import reasons
from .facts import Facts
from .models import Process, ProcessKind, ScheduledTask, Status, TaskRun
from .values import MASK, unmasked

TIMEOUT = 3.0
"""Seconds the broker may take to accept a connection."""

MANUAL_EXPIRES = timedelta(days=1)
"""How long a run started by a person waits for a worker before it expires."""

POOLS_THAT_STOP = ("prefork",)

ROUTING = ("queue", "exchange", "routing_key", "priority")
"""What a task's row may say about where its messages go."""

logger = logging.getLogger(__name__)


class BadMessage(ValueError):
    """A message that no broker can be given; the text is one of :mod:`.reasons`."""


class Unreachable(Exception):
    """The broker did not take the message; the text is one of :mod:`.reasons`."""


class UnknownTask(Exception):
    """No running worker knows the task; the text is one of :mod:`.reasons`."""


class CannotStop(Exception):
    """The worker's pool cannot stop a task that has started; the text is one sentence."""


@dataclass(frozen=True)
class Message:
    """The arguments of one run and the headers every message of the task carries."""

    args: list[Any]
    kwargs: dict[str, Any]
    headers: dict[str, Any]


def message(
    task: ScheduledTask, *, args: list[Any] | None = None, kwargs: dict[str, Any] | None = None
) -> Message:
    """The task's message, with its own arguments where none are given, or where a given one is masked.

    Raises :class:`BadMessage` when they are not JSON or do not fit the task's signature, where this
    process knows it.
    """
    args = _given(args, task.args, list, "args")
    kwargs = _given(kwargs, task.kwargs, dict, "kwargs")
    celery_task = current_app.tasks.get(task.task)
    if celery_task is not None and celery_task.typing:
        try:
            celery_task.__header__(*args, **kwargs)
        except TypeError as error:
            raise BadMessage(reasons.UNFIT_ARGUMENTS % {"error": error}) from error
    return Message(args=args, kwargs=kwargs, headers=_json(task.headers, dict, "headers"))


def _given(value: Any, text: str | None, kind: type, what: str) -> Any:
    if value is not None and MASK not in json.dumps(value, ensure_ascii=False):
        return value
    own = _json(text, kind, what)
    return own if value is None else unmasked(value, own)


def _json(text: str | None, kind: type, what: str) -> Any:
    try:
        value = json.loads(text or "null")
    except ValueError as error:
        raise BadMessage(reasons.NOT_JSON % {"what": reasons.WHAT[what], "error": error}) from error
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise BadMessage(reasons.WRONG_JSON % {"what": reasons.WHAT[what], "shape": reasons.SHAPE[kind]})
    return value


def send(task: ScheduledTask, run: TaskRun, message: Message) -> None:
    """Publish the message of a committed run.

    Raises :class:`UnknownTask`, :class:`Unreachable` and :class:`BadMessage`.
    """
    known = Facts.read().known_tasks
    if known is not None and task.task not in known:
        raise UnknownTask(reasons.UNKNOWN_TASK % {"task": task.task})
    origin = {
        "task": task.pk,
        "name": task.name,
        "trigger": run.trigger,
        "actor": run.actor,
        "scheduled_for": None,
        "recorded": True,
        "retry_of": run.retry_of_id,
    }
    options = {name: value for name in ROUTING if (value := getattr(task, name)) not in (None, "")}
    celery_task = _as_coded(task.task)
    publish = (
        celery_task.apply_async if celery_task is not None else partial(current_app.send_task, task.task)
    )
    with _broker() as connection:
        publish(
            args=message.args,
            kwargs=message.kwargs,
            task_id=run.celery_id,
            connection=connection,
            retry=False,
            expires=expires(task).total_seconds(),
            headers={**message.headers, "periodic_task_name": task.name, "scheduled_tasks": origin},
            **options,
        )


def _as_coded(name: str) -> Any:
    """The Celery task whose own options (queue, serializer, …) count as in beat; None where code has none."""
    if name not in current_app.tasks:
        _import_task_modules()
    return current_app.tasks.get(name)


@cache
def _import_task_modules() -> None:
    """Once, because a web process usually has not: there only workers and beat ask Celery for it."""
    try:
        current_app.loader.import_default_modules()
    except Exception:  # a task module may fail in any way
        logger.exception("The task modules could not be imported; options in their code do not count here.")


@cache
def queue_of(name: str) -> str | None:
    """The queue that code and Celery's settings choose for the Celery task ``name``.

    None where that cannot be told: an exchange may lead to any queue, and a project's own router may want to
    see the arguments.
    """
    task = _as_coded(name)
    coded = {option: value for option in ROUTING if (value := getattr(task, option, None)) is not None}
    if "exchange" in coded:
        return None
    try:
        queue: Any = current_app.amqp.router.route(coded, name, task_type=task).get("queue")
    except Exception:
        logger.exception("The queue of %s cannot be told.", name)
        return None
    return None if queue is None else str(getattr(queue, "name", queue))


def expires(task: ScheduledTask) -> timedelta:
    """How long a run of the task that a person starts waits for a worker: its own setting, or a day."""
    return timedelta(seconds=task.expire_seconds) if task.expire_seconds else MANUAL_EXPIRES


def revoke(run: TaskRun) -> None:
    """Tell the workers to stop a run.

    Raises :class:`CannotStop`, :class:`Unreachable` and :class:`BadMessage`.
    """
    running = run.status == Status.RUNNING
    process = Process.objects.filter(pk=run.process_id, kind=ProcessKind.WORKER).first()
    if running and process is not None and process.pool not in POOLS_THAT_STOP:
        raise CannotStop(
            _("This run cannot be stopped: its worker uses the %(pool)s pool.") % {"pool": process.pool}
        )
    with _broker() as connection:
        current_app.control.revoke(run.celery_id, terminate=running, connection=connection)


@contextmanager
def _broker() -> Iterator[Connection]:
    """A connection of its own, each broker tried once for :data:`TIMEOUT`: a page must not wait for one.

    Raises :class:`Unreachable` for what the broker does, :class:`BadMessage` for what else goes wrong inside.
    """
    options = {"socket_connect_timeout": TIMEOUT, "socket_timeout": TIMEOUT}
    try:
        connection = current_app.connection_for_write(connect_timeout=TIMEOUT, transport_options=options)
        failures = (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors)
    except Exception as error:  # an address that no transport knows
        raise Unreachable(reasons.NO_BROKER % {"error": error}) from error
    try:
        with connection:
            # Kombu tries for the whole timeout and two seconds more, and counts no tries of its own.
            connection.transport_options["max_retries"] = max(0, len(connection.alt) - 1)
            yield connection
    except failures as error:
        raise Unreachable(reasons.NO_BROKER % {"error": error}) from error
    except Exception as error:  # a serializer, or a Celery task's own way to send, may raise anything
        raise BadMessage(reasons.NOT_SENDABLE % {"error": error}) from error
