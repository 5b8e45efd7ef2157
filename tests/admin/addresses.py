"""Every address of the admin wing with what it needs, and every kind of person with what they may do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.contrib.admin.models import CHANGE as CHANGED
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.contrib.auth.models import User

from scheduled_tasks.operations import Event
from scheduled_tasks.operations.audit import changed

VIEW, CHANGE, RUN, NOBODY, STAFF = "view", "change", "run", "nobody", "staff"
ADD, DELETE = "add", "delete"
ONCE = "run and add"
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
NEW = {**SCHEDULE, "task": "tests.add", "name": "new", "args": "[1, 2]", "kwargs": "{}", "enabled": "1"}
RUN_ONCE = {"words": "in 1 h", "args": "[1, 2]", "kwargs": "{}"}
ALL = {"index": "0", "select_across": "1", "_selected_action": "1"}
NO_ONE, TASK, ENDED, OPEN, INCIDENT, WINDOW = "", "task", "ended run", "open run", "incident", "window"
MISSED = "missed run"
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
            Ask(CHANGE, {**ALL, "action": "pause_selected"}),
            Ask(CHANGE, {**ALL, "action": "pause_selected", "confirmed": "1"}, changes=True),
            Ask(RUN, {**ALL, "action": "run_selected"}),
            Ask(RUN, {**ALL, "action": "run_selected", "confirmed": "1"}, changes=True),
            Ask(DELETE, {**ALL, "action": "delete_selected"}),
            Ask(DELETE, {**ALL, "action": "delete_selected", "confirmed": "1"}, changes=True),
        ],
    ),
    "scheduledtask_rows": (NO_ONE, READ, [METHOD_NOT_ALLOWED]),
    "scheduledtask_timeline": (NO_ONE, READ, [METHOD_NOT_ALLOWED]),
    "scheduledtask_restore": (NO_ONE, METHOD_NOT_ALLOWED, [Ask(CHANGE, {"entry": "1"}, changes=True)]),
    "scheduledtask_deleted": (NO_ONE, READ, [METHOD_NOT_ALLOWED]),
    "scheduledtask_words": (NO_ONE, READ, [METHOD_NOT_ALLOWED]),
    "scheduledtask_change": (TASK, READ, [Ask(VIEW, {"name": "x", "enabled": ""})]),
    "scheduledtask_history": (TASK, READ, [READ]),
    "scheduledtask_schedule": (
        TASK,
        Ask(CHANGE),
        [Ask(CHANGE, {"fill": "kind=once"}), Ask(CHANGE, SCHEDULE, changes=True)],
    ),
    "scheduledtask_bars": (TASK, READ, [METHOD_NOT_ALLOWED]),
    "scheduledtask_preview": (TASK, Ask(CHANGE, SCHEDULE), [METHOD_NOT_ALLOWED]),
    "scheduledtask_alerts": (TASK, Ask(CHANGE), [Ask(CHANGE, {"owner": "billing"}, changes=True)]),
    "scheduledtask_details": (TASK, Ask(CHANGE), [Ask(CHANGE, {"tags": "nightly"}, changes=True)]),
    "scheduledtask_arguments": (
        TASK,
        Ask(CHANGE),
        [
            Ask(CHANGE, {"args": "[1]", "switch": "1"}),
            Ask(CHANGE, {"args": "[2]"}, changes=True),
        ],
    ),
    "scheduledtask_enabled": (
        TASK,
        METHOD_NOT_ALLOWED,
        [Ask(CHANGE, {"enabled": "0", "note": "why"}, changes=True)],
    ),
    "scheduledtask_pause": (TASK, Ask(CHANGE), [METHOD_NOT_ALLOWED]),
    "scheduledtask_until": (TASK, Ask(CHANGE), [Ask(CHANGE, {"span": "hour"}, changes=True)]),
    "scheduledtask_resume": (TASK, METHOD_NOT_ALLOWED, [Ask(CHANGE, changes=True)]),
    "scheduledtask_skip": (TASK, METHOD_NOT_ALLOWED, [Ask(CHANGE, {"skip": "1"}, changes=True)]),
    "scheduledtask_policies": (TASK, METHOD_NOT_ALLOWED, [Ask(CHANGE, changes=True)]),
    "scheduledtask_default": (TASK, METHOD_NOT_ALLOWED, [Ask(CHANGE, changes=True)]),
    "scheduledtask_runs": (TASK, METHOD_NOT_ALLOWED, [Ask(RUN, {"run": str(uuid4())}, changes=True)]),
    "scheduledtask_new_run": (TASK, Ask(RUN), [Ask(RUN)]),
    "scheduledtask_once": (
        TASK,
        Ask(ONCE),
        [Ask(ONCE, {"words": "1 h", "args": "[1]", "switch": "1"}), Ask(ONCE, {**RUN_ONCE}, changes=True)],
    ),
    "scheduledtask_add": (
        NO_ONE,
        Ask(ADD),
        [
            Ask(ADD, {**NEW, "fill": "kind=interval"}),
            Ask(ADD, {**NEW, "choose": "1"}),
            Ask(ADD, NEW, changes=True),
        ],
    ),
    "scheduledtask_new_preview": (NO_ONE, Ask(ADD, SCHEDULE), [METHOD_NOT_ALLOWED]),
    "scheduledtask_delete": (TASK, Ask(DELETE), [Ask(DELETE, changes=True)]),
    "scheduledtask": (TASK, Ask(STAFF), [Ask(STAFF)]),
    "taskrun_changelist": (NO_ONE, READ, [Ask(NOBODY, {**ALL, "action": "delete_selected", "post": "yes"})]),
    "taskrun_export": (NO_ONE, READ, [METHOD_NOT_ALLOWED]),
    "taskrun_change": (ENDED, READ, [Ask(VIEW, {"name": "x", "status": "failed"})]),
    "taskrun_retry_failed": (
        NO_ONE,
        Ask(RUN, {"status": "failed"}),
        [Ask(RUN, {"runs": "the ended run", "key": "x"}, changes=True)],
    ),
    "taskrun_retry": (ENDED, METHOD_NOT_ALLOWED, [Ask(RUN, {"run": str(uuid4())}, changes=True)]),
    "taskrun_cancel": (OPEN, METHOD_NOT_ALLOWED, [Ask(RUN, changes=True)]),
    "taskrun_later": (MISSED, Ask(RUN), [Ask(RUN, changes=True)]),
    "taskrun_toast": (ENDED, READ, [METHOD_NOT_ALLOWED]),
    "taskrun_history": (ENDED, READ, [READ]),
    "taskrun_add": (NO_ONE, NEVER, [Ask(NOBODY, {"name": "new"})]),
    "taskrun_delete": (ENDED, NEVER, [Ask(NOBODY, {"post": "yes"})]),
    "taskrun": (ENDED, Ask(STAFF), [Ask(STAFF)]),
    "incident_changelist": (NO_ONE, READ_INCIDENTS, [READ_INCIDENTS]),
    "incident_test": (NO_ONE, METHOD_NOT_ALLOWED, [Ask(CHANGE)]),
    "incident_change": (INCIDENT, READ_INCIDENTS, [Ask(INCIDENTS, {"note": "x", "open_key": ""})]),
    "incident_acknowledge": (INCIDENT, METHOD_NOT_ALLOWED, [Ask(CHANGE, {"note": "x"}, changes=True)]),
    "incident_unacknowledge": (INCIDENT, METHOD_NOT_ALLOWED, [Ask(CHANGE)]),
    "incident_mute": (INCIDENT, METHOD_NOT_ALLOWED, [Ask(CHANGE, {"span": "hour"}, changes=True)]),
    "incident_unmute": (INCIDENT, METHOD_NOT_ALLOWED, [Ask(CHANGE, changes=True)]),
    "incident_history": (INCIDENT, READ_INCIDENTS, [READ_INCIDENTS]),
    "incident_add": (NO_ONE, NEVER, [Ask(NOBODY, {"kind": "late"})]),
    "incident_delete": (INCIDENT, NEVER, [Ask(NOBODY, {"post": "yes"})]),
    "incident": (INCIDENT, Ask(STAFF), [Ask(STAFF)]),
    "maintenancewindow_changelist": (NO_ONE, READ, [READ]),
    "maintenancewindow_change": (WINDOW, READ, [Ask(VIEW, {"note": "x", "ends_at": ""})]),
    "maintenancewindow_add": (
        NO_ONE,
        Ask(CHANGE),
        [Ask(CHANGE, {"scope": "all"}), Ask(CHANGE, {"scope": "all", "save": "1"}, changes=True)],
    ),
    "maintenancewindow_end": (WINDOW, METHOD_NOT_ALLOWED, [Ask(CHANGE, changes=True)]),
    "maintenancewindow_extend": (WINDOW, METHOD_NOT_ALLOWED, [Ask(CHANGE, {"span": "hour"}, changes=True)]),
    "maintenancewindow_history": (WINDOW, READ, [READ]),
    "maintenancewindow_delete": (WINDOW, NEVER, [Ask(NOBODY, {"post": "yes"})]),
    "maintenancewindow": (WINDOW, Ask(STAFF), [Ask(STAFF)]),
}
"""By URL name without ``scheduled_tasks_``; the admin's own nameless ``…/<id>/`` goes by its model's name."""

PEOPLE: dict[str, set[str] | None] = {
    "anonymous": None,
    "customer": None,
    "nobody": {STAFF},
    "viewer": {STAFF, INCIDENTS, VIEW},
    "editor": {STAFF, INCIDENTS, VIEW, CHANGE},
    "runner": {STAFF, INCIDENTS, VIEW, RUN},
    "adder": {STAFF, INCIDENTS, VIEW, ADD},
    "deleter": {STAFF, INCIDENTS, VIEW, DELETE},
    "blind runner": {STAFF},
    "incidents' reader": {STAFF, INCIDENTS},
    "root": {STAFF, INCIDENTS, VIEW, CHANGE, RUN, ADD, DELETE, ONCE},
    "root denied by policy": {STAFF},
    "root who may only view": {STAFF, INCIDENTS, VIEW},
    "nobody allowed by policy": {STAFF, INCIDENTS, VIEW, CHANGE, RUN, ADD, DELETE, ONCE},
}
"""What each may do; None never gets past the login page."""

PERMISSIONS = {
    "viewer": ["view_scheduledtask"],
    "editor": ["view_scheduledtask", "change_scheduledtask"],
    "runner": ["view_scheduledtask", "run_scheduledtask"],
    "adder": ["view_scheduledtask", "add_scheduledtask"],
    "deleter": ["view_scheduledtask", "delete_scheduledtask"],
    "blind runner": ["run_scheduledtask"],
    "incidents' reader": ["view_incident"],
}

POLICIES = {
    "root denied by policy": "deny",
    "root who may only view": "only_view",
    "nobody allowed by policy": "allow",
}


def filled(ask: Ask, rows: Rows) -> dict[str, Any]:
    """What the request sends, with the keys of these rows."""
    keys = {"_selected_action": rows[TASK].pk, "runs": rows[ENDED].pk}
    return {name: keys.get(name, value) for name, value in ask.data.items()}


def log_change(task: Any) -> None:
    """The entry of the history that Restore is asked to put back."""
    noted = changed(Event.SKIPPED_NEXT, [], values={"skip_next": [True, False]})
    LogEntry.objects.create(
        pk=1,
        user=User.objects.create_user("who changed it"),
        content_type=get_content_type_for_model(task),
        object_id=task.pk,
        object_repr=task.name[:100],
        action_flag=CHANGED,
        change_message=json.dumps(noted.change_message),
    )
