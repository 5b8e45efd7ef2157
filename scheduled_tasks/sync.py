"""Code's declarations into stored tasks, without losing what operators changed.

A sync runs after ``migrate``, by ``manage.py sync_scheduled_tasks`` and when a beat starts to lead. It never
deletes: a task gone from code is flagged and paused, and comes back with its code.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

from celery import Celery
from django.core.exceptions import ValidationError
from django.db import DatabaseError, DataError, IntegrityError, connections, transaction
from django.db.models import F, Q
from django_celery_beat.models import PeriodicTasks

from .declared import Code, CodeUnreadable, Declared, read
from .models import (
    CodeDefault,
    Lease,
    PausedBy,
    ScheduledTask,
    ScheduledTaskQuerySet,
    TaskState,
    database,
    database_now,
)
from .recording.handover import under_test
from .schedules import Unschedulable
from .sync_plan import UNCOUNTED, Kind, Step, forgotten, plan
from .task_fields import BLANK, change, save_state, values_of

LEASE = "sync"
WORDS = {"created": "created", "updated": "updated", "resumed": "in code again", "gone": "no longer in code"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What a sync did, or would do: names of tasks by what happened to them, and sentences for people."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    resumed: tuple[str, ...] = ()
    """In code again: no longer paused."""
    gone: tuple[str, ...] = ()
    """No longer in code: flagged, and paused."""
    deleted: tuple[str, ...] = ()
    """Declared, but deleted by an operator: left alone."""
    unchanged: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Those among them in which an operator's edit was kept."""
    changes: tuple[str, ...] = ()
    """One line for each task that changed."""
    problems: tuple[str, ...] = ()
    """One sentence for each thing that stood in the way."""

    @property
    def changed(self) -> bool:
        """Whether anything was, or would be, written."""
        return bool(self.changes)


def sync(
    *,
    app: Celery | None = None,
    pause_gone: bool = True,
    recreate: bool = False,
    check: bool = False,
) -> SyncReport:
    """Bring the stored tasks in line with what the code of this process declares.

    `app` is the project's Celery app (default: the current one). `pause_gone` also flags and pauses what
    code no longer declares; `recreate` brings back what operators deleted; `check` only reports. Any number
    of processes may sync at once. Code that cannot be read changes nothing and is reported as a problem.

    Raises:
        django.db.DatabaseError: when the database is down or its tables are not there.
    """
    try:
        code = read(app)
    except CodeUnreadable as error:
        return SyncReport(problems=(str(error),))
    options = {"pause_gone": pause_gone, "recreate": recreate}
    if check:
        return _report(_planned(code, **options), _problems(code))
    with _alone(code):
        now = database_now()
        steps, refused = [], []
        for step in _planned(code, **options):
            problem = _apply(step, now)
            refused += [problem] if problem else []
            steps += [] if problem else [step]
        return _report(steps, [*_problems(code), *refused])


def sync_at_beat_start(app: Celery | None = None) -> SyncReport:
    """A leading beat's sync: adds, updates and resumes, and pauses nothing. Problems are logged.

    Raises:
        django.db.DatabaseError: when the database is down or its tables are not there.
    """
    report = sync(app=app, pause_gone=False)
    for problem in report.problems:
        logger.warning("%s", problem)
    for line in report.changes:
        logger.info("%s", line)
    return report


def sync_at_migrate(
    sender: Any, *, using: str, verbosity: int = 1, stdout: TextIO | None = None, **kwargs: Any
) -> None:
    """Receiver of ``post_migrate``: sync at the end of ``migrate``, on the database the tasks live in.

    Not after ``flush``, which gives no plan; not while the tables are missing; not under a test runner: a
    host's tests find only the tasks they make, and call :func:`sync` where they want the declared ones. What
    goes wrong is said on the standard error stream and fails no migration.
    """
    if "plan" not in kwargs or under_test() or using != database() or not tables_exist(using):
        return
    try:
        report = sync()
    except DatabaseError as error:
        report = SyncReport(problems=(f"The database refused the sync: {error}",))
    out = stdout or sys.stdout
    for problem in report.problems:
        sys.stderr.write(f"Scheduled tasks: {problem}\n")
    if verbosity >= 1:
        for line in report.changes:
            out.write(f"Scheduled tasks: {line}\n")


def tables_exist(using: str | None = None) -> bool:
    """Whether the tables that a sync needs are in the database."""
    models = (ScheduledTask, TaskState, CodeDefault, Lease)
    connection = connections[using or database()]
    return {model._meta.db_table for model in models} <= set(connection.introspection.table_names())


def edited_fields(task: ScheduledTask) -> tuple[str, ...]:
    """The fields in which the task differs from what its code declares; a pause is not counted.

    Needs no query for a task of ``with_schedules()``.
    """
    default = task.code_default
    if default is None or default.gone_since is not None:
        return ()
    stored, declared = values_of(task), default.declared
    return tuple(
        name for name in BLANK if name != UNCOUNTED and name in declared and stored[name] != declared[name]
    )


