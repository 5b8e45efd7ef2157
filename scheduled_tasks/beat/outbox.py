"""Sending what was claimed: under the id it was claimed with, again while that makes sense, never twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.utils.log import get_logger
from kombu.exceptions import OperationalError

from ..models import Status, Trigger
from ..reasons import NOT_SENT
from . import records
from .entries import Entry

PAUSES = (1.0, 2.0, 5.0, 10.0)
"""Seconds between two attempts while the broker does not answer; the last one goes on."""

logger = get_logger(__name__)


@dataclass(slots=True, eq=False)
class Message:
    """One claimed run on its way to the broker; given up at ``give_up_at``.

    ``after`` is the moment up to which the task was accounted for before this tick; None when the tick cannot
    be given back. ``tried`` says that the broker may have it.
    """

    entry: Entry
    celery_id: str
    scheduled_for: datetime
    expires_at: datetime
    give_up_at: datetime
    after: datetime | None = None
    tried: bool = False

    def options(self) -> dict[str, Any]:
        """Celery's options of the message."""
        entry = self.entry
        origin = {
            "task": entry.task_id,
            "name": entry.name,
            "trigger": Trigger.SCHEDULE.value,
            "actor": "",
            "scheduled_for": self.scheduled_for.astimezone(UTC).isoformat(),
            "recorded": True,
            "retry_of": None,
        }
        names = {"periodic_task_name": entry.name, "celery_beat_task": True, "scheduled_tasks": origin}
        return {
            **entry.options,
            "task_id": self.celery_id,
            "expires": self.expires_at,
            "headers": {**entry.headers, **names},
            "retry": False,
        }


class Outbox:
    """The claimed runs that are not known to be sent.

    ``publish`` sends one message or raises. When the broker fails, everything waits for the next attempt:
    beat asks it once per pause and not once per message.
    """

    def __init__(self, publish: Callable[[Message], None]) -> None:
        self._publish = publish
        self.unsent: list[Message] = []
        self._sent: list[str] = []
        self._given_up: dict[str, str] = {}
        self._failures = 0
        self._error = ""
        self._try_at: datetime | None = None

    def wait(self, now: datetime) -> float | None:
        """Seconds until the next attempt; None when nothing waits."""
        if not self.unsent:
            return None
        return 0.0 if self._try_at is None else max((self._try_at - now).total_seconds(), 0.0)

    def hurry(self) -> None:
        """Make the next attempt at once."""
        self._try_at = None

    def post(self, messages: Sequence[Message], now: datetime) -> None:
        """Send ``messages``, and what could not be sent before when its time has come."""
        self.unsent.extend(messages)
        if self.wait(now) != 0.0:
            return
        waiting, self.unsent = self.unsent, []
        for position, message in enumerate(waiting):
            if now >= min(message.give_up_at, message.expires_at):
                self._give_up(message, self._error)
            elif not self._send(message, now):
                self.unsent = waiting[position:]
                return
        self._failures, self._try_at = 0, None

    def _send(self, message: Message, now: datetime) -> bool:
        """Whether the message is dealt with; it is not while the broker does not answer."""
        message.tried = True
        try:
            self._publish(message)
        except (OperationalError, OSError) as error:
            pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
            self._failures, self._error = self._failures + 1, str(error)
            self._try_at = now + timedelta(seconds=pause)
            logger.error(
                "Beat cannot reach the broker to send %s, next attempt in %g s: %s",
                message.entry.name,
                pause,
                error,
            )
            return False
        except Exception as error:  # the message itself cannot be sent, whatever the broker does
            logger.exception("Beat cannot send %s", message.entry.name)
            self._give_up(message, repr(error))
        else:
            logger.info("Sent %s for %s", message.entry.name, message.scheduled_for)
            self._sent.append(message.celery_id)
        return True

    def _give_up(self, message: Message, error: str) -> None:
        self._given_up[message.celery_id] = NOT_SENT % {"error": error}

    def note(self, now: datetime) -> None:
        """Write down what was sent and what was given up. Raises database errors and then keeps it all."""
        records.mark_sent(self._sent, now)
        self._sent = []
        for celery_id, reason in list(self._given_up.items()):
            records.close(records.unsent().filter(celery_id=celery_id), Status.MISSED, reason, now)
            del self._given_up[celery_id]

    def leave(self, now: datetime) -> None:
        """Settle everything before a clean stop: what no broker can have is given back to the next leader.

        Raises database errors and then keeps what is not settled.
        """
        while self.unsent:
            message = self.unsent[-1]
            if not self._give_back(message):
                self._give_up(message, self._error)
            self.unsent.pop()
        self.note(now)

    @staticmethod
    def _give_back(message: Message) -> bool:
        if message.tried or message.after is None:
            return False
        return records.give_back(
            message.celery_id, message.entry.task_id, message.scheduled_for, message.after
        )
