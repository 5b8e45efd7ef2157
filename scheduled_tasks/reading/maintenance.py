"""What a maintenance window will skip, told before it is saved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..models import MaintenanceWindow, Misfire, ScheduledTask
from ..models.maintenance import covered
from ..schedules import next_run
from ..ticks import INSTANT, Span, span_between

MOST_DAYS = 20_000
"""Days times tasks that are looked through: a crontab costs one step a day."""


@dataclass(frozen=True)
class Forecast:
    """How many of ``tasks`` are due in a window, how often in sum, and how many of them run once afterwards.

    ``ticks`` is None where that cannot be told: the end is open, or too much would have to be counted.
    """

    tasks: int
    due: int = 0
    ticks: int | None = None
    afterwards: int = 0


def forecast(
    tasks: Iterable[ScheduledTask], start: datetime, end: datetime | None, *, once: bool
) -> Forecast:
    """Count the ticks of these tasks, read with their schedules, from ``start`` on and before ``end``.

    ``once`` tells whether a task that was due runs once at the end, unless it is due then anyway.
    """
    enabled = [task for task in tasks if task.enabled]
    if end is None or len(enabled) * ((end - start) / timedelta(days=1) + 1) > MOST_DAYS:
        return Forecast(len(enabled))
    due = ticks = afterwards = 0
    for task in enabled:
        span, count = _ticks(task, start, end)
        ticks, due = ticks + count, due + bool(count)
        if count and once and span and task.state.effective_misfire == Misfire.RUN_ONCE:
            afterwards += next_run(task, span.last) != end
    return Forecast(len(enabled), due, ticks, afterwards)


def still_paused(window: MaintenanceWindow, now: datetime) -> bool:
    """Whether another window, or the setting ``PAUSED``, keeps a task of this one from starting."""
    tasks = ScheduledTask.objects.filter(covered(now), enabled=True)
    if not window.covers_all:
        tasks = tasks.filter(pk__in=window.members.values("task_id"))
    return tasks.exists()


def _ticks(task: ScheduledTask, start: datetime, end: datetime) -> tuple[Span | None, int]:
    """The ticks up to the end, and how many are in the window; an interval counts from its last one."""
    after = start - INSTANT
    if task.interval is not None:
        after = task.state.accounted_until or task.last_run_at or task.date_changed or after
        after = min(after, start - INSTANT)
    try:
        span, before = (span_between(task, after, moment - INSTANT) for moment in (end, start))
    except Exception:  # noqa: BLE001 - of a row that beat cannot schedule either
        return None, 0
    return span, (span.count if span else 0) - (before.count if before else 0)
