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
from celery.result import EagerResult
from django.utils.translation import gettext as _
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from ..masking import MASK, NestedTooDeeply, is_too_deep, load_json, unmasked
from ..models import Process, ProcessKind, ScheduledTask, Status, TaskRun
from ..private import check_arguments
from ..reading.machinery import Machinery
from ..reasons import Code, Reason, ReasonedError
from ..recording import Header, Sending
from ..upkeep.startup import broker_addresses
from .locking import Refused

TIMEOUT = 3.0
"""Seconds the broker may take to accept a connection."""

PING_TIMEOUT = 1.0
"""Seconds that workers have to answer."""

MANUAL_EXPIRES = timedelta(days=1)
"""How long a run started by a person waits for a worker before it expires."""

POOLS_THAT_STOP = ("prefork",)

logger = logging.getLogger(__name__)


class Unsendable(ReasonedError):
    """A message that was not sent: the code of its refusal, and the status with which its run ends."""

    code = "message"
    status = Status.FAILED


class BadMessage(Unsendable, ValueError):
    """A message that no broker can be given."""


class Unreachable(Unsendable):
    """The broker did not take the message."""

    code = "broker"
    status = Status.MISSED


class NotSent(Unsendable):
    """The task's own way to send did not send the message."""

    status = Status.MISSED


class UnknownTask(Unsendable):
    """No running worker knows the task."""

    code = "unknown_task"


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
    process knows it, and :class:`Refused` when a masked value stands where the task has no such secret.
    """
    args = _given(args, task.args, list, "args")
    kwargs = _given(kwargs, task.kwargs, dict, "kwargs")
    celery_task = current_app.tasks.get(task.task)
    if celery_task is not None:
        try:
            check_arguments(celery_task, args, kwargs)
        except TypeError as error:
            raise BadMessage(Reason.of(Code.UNFIT_ARGUMENTS, error=error)) from error
    return Message(args=args, kwargs=kwargs, headers=_json(task.headers, dict, "headers"))


def _given(value: Any, text: str | None, kind: type, what: str) -> Any:
    if is_too_deep(value):
        raise BadMessage(Reason.of(Code.TOO_DEEP, what=what))
    if value is not None and MASK not in json.dumps(value, ensure_ascii=False):
        return value
    own = _json(text, kind, what)
    found = own if value is None else unmasked(value, own)
    if value is not None and MASK in json.dumps(found, ensure_ascii=False):
        raise Refused("arguments", _("Type the value that is masked here."))
    return found


def _json(text: str | None, kind: type, what: str) -> Any:
    try:
        value = load_json(text or "null")
    except NestedTooDeeply as error:
        raise BadMessage(Reason.of(Code.TOO_DEEP, what=what)) from error
    except ValueError as error:
        raise BadMessage(Reason.of(Code.NOT_JSON, what=what, error=error)) from error
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise BadMessage(Reason.of(Code.WRONG_JSON, what=what, shape=kind.__name__))
    return value


def send(task: ScheduledTask, run: TaskRun, message: Message) -> None:
    """Publish the message of a committed run.

    Raises :class:`Unsendable`.
    """
    known = Machinery.read().known_tasks
    if known is not None and task.task not in known:
        raise UnknownTask(Reason.of(Code.UNKNOWN_TASK, task=task.task))
    header = Header(
        name=task.name,
        id=run.celery_id or "",
        task=task.pk,
        trigger=run.trigger,
        actor=run.actor,
        recorded=True,
        retry_of=run.retry_of_id,
    )
    coded = _as_coded(task.task)
    publish = partial(current_app.send_task, task.task) if coded is None else coded.apply_async
    with _broker() as connection, Sending(header) as sending:
        result = publish(
            args=message.args,
            kwargs=message.kwargs,
            task_id=run.celery_id,
            connection=connection,
            retry=False,
            expires=expires(task).total_seconds(),
            headers={**message.headers, **header.as_headers()},
            **task.routing,
        )
    if not (sending.left or ran_here(result, run.celery_id)):
        raise NotSent(Reason(Code.OWN_WAY))


def ran_here(result: object, celery_id: str | None) -> bool:
    """Whether a task ran in this process (``task_always_eager``) instead of being sent under this id.

    celery-once answers with a result of this kind, without an id, when it sends nothing.
    """
    return isinstance(result, EagerResult) and result.id == celery_id


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
    except (Exception, SystemExit):  # a task module may fail in any way
        logger.exception("The task modules could not be imported; options in their code do not count here.")


def expires(task: ScheduledTask) -> timedelta:
    """How long a run of the task that a person starts waits for a worker: its own setting, or a day."""
    return timedelta(seconds=task.expire_seconds) if task.expire_seconds else MANUAL_EXPIRES


def revoke(run: TaskRun) -> None:
    """Tell the workers to stop a run.

    Raises :class:`Unsendable`, and :class:`Refused` when the worker's pool cannot stop a task.
    """
    running = run.status == Status.RUNNING
    process = Process.objects.filter(pk=run.process_id, kind=ProcessKind.WORKER).first()
    if running and process is not None and process.pool not in POOLS_THAT_STOP:
        message = _("This run cannot be stopped: its worker uses the %(pool)s pool.")
        raise Refused("pool", message % {"pool": process.pool}, run=run)
    with _broker() as connection:
        current_app.control.revoke(run.celery_id, terminate=running, connection=connection)


def answering_workers() -> list[str]:
    """Node names of the workers that answer a ping through the broker, within :data:`PING_TIMEOUT`.

    Raises :class:`Unreachable` when there is no broker or it does not answer, and :class:`BadMessage` where
    workers cannot be asked through it.
    """
    with _broker() as connection:
        connection.default_channel  # noqa: B018 - opens it
        answers = current_app.control.ping(timeout=PING_TIMEOUT, connection=connection) or []
    return sorted(node for answer in answers for node in answer)


def _has_broker() -> bool:
    """Whether the settings name a broker, or a worker uses the one that Celery assumes otherwise."""
    if current_app.conf.broker_write_url:
        return True
    assumed = {*broker_addresses(current_app.connection_for_write)}
    workers = Machinery.read().alive(ProcessKind.WORKER)
    return any(assumed.intersection(worker.brokers) for worker in workers)


@contextmanager
def _broker() -> Iterator[Connection]:
    """A connection of its own, each broker tried once for :data:`TIMEOUT`: a page must not wait for one.

    Raises :class:`Unreachable` for what the broker does, :class:`BadMessage` for what else goes wrong inside.
    """
    options = {"socket_connect_timeout": TIMEOUT, "socket_timeout": TIMEOUT}
    if not _has_broker():
        raise Unreachable(Reason(Code.NO_BROKER))
    try:
        connection = current_app.connection_for_write(connect_timeout=TIMEOUT, transport_options=options)
        failures = (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors)
    except Exception as error:  # an address that no transport knows
        raise Unreachable(Reason.of(Code.UNREACHABLE, error=error)) from error
    try:
        with connection:
            # Kombu tries for the whole timeout and two seconds more, and counts no tries of its own.
            connection.transport_options["max_retries"] = max(0, len(connection.alt) - 1)
            yield connection
    except failures as error:
        raise Unreachable(Reason.of(Code.UNREACHABLE, error=error)) from error
    except Exception as error:  # a serializer, or a Celery task's own way to send, may raise anything
        raise BadMessage(Reason.of(Code.NOT_SENDABLE, error=error)) from error
