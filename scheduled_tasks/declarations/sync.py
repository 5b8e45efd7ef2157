"""Code's declarations into stored tasks, without losing what operators changed.

A sync runs after ``migrate``, by ``manage.py sync_scheduled_tasks`` and when a beat starts to lead. It never
deletes: a task gone from code is flagged and paused, and comes back with its code.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO, get_args

from celery import Celery
from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.db.models import F, Q
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from ..masking import masked_text, printable
from ..models import (
    SYNC_LEASE,
    CodeDefault,
    Lease,
    PausedBy,
    ScheduledTask,
    ScheduledTaskQuerySet,
    Source,
    TaskState,
    database,
    database_now,
)
from ..private import under_test
from ..recording.connection import MYSQL_TEXT_ERRORS, own_transaction
from .code import CodeUnreadable, Declarations, read
from .fields import FIELDS, NOT_PAUSED, Declared, change, values_of
from .plan import UNCOUNTED, Kind, Step, plan

LONGEST_ERROR = 500
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
    recreate: bool = False,
    check: bool = False,
    only: Collection[str] | None = None,
) -> SyncReport:
    """Bring the stored tasks in line with what the code of this process declares.

    `app` is the project's Celery app (default: the current one). What code no longer declares is flagged and
    paused; `recreate` brings back what operators deleted; `check` only reports; `only` are the names of the
    tasks to sync, if not all. Any number of processes may sync at once. Code that cannot be read changes
    nothing and is reported as a problem. The page shows why a sync failed until the next one succeeds.

    Raises:
        django.db.DatabaseError: when the database is down or its tables are not there.
    """
    try:
        code = read(app)
        if check:
            return _report(code, _planned(code, recreate=recreate, only=only))
        with _alone(code):
            now = database_now()
            steps = _planned(code, recreate=recreate, only=only)
            return _report(
                code, steps, refused={step.name: error for step in steps if (error := _apply(step, now))}
            )
    except CodeUnreadable as error:
        if not check:
            _note_failure(str(error))
        return SyncReport(problems=(str(error),))
    except Exception as error:
        if not check:
            _note_failure(f"{type(error).__name__}: {error}")
        raise


def preview(app: Celery | None = None) -> SyncReport:
    """What the next sync would do; before ``migrate`` the first one, to the tasks of django-celery-beat.

    Raises:
        django.db.DatabaseError: when the database is down.
    """
    if tables_exist():
        return sync(app=app, check=True)
    try:
        code = read(app)
    except CodeUnreadable as error:
        return SyncReport(problems=(str(error),))
    return _report(code, plan(code, known=[], tasks=_without_state(code), recreate=False))


def _without_state(code: Declarations) -> list[ScheduledTask]:
    """The tasks that have a declared name, while this app's tables are not there."""
    if PeriodicTask._meta.db_table not in connections[database()].introspection.table_names():
        return []
    stored = ScheduledTask.objects.using(database()).filter(name__in=code.names)
    tasks = list(stored.select_related("crontab", "interval", "solar", "clocked"))
    for task in tasks:
        task.scheduled_state = TaskState(task_id=task.pk)
    return tasks


def _note_failure(error: str) -> None:
    """Keep why a sync failed for the page, where the database takes it."""
    with suppress(DatabaseError, InterfaceError):
        text = printable(masked_text(error))[:LONGEST_ERROR]
        Lease.objects.using(database()).update_or_create(name=SYNC_LEASE, defaults={"error": text})


def sync_at_beat_start(app: Celery | None = None) -> SyncReport:
    """A leading beat's sync. What it changes and its problems are logged.

    Raises:
        django.db.DatabaseError: when the database is down or its tables are not there.
    """
    report = sync(app=app)
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
    except Exception as error:
        logger.exception("The tasks declared in code could not be synced.")
        report = SyncReport(problems=(f"The sync failed ({type(error).__name__}: {error}).",))
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
        name for name in FIELDS if name != UNCOUNTED and name in declared and stored[name] != declared[name]
    )


def apply_default(task: ScheduledTask, only: Collection[str] = tuple(FIELDS)) -> tuple[str, ...]:
    """Give the task what its code declares in every field of :func:`edited_fields` that is in ``only``.

    Returns these fields. Call it with the task's row locked.
    """
    default = task.code_default
    edited = tuple(name for name in edited_fields(task) if name in only)
    if default is not None and edited:
        change(task, {name: default.declared[name] for name in edited}, database_now())
        default.chosen = [name for name in default.chosen if name not in only]
        default.save(update_fields=["chosen"])
    return edited


