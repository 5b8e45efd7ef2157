"""Deleting old runs: in short steps along the primary key, so that nobody who writes waits for it.

The last success and the last failure of every task stay, however old; so do open runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, Q

from .conf import settings
from .models import OUTCOMES, Lease, Status, TaskRun, TaskRunQuerySet, TaskState, UtcNow, database_now

STEP_SECONDS = 0.03
"""How long one step should hold its locks; the number of ids it covers follows from that."""

FIRST_STEP = 200
"""Ids that the first step covers. No step is shorter: the time of a shorter one says more about how busy the
machine is than about the rows."""

LONGEST_STEP = 10_000

PAUSE = 0.25
"""Pause after a step, as a part of its time: others that write come in between."""

SHORTEST_PAUSE = 0.003

LEASE = "prune"
ASK_EVERY = 300.0
AT_A_TIME = 5.0
EVERY = timedelta(hours=1)
"""How often the runs are gone through, by one process of all."""

KEPT = {"success": frozenset({Status.SUCCEEDED}), "failure": OUTCOMES - {Status.SUCCEEDED}}


@dataclass(kw_only=True)
class Pruned:
    """How many runs were deleted, or would be; ``next_id`` is where to go on, None when there is no more."""

    count: int
    next_id: int | None


class Pruning:
    """One pass over the runs from ``first_id`` on; with ``dry_run`` it only counts."""

    def __init__(self, *, first_id: int = 0, dry_run: bool = False) -> None:
        now = database_now()
        states = TaskState.objects.exclude(retention=None).values_list("task_id", "retention")
        own = [(task_id, span) for task_id, span in states if span is not None]
        self._old = _older_than(now, own)
        self._end = _first_id_since(now - min([settings.RETENTION, *(span for _, span in own)]))
        self._dry_run = dry_run
        self._next = first_id
        self._newest: dict[tuple[int, str], int | None] = {}
        self.count = 0

    def run(self, *, seconds: float | None = None) -> Pruned:
        """Go on for about ``seconds``, or to the end."""
        deadline = None if seconds is None else time.monotonic() + seconds
        size = FIRST_STEP
        while (first := self._first_id()) is not None:
            took = self._step(first, first + size)
            size = max(FIRST_STEP, min(LONGEST_STEP, 2 * size, int(size * STEP_SECONDS / max(took, 1e-6))))
            if deadline is not None and time.monotonic() > deadline:
                return Pruned(count=self.count, next_id=self._next)
            if not self._dry_run:
                time.sleep(max(SHORTEST_PAUSE, took * PAUSE))
        return Pruned(count=self.count, next_id=None)

    def _first_id(self) -> int | None:
        """The next id that exists: what was deleted before is stepped over at once."""
        runs = TaskRun.objects.filter(pk__gte=self._next, pk__lt=self._end)
        found: int | None = runs.order_by("pk").values_list("pk", flat=True).first()
        return found

    def _step(self, first: int, end: int) -> float:
        """Delete what is old among these ids; how long that held its locks, in seconds."""
        runs = TaskRun.objects.filter(self._old, pk__gte=first, pk__lt=min(end, self._end), open_since=None)
        found = runs.exclude(pk__in=self._to_keep(runs))
        began = time.monotonic()
        self.count += found.count() if self._dry_run else found.delete()[0]
        self._next = end
        return time.monotonic() - began

    def _to_keep(self, runs: TaskRunQuerySet) -> list[int]:
        """Among old ``runs``, those that are the last success or failure of their task."""
        last = {kind: Max("pk", filter=Q(status__in=statuses)) for kind, statuses in KEPT.items()}
        rows: Iterable[dict[str, Any]] = (
            runs.exclude(task_id=None).order_by().values("task_id").annotate(**last)  # type: ignore[assignment]
        )
        return [
            row[kind]
            for row in rows
            for kind in KEPT
            if row[kind] is not None and row[kind] == self._newest_of(row["task_id"], kind)
        ]

    def _newest_of(self, task_id: int, kind: str) -> int | None:
        if (task_id, kind) not in self._newest:
            runs = TaskRun.objects.filter(task_id=task_id, status__in=KEPT[kind])
            self._newest[task_id, kind] = runs.newest_first().values_list("pk", flat=True).first()
        return self._newest[task_id, kind]


def prune(*, dry_run: bool = False) -> int:
    """Delete every run older than its task's retention and return how many; with ``dry_run``, only count."""
    return Pruning(dry_run=dry_run).run().count


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
            self._pruning = Pruning()
        if self._pruning.run(seconds=AT_A_TIME).next_id is None:
            self._pruning = None


def take_turn(holder: str) -> bool:
    """Whether nobody has pruned for an hour, so that ``holder`` is to do it now."""
    Lease.objects.get_or_create(name=LEASE)
    free = Lease.objects.filter(Q(until=None) | Q(until__lt=UtcNow()), name=LEASE)
    return bool(free.update(holder=holder, until=UtcNow() + EVERY))


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
    since = TaskRun.objects.filter(queued_at__gte=moment).order_by("queued_at")
    first: int | None = since.values_list("pk", flat=True).first()
    if first is not None:
        return first
    last: int | None = TaskRun.objects.order_by("-pk").values_list("pk", flat=True).first()
    return 0 if last is None else last + 1
