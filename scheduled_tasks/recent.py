# ruff: noqa: S608 - the statements are made of this module's own constants
"""The newest runs of many tasks at once, in the few columns a list needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from django.conf import settings as django_settings
from django.db import connections
from django.db.models import OuterRef, Subquery

from .models import OPEN, OUTCOMES, ScheduledTask, TaskRun, Trigger, decoded

RECENT_RUNS = 30
"""How many of its newest runs a task's row carries: the strip, the streak, the usual duration."""

RUN, TASK = (model._meta.db_table for model in (TaskRun, ScheduledTask))
NO_TIME = timedelta(0)
BATCH = 100
"""Tasks per statement (SQLite allows 500 parts in a UNION)."""


class RecentRun(NamedTuple):
    """The few columns of a run that a list of tasks needs. A page has thousands: making one must be cheap."""

    id: int
    status: str
    trigger: str
    actor: str
    process_id: str
    """Of an open run only, like its progress."""
    progress: str
    reason: str
    """Empty for a success."""
    queued: str | None
    """None where it says nothing: of a run on schedule that has started and ended without a reason."""
    started: str | None
    duration: timedelta | None
    """See :attr:`.models.TaskRun.duration`."""

    @property
    def is_open(self) -> bool:
        """Whether the run has not ended."""
        return self.status in OPEN

    @property
    def queued_at(self) -> datetime:
        """See :attr:`.models.TaskRun.queued_at`; when it started, where that is not read."""
        return moment(self.queued or self.started or "")

    @property
    def started_at(self) -> datetime | None:
        """See :attr:`.models.TaskRun.started_at`."""
        return moment(self.started) if self.started else None

    @property
    def progress_data(self) -> dict[str, Any] | None:
        """See :attr:`.models.TaskRun.progress_data`."""
        value = decoded(self.progress)
        return value if isinstance(value, dict) else None


USUAL = (
    "open_since IS NULL AND started_at IS NOT NULL AND r.trigger = 'schedule'"
    " AND (status = 'succeeded' OR reason = '')"
)
"""What most runs are like: no more is shown of them than when they ran and how they ended."""

UNUSUAL = (
    "r.trigger",
    "actor",
    "CASE WHEN open_since IS NULL THEN '' ELSE process_id END",
    "CASE WHEN open_since IS NULL THEN '' ELSE progress END",
    "CASE WHEN status = 'succeeded' THEN '' ELSE reason END",
    "queued_at",
)
"""The columns of :class:`RecentRun` that are read of other runs only."""

OF_USUAL = (Trigger.SCHEDULE.value, "", "", "", "", None)
"""What they are of a usual one."""

ARRAY = {
    "sqlite": "json_array({}) || ''",
    "postgresql": "CAST(json_build_array({}) AS text)",
    "mysql": "CAST(JSON_ARRAY({}) AS CHAR)",
}
ALL_OF = {"sqlite": "json_group_array({})", "postgresql": "json_agg({})", "mysql": "JSON_ARRAYAGG({})"}
"""Many runs as one text, an array per column, which costs a fraction of fetching them one by one."""


def recent_runs(task_ids: Sequence[int], limit: int = RECENT_RUNS) -> dict[int, list[RecentRun]]:
    """The newest runs of each task, newest first: index descents only, whatever the number of runs."""
    array = ARRAY[connections[TaskRun.objects.db].vendor]
    unusual = f"CASE WHEN {USUAL} THEN NULL ELSE {array.format(', '.join(UNUSUAL))} END"
    found = _newest(task_ids, ("id", "status", "started_at", "finished_at", unusual), limit)
    return {pk: [_run(*values) for values in runs] for pk, runs in found.items()}


def newest_statuses(task_ids: Sequence[int]) -> dict[int, list[tuple[int, str]]]:
    """``(id, status)`` of the same runs, in the same order: the index alone has them."""
    return _newest(task_ids, ("id", "status"), RECENT_RUNS)


