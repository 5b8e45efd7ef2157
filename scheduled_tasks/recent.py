"""The newest runs of many tasks at once, in the few columns a list needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings as django_settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import OuterRef, Subquery

from .models import OPEN, OUTCOMES, ScheduledTask, Status, TaskRun, decoded, elapsed

RECENT_RUNS = 30
"""How many of its newest runs a task's row carries: the strip, the streak, the usual duration."""

BATCH = 100
"""Tasks per statement (SQLite allows 500 parts in a UNION)."""


class RecentRun(NamedTuple):
    """The few columns of a run that a list of tasks needs. A page has thousands: making one must be cheap."""

    id: int
    task_id: int
    status: str
    trigger: str
    actor: str
    process_id: str
    progress: str
    reason: str
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration: timedelta | None
    """See :attr:`.models.TaskRun.duration`."""

    @property
    def is_open(self) -> bool:
        """Whether the run has not ended."""
        return self.status in OPEN

    @property
    def progress_data(self) -> dict[str, Any] | None:
        """See :attr:`.models.TaskRun.progress_data`."""
        value = decoded(self.progress)
        return value if isinstance(value, dict) else None

    @property
    def status_label(self) -> str:
        """The status in words."""
        return str(Status(self.status).label)


COLUMNS = RecentRun._fields[:-1]
"""All but the duration are stored."""


def recent_runs(task_ids: Sequence[int]) -> dict[int, list[RecentRun]]:
    """The newest runs of each task, newest first: index descents only, whatever the number of runs."""
    found: dict[int, list[RecentRun]] = {task_id: [] for task_id in task_ids}
    for batch in batched(task_ids, BATCH):
        for run in _recent_of(batch):
            found[run.task_id].append(run)
    return found


def batched(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """``items`` in slices of at most ``size`` (``itertools.batched`` comes with Python 3.12)."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _recent_of(task_ids: Sequence[int]) -> Iterator[RecentRun]:
    """One UNION of per-task descents of the (task, -id) index.

    Window functions and GROUP BY read every run of the page's tasks instead: thousands of times slower.
    """
    connection = connections[TaskRun.objects.db]
    quote = connection.ops.quote_name
    names, table = ", ".join(map(quote, COLUMNS)), quote(TaskRun._meta.db_table)
    newest = f"SELECT {names} FROM {table} WHERE task_id = %s ORDER BY id DESC LIMIT {RECENT_RUNS}"  # noqa: S608
    sql = " UNION ALL ".join(f"SELECT * FROM ({newest}) AS r{n}" for n in range(len(task_ids)))  # noqa: S608
    read = reader_of_times(connection)
    with connection.cursor() as cursor:
        cursor.execute(sql, task_ids)
        for *values, queued, started, finished in cursor.fetchall():
            yield _run(*values, read(queued), read(started), read(finished))


def _run(*values: Any) -> RecentRun:
    return RecentRun._make((*values, elapsed(*values[-2:])))


def reader_of_times(connection: BaseDatabaseWrapper) -> Callable[[Any], Any]:
    """Makes of a stored time what Django does, at a tenth of the cost: a page reads thousands.

    What comes as text or without a zone (SQLite, MariaDB) means the connection's zone.
    """
    zone = connection.timezone if django_settings.USE_TZ else None

    def read(value: Any) -> datetime | None:
        moment: datetime | None = datetime.fromisoformat(value) if isinstance(value, str) else value
        if moment is None or moment.tzinfo is not None or zone is None:
            return moment
        return moment.replace(tzinfo=zone)

    return read


def older_outcomes(task_ids: Sequence[int]) -> dict[int, RecentRun]:
    """The outcome of tasks whose recent runs are all without one."""
    if not task_ids:
        return {}
    newest = TaskRun.objects.filter(task_id=OuterRef("pk"), status__in=OUTCOMES).newest_first()
    found = ScheduledTask.objects.filter(pk__in=task_ids).values_list(Subquery(newest.values("pk")[:1]))
    runs = TaskRun.objects.filter(pk__in=[pk for (pk,) in found if pk]).values_list(*COLUMNS)
    return {run.task_id: run for run in (_run(*values) for values in runs)}
