"""Undo in the message of a change, and Restore in a task's history: both put back what the log tells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import operations, schedules
from ..access import Action
from ..models import MaintenanceTask, MaintenanceWindow, ScheduledTask
from ..operations import Actor, AuditEntry, Conflict, Event, Refused
from .conflicts import newest_entry
from .context import check_visible, list_url, visible_tasks
from .deleted_tasks import may_undelete
from .formats import and_more
from .permissions import LONGEST_KEY, AccessAdmin, requires
from .responses import Toast, from_script, redirect_back, row_fragments, with_undo

if TYPE_CHECKING:
    from .tasks import ScheduledTaskAdmin

MOST_ENTRIES = 200
"""Entries of one form: as many as one action on selected tasks writes."""

NAMES_TOLD = 3
"""Tasks that a message names."""

ENTRY = re.compile(rf"([0-9]{{1,{LONGEST_KEY}}})(?::(\w+))?")
"""The key of an entry in Django's history, and for Restore the token of what the person saw."""


@requires(Action.CHANGE, method="POST")
def put_back(model_admin: AccessAdmin, request: HttpRequest) -> HttpResponse:
    """Undo the changes of ``entry``, keys of the history with commas between; or restore, ``key:token``."""
    texts = request.POST.get("entry", "").split(",")[:MOST_ENTRIES]
    asked = [_asked(model_admin, request, each) for each in texts]  # all, before anything is changed
    done: dict[int, ScheduledTask] = {}
    toasts: list[Toast] = []
    for each in asked:
        try:
            done |= _put_back(model_admin.actor(request), each)
        except Refused as refusal:
            toasts.append(Toast(_why_not(refusal, each.entry), is_error=True, about=each.pks[0]))
    if done:
        told = _told(done, [each.entry for each in asked])
        toasts.insert(0, with_undo(model_admin, request, told))
    if not from_script(request):
        return redirect_back(request, list_url(model_admin), toasts)
    status = 200 if done else 409
    return row_fragments(model_admin, request, [*done], toasts, status=status)


@dataclass(frozen=True)
class Asked:
    """An entry of the history that is to be undone: its tasks, and for Restore what the person saw."""

    pks: list[int]
    entry: AuditEntry
    seen: str | None


def _put_back(actor: Actor, asked: Asked) -> dict[int, ScheduledTask]:
    pk, entry = asked.pks[0], asked.entry
    if entry.event == Event.DELETED:
        return {pk: operations.undelete(pk, actor=actor, entry=entry)}
    if entry.can_unmake:
        return {pk: operations.unmake(pk, actor=actor, entry=entry)}
    task = operations.restore(pk, actor=actor, entry=entry, seen=asked.seen)
    others = ScheduledTask.objects.with_schedules().in_bulk(asked.pks[1:])
    return {pk: task, **others}


def _asked(model_admin: AccessAdmin, request: HttpRequest, text: str) -> Asked:
    """What the text names, where this request may put that back."""
    match = ENTRY.fullmatch(text)
    if match is None:
        raise BadRequest
    logged = LogEntry.objects.filter(pk=int(match[1])).first()
    entry = AuditEntry.of(logged.change_message) if logged else None
    if logged is None or entry is None or not str(logged.object_id).isdecimal():
        raise BadRequest
    key = int(str(logged.object_id))
    if logged.content_type == get_content_type_for_model(MaintenanceWindow) and entry.can_end_window:
        return Asked(_paused(model_admin, request, key), entry, None)
    if logged.content_type != get_content_type_for_model(ScheduledTask):
        raise BadRequest
    if entry.event == Event.DELETED and not may_undelete(model_admin, request, logged):
        raise PermissionDenied
    same = LogEntry.objects.filter(content_type=logged.content_type, object_id=logged.object_id)
    if entry.event == Event.DELETED and same.filter(action_flag=DELETION, pk__gt=logged.pk).exists():
        raise BadRequest  # only the last deletion of a task can be undone
    check_visible(model_admin, request, key)
    needed = (Action.CHANGE, Action.DELETE) if entry.can_unmake else (Action.CHANGE,)
    if any(not model_admin.may(request, each) or model_admin.refuses(request, each, key) for each in needed):
        raise PermissionDenied
    return Asked([key], entry, match[2])


def _paused(model_admin: AccessAdmin, request: HttpRequest, window: int) -> list[int]:
    """The tasks of a maintenance window, all of which this request may change."""
    members = MaintenanceTask.objects.filter(window=window).values("task")
    pks = sorted(ScheduledTask.objects.filter(pk__in=members).values_list("pk", flat=True))
    if model_admin.granted(request, Action.CHANGE).filter(pk__in=pks).count() != len(pks):
        raise PermissionDenied
    if not pks:
        raise BadRequest
    return pks


def _told(done: dict[int, ScheduledTask], undone: Sequence[AuditEntry]) -> Toast:
    is_back = all(each.event == Event.DELETED for each in undone)
    if len(done) == 1:
        ((pk, task),) = done.items()
        text = _("%(name)s is as it was before that change.")
        if is_back:
            text = _("%(name)s is back: %(schedule)s.")
        elif undone[0].can_unmake:
            text = _("%(name)s was deleted.")
        return Toast(text % {"name": task.name, "schedule": schedules.label(task)}, about=pk)
    text = ngettext("%(n)s task is as it was before.", "%(n)s tasks are as they were before.", len(done))
    if is_back:
        text = ngettext("%(n)s task is back: %(names)s.", "%(n)s tasks are back: %(names)s.", len(done))
    names = [each.name for each in done.values()]
    told = and_more(", ".join(names[:NAMES_TOLD]), len(names) - NAMES_TOLD)
    return Toast(text % {"n": len(done), "names": told})


def _why_not(refusal: Refused, entry: AuditEntry) -> str:
    """What is told instead, by name where Django's history knows who changed the same meanwhile."""
    if not isinstance(refusal, Conflict):
        return str(refusal)
    task = refusal.task
    person, other = newest_entry(task, lambda each: operations.left_so(task, each, entry.values))
    if not person:
        return str(refusal)
    text = _("Nothing was put back: %(person)s changed %(name)s meanwhile. %(changes)s")
    return text % {"person": person, "name": task.name, "changes": other}


def restorable(task: ScheduledTask, logged_pk: int, entry: AuditEntry | None) -> str:
    """What Restore beside this entry of the task's history sends; empty where there is nothing to offer."""
    if entry is None or not operations.can_restore(task, entry):
        return ""
    return f"{logged_pk}:{operations.restore_token(task, entry)}"


def offer_restore(model_admin: ScheduledTaskAdmin, request: HttpRequest, pk: str, logged: Any) -> None:
    """Give each of these entries of one task's history the value of its Restore button."""
    task = visible_tasks(model_admin, request).with_schedules().filter(pk=pk).first()
    if task is None:
        return
    for each in logged:
        each.restorable = restorable(task, each.pk, AuditEntry.of(each.change_message))
