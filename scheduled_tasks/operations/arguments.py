"""Changing the arguments that a task is sent with."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from .. import validation
from ..declarations.fields import FIELDS, change
from ..models import ScheduledTask, database_now
from ..reading.version import digest
from ..validation import Invalid
from . import publishing
from .audit import arguments_changed
from .locking import Actor, Conflict, Refused, locked
from .restoring import changes_since, snapshot


def set_arguments(
    task_id: int,
    *,
    actor: Actor,
    args: list[Any] | None,
    kwargs: dict[str, Any] | None,
    seen: str | None = None,
) -> ScheduledTask:
    """Send the task with these arguments from now on; None leaves a part, and a masked value, as it is.

    ``seen`` is the :func:`arguments_token` the person was looking at. Raises :class:`Conflict` when somebody
    changed the arguments meanwhile, and :class:`Refused` when they are not JSON or do not fit the task.
    """
    with locked(task_id) as task:
        if seen is not None and seen != arguments_token(task):
            message = _("Somebody changed the arguments of %(name)s meanwhile.")
            raise Conflict(message % {"name": task.name}, task)
        wanted = _checked(task, args, kwargs)
        changes = {name: value for name, value in wanted.items() if value != FIELDS[name].read(task)}
        if changes:
            before = snapshot(task)
            change(task, changes, database_now())
            actor.log(task, arguments_changed(changes_since(before, task), [*changes]))
    return task


def _checked(task: ScheduledTask, args: list[Any] | None, kwargs: dict[str, Any] | None) -> dict[str, Any]:
    try:
        message = publishing.message(task, args=args, kwargs=kwargs)
        return {"args": validation.args(message.args), "kwargs": validation.kwargs(message.kwargs)}
    except (publishing.BadMessage, Invalid) as error:
        raise Refused("arguments", str(error)) from error


def arguments_token(task: ScheduledTask) -> str:
    """A text that changes whenever the task's arguments do."""
    return digest(task.args, task.kwargs)
