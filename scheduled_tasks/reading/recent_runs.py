# ruff: noqa: S608 - the statements are made of this module's own constants
"""The newest runs of many tasks at once, in the few columns a list needs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

from django.conf import settings as django_settings
from django.db import connections

from ..models import OPEN, ScheduledTask, TaskRun, decoded
from ..reasons import Reason

RECENT_RUNS = 30
"""How many of its newest runs a task's row carries: the bars, the streak, the usual duration."""

BATCH = 100
"""Tasks per statement (SQLite allows 500 parts in a UNION)."""

COLUMNS = (
    "id", "status", "trigger", "actor", "process_id", "progress", "reason", "reason_params",
    "error_type", "error", "queued_at", "started_at", "finished_at",
)  # fmt: skip

CUT = {"error": "substr(r.error, 1, 200)"}
"""Columns of which a list needs the beginning."""

ROW = {
    "sqlite": "json_array({})",
    "postgresql": "json_build_array({})",
    "mysql": "JSON_ARRAY({})",
}
ROWS = {
    "sqlite": "json_group_array({})",
    "postgresql": "CAST(json_agg({}) AS text)",
    "mysql": "JSON_ARRAYAGG({})",
}
"""A task's runs as one JSON text, which costs a fraction of fetching them one by one."""


class RecentRun(NamedTuple):
    """The columns of a run that a list of tasks needs. A page has thousands: making one must be cheap."""

    id: int
    status: str
    trigger: str
    actor: str
    process_id: str
    progress: str
    reason: str
    reason_params: str
    error_type: str
    error: str
    """Its beginning."""
    queued: str
    started: str | None
    finished: str | None
    duration: timedelta | None
    """See :attr:`.models.TaskRun.duration`."""

    @property
    def is_open(self) -> bool:
        """Whether the run has not ended."""
        return self.status in OPEN

    @property
    def queued_at(self) -> datetime:
        """See :attr:`.models.TaskRun.queued_at`."""
        return _moment(self.queued)

    @property
    def started_at(self) -> datetime | None:
        """See :attr:`.models.TaskRun.started_at`."""
        return _moment(self.started) if self.started else None

    @property
    def finished_at(self) -> datetime | None:
        """See :attr:`.models.TaskRun.finished_at`."""
        return _moment(self.finished) if self.finished else None

    @property
    def reason_text(self) -> str:
        """See :attr:`.models.TaskRun.reason_text`."""
        return str(Reason(self.reason, self.reason_params))

    @property
    def progress_data(self) -> dict[str, Any] | None:
        """See :attr:`.models.TaskRun.progress_data`."""
        value = decoded(self.progress)
        return value if isinstance(value, dict) else None


def recent_runs(
    task_ids: Sequence[int], limit: int = RECENT_RUNS, statuses: Collection[str] = ()
) -> dict[int, list[RecentRun]]:
    """The newest runs of each task, newest first, of any status or of these.

    Index descents only, whatever the number of runs. Window functions and GROUP BY read every run of the
    page's tasks instead: thousands of times slower.
    """
    found: dict[int, list[RecentRun]] = {pk: [] for pk in task_ids}
    connection = connections[TaskRun.objects.db]
    listed = ", ".join(f"'{status}'" for status in sorted(statuses))
    condition = f"AND r.status IN ({listed})" if statuses else ""
    for start in range(0, len(task_ids), BATCH):
        with connection.cursor() as cursor:
            cursor.execute(_statement(connection, task_ids[start : start + BATCH], limit, condition))
            for pk, text in cursor.fetchall():
                runs = sorted(json.loads(text or "null") or (), key=itemgetter(0), reverse=True)
                found[pk] = [_run(*run) for run in runs]
    return found


def _statement(connection: Any, task_ids: Iterable[int], limit: int, condition: str) -> str:
    """A SELECT per task, in one statement: as subqueries, which plan fast but in MariaDB see no task."""
    run, task = (model._meta.db_table for model in (TaskRun, ScheduledTask))
    columns = ", ".join(CUT.get(name) or f"r.{connection.ops.quote_name(name)}" for name in COLUMNS)
    row, rows = ROW[connection.vendor].format(columns), ROWS[connection.vendor]
    # For the reason that models.runs.OfTask gives.
    is_of_task = "r.task_id BETWEEN {0} AND {0}" if connection.vendor == "postgresql" else "r.task_id = {0}"
    order = "ORDER BY r.task_id, r.id DESC"
    newest = f"SELECT r.* FROM {run} r WHERE {is_of_task} {condition} {order} LIMIT {limit}"
    texts = f"SELECT {rows.format(row)} FROM ({newest}) AS r"
    ids = [str(int(pk)) for pk in task_ids]
    if connection.vendor == "mysql":
        return " UNION ALL ".join(f"SELECT {pk}, ({texts.format(pk)})" for pk in ids)
    return f"SELECT t.id, ({texts.format('t.id')}) FROM {task} t WHERE t.id IN ({', '.join(ids)})"


def _run(*values: Any) -> RecentRun:
    started, finished = values[-2:]
    duration = None
    if started is not None and finished is not None:
        duration = max(timedelta(0), datetime.fromisoformat(finished) - datetime.fromisoformat(started))
    return RecentRun._make((*values, duration))


def _moment(stored: str) -> datetime:
    """A time as a database's JSON has it; without a zone it means the connection's."""
    found = datetime.fromisoformat(stored)
    if found.tzinfo is not None or not django_settings.USE_TZ:
        return found
    return found.replace(tzinfo=connections[TaskRun.objects.db].timezone)