def apply_default(task: ScheduledTask) -> None:
    """Give the task what its code declares in every field of :func:`edited_fields`, and save it.

    Call it with the task's row locked.
    """
    default = task.code_default
    if default is None:
        return
    changes = {name: default.declared[name] for name in edited_fields(task)}
    change(task, changes, database_now())
    default.chosen = []
    default.save(update_fields=["chosen"])


@contextmanager
def _alone(code: Code) -> Iterator[None]:
    """A transaction in which no other sync runs and no operation changes the tasks concerned.

    It begins with a write, so that on every database the others wait before they have read anything. The
    rows it must find are made before it, and all tasks are locked before one is saved: an operation holds
    one task's lock when it asks for the row in which django-celery-beat notes every change.
    """
    alias = database()
    Lease.objects.using(alias).bulk_create([Lease(name=LEASE)], ignore_conflicts=True)
    states = [TaskState(task_id=pk) for pk in _concerned(code).values_list("pk", flat=True)]
    TaskState.objects.using(alias).bulk_create(states, ignore_conflicts=True, batch_size=500)
    with transaction.atomic(using=alias):
        Lease.objects.using(alias).filter(name=LEASE).update(epoch=F("epoch") + 1)
        list(_concerned(code).select_for_update().order_by("pk").values_list("pk", flat=True))
        yield


def _concerned(code: Code) -> ScheduledTaskQuerySet:
    known = CodeDefault.objects.using(database())
    return ScheduledTask.objects.using(database()).filter(
        Q(pk__in=known.values("task_id")) | Q(name__in=code.names)
    )


def _planned(code: Code, *, pause_gone: bool, recreate: bool) -> list[Step]:
    known = list(CodeDefault.objects.using(database()))
    tasks = _concerned(code).with_schedules()
    return plan(code, known=known, tasks=tasks, pause_gone=pause_gone, recreate=recreate)


def _problems(code: Code) -> list[str]:
    lost = forgotten(code, CodeDefault.objects.using(database()))
    if not lost:
        return list(code.problems)
    sentence = (
        f"This process found no @scheduled_task at all, but {len(lost)} were declared before; they were left "
        "as they are. Does the Celery app discover the task modules?"
    )
    return [*code.problems, sentence]


def _apply(step: Step, now: datetime) -> str:
    """Carry out one step; the sentence that says why not, if the database or a model refuses it."""
    if step.kind in ("unchanged", "deleted"):
        return ""
    try:
        with transaction.atomic(using=database()):
            if step.declared is not None:
                _store(step, step.declared, now)
            elif step.known is not None:
                _pause(step.known, step.task, now)
    except (ValidationError, ValueError, Unschedulable, DataError, IntegrityError) as error:
        reason = "; ".join(error.messages) if isinstance(error, ValidationError) else str(error)
        return f"{step.name} was not synced: {reason}"
    return ""


def _store(step: Step, declared: Declared, now: datetime) -> None:
    task = step.task
    if task is None:
        task = ScheduledTask(name=step.name, task=declared.task)
        task.scheduled_state = TaskState()
    task.task = declared.task
    change(task, step.changes, now, resume=step.kind == "resumed")
    if step.known is not None and step.known.pk != task.pk:
        step.known.delete()  # of the task that an operator deleted
    CodeDefault(
        task_id=task.pk,
        name=step.name,
        source=declared.source,
        declared=declared.values,
        chosen=list(step.chosen),
    ).save()


def _pause(known: CodeDefault, task: ScheduledTask | None, now: datetime) -> None:
    known.gone_since = now
    known.save(update_fields=["gone_since"])
    if task is None or not task.enabled:
        PeriodicTasks.update_changed()  # nothing else tells the page to read the task again
        return
    state = task.state
    before = copy(state)
    task.enabled = False
    state.paused_by, state.paused_at, state.paused_by_name = PausedBy.SYNC, now, ""
    state.pause_note, state.skip_next = "", False
    task.save()  # type: ignore[no-untyped-call]
    save_state(state, before)


def _report(steps: list[Step], problems: list[str]) -> SyncReport:
    def names(kind: Kind) -> tuple[str, ...]:
        return tuple(step.name for step in steps if step.kind == kind)

    return SyncReport(
        created=names("created"),
        updated=names("updated"),
        resumed=names("resumed"),
        gone=names("gone"),
        deleted=names("deleted"),
        unchanged=names("unchanged"),
        kept=tuple(step.name for step in steps if step.kept),
        changes=tuple(_sentence(step) for step in steps if step.kind not in ("unchanged", "deleted")),
        problems=tuple(problems),
    )


def _sentence(step: Step) -> str:
    detail = f" ({step.detail})" if step.detail else ""
    return f"{step.name}: {WORDS[step.kind]}{detail}"
