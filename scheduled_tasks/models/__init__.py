"""What the database knows: tasks, their state, their runs, and the processes that make them.

Schedules themselves live in django-celery-beat's tables. Rows that point at a task carry no database
constraint and no cascade: deleting a task touches no run, and code reads :attr:`TaskRun.task_or_none`.
"""

from .clock import LONG_AGO, UtcNow, now_sql, told_by_clock
from .processes import Lease, Process, ProcessKind, database_now
from .runs import OPEN, OUTCOMES, SOFT, UNDER_WAY, Status, TaskRun, TaskRunQuerySet, Trigger, decoded
from .tasks import (
    MIN_LATE_AFTER,
    CodeDefault,
    Misfire,
    Overlap,
    PausedBy,
    ScheduledTask,
    ScheduledTaskQuerySet,
    Source,
    TaskState,
    database,
    late_after,
)

__all__ = [
    "LONG_AGO",
    "MIN_LATE_AFTER",
    "OPEN",
    "OUTCOMES",
    "SOFT",
    "UNDER_WAY",
    "CodeDefault",
    "Lease",
    "Misfire",
    "Overlap",
    "PausedBy",
    "Process",
    "ProcessKind",
    "ScheduledTask",
    "ScheduledTaskQuerySet",
    "Source",
    "Status",
    "TaskRun",
    "TaskRunQuerySet",
    "TaskState",
    "Trigger",
    "UtcNow",
    "database",
    "database_now",
    "decoded",
    "late_after",
    "now_sql",
    "told_by_clock",
]
