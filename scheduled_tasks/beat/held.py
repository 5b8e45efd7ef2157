"""Runs held until the one before them ends: overlap policy queue_one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.utils.translation import gettext_noop
from django_celery_beat.models import PeriodicTask

from ..models import Status, TaskRun
from . import records
from .claims import message_of
from .entries import Entry
from .lease import LeaderLease
from .outbox import Message

DISABLED = gettext_noop("The task was disabled while this run was held.")


def release(entries: Mapping[int, Entry], *, lease: LeaderLease, now: datetime) -> tuple[list[Message], bool]:
    """Queue the held runs whose task is free again; the messages to send, and whether any run is held still.

    Raises :class:`.lease.Fenced` and database errors.
    """
    held = list(TaskRun.objects.filter(status=Status.WAITING))
    task_ids = [run.task_id or 0 for run in held]
    enabled = set(PeriodicTask.objects.filter(pk__in=task_ids, enabled=True).values_list("pk", flat=True))
    others = TaskRun.objects.open().filter(task_id__in=task_ids).exclude(status=Status.WAITING)
    busy = enabled & set(others.values_list("task_id", flat=True))
    free = [run for run in held if run.task_id not in busy]
    if not free:
        return [], bool(held)
    messages = []
    with lease.leading():
        for run in free:
            waiting = TaskRun.objects.filter(pk=run.pk, status=Status.WAITING)
            entry = entries.get(run.task_id or 0) if run.task_id in enabled else None
            if entry is None:
                records.close(waiting, Status.SKIPPED, DISABLED, now)
                continue
            message = message_of(entry, run.scheduled_for or now, entry.due, now, celery_id=run.celery_id)
            if waiting.update(status=Status.QUEUED, expires_at=message.expires_at):
                messages.append(message)
    return messages, len(held) > len(free)
