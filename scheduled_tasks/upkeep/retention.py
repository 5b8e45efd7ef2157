"""Deleting old runs in short steps along the primary key, so that nobody who writes waits long for it.

A run goes when it is too old, or when its task has enough newer ones. The last success and the last failure
of every task stay, whatever became of the task; so do open runs. Incidents that were closed long ago go too,
and maintenance windows that ended long ago.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain, pairwise
from typing import Any

from django.db import connections, router
from django.db.models import Max, Model, OuterRef, Q, QuerySet, Subquery
from django_celery_beat.models import PeriodicTask

from ..conf import settings
from ..models import (
    FAILURES,
    Incident,
    Lease,
    Notice,
    Process,
    Status,
    TaskRun,
    TaskRunQuerySet,
    TaskState,
    UtcNow,
    database_now,
)
from ..recording.connection import own_transaction
from .old_incidents import old_incidents
from .old_windows import old_windows

STEP = {"sqlite": 2_000, "postgresql": 10_000, "mysql": 10_000}
"""Ids that one step covers. SQLite locks the whole database for a step, the others only the rows."""

PAUSE = {"sqlite": 0.1, "postgresql": 0.01, "mysql": 0.01}
"""Seconds between two steps, in which others write. Who waits for SQLite looks every 100 ms in the end."""

LEASE = "prune"
ASK_EVERY = 300.0
AT_A_TIME = 5.0
EVERY = timedelta(hours=1)
"""How often the runs are gone through, by one process of all."""

PROCESSES_KEPT = timedelta(days=1)
"""How long the row of a process that is gone stays."""

KEPT = (frozenset({Status.SUCCEEDED}), FAILURES)
"""The last run of each task with one of the statuses stays, for each of these sets."""


class Pruning:
    """One pass over runs and incidents, in steps; with ``dry_run`` it only counts."""

    def __init__(self, *, dry_run: bool = False) -> None:
        now = database_now()
        states = TaskState.objects.exclude(retention=None).values_list("task_id", "retention")
        own = [(task_id, span) for task_id, span in states if span is not None]
        limits = TaskState.objects.exclude(retention_count=None).values_list("task_id", "retention_count")
        self._own_limits: dict[int, int] = {task_id: limit for task_id, limit in limits if limit is not None}
        self._old = _older_than(now, own)
        self._end = _first_id_since(now - min([settings.RETENTION, *(span for _, span in own)]))
        self._dry_run = dry_run
        self._database = router.db_for_write(TaskRun)
        self._vendor = connections[self._database].vendor
        others = old_incidents(now), old_windows(now)
        self._steps: Iterator[QuerySet[Any]] = chain(self._too_old(), self._too_many(), *others)
        self.counts: dict[type[Model], int] = {TaskRun: 0, Incident: 0, Notice: 0}
        """How many rows of each table were deleted, or would be."""

    def run(self, *, seconds: float | None = None) -> bool:
        """Go on for about ``seconds``, or to the end; whether it is reached."""
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        for rows in self._steps:
            if self._dry_run:
                self._count(rows.model, rows.count())
            else:
                with own_transaction(self._database):
                    deleted = rows.delete()[1]  # by table: rows that only join two others are among them
                self._count(rows.model, deleted.get(rows.model._meta.label, 0))
                time.sleep(PAUSE[self._vendor])
            if time.monotonic() > deadline:
                return False
        return True

    def _count(self, model: type[Model], number: int) -> None:
        self.counts[model] = self.counts.get(model, 0) + number

    def _too_old(self) -> Iterator[TaskRunQuerySet]:
        """What is old, step by step; ids that were deleted before are skipped."""
        runs = TaskRun.objects.filter(self._old, open_since=None)
        kept = _last_words()
        start = 0
        while (first := self._first_id(start)) is not None:
            start = min(first + STEP[self._vendor], self._end)
            here = kept[bisect_left(kept, first) : bisect_left(kept, start)]
            yield runs.filter(pk__gte=first, pk__lt=start).exclude(pk__in=here)

    def _first_id(self, start: int) -> int | None:
        runs = TaskRun.objects.filter(pk__gte=start, pk__lt=self._end)
        found: int | None = runs.order_by("pk").values_list("pk", flat=True).first()
        return found

    def _too_many(self) -> Iterator[TaskRunQuerySet]:
        """What each task has beyond its newest runs, however young."""
        for task_id, limit in self._limits():
            of_task = TaskRun.objects.of_task(task_id)
            newest = list(of_task.values_list("pk", flat=True)[limit - 1 : limit])
            runs = of_task.filter(pk__lt=newest[0] if newest else 0, open_since=None).exclude(self._old)
            runs = runs.exclude(pk__in=_last_words_of(task_id))
            ids = runs.order_by("pk").values_list("pk", flat=True)
            last = 0
            while found := list(ids.filter(pk__gt=last)[: STEP[self._vendor]]):
                last = found[-1]
                yield runs.filter(pk__range=(found[0], last))

    def _limits(self) -> Iterator[tuple[int, int]]:
        """Every task whose runs are counted, and how many are kept."""
        usual = settings.RETENTION_COUNT
        if usual is None:
            yield from self._own_limits.items()
            return
        tasks = list(PeriodicTask.objects.order_by("pk").values_list("pk", flat=True))
        for task_id in chain(tasks, _deleted_tasks(tasks)):
            yield task_id, self._own_limits.get(task_id, usual)


def prune(*, dry_run: bool = False) -> dict[type[Model], int]:
    """Delete what is kept no longer; how many rows of each model, with ``dry_run`` only counted."""
    pruning = Pruning(dry_run=dry_run)
    pruning.run()
    return pruning.counts


class HourlyPruning:
    """Prunes in the background: ``go_on()`` now and then, in any number of processes; one of them does it."""

    def __init__(self, holder: str) -> None:
        self._holder = holder
        self._ask_at = time.monotonic() + ASK_EVERY
        self._pruning: Pruning | None = None

    def go_on(self) -> None:
        """Prune for a few seconds if it is this process's turn."""
        if self._pruning is None:
            if time.monotonic() < self._ask_at:
                return
            self._ask_at = time.monotonic() + ASK_EVERY
            if not take_turn(self._holder):
                return
            Process.objects.filter(last_seen_at__lt=UtcNow() - PROCESSES_KEPT).delete()
            self._pruning = Pruning()
        if self._pruning.run(seconds=AT_A_TIME):
            self._pruning = None


