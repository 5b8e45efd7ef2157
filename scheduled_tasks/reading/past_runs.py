# ruff: noqa: S608 - the statements are made of this module's own constants and of numbers
"""What really ran in a stretch of time, in no more groups than can be drawn.

Which runs there are is read from the index on ``(task, -id, status)`` alone; ids ascend with the time. Only
of runs that can be told apart the rows are read. A week of 50 tasks may have half a million.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import Case, DateTimeField, F, When
from django.db.models.functions import Coalesce

from ..models import OPEN, TaskRun
from .recent_runs import ROWS

STEPS = 300
"""Into so many equal parts the stretch is divided."""

EXACT = 150
"""Groups of one task and status of which the times are read; more cannot be told apart."""

LOOKBACK = timedelta(days=1)
"""How long before its end, or before it was told of, a run may have begun and still be found."""

NO_RUN = 2**62
"""An id that no run has reached."""

BEGAN = Coalesce("started_at", "scheduled_for", "queued_at")
"""When a run began; one that did not start, when it was due."""

ENDED = Case(
    When(started_at__isnull=False, then=F("finished_at")),
    default=Coalesce("scheduled_until", "scheduled_for", "queued_at"),
    output_field=DateTimeField(),
)
"""When a run ended, or the last of the ticks that did not run."""


class RunGroup(NamedTuple):
    """Runs of one task with one status that began close together; nearly always one run."""

    status: str
    runs: int
    """How many; of ticks that did not run, how many of these."""
    run_id: int
    """The oldest of them."""
    start: datetime
    end: datetime | None
    """None of a run that has not ended."""


def past_runs(task_ids: Sequence[int], begin: datetime, until: datetime) -> dict[int, list[RunGroup]]:
    """The runs of each task that fall into a stretch, by their start: four statements for any number."""
    step = (until - begin) / STEPS
    times = [begin + n * step for n in range(STEPS)]
    before, *bounds, after = _first_ids([begin - LOOKBACK, *times, until, until + LOOKBACK])
    rough: list[tuple[int, RunGroup]] = []
    exact: list[int] = []
    for task_id, status, ids in _ids(task_ids, before, after):
        inside = bisect_left(ids, bounds[0]), bisect_left(ids, bounds[-1])
        # What reaches into the stretch: the last run before it, and ticks that were told of after it.
        exact += [*ids[max(0, inside[0] - 1) : inside[0]], *ids[inside[1] : inside[1] + 1]]
        parts = [part for part in _parts(ids, bounds, times) if part[1]]
        few = len(parts) <= EXACT
        exact += [group[0] for _at, group in parts if few and len(group) == 1]
        rough += [
            (task_id, RunGroup(status, len(group), group[0], at, at + step))
            for at, group in parts
            if not few or len(group) > 1
        ]
    return _by_task([*rough, *_exact(task_ids, exact, begin, until)])


def _by_task(groups: Iterable[tuple[int, RunGroup]]) -> dict[int, list[RunGroup]]:
    found: dict[int, list[RunGroup]] = defaultdict(list)
    for task_id, group in sorted(groups, key=lambda each: each[1].start):
        found[task_id].append(group)
    return dict(found)


def _parts(
    ids: Sequence[int], bounds: Sequence[int], times: Sequence[datetime]
) -> Iterator[tuple[datetime, Sequence[int]]]:
    """The ids in each part of the stretch, with the time at which it begins."""
    places = [bisect_left(ids, bound) for bound in bounds]
    return ((at, ids[first:last]) for at, (first, last) in zip(times, pairwise(places), strict=True))


def _exact(
    task_ids: Sequence[int], ids: Sequence[int], begin: datetime, until: datetime
) -> Iterator[tuple[int, RunGroup]]:
    """These runs, and those that have not ended however old they are, as far as they are in the stretch."""
    columns = ("pk", "task_id", "status", "tick_count", "open_since", "began", "ended")
    runs = TaskRun.objects.annotate(began=BEGAN, ended=ENDED).order_by().values_list(*columns)
    # By the index of open runs: no database may look through all runs of these tasks instead.
    still_open = TaskRun.objects.open().annotate(listed=Coalesce("task_id", 0)).filter(listed__in=task_ids)
    open_ones = list(still_open.values_list("pk", flat=True))
    wanted = ", ".join(map(str, {0, *ids, *open_ones}))
    rows = runs.extra(where=[f"id IN ({wanted})"])  # noqa: S610 - numbers only
    for pk, task_id, status, ticks, open_since, began, ended in rows:
        if began < until and (open_since is not None or ended >= begin):
            yield task_id, RunGroup(status, ticks, pk, began, None if open_since else ended)


def _first_ids(moments: Sequence[datetime]) -> list[int]:
    """The id of the first run that was queued from each moment on."""
    connection = connections[TaskRun.objects.db]
    run, adapt = TaskRun._meta.db_table, connection.ops.adapt_datetimefield_value
    first = f"(SELECT r.id FROM {run} r WHERE r.queued_at >= %s ORDER BY r.queued_at, r.id LIMIT 1)"
    statement = " UNION ALL ".join(f"SELECT {n}, {first}" for n in range(len(moments)))
    with connection.cursor() as cursor:
        cursor.execute(statement, [adapt(moment) for moment in moments])
        return [NO_RUN if found is None else found for _n, found in sorted(cursor.fetchall())]


def _unlimited(connection: Any) -> str:
    """MariaDB cuts a JSON_ARRAYAGG at 1 MB: a task that runs every second has as much in a day and a half."""
    is_mariadb = connection.vendor == "mysql" and connection.mysql_is_mariadb
    return "SET STATEMENT group_concat_max_len = 1073741824 FOR " if is_mariadb else ""


def _ids(task_ids: Sequence[int], first: int, last: int) -> Iterator[tuple[int, str, list[int]]]:
    """Each task's runs that ended, with an id in between: task, status, ids ascending."""
    connection = connections[TaskRun.objects.db]
    listed = ", ".join(str(int(pk)) for pk in {0, *task_ids})
    table, ids = TaskRun._meta.db_table, ROWS[connection.vendor].format("r.id")
    statement = (
        f"{_unlimited(connection)}SELECT r.task_id, r.status, {ids} FROM {table} r "
        f"WHERE r.task_id IN ({listed}) AND r.id >= {first} AND r.id < {last} GROUP BY r.task_id, r.status"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        rows: list[Any] = cursor.fetchall()
    return ((task, status, sorted(json.loads(text))) for task, status, text in rows if status not in OPEN)
