"""What the metrics are made of, each read with one statement for any number of tasks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Count, F, IntegerField, Min, OuterRef, Q, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce

from ..models import (
    FAILURES,
    OPEN,
    OUTCOMES,
    UNDER_WAY,
    Flag,
    Incident,
    IncidentKind,
    ScheduledTask,
    Status,
    TaskRun,
    Trigger,
)
from ..models.flags import condition
from ..reading.machinery import Machinery

WINDOWS = {"1h": timedelta(hours=1), "1d": timedelta(days=1)}
"""Over which spans ticks are counted."""


@dataclass(frozen=True)
class Waiting:
    """The runs of one task that wait for a worker, in one queue: how many, and since when the oldest."""

    task_id: int | None
    celery_task: str
    queue: str
    count: int
    since: datetime


def measured_tasks(machinery: Machinery) -> Iterable[Any]:
    """Every task with its flags as on the page, and ``last_run``, ``last_success``, ``begun`` and ``done``
    (of the last run that has both, for its duration) and ``streak``, by name.
    """
    now, known = machinery.now, machinery.known_tasks
    runs = TaskRun.objects.of_task(OuterRef("pk"))
    successes = TaskRun.objects.of_task(OuterRef(OuterRef("pk"))).filter(status=Status.SUCCEEDED)
    ended = runs.filter(started_at__isnull=False, finished_at__isnull=False)
    tasks = ScheduledTask.objects.with_schedules().with_flags(now, known, only=tuple(Flag))
    return tasks.order_by("name").annotate(
        last_run=Subquery(runs.exclude(started_at=None).values("started_at")[:1]),
        # The id alone comes from the index of the task's runs. SQLite would look for the time among the
        # successes of all tasks.
        last_success=Subquery(
            TaskRun.objects.filter(pk=Subquery(successes.values("pk")[:1])).values("finished_at")
        ),
        begun=Subquery(ended.values("started_at")[:1]),
        done=Subquery(ended.values("finished_at")[:1]),
        streak=Case(
            When(condition(Flag.FAILING, now, known), then=_streak()),
            default=Value(0),
            output_field=IntegerField(),
        ),
    )


def _streak() -> Subquery:
    """How many outcomes in a row were failures, as :attr:`.reading.listed_task.ListedTask.streak` counts them
    among the newest runs of a row.
    """
    task_id = OuterRef("pk")
    others = TaskRun.objects.of_task(OuterRef(task_id)).filter(status__in=sorted(OUTCOMES - FAILURES))
    newer = Coalesce(Subquery(others.values("id")[:1]), Value(0))
    failures = TaskRun.objects.of_task(task_id).filter(status__in=sorted(FAILURES), id__gt=newer)
    return Subquery(failures.order_by().values("task_id").annotate(count=Count("pk")).values("count"))


def waiting_runs() -> list[Waiting]:
    """The runs that wait for a worker, by task and queue."""
    runs = TaskRun.objects.open().filter(status__in=sorted(OPEN - UNDER_WAY))
    groups = runs.order_by().values_list("task_id", Coalesce(F("task__task"), Value("")), "queue")
    return [Waiting(*columns) for columns in groups.annotate(Count("pk"), Min("open_since"))]


def ticks(now: datetime) -> list[Any]:
    """How many ticks have had each outcome, over each of :data:`WINDOWS`, by ``status``."""
    longest = max(WINDOWS.values())
    runs = TaskRun.objects.filter(trigger=Trigger.SCHEDULE, queued_at__gt=now - longest)
    sums = {
        f"in_{name}": Sum("tick_count", filter=Q(queued_at__gt=now - span)) for name, span in WINDOWS.items()
    }
    return list(runs.order_by().exclude(status__in=OPEN).values("status").annotate(**sums))


def open_incidents() -> dict[str, int]:
    """How many incidents are open of each kind."""
    kinds = Incident.objects.open().order_by().values_list("kind")
    return dict.fromkeys(IncidentKind.values, 0) | dict(kinds.annotate(Count("pk")))
