"""Claimed runs on their way to the broker."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from celery import current_app
from celery.beat import ScheduleEntry
from django.db.models import QuerySet

from ..models import Overlap, ScheduledTask, Status, TaskRun, Trigger
from ..operations.publishing import Message
from ..reasons import Reason
from ..recording import Header
from ..recording.ended import ended
from ..recording.header import moment
from ..signals import run_ended

ON_TIME = timedelta(seconds=30)
"""A tick this late counts as on time: a standby may take that long to notice that the leader died."""

LONGEST_WAIT = timedelta(minutes=15)
"""How long a message waits for a worker at most when its task does not say, and the next tick is no later."""

SHORTEST_WAIT = timedelta(minutes=1)
"""How long it waits at least: clocks differ, and a worker may just be restarting."""


class PendingRun(ScheduleEntry):
    """What Celery's scheduler sends for one claimed run, and hooks of it look at.

    It is given up at ``give_up_at``. ``waits`` is how long it waits for a worker by default, None where its
    task says until when. ``error`` is why the last attempt to send it failed; ``is_eager`` tells that it ran
    instead of being sent.

    ``tick`` is when the run is due, ``spread`` by how much that is later than its scheduled time.
    ``following`` is the tick after ``tick``, and ``waited`` for how long the run before it waited in vain.
    ``accounted_until`` is the moment up to which the task was accounted for before; None when the tick cannot
    be given back. ``held`` is the row of a run that waited: it keeps its Celery task id, and who wanted it.
    """

    def __init__(
        self,
        task: ScheduledTask,
        message: Message,
        tick: datetime,
        now: datetime,
        *,
        following: datetime | None,
        spread: timedelta = timedelta(0),
        waited: timedelta = timedelta(0),
        accounted_until: datetime | None = None,
        held: TaskRun | None = None,
    ) -> None:
        self.celery_id = (held and held.celery_id) or str(uuid4())
        self.scheduled_task = task
        self.task_id = task.pk
        self.name, self.task = task.name, task.task
        self.args, self.kwargs = tuple(message.args), dict(message.kwargs)
        self.tick = self.last_run_at = tick
        self.spread, self.scheduled_for = spread, tick - spread
        self.accounted_until = accounted_until
        self.expires_at, self.waits = _expiry(task, tick, following, now, waited)
        self.give_up_at = max(tick + max(task.state.effective_grace, ON_TIME), now + ON_TIME)
        self.is_postponed = False
        self.error: Exception | None = None
        self.is_eager = False
        self.header = Header(
            name=self.name,
            id=self.celery_id,
            task=self.task_id,
            trigger=held.trigger if held else Trigger.SCHEDULE,
            actor=held.actor if held else "",
            retry_of=held.retry_of_id if held else None,
            scheduled_for=self.scheduled_for,
            recorded=True,
            default_expiry=self.waits is not None,
        )
        self.options: dict[str, Any] = {
            **task.routing,
            "task_id": self.celery_id,
            "expires": self.expires_at,
            "headers": {**message.headers, **self.header.as_headers()},
            "retry": False,
        }

    def postpone(self) -> None:
        """Do not let it expire by default while the broker is away."""
        if self.expires_at is not None and self.waits is not None:
            self.expires_at = max(self.expires_at, self.give_up_at)
        self.is_postponed = True

    def resume(self, now: datetime) -> None:
        """Let the time in which it may expire by default begin now."""
        if self.waits is not None:
            self.expires_at = self.options["expires"] = now + self.waits
        self.is_postponed = False

    def is_too_late(self, now: datetime) -> bool:
        """Whether it may not be sent any more."""
        return now >= self.give_up_at or (self.expires_at is not None and now >= self.expires_at)

    @property
    def schedule(self) -> Any:
        """Celery's own object for the schedule."""
        return self.scheduled_task.schedule


def _expiry(
    task: ScheduledTask, tick: datetime, following: datetime | None, now: datetime, waited: timedelta
) -> tuple[datetime | None, timedelta | None]:
    """Until when a message queued now waits for a worker, and its run keeps others from starting.

    As the task says, else until the next tick, or for :data:`LONGEST_WAIT` when that is longer. Where the
    run may block others, a message that was lost must cost little: then two intervals are enough. If the
    one before was not taken in ``waited``, the workers may just be slow, and the next waits twice as long.
    A task that runs as before this app does what Celery does: its messages wait without end.
    """
    own = task.expire_seconds or getattr(current_app.tasks.get(task.task), "expires", None)
    if isinstance(own, datetime) and (at := moment(own)) is not None:  # without a zone it is UTC to Celery
        return at, None
    if own and isinstance(own, int | float):  # 0 is none, as in django-celery-beat
        return now + timedelta(seconds=own), None
    if task.state.is_as_before:
        return task.expires, None
    until = max(following or now, now + LONGEST_WAIT)
    if following is not None and task.state.effective_overlap != Overlap.ALLOW:
        # From the tick, so that a moment's delay does not cost the tick after two intervals.
        since = tick if now - tick <= ON_TIME else now
        until = min(until, since + max(2 * (following - tick), 2 * waited, SHORTEST_WAIT))
    if task.expires is not None and task.expires < until:
        return task.expires, None
    return until, until - now


def unsent_runs() -> QuerySet[TaskRun]:
    """Runs that a beat claimed and has not noted as sent."""
    return TaskRun.objects.open().filter(status=Status.QUEUED, tick__isnull=False, sent_at__isnull=True)


def close_runs(runs: QuerySet[TaskRun], status: Status, reason: Reason, now: datetime) -> int:
    """End every run in ``runs``; how many there were."""
    keys = list(runs.values_list("pk", flat=True)) if run_ended.receivers else ()
    closed = runs.update(status=status, **reason.columns, finished_at=now, open_since=None)
    for key in keys:
        ended(pk=key)
    return closed
