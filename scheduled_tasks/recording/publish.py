"""The sending side: a run's row is there before its message leaves."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

from celery import current_task

from ..private import replacements_before
from ..values import stored
from . import statements
from .complaints import or_nothing, quiet
from .header import NAME, Header, header_of, moment
from .recorder import in_transaction, record

_sending: dict[str, Sending] = {}


class Sending:
    """A ``with`` block in which the message of one run is sent; ``left`` tells whether it has left.

    A task may send itself in a way of its own (``Task.apply_async``), which may send nothing, or use another
    id. One that drops the headers gets ``header`` back.
    """

    def __init__(self, header: Header) -> None:
        self.header, self.left = header, False

    def __enter__(self) -> Self:
        _sending[self.header.id] = self
        return self

    def __exit__(self, *_: object) -> None:
        _sending.pop(self.header.id, None)


@quiet
def before_publish(
    sender: str,
    headers: dict[str, Any],
    body: Any,
    routing_key: str = "",
    properties: dict[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    """Celery's ``before_task_publish``: complete the headers, and open the run's row where that is possible.

    Inside a transaction the row would stay unseen until its commit while the worker already waits for the
    same unique id, so there the worker opens it.
    """
    celery_id = headers.get("id")
    if headers.get("retries"):
        _drop_default_expiry(headers, properties or {})
    if headers.get("retries") or not celery_id:
        return
    header = Header.of(headers, celery_id)
    if header is None and celery_id in _sending:
        headers.update(_sending[celery_id].header.as_headers())
        return
    if header is None:
        _hand_on(headers)
    if header is None or header.recorded:
        return
    recorded = not in_transaction()
    header = replace(header, recorded=recorded, queued_at=header.queued_at or datetime.now(UTC))
    headers[NAME] = header.as_json()
    if recorded:
        message = _message(headers, header, body, routing_key)
        size = 1_000 + len(message.args) + len(message.kwargs)
        record(partial(statements.queue, message, at=time.monotonic()), size=size)


def _drop_default_expiry(headers: dict[str, Any], properties: dict[str, Any]) -> None:
    """Celery carries the expiry of a first message into the retries, for which beat's own is not meant."""
    header = Header.of(headers, headers.get("id"))
    if header is not None and header.default_expiry:
        headers["expires"] = None
        properties.pop("expiration", None)


@quiet
def after_publish(sender: str, headers: dict[str, Any], body: Any = None, **kwargs: Any) -> None:
    """Celery's ``after_task_publish``: the message has left. Beat and *Run now* write this themselves."""
    # Celery's first message protocol keeps the id in the body.
    celery_id = headers.get("id") or (body.get("id", "") if isinstance(body, dict) else "")
    if celery_id in _sending:
        _sending[celery_id].left = True
    header = Header.of(headers, celery_id)
    if header is None or headers.get("retries"):
        return
    if header.recorded and header.queued_at:  # which only before_publish gives a recorded run
        record(partial(statements.mark_sent, header.id, at=time.monotonic()), wait=False)


def _hand_on(headers: dict[str, Any]) -> None:
    """A task that replaces itself continues its run under the same id, but Celery drops the headers."""
    if not replacements_before(headers) or not current_task:
        return
    request = current_task.request
    header = header_of(request) if request.id == headers["id"] else None
    if header is not None:
        headers[NAME] = replace(header, recorded=True).as_json()


def _message(headers: dict[str, Any], header: Header, body: Any, routing_key: str) -> statements.Message:
    args, kwargs = body[:2] if isinstance(body, tuple | list) else ((), {})
    return statements.Message(
        celery_id=headers["id"],
        header=header,
        queue=str(routing_key or "")[:255],
        args=or_nothing(stored, args),
        kwargs=or_nothing(stored, kwargs),
        expires_at=moment(headers.get("expires")),
    )
