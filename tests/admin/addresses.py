"""Every address of the admin wing with what it needs, and every kind of person with what they may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

VIEW, CHANGE, RUN, NOBODY, STAFF = "view", "change", "run", "nobody", "staff"
INCIDENTS = "incidents"
WAYS = {"plain": {}, "script": {"ST-Request": "1"}}


@dataclass(frozen=True)
class Ask:
    """A request: what it needs, what it sends, and whether it changes anything when allowed."""

    needs: str | None
    data: dict[str, Any] = field(default_factory=dict)
    changes: bool = False


METHOD_NOT_ALLOWED = Ask(None)
READ = Ask(VIEW)
READ_INCIDENTS = Ask(INCIDENTS)
NEVER = Ask(NOBODY)
SCHEDULE = {"cron": "0 4 * * *", "zone": "UTC"}
ALL = {"index": "0", "select_across": "1", "_selected_action": "1"}
NO_ONE, TASK, ENDED, OPEN, INCIDENT = "", "task", "ended run", "open run", "incident"
Rows = dict[str, Any]

ADDRESSES: dict[str, tuple[str, Ask, list[Ask]]] = {
    # address: (whose, what GET is, what POST is)
    "scheduledtask_changelist": (
        NO_ONE,
        READ,
        [
            Ask(VIEW, {**ALL, "action": ""}),
            Ask(CHANGE, {**ALL, "action": "disable_selected"}, changes=True),
            Ask(CHANGE, {**ALL, "action": "enable_selected"}, changes=True),
            Ask(RUN, {**ALL, "action": "run_selected"}, changes=True),
            Ask(NOBODY, {**ALL, "action": "delete_selected", "post": "yes"}),
        ],
    ),
    "scheduledtask_rows": (NO_ONE, READ, [METHOD_NOT_ALLOWED]),
    "scheduledtask_timeline": (NO_ONE, READ, [METHOD_NOT_ALLOWED]),
    "scheduledtask_change": (TASK, READ, [Ask(VIEW, {"name": "x", "enabled": ""})]),
    "scheduledtask_history": (TASK, READ, [READ]),
    "scheduledtask_schedule": (TASK, Ask(CHANGE), [Ask(CHANGE, SCHEDULE, changes=True)]),
    "scheduledtask_preview": (TASK, Ask(CHANGE, SCHEDULE), [METHOD_NOT_ALLOWED]),
    "scheduledtask_alerts": (TASK, Ask(CHANGE), [Ask(CHANGE, {"owner": "billing"}, changes=True)]),
    "scheduledtask_enabled": (
        TASK,
        METHOD_NOT_ALLOWED,
        [Ask(CHANGE, {"enabled": "0", "note": "why"}, changes=True)],
    ),
    "scheduledtask_pause": (TASK, Ask(CHANGE), [METHOD_NOT_ALLOWED]),
    "scheduledtask_skip": (TASK, METHOD_NOT_ALLOWED, [Ask(CHANGE, {"skip": "1"}, changes=True)]),
    "scheduledtask_default": (TASK, METHOD_NOT_ALLOWED, [Ask(CHANGE, changes=True)]),
    "scheduledtask_runs": (TASK, METHOD_NOT_ALLOWED, [Ask(RUN, {"run": str(uuid4())}, changes=True)]),
    "scheduledtask_new_run": (TASK, Ask(RUN), [METHOD_NOT_ALLOWED]),
    "scheduledtask_add": (NO_ONE, NEVER, [Ask(NOBODY, {"name": "new"})]),
    "scheduledtask_delete": (TASK, NEVER, [Ask(NOBODY, {"post": "yes"})]),
    "scheduledtask": (TASK, Ask(STAFF), [Ask(STAFF)]),
    "taskrun_changelist": (NO_ONE, READ, [Ask(NOBODY, {**ALL, "action": "delete_selected", "post": "yes"})]),
    "taskrun_export": (NO_ONE, READ, [METHOD_NOT_ALLOWED]),
    "taskrun_change": (ENDED, READ, [Ask(VIEW, {"name": "x", "status": "failed"})]),
    "taskrun_retry": (ENDED, METHOD_NOT_ALLOWED, [Ask(RUN, {"run": str(uuid4())}, changes=True)]),
    "taskrun_cancel": (OPEN, METHOD_NOT_ALLOWED, [Ask(RUN, changes=True)]),
    "taskrun_history": (ENDED, READ, [READ]),
    "taskrun_add": (NO_ONE, NEVER, [Ask(NOBODY, {"name": "new"})]),
    "taskrun_delete": (ENDED, NEVER, [Ask(NOBODY, {"post": "yes"})]),
    "taskrun": (ENDED, Ask(STAFF), [Ask(STAFF)]),
    "incident_changelist": (NO_ONE, READ_INCIDENTS, [READ_INCIDENTS]),
    "incident_test": (NO_ONE, METHOD_NOT_ALLOWED, [Ask(CHANGE)]),
    "incident_change": (INCIDENT, READ_INCIDENTS, [Ask(INCIDENTS, {"note": "x", "open_key": ""})]),
    "incident_acknowledge": (INCIDENT, METHOD_NOT_ALLOWED, [Ask(CHANGE, {"note": "x"}, changes=True)]),
    "incident_mute": (INCIDENT, METHOD_NOT_ALLOWED, [Ask(CHANGE, {"span": "hour"}, changes=True)]),
    "incident_unmute": (INCIDENT, METHOD_NOT_ALLOWED, [Ask(CHANGE, changes=True)]),
    "incident_history": (INCIDENT, READ_INCIDENTS, [READ_INCIDENTS]),
    "incident_add": (NO_ONE, NEVER, [Ask(NOBODY, {"kind": "late"})]),
    "incident_delete": (INCIDENT, NEVER, [Ask(NOBODY, {"post": "yes"})]),
    "incident": (INCIDENT, Ask(STAFF), [Ask(STAFF)]),
}
"""By URL name without ``scheduled_tasks_``; the admin's own nameless ``…/<id>/`` goes by its model's name."""

PEOPLE: dict[str, set[str] | None] = {
    "anonymous": None,
    "customer": None,
    "nobody": {STAFF},
    "viewer": {STAFF, INCIDENTS, VIEW},
    "editor": {STAFF, INCIDENTS, VIEW, CHANGE},
    "runner": {STAFF, INCIDENTS, VIEW, RUN},
    "blind runner": {STAFF},
    "incidents' reader": {STAFF, INCIDENTS},
    "root": {STAFF, INCIDENTS, VIEW, CHANGE, RUN},
    "root denied by policy": {STAFF},
    "root who may only view": {STAFF, INCIDENTS, VIEW},
    "nobody allowed by policy": {STAFF, INCIDENTS, VIEW, CHANGE, RUN},
}
"""What each may do; None never gets past the login page."""

PERMISSIONS = {
    "viewer": ["view_scheduledtask"],
    "editor": ["view_scheduledtask", "change_scheduledtask"],
    "runner": ["view_scheduledtask", "run_scheduledtask"],
    "blind runner": ["run_scheduledtask"],
    "incidents' reader": ["view_incident"],
}

POLICIES = {
    "root denied by policy": "deny",
    "root who may only view": "only_view",
    "nobody allowed by policy": "allow",
}