def take_turn(holder: str) -> bool:
    """Whether nobody has pruned for an hour, so that ``holder`` is to do it now."""
    Lease.objects.get_or_create(name=LEASE)
    free = Lease.objects.filter(Q(until=None) | Q(until__lt=UtcNow()), name=LEASE)
    return bool(free.update(holder=holder, until=UtcNow() + EVERY))


def _last_words() -> list[int]:
    """Ids, in order, of the runs that are the last success or the last failure of their task."""
    last = [Subquery(_last(OuterRef("pk"), statuses)) for statuses in KEPT]
    found = list(PeriodicTask.objects.order_by("pk").values_list("pk", *last))
    of_tasks = [pk for _, *words in found for pk in words if pk is not None]
    deleted = _deleted_tasks([task_id for task_id, *_ in found])
    return sorted(chain(of_tasks, *map(_last_words_of, deleted)))


def _last_words_of(task_id: int) -> list[int]:
    return [pk for statuses in KEPT for pk in _last(task_id, statuses)]


def _last(task_id: int | OuterRef, statuses: frozenset[Status]) -> QuerySet[TaskRun, int]:
    runs = TaskRun.objects.of_task(task_id).filter(status__in=statuses)
    return runs.values_list("pk", flat=True)[:1]


def _deleted_tasks(tasks: Sequence[int]) -> Iterator[int]:
    """Ids that runs have and none of the existing ``tasks`` (in order).

    Looked for where ids are missing, by one index descent each: DISTINCT would read every run.
    """
    ids = TaskRun.objects.order_by("task_id").values_list("task_id", flat=True)
    last = TaskRun.objects.aggregate(last=Max("task_id"))["last"] or 0
    for before, after in pairwise([0, *tasks, last + 1]):
        while before + 1 < after:
            found = ids.filter(task_id__gt=before, task_id__lt=after).first()
            if found is None:
                break
            yield found
            before = found


def _older_than(now: datetime, own: Iterable[tuple[int, timedelta]]) -> Q:
    by_span: dict[timedelta, list[int]] = {}
    for task_id, span in own:
        by_span.setdefault(span, []).append(task_id)
    with_own = [task_id for ids in by_span.values() for task_id in ids]
    others = Q(task_id=None) | ~Q(task_id__in=with_own) if with_own else Q()
    old = others & Q(queued_at__lt=now - settings.RETENTION)
    for span, ids in by_span.items():
        old |= Q(task_id__in=ids, queued_at__lt=now - span)
    return old


def _first_id_since(moment: datetime) -> int:
    """An id from which on runs are younger than ``moment``; ids follow the time of queueing closely."""
    since = TaskRun.objects.filter(queued_at__gte=moment).order_by("queued_at", "pk")
    first: int | None = since.values_list("pk", flat=True).first()
    if first is not None:
        return first
    last: int | None = TaskRun.objects.order_by("-pk").values_list("pk", flat=True).first()
    return 0 if last is None else last + 1
