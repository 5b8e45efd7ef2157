"""The sending side: a run's row is there before its message leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Any

from celery import current_task
from django.utils.translation import gettext_noop

from ..values import stored
from . import runs
from .complaints import complaints
from .handover import in_transaction, later, record
from .header import NAME, Header, is_recorded, moment
from .session import Session

NOT_SENT = gettext_noop("The message was not sent: the broker could not be reached.")

CONFIRM_WITHIN = 60.0
"""Seconds after which a message that neither left nor was followed by another counts as not sent."""

_unconfirmed: dict[str, float] = {}


def quiet(receiver: Callable[..., Any]) -> Callable[..., None]:
    """A signal receiver that never lets its own trouble out: it is logged once a minute."""

    @wraps(receiver)
    def quietly(*args: Any, **kwargs: Any) -> None:
        try:
            receiver(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - no sender or task may suffer from its record
            complaints.log(f"{receiver.__name__}: a run could not be recorded.", error)

    return quietly


@quiet
def before_publish(
    sender: str, headers: dict[str, Any], body: Any, routing_key: str = "", **kwargs: Any
) -> None:
    """Celery's ``before_task_publish``: complete the headers, and open the run's row where that is possible.

    Inside a transaction the row would stay unseen until its commit while the worker already waits for the
    same unique id, so there the worker opens it.
    """
    if headers.get("retries") or not headers.get("id") or is_recorded(headers):
        return
    header = Header.of(headers)
    if header is None:
        _hand_on(headers)
        return
    recorded = not in_transaction()
    header = replace(header, recorded=recorded, queued_at=header.queued_at or datetime.now(UTC))
    headers[NAME] = header.as_json()
    if recorded:
        _open(_message(headers, header, body, routing_key))


@quiet
def after_publish(sender: str, headers: dict[str, Any], **kwargs: Any) -> None:
    """Celery's ``after_task_publish``: the message has left."""
    _unconfirmed.pop(headers.get("id", ""), None)


def publish_failed(celery_id: str, reason: str = NOT_SENT) -> None:
    """Record that the message of the run with this Celery task id did not leave; ``reason`` is one sentence.

    The run becomes ``missed``, unless it has started: then the message did leave. Raises nothing.
    """
    _unconfirmed.pop(celery_id, None)
    record(partial(runs.close_unsent, celery_id=celery_id, reason=reason, at=time.monotonic()))


def header_of(request: Any) -> Header | None:
    """The header of the message behind a task's ``request``; None when it belongs to no scheduled task."""
    return Header.of(vars(request)) or Header.of(getattr(request, "headers", None))


def _hand_on(headers: dict[str, Any]) -> None:
    """A task that replaces itself continues its run under the same id, but Celery drops the headers."""
    if not headers.get("replaced_task_nesting") or not current_task:
        return
    request = current_task.request
    header = header_of(request) if request.id == headers["id"] else None
    if header is not None:
        headers[NAME] = replace(header, recorded=True).as_json()


def _message(headers: dict[str, Any], header: Header, body: Any, routing_key: str) -> runs.Message:
    args, kwargs = body[:2] if isinstance(body, tuple | list) else ((), {})
    return runs.Message(
        celery_id=headers["id"],
        header=header,
        queue=str(routing_key or "")[:255],
        args=stored(args),
        kwargs=stored(kwargs),
        expires_at=moment(headers.get("expires")),
    )


def _open(message: runs.Message) -> None:
    at = time.monotonic()
    _unconfirmed[message.celery_id] = at
    record(partial(runs.queue, message=message, at=at), size=1_000 + len(message.args) + len(message.kwargs))
    later("unconfirmed messages", CONFIRM_WITHIN, _close_unconfirmed)


def _close_unconfirmed(session: Session) -> None:
    now = time.monotonic()
    for celery_id, at in list(_unconfirmed.items()):
        if now - at >= CONFIRM_WITHIN:
            runs.close_unsent(session, celery_id, NOT_SENT, at=at)
            _unconfirmed.pop(celery_id, None)
    if _unconfirmed:
        later("unconfirmed messages", CONFIRM_WITHIN, _close_unconfirmed)
