"""The version of a list of tasks: a text that moves whenever anything that the list shows does.

One statement reads it. Ended runs do not change, save those whose end was concluded from silence: so ids and
counts, the open runs and the listed tasks' own rows tell whether anything is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from hashlib import sha1
from typing import Any

from django.db import connections
from django.db.models import BooleanField, Count, ExpressionWrapper, Max, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, JSONArray
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from ..conf import settings
from ..models import SOFT, Flag, Incident, MaintenanceWindow, ScheduledTask, TaskRun, UtcNow
from ..models.flags import annotation
from ..models.tasks import RELATED
from ..upkeep.heartbeat import STALE_AFTER
from .health import BROKER_STALE_AFTER, LOOP_STALE_AFTER
from .machinery import living_processes, sync_errors

NO_TASK, LISTED = 0, -1
"""Ids that no task has."""

NOT_SHOWN = {"last_run_at", "total_run_count", "date_changed", "accounted_until", "enabled_since"}

INCIDENT_SHOWN = (
    "pk", "run_count", "acknowledged_by", "acknowledged_at", "note",
    "muted_until", "muted_for_good", "muted_by",
)  # fmt: skip
"""What of an open incident is shown beside its task, besides what never changes."""

WINDOW_SHOWN = ("pk", "starts_at", "ends_at", "note", "by")
"""What of a maintenance window is shown with its tasks."""

NEWEST = 10_000
"""How many of the newest runs are looked through for ends that were concluded from silence."""


def stored_task() -> JSONArray:
    """All that is stored about a task and shown; an annotation of tasks."""
    names = [field.name for field in PeriodicTask._meta.concrete_fields]
    for relation in RELATED:
        model: Any = PeriodicTask._meta.get_field(relation).related_model
        names += [f"{relation}__{field.name}" for field in model._meta.concrete_fields]
    return JSONArray(*(name for name in names if name.rpartition("__")[2] not in NOT_SHOWN))


def stored_columns(task: ScheduledTask) -> list[Any]:
    """The same of a task that was read with its schedule."""
    rows = (task, *(getattr(task, relation, None) for relation in RELATED))
    return [
        vars(row).get(field.attname)
        for row in rows
        if row is not None
        for field in row._meta.concrete_fields
        if field.name not in NOT_SHOWN
    ]


def digest(*shown: object) -> str:
    """A short text that changes with what is shown."""
    return sha1("\n".join(map(str, shown)).encode(), usedforsecurity=False).hexdigest()[:24]


def list_version(task_ids: Sequence[int]) -> str:
    """The version of a list that shows these tasks: one statement."""
    connection = connections[TaskRun.objects.db]
    kept = settings.GRACE, settings.MAX_RUNTIME, settings.PAUSED
    pieces, params = compiled_statement(connection.alias, *kept)
    sql, values = pieces[0], []
    for piece, param in zip(pieces[1:], params, strict=True):
        given = [*task_ids] or [NO_TASK] if param == LISTED else [param]
        sql += ", ".join(["%s"] * len(given)) + piece
        values += given
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return digest(*sorted(map(str, cursor.fetchall())))


@lru_cache(maxsize=10)
def compiled_statement(
    alias: str, grace: timedelta, longest: timedelta | None, paused: bool
) -> tuple[list[str], list[Any]]:
    """The statement between its parameters; :data:`LISTED` stands for the listed tasks' ids.

    Kept, because Django takes ten times longer to write it than a database to answer it.
    """
    parts = (
        _listed([LISTED]),
        _open_runs([LISTED]),
        _open_incidents([LISTED]),
        processes_part(),
        _windows(),
        _totals(),
    )
    statement = parts[0].using(alias).union(*parts[1:], all=True)
    sql, params = statement.query.get_compiler(alias).as_sql()
    return sql.split("%s"), list(params)


def part(queryset: QuerySet[Any], kind: str, *shown: Any) -> QuerySet[Any, Any]:
    """Rows of the statement: what they are, and what they tell."""
    return queryset.order_by().values_list(Value(kind), JSONArray(*shown))


def _listed(task_ids: Sequence[int]) -> QuerySet[Any, Any]:
    now = UtcNow()
    flags = [annotation(flag, now, None) for flag in Flag]
    due = is_true(scheduled_state__next_run_at__lte=now)
    return part(ScheduledTask.objects.filter(pk__in=task_ids), "task", stored_task(), due, *flags)


def _open_runs(task_ids: Sequence[int]) -> QuerySet[Any, Any]:
    # By the index of open runs: no database may look through all runs of these tasks instead.
    listed = TaskRun.objects.open().annotate(listed=Coalesce("task_id", 0)).filter(listed__in=task_ids)
    return part(listed, "run", "id", "status", "progress", "process_id")


def _open_incidents(task_ids: Sequence[int]) -> QuerySet[Any, Any]:
    # By the index of open incidents, as above: a task may have had thousands.
    of_tasks = Incident.objects.open().filter(task__isnull=False)
    listed = of_tasks.annotate(listed=Coalesce("task_id", NO_TASK)).filter(listed__in=task_ids)
    return part(listed, "incident", *INCIDENT_SHOWN, is_true(muted_until__gt=UtcNow()))


def _windows() -> QuerySet[Any, Any]:
    """The maintenance windows that are not over, and whether each has begun."""
    windows = MaintenanceWindow.objects.not_over_at(UtcNow())
    return part(windows, "window", *WINDOW_SHOWN, is_true(starts_at__lte=UtcNow()))


def processes_part() -> QuerySet[Any, Any]:
    """Which processes there are, who leads, and how each is doing."""
    now = UtcNow()
    stale = (
        is_true(last_seen_at__lt=now - STALE_AFTER),
        is_true(loop_at__lt=now - LOOP_STALE_AFTER),
        is_true(broker_at__lt=now - BROKER_STALE_AFTER),
    )
    processes = living_processes().annotate(broker_at=Coalesce("broker_ok_at", "started_at"))
    return part(processes, "process", "boot_id", "recorder_error", "leads", *stale)


def _totals() -> QuerySet[Any, Any]:
    """What the header counts and which rows there are, listed or not."""
    tasks, runs, now = ScheduledTask.objects, TaskRun.objects, UtcNow()
    newest, oldest = (Subquery(runs.order_by(order).values("pk")[:1]) for order in ("-pk", "pk"))
    counted = (Flag.RUNNING, Flag.LATE, Flag.SLOW, Flag.BROKEN, Flag.INCIDENT)
    by_flag = [_count(tasks.flagged(flag, now, None)) for flag in counted]
    incidents = _count(Incident.objects.open())
    concluded = runs.filter(status__in=sorted(SOFT), pk__gt=newest - NEWEST)
    edited = Subquery(PeriodicTasks.objects.values("last_update")[:1])
    sync_error = Subquery(sync_errors()[:1])
    shown = (
        *(Count("pk"), Max("pk"), newest, oldest, _count(runs.open()), _count(concluded), edited, sync_error),
        *by_flag,
        incidents,
    )
    return part(tasks.values(kind=Value("total")), "total", *shown)


def _count(queryset: QuerySet[Any]) -> Subquery:
    return Subquery(queryset.order_by().values(one=Value(1)).annotate(n=Count("pk")).values("n"))


def is_true(**condition: Any) -> ExpressionWrapper[Q]:
    """Whether a condition holds, as a column."""
    return ExpressionWrapper(Q(**condition), output_field=BooleanField())