@contextmanager
def _alone(code: Declarations) -> Iterator[None]:
    """A transaction in which no other sync runs and no operation changes the tasks concerned.

    It begins with a write, so that on every database the others wait before they have read anything. The
    rows it must find are made before it, and all tasks are locked before one is saved: an operation holds
    one task's lock when it asks for the row in which django-celery-beat notes every change.
    """
    alias = database()
    Lease.objects.using(alias).bulk_create([Lease(name=SYNC_LEASE)], ignore_conflicts=True)
    states = [TaskState(task_id=pk) for pk in _concerned(code).values_list("pk", flat=True)]
    TaskState.objects.using(alias).bulk_create(states, ignore_conflicts=True, batch_size=500)
    with own_transaction(alias):
        Lease.objects.using(alias).filter(name=SYNC_LEASE).update(epoch=F("epoch") + 1, error="")
        list(_concerned(code).select_for_update().order_by("pk").values_list("pk", flat=True))
        yield


def _concerned(code: Declarations) -> ScheduledTaskQuerySet:
    known = CodeDefault.objects.using(database())
    return ScheduledTask.objects.using(database()).filter(
        Q(pk__in=known.values("task_id")) | Q(name__in=code.names)
    )


def _planned(code: Declarations, *, recreate: bool, only: Collection[str] | None) -> list[Step]:
    known = list(CodeDefault.objects.using(database()).order_by("pk"))
    steps = plan(code, known=known, tasks=list(_concerned(code).with_schedules()), recreate=recreate)
    return steps if only is None else [step for step in steps if step.name in only]


def _apply(step: Step, now: datetime) -> str:
    """Carry out one step; the sentence that says why not, if the database or a model refuses it."""
    try:
        with transaction.atomic(using=database()):
            if step.kind in WORDS and step.declared is not None:
                _store(step, step.declared, now)
            elif step.kind == "gone" and step.known is not None:
                _pause(step.known, step.task, now)
            elif step.kind == "misplaced" and step.known is not None:
                step.known.delete()
    except Exception as error:
        # What is wrong with one task must not stop the others; without the database nothing goes on.
        if isinstance(error, OperationalError | InterfaceError) and not _refused_text(error):
            raise
        reason = "; ".join(error.messages) if isinstance(error, ValidationError) else str(error)
        return f"{step.name} was not synced: {reason}"
    return ""


def _refused_text(error: Exception) -> bool:
    return bool(error.args) and error.args[0] in MYSQL_TEXT_ERRORS


def _store(step: Step, declared: Declared, now: datetime) -> None:
    task = step.task
    if task is None:
        task = ScheduledTask(name=step.name)
    elif step.known is not None and task.name == step.known.name:
        task.name = declared.name  # the same to MariaDB, written otherwise
    task.task = declared.task
    back = {"enabled": True} if step.kind == "resumed" else {}
    change(task, {**back, **step.changes}, now, **_policies(task, declared.source))
    # Another row's default of this name: of a task that was deleted, or whose id another job took.
    CodeDefault.objects.using(database()).filter(name=step.name).exclude(pk=task.pk).delete()
    CodeDefault(
        task_id=task.pk,
        name=step.name,
        source=declared.source,
        declared=declared.stored,
        chosen=list(step.chosen),
    ).save()


def _policies(task: ScheduledTask, source: Source) -> dict[str, bool]:
    """Whether the task runs as before this app: an entry of Celery's own does, a decorator chooses."""
    if source == Source.DECORATOR:
        return {"runs_as_before": False}
    return {"runs_as_before": True} if task.pk is None else {}


def _pause(known: CodeDefault, task: ScheduledTask | None, now: datetime) -> None:
    known.gone_since = now
    known.save(update_fields=["gone_since"])
    if task is None or not task.enabled:
        PeriodicTasks.update_changed()  # nothing else tells the page to read the task again
        return
    pause = {**NOT_PAUSED, "paused_by": PausedBy.SYNC, "paused_at": now}
    change(task, {"enabled": False}, now, **pause, skip_next=False)


def _report(code: Declarations, steps: list[Step], refused: Mapping[str, str] = {}) -> SyncReport:
    done = [step for step in steps if step.name not in refused]
    names = {kind: tuple(step.name for step in done if step.kind == kind) for kind in get_args(Kind)}
    del names["misplaced"]
    problems = list(code.problems)
    if lost := names.pop("forgotten"):
        problems.append(
            f"This process found no @scheduled_task at all, but {len(lost)} were declared before; they were "
            "left as they are. Does the Celery app discover the task modules?"
        )
    return SyncReport(
        **names,
        kept=tuple(step.name for step in done if step.kept),
        changes=tuple(_sentence(step) for step in done if step.kind in WORDS),
        problems=(*problems, *refused.values()),
    )


def _sentence(step: Step) -> str:
    detail = f" ({step.detail})" if step.detail else ""
    return f"{step.name}: {WORDS[step.kind]}{detail}"
