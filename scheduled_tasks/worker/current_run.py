"""What a running task may ask about its own run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from celery import current_task

from ..recording.header import header_of


@dataclass(frozen=True)
class CurrentRun:
    """The run that is under way in this thread.

    ``name`` is that of the scheduled task, ``celery_id`` the Celery task id. ``scheduled_for`` is the time of
    the schedule that the run is for, in UTC, whenever it really started: of a run that was missed and is run
    later too. It is None for a run that a person started. ``trigger`` is one of ``"schedule"``, ``"manual"``,
    ``"retry"`` and ``"command"``, and ``actor`` who started it, empty for beat.
    """

    name: str
    celery_id: str
    scheduled_for: datetime | None
    trigger: str
    actor: str


def current_run() -> CurrentRun | None:
    """The run of the calling task; None outside of one that a scheduled task's message has started."""
    header = header_of(current_task.request) if current_task else None
    if header is None:
        return None
    return CurrentRun(header.name, header.id, header.scheduled_for, header.trigger, header.actor)
