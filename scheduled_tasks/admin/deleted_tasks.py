"""Tasks that were deleted: their list and the history of each, with Restore while the history has the row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from .. import moments, schedules
from ..access import Action
from ..models import ScheduledTask
from ..operations import AuditEntry, Event
from .context import admin_url, only_visible_tasks, page_context
from .permissions import LONGEST_KEY, AccessAdmin, requires

MOST_DELETED = 100
"""Deletions that are listed, the newest ones."""

MOST_ENTRIES = 100
"""Entries of a deleted task's history, the newest ones."""

NEEDED = (Action.CHANGE, Action.DELETE)
"""What Restore of a deleted task needs, as its Undo does."""


def may_see_deleted(model_admin: AccessAdmin, request: HttpRequest, logged: LogEntry) -> bool:
    """Whether this request may read about the deleted task of an entry.

    No policy can be asked about it: who does not see all tasks reads of what they deleted themselves.
    """
    return logged.user_id == request.user.pk or only_visible_tasks(model_admin, request) is None


def may_undelete(model_admin: AccessAdmin, request: HttpRequest, logged: LogEntry) -> bool:
    """Whether this request may bring back the task of which an entry tells that it was deleted."""
    if not all(model_admin.may(request, action) for action in NEEDED):
        return False
    if logged.user_id == request.user.pk:
        return True
    return all(only_visible_tasks(model_admin, request, each) is None for each in (Action.VIEW, *NEEDED))


@requires(Action.VIEW, method="GET")
def show_deleted(model_admin: AccessAdmin, request: HttpRequest) -> HttpResponse:
    """The newest deletions, each with the task's name, and Restore."""
    found = _entries().filter(action_flag=DELETION)
    if only_visible_tasks(model_admin, request) is not None:  # as may_see_deleted()
        found = found.filter(user=request.user.pk)
    newest = [*found.order_by("-pk")[: MOST_DELETED + 1]]
    more = {"is_list": True, "has_more": len(newest) > MOST_DELETED}
    return _listed(model_admin, request, _("Deleted tasks"), newest[:MOST_DELETED], **more)


def show_history_of_deleted(model_admin: AccessAdmin, request: HttpRequest, key: str) -> HttpResponse | None:
    """The history of a deleted task; None for a task that is there, or never was."""
    if not key.isdecimal() or len(key) > LONGEST_KEY or ScheduledTask.objects.filter(pk=key).exists():
        return None
    entries = list(_entries().filter(object_id=key).order_by("-pk")[:MOST_ENTRIES])
    deletion = next((each for each in entries if each.action_flag == DELETION), None)
    if deletion is None or not may_see_deleted(model_admin, request, deletion):
        return None
    title = _("Change history: %(name)s") % {"name": deletion.object_repr}
    parent = {
        "parent_url": admin_url(model_admin, "scheduled_tasks_scheduledtask_deleted"),
        "parent_title": _("Deleted tasks"),
    }
    return _listed(model_admin, request, title, entries, **parent)


def _entries() -> QuerySet[LogEntry]:
    kind = get_content_type_for_model(ScheduledTask)
    return LogEntry.objects.filter(content_type=kind).select_related("user")


def _listed(
    model_admin: AccessAdmin, request: HttpRequest, title: str, entries: Sequence[LogEntry], **more: Any
) -> HttpResponse:
    keys = {int(key) for each in entries if (key := str(each.object_id)).isdecimal()}
    told = {str(pk) for pk in ScheduledTask.objects.filter(pk__in=keys).values_list("pk", flat=True)}
    rows = []
    for each in entries:  # the newest first: only the last deletion of a task can be undone
        is_last = each.action_flag == DELETION and str(each.object_id) not in told
        if is_last:
            told.add(str(each.object_id))
        rows.append(LoggedRow(each, can_restore=is_last and may_undelete(model_admin, request, each)))
    context = {**page_context(model_admin, request), "title": title, "rows": rows, **more}
    return TemplateResponse(request, "admin/scheduled_tasks/deleted.html", context)


class LoggedRow:
    """One entry of the history of a task that was deleted."""

    def __init__(self, logged: LogEntry, *, can_restore: bool) -> None:
        entry = AuditEntry.of(logged.change_message)
        has_row = entry is not None and entry.event == Event.DELETED and entry.row is not None
        self.pk = logged.pk
        self.task_id = str(logged.object_id)
        self.name = logged.object_repr
        self.person = logged.user.get_username()
        self.time = moments.exact(logged.action_time, schedules.current_zone())
        self.text = str(entry or logged.get_change_message())
        self.restorable = str(logged.pk) if can_restore and has_row else ""
        self.is_lost = can_restore and not has_row
