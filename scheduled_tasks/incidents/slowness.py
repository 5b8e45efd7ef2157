"""When a run takes far too long: by what its task's last successes took."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from statistics import median

from ..models import ScheduledTask, Status, TaskState, database
from ..reading.recent_runs import recent_runs
from .finding import lasting_runs

HISTORY = 30
"""How many of its last successes a task's limit is worked out from."""

NEEDED = 5
"""Fewer successes tell nothing."""

SHORTEST = timedelta(seconds=60)
"""No run is too long before."""

TIMES = 3
SPREADS = 10
"""A run may take three times the median, or the median and ten times the median distance from it."""

CHANGE = 0.05
"""A limit is written when it differs by this share from the stored one."""


def slow_after(durations: Collection[timedelta], until_next_tick: timedelta | None) -> timedelta | None:
    """How long a run may take, by the durations of successes; None when they are too few.

    A task that has always ended before its next tick is also too slow when it does not.
    """
    if len(durations) < NEEDED:
        return None
    seconds = [duration.total_seconds() for duration in durations]
    usual = median(seconds)
    spread = median(abs(each - usual) for each in seconds)
    limit = timedelta(seconds=max(TIMES * usual, usual + SPREADS * spread))
    if until_next_tick is not None and max(durations) < until_next_tick:
        limit = min(limit, until_next_tick)
    return max(limit, SHORTEST)


class Limits:
    """Keeps ``TaskState.slow_after`` up: of each run that lasts, its task's limit is worked out once."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def keep_up(self, now: datetime) -> None:
        """Work out the limits of the tasks whose runs have begun to last: one statement when none has."""
        rows = dict(lasting_runs(now).order_by().values_list("pk", "task_id"))
        new = {task_id for pk, task_id in rows.items() if pk not in self._seen and task_id is not None}
        if new:
            _write(sorted(new))
        self._seen = set(rows)


def _write(task_ids: list[int]) -> None:
    successes = recent_runs(task_ids, HISTORY, (Status.SUCCEEDED,))
    tasks = ScheduledTask.objects.using(database()).select_related("scheduled_state").order_by("pk")
    changed: list[TaskState] = []
    made: list[TaskState] = []
    for task in tasks.filter(pk__in=task_ids):
        state = task.state
        durations = [run.duration for run in successes[task.pk] if run.duration is not None]
        limit = slow_after(durations, _between_ticks(state))
        if _differ(limit, state.slow_after):
            state.slow_after = limit
            (made if state._state.adding else changed).append(state)
    states = TaskState.objects.using(database())
    states.bulk_create(made, ignore_conflicts=True)
    states.bulk_update(changed, ["slow_after"], batch_size=200)


def _between_ticks(state: TaskState) -> timedelta | None:
    """The time between two ticks, as :func:`.models.flags.late` has it."""
    last, following = state.accounted_until, state.next_run_at
    return following - last if last is not None and following is not None and following > last else None


def _differ(limit: timedelta | None, stored: timedelta | None) -> bool:
    if limit is None or stored is None:
        return limit is not stored
    return abs(limit - stored) > CHANGE * stored
