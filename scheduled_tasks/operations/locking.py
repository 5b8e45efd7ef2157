"""Who acts, on which task or run and under which lock, and how it is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from ..masking import printable
from ..models import Incident, MaintenanceWindow, ScheduledTask, TaskRun, TaskRunQuerySet, TaskState, database
from .audit import AuditEntry


@dataclass(frozen=True)
class Actor:
    """Who acts: ``name`` is kept with runs; ``log`` writes what was done to a task to an audit trail.

    What is done to an incident is written to its task, or to the incident itself when that has no task; with
    a maintenance window of one task it is the same.

    A project's user names may be of any type: ``name`` is made a text of at most 150 characters.
    """

    name: str
    log: Callable[[ScheduledTask | Incident | MaintenanceWindow, AuditEntry], None]

    def __post_init__(self) -> None:
        text = "" if self.name is None else printable(str(self.name)).strip()
        object.__setattr__(self, "name", text[:150])


class Refused(Exception):
    """An operation that was not carried out; its text is one sentence for the person.

    ``code`` is one of ``"gone"``, ``"overlap"``, ``"arguments"``, ``"broker"``, ``"message"``,
    ``"unknown_task"``, ``"timezone"``, ``"kind"``, ``"conflict"``, ``"no_default"``, ``"declaration"``,
    ``"ended"``, ``"pool"``, ``"invalid"``, ``"span"``, ``"start"``, ``"past"``, ``"order"``, ``"tasks"``,
    ``"name"``, ``"protected"``.
    ``run`` is the run concerned, where there is one.
    """

    def __init__(self, code: str, message: str, *, run: TaskRun | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.run = run


class Conflict(Refused):
    """Somebody changed the task meanwhile; ``task`` is as it is now."""

    def __init__(self, message: str, task: ScheduledTask) -> None:
        super().__init__("conflict", message)
        self.task = task


@contextmanager
def locked(task_id: int) -> Iterator[ScheduledTask]:
    """The task, its row locked until the block ends.

    It begins with a write, as on SQLite only such a transaction waits its turn. All lock a task before its
    state. (INSERT IGNORE would share the lock of MariaDB's row, and two would wait for each other to own it.)
    Raises :class:`Refused` when there is no such task, or django-celery-beat does not let it be saved.
    """
    name = task_of(task_id).name
    try:
        with transaction.atomic(using=database()):
            ScheduledTask.objects.filter(pk=task_id).update(enabled=F("enabled"))
            TaskState.objects.select_for_update().get_or_create(task_id=task_id)
            yield task_of(task_id)
    except ValidationError as error:  # the row is as only a bulk write past django-celery-beat leaves it
        message = _("%(name)s cannot be saved: %(error)s Correct it in django-celery-beat's admin first.")
        raise Refused("invalid", message % {"name": name, "error": " ".join(error.messages)}) from error


def task_of(task_id: int) -> ScheduledTask:
    """The task as it is now. Raises :class:`Refused` when there is none."""
    task = ScheduledTask.objects.with_schedules().filter(pk=task_id).first()
    if task is None:
        raise Refused("gone", _("This task no longer exists."))
    return task


def run_of(run_id: int) -> TaskRun:
    """The run as it is now. Raises :class:`Refused` when there is none."""
    run = TaskRun.objects.filter(pk=run_id).first()
    if run is None:
        raise Refused("gone", _("This run no longer exists."))
    return run


def locked_run(run: TaskRun) -> TaskRunQuerySet:
    """The one run, its row locked until the transaction ends.

    By its id alone: with a status to look for, MariaDB would choose that index and lock it first, which the
    recorder locks last: a deadlock.
    """
    the_run = TaskRun.objects.filter(pk=run.pk)
    the_run.update(cancellation=F("cancellation"))
    return the_run
