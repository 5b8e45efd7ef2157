"""What the database knows: tasks, their state, their runs, and the processes that make them.

Schedules themselves live in django-celery-beat's tables. Rows that point at a task carry no database
constraint and no cascade: deleting a task touches no run, and code reads :attr:`TaskRun.task_or_none`.
"""

from .clock import LONG_AGO, UtcNow, now_sql, told_by_clock
from .flags import Flag, urgency
from .incidents import (
    INCIDENTS_LEASE,
    OF_TASKS,
    Closing,
    Incident,
    IncidentKind,
    Notice,
    NoticeEvent,
    NoticeState,
)
from .maintenance import MaintenanceTask, MaintenanceWindow, Windows
from .processes import SYNC_LEASE, Lease, Process, ProcessKind, Takers, database_now
from .runs import (
    FAILURES,
    OPEN,
    OUTCOMES,
    SOFT,
    UNDER_WAY,
    Status,
    TaskRun,
    TaskRunQuerySet,
    Trigger,
    decoded,
    word_of,
)
from .tasks import (
    ROUTING,
    CodeDefault,
    Misfire,
    Overlap,
    PausedBy,
    ScheduledTask,
    ScheduledTaskQuerySet,
    Source,
    TaskState,
    database,
)

__all__ = [
    "FAILURES",
    "INCIDENTS_LEASE",
    "LONG_AGO",
    "OF_TASKS",
    "OPEN",
    "OUTCOMES",
    "ROUTING",
    "SOFT",
    "SYNC_LEASE",
    "UNDER_WAY",
    "Closing",
    "CodeDefault",
    "Flag",
    "Incident",
    "IncidentKind",
    "Lease",
    "MaintenanceTask",
    "MaintenanceWindow",
    "Misfire",
    "Notice",
    "NoticeEvent",
    "NoticeState",
    "Overlap",
    "PausedBy",
    "Process",
    "ProcessKind",
    "ScheduledTask",
    "ScheduledTaskQuerySet",
    "Source",
    "Status",
    "Takers",
    "TaskRun",
    "TaskRunQuerySet",
    "TaskState",
    "Trigger",
    "UtcNow",
    "Windows",
    "database",
    "database_now",
    "decoded",
    "now_sql",
    "told_by_clock",
    "urgency",
    "word_of",
]
