# ruff: noqa: S608 - the statements are made of this module's own constants
"""The statement behind :mod:`scheduled_tasks.stamps`, for each database."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

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

from .models import SOFT, CodeDefault, Lease, Process, TaskRun, TaskState
from .recent import ALL_OF

ARRAY = {
    "sqlite": "json_array({})",
    "postgresql": "CAST(json_build_array({}) AS text)",
    "mysql": "CAST(JSON_ARRAY({}) AS CHAR)",
}
SHORTER = {"sqlite": "{}", "postgresql": "MD5({})", "mysql": "MD5({})"}
"""A fingerprint as a text that moves with it, which a server need not send. None has a line's end."""

LINES = {
    "sqlite": "GROUP_CONCAT({}, '\n')",
    "postgresql": "STRING_AGG({}, '\n' ORDER BY {})",
    "mysql": "GROUP_CONCAT({} ORDER BY {} SEPARATOR '\n')",
}
"""All tasks as one text, a line each: where nothing has moved, it need not be taken apart."""

PARTS = frozenset({"world", "process", "open", "newest", "edits", "states"})
"""The kinds of rows that the statement has."""

NOT_SHOWN = {"last_run_at", "total_run_count", "date_changed", "accounted_until", "enabled_since"}
LIVE = ("s.next_run_at", "s.broken_reason", "s.skip_next", "s.pause_note")
"""What beat and this page change without a note in :class:`PeriodicTasks`."""

SOFT_SEEN = 1000
"""How many of the newest runs of each soft status are watched."""


def _columns(model: type[Model], alias: str) -> list[str]:
    fields = model._meta.concrete_fields
    shown = [field for field in fields if field.name not in NOT_SHOWN and not field.primary_key]
    columns = [f"{alias}.{field.column}" for field in shown]
    return [column for column in columns if column not in LIVE]


STATE_COLUMNS = ", ".join(LIVE)
EDIT_COLUMNS = ", ".join(
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
EDIT_TABLES = f"""{PeriodicTask._meta.db_table} t
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
        task = connection.ops.quote_name(PeriodicTask._meta.db_table)
        edits, state = (ARRAY[connection.vendor].format(columns) for columns in (EDIT_COLUMNS, STATE_COLUMNS))
        both = _joined(connection.vendor, edits, "'\n'", state)
        return f"(SELECT {both} FROM {EDIT_TABLES} WHERE t.id = {task}.id)", ()


@lru_cache(maxsize=100)  # a browser asks for the same tasks again and again
def statement(
    vendor: str, now: str, long_ago: str, newest: int, task_ids: tuple[int, ...], kinds: frozenset[str]
) -> str:
    """Selects rows of these kinds of :data:`PARTS`, each with a text."""
    array = ARRAY[vendor]
    run, process, lease = (model._meta.db_table for model in (TaskRun, Process, Lease))
    leads = f"LEFT JOIN {lease} l ON l.name = 'beat' AND l.holder = p.boot_id"
    living = f"{process} p {leads} WHERE p.stopped_at IS NULL"
    runs = f"(SELECT id, task_id, status FROM {run} ORDER BY id DESC LIMIT {newest}) AS newest"
    listed = ", ".join(map(str, sorted(task_ids))) or "NULL"
    columns = ", ".join(map(ALL_OF[vendor].format, ("id", "task_id", "status")))
    edits, state = (SHORTER[vendor].format(array.format(text)) for text in (EDIT_COLUMNS, STATE_COLUMNS))
    due = f"CASE WHEN s.next_run_at <= {now} THEN 1 ELSE 0 END"
    edits = LINES[vendor].format(_joined(vendor, "t.id", "' '", edits), "t.id")
    states = LINES[vendor].format(_joined(vendor, "s.task_id", "' '", due, "' '", state), "s.task_id")
    parts = {
        "world": f"{array.format(world(now))} AS shown",
        "process": f"{array.format(PROCESS)} FROM {living}",
        "open": f"{array.format(OPEN_RUN)} FROM {run} WHERE open_since > '{long_ago}'",
        "newest": f"{array.format(columns)} FROM {runs}",
        "edits": f"{edits} FROM {EDIT_TABLES} WHERE t.id IN ({listed})",
        "states": f"{states} FROM {TaskState._meta.db_table} s WHERE s.task_id IN ({listed})",
    }
    return " UNION ALL ".join(f"SELECT '{kind}' AS kind, {parts[kind]}" for kind in parts if kind in kinds)


def _joined(vendor: str, *texts: str) -> str:
    return f"CONCAT({', '.join(texts)})" if vendor == "mysql" else " || ".join(texts)


PROCESS = "p.boot_id, p.last_seen_at, p.loop_at, p.broker_ok_at, p.started_at, p.recorder_error, l.until"
OPEN_RUN = "id, task_id, status, queued_at, progress, process_id, reason"


def world(now: str) -> str:
    """The clock, since when a task is due, what moves the header, then what there is of tasks and runs."""
    run, task, state = (model._meta.db_table for model in (TaskRun, PeriodicTask, TaskState))
    soft = [
        f"(SELECT {what} FROM (SELECT id FROM {run} WHERE status = '{status}'"
        f" ORDER BY id DESC LIMIT {SOFT_SEEN}) AS newest)"
        for status in sorted(SOFT)
        for what in ("COUNT(*)", "MIN(id)")
    ]
    due = f"FROM {state} s JOIN {task} t ON t.id = s.task_id WHERE t.enabled AND s.next_run_at <= {now}"
    return ", ".join(
        [
            now,
            f"(SELECT MIN(s.next_run_at) {due})",
            f"(SELECT MAX(last_update) FROM {PeriodicTasks._meta.db_table})",
            f"(SELECT COUNT(*) FROM {state} WHERE next_run_at IS NULL AND broken_reason > '')",
            f"(SELECT COUNT(*) FROM {task})",
            f"(SELECT MAX(id) FROM {task})",
            f"(SELECT MIN(id) FROM {run})",
            *soft,
        ]
    )
