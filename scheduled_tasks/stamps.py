# ruff: noqa: S608 - the statements are made of this module's own constants
"""What moves when anything that a list of tasks shows does, read from indexes instead of from its rows.

Ended runs do not change, save those whose end was concluded from silence. So a few ids and counts, the open
runs and the listed tasks' own rows tell whether anything is new.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression, Model, TextField
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)

from .health import BROKER_STALE_AFTER, LOOP_STALE_AFTER
from .models import (
    LONG_AGO,
    MIN_LATE_AFTER,
    OPEN,
    SOFT,
    UNDER_WAY,
    CodeDefault,
    Lease,
    Process,
    TaskRun,
    TaskState,
    UtcNow,
)
from .processes import STALE_AFTER
from .recent import moment

ARRAY = {
    "sqlite": "json_array({})",
    "postgresql": "CAST(json_build_array({}) AS text)",
    "mysql": "CAST(JSON_ARRAY({}) AS CHAR)",
}
NOT_SHOWN = {"last_run_at", "total_run_count", "date_changed"}
SOFT_SEEN = 1000
"""How many of the newest runs of each soft status are watched."""

LOOK_AGAIN = 15
"""Seconds between two full looks while something waits or is overdue: time alone may then make it late."""


def _columns(model: type[Model], alias: str) -> list[str]:
    fields = model._meta.concrete_fields
    return [f"{alias}.{field.column}" for field in fields if field.name not in NOT_SHOWN]


TASK_COLUMNS = ", ".join(
    [
        *_columns(PeriodicTask, "t"),
        *_columns(TaskState, "s"),
        *_columns(CodeDefault, "d"),
        *_columns(CrontabSchedule, "c"),
        *_columns(IntervalSchedule, "i"),
        *_columns(SolarSchedule, "o"),
        *_columns(ClockedSchedule, "k"),
    ]
)
TASK_TABLES = f"""{PeriodicTask._meta.db_table} t
    LEFT JOIN {TaskState._meta.db_table} s ON s.task_id = t.id
    LEFT JOIN {CodeDefault._meta.db_table} d ON d.task_id = t.id
    LEFT JOIN {CrontabSchedule._meta.db_table} c ON c.id = t.crontab_id
    LEFT JOIN {IntervalSchedule._meta.db_table} i ON i.id = t.interval_id
    LEFT JOIN {SolarSchedule._meta.db_table} o ON o.id = t.solar_id
    LEFT JOIN {ClockedSchedule._meta.db_table} k ON k.id = t.clocked_id"""


class Fingerprint(Expression):
    """All that is stored about a task, as one text; an annotation of tasks."""

    output_field = TextField()

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, tuple[()]]:
        array = ARRAY[connection.vendor].format(TASK_COLUMNS)
        task = connection.ops.quote_name(PeriodicTask._meta.db_table)
        return f"(SELECT {array} FROM {TASK_TABLES} WHERE t.id = {task}.id)", ()


def digest(*shown: object) -> str:
    """A short text that changes with what is shown."""
    return blake2b("\n".join(map(str, shown)).encode(), digest_size=12).hexdigest()


def stamp(task_ids: Iterable[int]) -> str:
    """Moves with everything visible on a list of these tasks, its header included: one statement."""
    connection = connections[TaskRun.objects.db]
    with connection.cursor() as cursor:
        cursor.execute(*_statement(connection, sorted(task_ids)))
        found = cursor.fetchall()
    texts: dict[str, list[str]] = {"world": [], "process": [], "run": [], "task": []}
    for kind, text in found:
        texts[kind].append(text)
    clock, due, *world = json.loads(texts["world"][0])
    now = moment(clock)
    processes = sorted(_as_seen(json.loads(text), now) for text in texts["process"])
    runs = [json.loads(text) for text in texts["run"]]
    waits = any(
        status in OPEN - UNDER_WAY and moment(at) < now - MIN_LATE_AFTER for _, status, at, *_rest in runs
    )
    overdue = due is not None and moment(due) < now - MIN_LATE_AFTER
    turn = int(now.timestamp() // LOOK_AGAIN) if waits or overdue else 0
    return digest(world, processes, *sorted(texts["run"]), *sorted(texts["task"]), turn)


def _as_seen(values: Sequence[Any], now: datetime) -> tuple[object, ...]:
    """A process without its times: only whether they are too long ago."""
    boot_id, seen, looped, reached, started, error, leads_until = values

    def stale(text: str | None, limit: timedelta) -> bool:
        return text is not None and moment(text) < now - limit

    return (
        boot_id,
        stale(seen, STALE_AFTER),
        stale(looped, LOOP_STALE_AFTER),
        stale(reached or started, BROKER_STALE_AFTER),
        error,
        leads_until is not None and moment(leads_until) > now,
    )


def _statement(connection: BaseDatabaseWrapper, task_ids: Sequence[int]) -> tuple[str, list[Any]]:
    array = ARRAY[connection.vendor]
    now, _params = TaskRun.objects.all().query.get_compiler(connection=connection).compile(UtcNow())
    run, process, lease = (model._meta.db_table for model in (TaskRun, Process, Lease))
    leads = f"LEFT JOIN {lease} l ON l.name = 'beat' AND l.holder = p.boot_id"
    parts = [
        f"SELECT 'world' AS kind, {array.format(_world(now))} AS shown",
        f"SELECT 'process', {array.format(PROCESS)} FROM {process} p {leads} WHERE p.stopped_at IS NULL",
        f"SELECT 'run', {array.format(OPEN_RUN)} FROM {run} WHERE open_since > %s",
    ]
    if task_ids:
        ids = ", ".join(map(str, task_ids))
        parts.append(f"SELECT 'task', {array.format(TASK_COLUMNS)} FROM {TASK_TABLES} WHERE t.id IN ({ids})")
    return " UNION ALL ".join(parts), [connection.ops.adapt_datetimefield_value(LONG_AGO)]


PROCESS = "p.boot_id, p.last_seen_at, p.loop_at, p.broker_ok_at, p.started_at, p.recorder_error, l.until"
OPEN_RUN = "id, status, queued_at, progress, process_id, reason"


def _world(now: str) -> str:
    """Scalars: the clock, what is due, then what moves with tasks and runs anywhere."""
    run, task, state = (model._meta.db_table for model in (TaskRun, PeriodicTask, TaskState))
    due = f"FROM {state} s JOIN {task} t ON t.id = s.task_id WHERE t.enabled AND s.next_run_at <= {now}"
    soft = [
        f"(SELECT {what} FROM (SELECT id FROM {run} WHERE status = '{status}'"
        f" ORDER BY id DESC LIMIT {SOFT_SEEN}) AS newest)"
        for status in sorted(SOFT)
        for what in ("COUNT(*)", "MIN(id)")
    ]
    return ", ".join(
        [
            now,
            f"(SELECT MIN(s.next_run_at) {due})",
            f"(SELECT COUNT(*) {due})",
            f"(SELECT MAX(last_update) FROM {PeriodicTasks._meta.db_table})",
            f"(SELECT COUNT(*) FROM {task})",
            f"(SELECT MAX(id) FROM {task})",
            f"(SELECT COUNT(*) FROM {state} WHERE broken_reason > '')",
            f"(SELECT MAX(id) FROM {run})",
            f"(SELECT MIN(id) FROM {run})",
            *soft,
        ]
    )
