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

TRIGGERS = tuple(Trigger.values)


@dataclass(kw_only=True, slots=True)
class Header:
    """Which task a run belongs to, who started it and for when.

    ``recorded`` says that its row was there before the message left; ``queued_at`` is the sender's clock,
    for the case that it was not.
    """

    name: str
    task: int | None = None
    trigger: str = Trigger.MANUAL
    actor: str = ""
    scheduled_for: datetime | None = None
    retry_of: int | None = None
    recorded: bool = False
    queued_at: datetime | None = None

    @classmethod
    def of(cls, headers: Mapping[str, Any] | None) -> Header | None:
        """The header among a message's ``headers``; None when they belong to no scheduled task."""
        headers = headers or {}
        own, name = headers.get(NAME), headers.get(TASK_NAME)
        if not isinstance(own, dict):
            own = {}
        name = own.get("name") or name
        if not name:
            return None
        by_default = Trigger.SCHEDULE if headers.get(FROM_BEAT) else Trigger.MANUAL
        trigger = own.get("trigger")
        return cls(
            name=str(name)[:200],
            task=_number(own.get("task")),
            trigger=trigger if trigger in TRIGGERS else by_default,
            actor=str(own.get("actor") or "")[:150],
            scheduled_for=moment(own.get("scheduled_for")),
            retry_of=_number(own.get("retry_of")),
            recorded=bool(own.get("recorded")),
            queued_at=moment(own.get("queued_at")),
        )

    def as_json(self) -> dict[str, Any]:
        """The header's value as it travels."""
        return {
            key: value.isoformat() if isinstance(value, datetime) else value
            for key, value in asdict(self).items()
        }


def is_recorded(headers: Mapping[str, Any]) -> bool:
    """Whether a message's ``headers`` say that its run has its row, without reading more of them."""
    own = headers.get(NAME)
    return isinstance(own, dict) and bool(own.get("recorded"))


def moment(value: Any) -> datetime | None:
    """An aware time from ISO 8601 text (a text without a zone is UTC); None when it is not one."""
    if value is None:
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