def batched(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """``items`` in slices of at most ``size`` (``itertools.batched`` comes with Python 3.12)."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _newest(task_ids: Sequence[int], selected: Sequence[str], limit: int) -> dict[int, list[Any]]:
    """Per task a descent of the (task, -id, status) index; an empty list where there is no run, or no task.

    Window functions and GROUP BY read every run of the page's tasks instead: thousands of times slower.
    """
    connection = connections[TaskRun.objects.db]
    array, all_of = ARRAY[connection.vendor], ALL_OF[connection.vendor]
    names = [f"c{n}" for n in range(len(selected))]
    columns = ", ".join(f"{column} AS {name}" for column, name in zip(selected, names, strict=True))
    runs = f"SELECT {columns} FROM {RUN} r WHERE task_id = {{}} ORDER BY id DESC LIMIT {limit}"
    texts = f"SELECT {array.format(', '.join(map(all_of.format, names)))} FROM ({runs}) AS n"
    found: dict[int, list[Any]] = {pk: [] for pk in task_ids}
    for batch in batched(task_ids, BATCH):
        with connection.cursor() as cursor:
            cursor.execute(_per_task(connection.vendor, texts, batch))
            for pk, text in cursor.fetchall():
                of_columns = json.loads(text)
                if of_columns[0]:
                    found[pk] = sorted(zip(*of_columns, strict=True), key=itemgetter(0), reverse=True)
    return found


def _per_task(vendor: str, texts: str, task_ids: Iterable[int]) -> str:
    """A SELECT per task, in one statement: as subqueries, which plan fast but in MariaDB see no task."""
    ids = [str(int(pk)) for pk in task_ids]
    if vendor == "mysql":
        return " UNION ALL ".join(f"SELECT {pk}, ({texts.format(pk)})" for pk in ids)
    return f"SELECT t.id, ({texts.format('t.id')}) FROM {TASK} t WHERE t.id IN ({', '.join(ids)})"


def _run(id: int, status: str, started: str | None, finished: str | None, unusual: str | None) -> RecentRun:
    more = json.loads(unusual) if unusual else OF_USUAL
    took = None
    if started is not None and finished is not None:
        took = max(NO_TIME, datetime.fromisoformat(finished) - datetime.fromisoformat(started))
    return RecentRun._make((id, status, *more, started, took))


def moment(stored: str | datetime) -> datetime:
    """A time as a database's driver has it, or its JSON; without a zone it means the connection's."""
    found = datetime.fromisoformat(stored) if isinstance(stored, str) else stored
    if found.tzinfo is not None or not django_settings.USE_TZ:
        return found
    return found.replace(tzinfo=connections[TaskRun.objects.db].timezone)


class OpenRun(Protocol):
    """What of an open run moves while it is open."""

    @property
    def id(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def progress(self) -> str: ...
    @property
    def process_id(self) -> str: ...
    @property
    def queued_at(self) -> datetime: ...


def open_runs(ids: Sequence[int]) -> Mapping[int, OpenRun]:
    """These runs by id; no statement for none."""
    if not ids:
        return {}
    return TaskRun.objects.only("id", "status", "progress", "process_id", "queued_at").in_bulk(ids)


def older_outcomes(task_ids: Sequence[int]) -> dict[int, RecentRun]:
    """The outcome of tasks whose recent runs are all without one."""
    if not task_ids:
        return {}
    newest = TaskRun.objects.filter(task_id=OuterRef("pk"), status__in=OUTCOMES).newest_first()
    found = ScheduledTask.objects.filter(pk__in=task_ids).values_list(Subquery(newest.values("pk")[:1]))
    runs = TaskRun.objects.filter(pk__in=[pk for (pk,) in found if pk])
    return {run.task_id: _as_recent(run) for run in runs if run.task_id is not None}


def _as_recent(run: TaskRun) -> RecentRun:
    return RecentRun(
        id=run.pk,
        status=run.status,
        trigger=run.trigger,
        actor=run.actor,
        process_id="",
        progress="",
        reason=run.reason,
        queued=run.queued_at.isoformat(),
        started=run.started_at.isoformat() if run.started_at else None,
        duration=run.duration,
    )
