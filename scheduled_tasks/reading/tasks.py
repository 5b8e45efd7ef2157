"""Tasks with their flags, runs and next run, as the page shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import models

from .. import schedules
from ..models import (
    FAILURES,
    OUTCOMES,
    Incident,
    ScheduledTask,
    ScheduledTaskQuerySet,
    Windows,
)
from ..models.maintenance import covered_later
from ..reasons import NO_REASON, Code, Reason
from ..schedules import Unschedulable
from .listed_task import NO_WINDOWS, ListedTask
from .machinery import Machinery
from .recent_runs import RECENT_RUNS, RecentRun, recent_runs


def tasks() -> ScheduledTaskQuerySet:
    """Every task with its schedule, state and code default, by name."""
    return ScheduledTask.objects.with_schedules().order_by("name")


def listed_tasks(
    queryset: ScheduledTaskQuerySet,
    machinery: Machinery,
    runs: int = RECENT_RUNS,
    *,
    incidents: models.QuerySet[Incident] | None = None,
) -> list[ListedTask]:
    """These tasks with that many of their newest runs: two statements for up to a hundred.

    Where there are any, one more reads open incidents (of ``incidents``, or all), and one the outcomes that
    are older than those runs, and one or two the maintenance windows.
    """
    later = models.ExpressionWrapper(covered_later(machinery.now), output_field=models.BooleanField())
    flagged = queryset.with_schedules().with_flags(machinery.now, machinery.known_tasks)
    flagged = flagged.annotate(has_windows=later)
    found = list(flagged)
    recent = recent_runs([task.pk for task in found], runs)
    outcomes = _outcomes(found, recent, runs)
    troubled = [task.pk for task in found if task.is_incident]  # type: ignore[attr-defined]
    troubles = open_incidents_of(troubled, Incident.objects.all() if incidents is None else incidents)
    paused = [task.pk for task in found if task.has_windows]  # type: ignore[attr-defined]
    windows = Windows.read(paused, machinery.now) if paused else NO_WINDOWS
    return [
        _listed(task, machinery, recent[task.pk], outcomes[task.pk], troubles.get(task.pk, ()), windows)
        for task in found
    ]


def open_incidents_of(
    task_ids: Collection[int], incidents: models.QuerySet[Incident]
) -> Mapping[int, Sequence[Incident]]:
    """The open incidents of these tasks, oldest first; one statement, none for no tasks."""
    found: dict[int, list[Incident]] = defaultdict(list)
    if task_ids:
        open_ones = incidents.filter(open_key__isnull=False, task__in=task_ids)
        for incident in open_ones.order_by("pk"):
            found[incident.task_id or 0].append(incident)
    return found


def _listed(
    task: ScheduledTask,
    machinery: Machinery,
    recent: Sequence[RecentRun],
    outcomes: Sequence[RecentRun],
    incidents: Sequence[Incident],
    windows: Windows,
) -> ListedTask:
    next_run_at, problem = outlook(task, machinery.now, machinery.known_tasks)
    return ListedTask(
        task=task,
        machinery=machinery,
        recent=recent,
        outcomes=outcomes,
        next_run_at=next_run_at,
        problem=problem,
        incidents=incidents,
        windows=windows,
    )


def _outcomes(
    tasks: Iterable[Any], recent: Mapping[int, list[RecentRun]], runs: int
) -> dict[int, list[RecentRun]]:
    """The outcomes among each task's newest ``runs``, and older ones where these do not tell its streak."""
    found = {pk: [run for run in newest if run.status in OUTCOMES] for pk, newest in recent.items()}
    older = [
        task.pk
        for task in tasks
        if task.outcome_status
        and len(recent[task.pk]) >= runs
        and len(found[task.pk]) < RECENT_RUNS
        and all(run.status in FAILURES for run in found[task.pk])
    ]
    return found | recent_runs(older, RECENT_RUNS, OUTCOMES)


def outlook(
    task: ScheduledTask, now: datetime, known_tasks: Collection[str] | None
) -> tuple[datetime | None, Reason]:
    """As :func:`next_run`; a reason too where no worker knows its Celery task (None: nobody can tell)."""
    moment, problem = next_run(task, now)
    if not problem and task.enabled and known_tasks is not None and task.task not in known_tasks:
        problem = Reason.of(Code.UNKNOWN_TASK, task=task.task)
    return moment, problem


def next_run(task: ScheduledTask, now: datetime) -> tuple[datetime | None, Reason]:
    """When beat will next run the task, and why it cannot: ``(moment, no reason)``, ``(None, reason)``.

    Beat's own answer where it keeps one; otherwise computed as django-celery-beat's scheduler would:
    from the last run, because in a repeated hour the step from now would differ.
    """
    state = task.state
    if not task.enabled:
        return None, state.problem
    if state.problem or (state.accounted_until is not None and state.next_run_at is not None):
        return state.next_run_at, state.problem
    try:
        moment = schedules.next_run(task, task.last_run_at or task.date_changed or now)
        if moment is not None and moment <= now:
            moment = schedules.next_run(task, now)
    except Unschedulable as error:
        return None, error.reason
    except Exception as error:  # noqa: BLE001 - other code wrote the row, and no row takes a page down
        return None, Reason.of(Code.UNREADABLE_ROW, error=error)
    return moment, NO_REASON
