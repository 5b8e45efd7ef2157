"""What a message says about the run it starts: a header of this app beside django-celery-beat's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ..models import Trigger

NAME = "scheduled_tasks"
"""Name of this app's header."""

TASK_NAME = "periodic_task_name"
"""Name of the header by which django-celery-beat says which task a message belongs to."""

FROM_BEAT = "celery_beat_task"
"""Name of the header that Celery's beat adds; a person's "Run selected tasks" does not."""

TRIGGERS = tuple(trigger for trigger in Trigger.values if trigger != Trigger.IMPORTED)
"""Those that a message may have."""
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
LARGEST_ID = 2**63 - 1


@dataclass(kw_only=True)
class Header:
    """Which task a run belongs to, who started it and for when.

    ``id`` is the Celery task id of the message. A task that passes ``self.request.headers`` on to another one
    copies the header to a message with another id, which is not part of the run. ``recorded`` says that its
    row was there before the message left; ``queued_at`` is the sender's clock, for the case that it was not.
    ``default_expiry`` says that neither the task nor a person chose when the message expires: that counts
    for its first attempt only.
    """

    name: str
    id: str = ""
    task: int | None = None
    trigger: str = Trigger.MANUAL
    actor: str = ""
    scheduled_for: datetime | None = None
    retry_of: int | None = None
    recorded: bool = False
    queued_at: datetime | None = None
    default_expiry: bool = False

    @classmethod
    def of(cls, headers: Mapping[str, Any] | None, celery_id: str | None) -> Header | None:
        """The header among the ``headers`` of the message with this Celery task id.

        None when they belong to no scheduled task or to another message. Anybody who may publish can write
        anything into a header, so each value is bounded.
        """
        headers = headers or {}
        own = headers.get(NAME)
        if not isinstance(own, dict):
            own = {}
        name = own.get("name") or headers.get(TASK_NAME)
        if not name or own.get("id") not in (None, "", celery_id):
            return None
        by_default = Trigger.SCHEDULE if headers.get(FROM_BEAT) else Trigger.MANUAL
        trigger = own.get("trigger")
        return cls(
            name=str(name)[:200],
            id=str(celery_id or ""),
            task=_row_id(own.get("task")),
            trigger=trigger if trigger in TRIGGERS else by_default,
            actor=str(own.get("actor") or "")[:150],
            scheduled_for=moment(own.get("scheduled_for")),
            retry_of=_row_id(own.get("retry_of")),
            recorded=bool(own.get("recorded")),
            queued_at=moment(own.get("queued_at")),
            default_expiry=own.get("default_expiry") is True,
        )

    def as_headers(self) -> dict[str, Any]:
        """All headers of the message, with those of django-celery-beat, as they travel."""
        from_beat = {FROM_BEAT: True} if self.trigger == Trigger.SCHEDULE else {}
        return {TASK_NAME: self.name, **from_beat, NAME: self.as_json()}

    def as_json(self) -> dict[str, Any]:
        """The value of this app's own header as it travels, whatever the message's serializer."""
        return asdict(self) | {
            "trigger": str(self.trigger),
            "scheduled_for": self.scheduled_for and self.scheduled_for.astimezone(UTC).isoformat(),
            "queued_at": self.queued_at and self.queued_at.astimezone(UTC).isoformat(),
        }


def header_of(request: Any) -> Header | None:
    """The header of the message behind a task's ``request``; None when it belongs to no scheduled task."""
    celery_id = getattr(request, "id", None)
    return Header.of(vars(request), celery_id) or Header.of(getattr(request, "headers", None), celery_id)


def moment(value: Any) -> datetime | None:
    """An aware time from ISO 8601 text (a text without a zone is UTC).

    None when it is not one, or so early or late that no zone could show it.
    """
    if value is None:
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if EARLIEST <= found < LATEST else None


def _row_id(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= LARGEST_ID else None
