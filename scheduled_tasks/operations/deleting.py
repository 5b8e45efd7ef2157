"""Deleting a task, and undoing that."""

from __future__ import annotations

import json
from typing import Any

from django.core import serializers
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import F, ProtectedError, RestrictedError
from django.utils.translation import gettext as _
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from ..declarations.fields import change, values_of
from ..models import ScheduledTask, database_now
from .adding import log_brought_in, made, refuse_used_name
from .audit import AuditEntry, Event, deleted
from .locking import Actor, Conflict, Refused, locked, task_of
from .restoring import has_secret, left_token, newest_run


def delete(task_id: int, *, actor: Actor) -> str:
    """Delete the task; its runs and its history stay. Returns its name.

    The entry of the history has what :func:`undelete` needs, unless that holds a secret or rows of other
    apps went with the task. Raises :class:`Refused` where rows of other apps keep it.
    """
    with locked(task_id) as task:
        row = row_kept(task)
        try:
            count, _by_model = ScheduledTask.objects.filter(pk=task_id).delete()
        except (ProtectedError, RestrictedError) as error:
            message = _("%(name)s cannot be deleted: other rows of this site need it.")
            raise Refused("protected", message % {"name": task.name}) from error
        PeriodicTasks.update_changed()
        actor.log(task, deleted(task.name, row if count == 1 else None))
    return str(task.name)


def row_kept(task: ScheduledTask) -> dict[str, Any] | None:
    """What the history keeps to bring the task back: its row of django-celery-beat's table, as plain JSON.

    None where that holds a secret. A text in the row may hold more than what it is read as.
    """
    (row,) = json.loads(serializers.serialize("json", PeriodicTask.objects.filter(pk=task.pk)))
    return None if has_secret({"values": values_of(task), "row": row}) else dict(row)


def undelete(task_id: int, *, actor: Actor, entry: AuditEntry) -> ScheduledTask:
    """Bring back the task that ``entry`` says was deleted, under its id: its runs and settings are its own.

    Nothing past fires: a task that was to run once meanwhile is over. Raises :class:`Refused` where the entry
    does not have the row, the task is back already, its name is in use, its schedule is gone, or
    django-celery-beat does not let it be saved.
    """
    if entry.row is None:
        raise Refused("gone", _("The history does not have the deleted task."))
    try:
        (found,) = serializers.deserialize("python", [entry.row])
    except serializers.base.DeserializationError as error:
        raise Refused("gone", _("The history does not have the deleted task.")) from error
    fields = PeriodicTask._meta.concrete_fields
    columns = {each.attname: getattr(found.object, each.attname) for each in fields}
    task = ScheduledTask(**columns)
    there = Refused("name", _("%(name)s is there already.") % {"name": task.name})
    with made(task.name, there):
        if ScheduledTask.objects.filter(pk=task_id).update(enabled=F("enabled")):
            raise there
        refuse_used_name(task.name, task_id)
        try:
            now = database_now()
            is_past = task.clocked is not None and task.clocked.clocked_time <= now
            change(task, {"enabled": not is_past} if task.enabled else {}, now)
        except ObjectDoesNotExist as error:
            raise Refused("gone", _("The schedule of %(name)s is gone.") % {"name": task.name}) from error
        log_brought_in(Event.UNDELETED, task_id, actor)
    return task_of(task_id)


def unmake(task_id: int, *, actor: Actor, entry: AuditEntry) -> ScheduledTask:
    """Delete the task that ``entry`` says was added or restored; returns it as it was.

    Raises :class:`Refused` when it has a run since then, and :class:`Conflict` when somebody changed it.
    """
    with locked(task_id) as task:
        if newest_run(task) != entry.params["run"]:
            raise Refused("ended", _("Nothing was undone: %(name)s has a new run.") % {"name": task.name})
        if left_token(task) != entry.params["left"]:
            message = _("%(name)s was changed again meanwhile. Nothing was put back.")
            raise Conflict(message % {"name": task.name}, task)
        delete(task_id, actor=actor)
    return task
