"""What a person can do to a task, an incident or a maintenance: the only writers of a person's intent.

Each operation takes the task's row lock, changes everything or nothing, and reports it to the actor's log
inside the same transaction. Call them outside a transaction: a run's row must be committed before its
message leaves.
"""

from __future__ import annotations

from .adding import add, refuse_used_name
from .alert_policy import policy_token, set_alert_policy
from .arguments import arguments_token, set_arguments
from .audit import AuditEntry, Event
from .changes import (
    disable,
    enable,
    follow_policies,
    reschedule,
    reschedule_interval,
    reschedule_once,
    reschedule_solar,
    reset,
    schedule_token,
    skip_next,
)
from .deleting import delete, row_kept, undelete, unmake
from .details import DETAILS, details_token, set_details
from .incidents import MuteSpan, acknowledge, handling_token, mute, unacknowledge, unmute
from .locking import Actor, Conflict, Refused
from .maintenance import (
    check_plan,
    end_maintenance,
    maintenance_token,
    move_maintenance_end,
    plan_maintenance,
    resume,
)
from .missed_runs import can_run_later, missed_times, run_later
from .restoring import can_restore, left_so, restore, restore_token
from .runs import cancel, retry, run_now

__all__ = [
    "DETAILS",
    "Actor",
    "AuditEntry",
    "Conflict",
    "Event",
    "MuteSpan",
    "Refused",
    "acknowledge",
    "add",
    "arguments_token",
    "can_restore",
    "can_run_later",
    "cancel",
    "check_plan",
    "delete",
    "details_token",
    "disable",
    "enable",
    "end_maintenance",
    "follow_policies",
    "handling_token",
    "left_so",
    "maintenance_token",
    "missed_times",
    "move_maintenance_end",
    "mute",
    "plan_maintenance",
    "policy_token",
    "refuse_used_name",
    "reschedule",
    "reschedule_interval",
    "reschedule_once",
    "reschedule_solar",
    "reset",
    "restore",
    "restore_token",
    "resume",
    "retry",
    "row_kept",
    "run_later",
    "run_now",
    "schedule_token",
    "set_alert_policy",
    "set_arguments",
    "set_details",
    "skip_next",
    "unacknowledge",
    "undelete",
    "unmake",
    "unmute",
]
