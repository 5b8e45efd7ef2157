"""Changing who is told of a task's troubles, and when."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from ..declarations.fields import FIELDS, change
from ..models import ScheduledTask, database_now
from ..recording.connection import keepable
from ..validation import ALERT_POLICY, alert_policy
from .audit import policy_changed
from .locking import Actor, Conflict, locked


def set_alert_policy(
    task_id: int, *, actor: Actor, policy: Mapping[str, Any], seen: str | None = None
) -> ScheduledTask:
    """Give the task this alert policy: values as the arguments of ``@scheduled_task``.

    What ``policy`` leaves out, or has as None, is left to the project's settings. ``seen`` is the
    :func:`policy_token` the person was looking at. Raises :class:`..validation.Invalid`, and
    :class:`Conflict` when somebody changed the policy meanwhile.
    """
    texts = {name: keepable(value) for name, value in policy.items() if isinstance(value, str)}
    wanted = alert_policy(*map({**policy, **texts}.get, ALERT_POLICY))
    with locked(task_id) as task:
        if seen is not None and seen != policy_token(task):
            message = _("Somebody changed the alerts of %(name)s meanwhile.")
            raise Conflict(message % {"name": task.name}, task)
        stored = stored_policy(task)
        changed = [name for name in ALERT_POLICY if wanted[name] != stored[name]]
        if changed:
            change(task, {name: wanted[name] for name in changed}, database_now())
            actor.log(task, policy_changed({name: [stored[name], wanted[name]] for name in changed}))
    return task


def stored_policy(task: ScheduledTask) -> dict[str, Any]:
    """The task's own alert policy as field values; None for what is left to the project's settings."""
    return {name: FIELDS[name].read(task) for name in ALERT_POLICY}


def policy_token(task: ScheduledTask) -> str:
    """A text that changes whenever the task's alert policy does."""
    return json.dumps(stored_policy(task))
