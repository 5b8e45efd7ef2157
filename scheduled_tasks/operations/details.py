"""Changing whose a task is, its tags, its priority, and between which times it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from ..declarations.fields import FIELDS, change
from ..masking import printable
from ..models import ScheduledTask, database_now
from ..recording.connection import keepable
from .audit import details_changed
from .locking import Actor, Conflict, locked
from .restoring import changes_since, snapshot

DETAILS = ("owner", "tags", "priority", "starts", "ends")
"""The fields of a task's details."""


def set_details(
    task_id: int, *, actor: Actor, values: Mapping[str, Any], seen: str | None = None
) -> ScheduledTask:
    """Give the task these values of some of :data:`DETAILS`, as :mod:`..declarations.fields` has them.

    What was due before does not run. ``seen`` is the :func:`details_token` the person was looking at. Raises
    :class:`Conflict` when somebody changed one of the details meanwhile, and :class:`Refused` for what
    django-celery-beat refuses, such as an end beside an expiry of queued runs.
    """
    wanted = {name: keepable(printable(v)) if isinstance(v, str) else v for name, v in values.items()}
    with locked(task_id) as task:
        if seen is not None and seen != details_token(task):
            message = _("Somebody changed the details of %(name)s meanwhile.")
            raise Conflict(message % {"name": task.name}, task)
        stored = _stored(task)
        changes = {name: value for name, value in wanted.items() if value != stored[name]}
        if changes:
            before = snapshot(task)
            change(task, changes, database_now())
            actor.log(task, details_changed(changes_since(before, task), [*changes]))
    return task


def _stored(task: ScheduledTask) -> dict[str, Any]:
    return {name: FIELDS[name].read(task) for name in DETAILS}


def details_token(task: ScheduledTask) -> str:
    """A text that changes whenever one of the task's details does."""
    return json.dumps(_stored(task))
