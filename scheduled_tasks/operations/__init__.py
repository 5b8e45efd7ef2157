"""What a person can do to a task: the only writers of a person's intent.

Each operation takes the task's row lock, changes everything or nothing, and reports it to the actor's log
inside the same transaction. Call them outside a transaction: a run's row must be committed before its
message leaves.
"""

from __future__ import annotations

from .alert_policy import policy_token, set_alert_policy
from .audit import AuditEntry, Event
from .changes import disable, enable, reschedule, reschedule_interval, reset, schedule_token, skip_next
from .locking import Actor, Conflict, Refused
from .runs import cancel, retry, run_now

__all__ = [
    "Actor",
    "AuditEntry",
    "Conflict",
    "Event",
    "Refused",
    "cancel",
    "disable",
    "enable",
    "policy_token",
    "reschedule",
    "reschedule_interval",
    "reset",
    "retry",
    "run_now",
    "schedule_token",
    "set_alert_policy",
    "skip_next",
]
