"""Deleting one task, or several selected ones, after a question that says what goes and what stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy

from .. import operations
from ..access import Action
from ..models import MaintenanceTask, MaintenanceWindow, ScheduledTask
from ..operations import Refused
from .bulk_actions import Tasks, chosen_tasks, do_each
from .context import list_url, machinery_of, task_or_404, visible_incidents
from .formats import and_more
from .permissions import requires
from .responses import Toast, changed, form_page, redirect_back
from .undo import NAMES_TOLD

if TYPE_CHECKING:
    from .tasks import ScheduledTaskAdmin


@requires(Action.DELETE)
def delete_task(
    model_admin: ScheduledTaskAdmin,
    request: HttpRequest,
    object_id: str,
    extra_context: dict[str, Any] | None = None,
) -> HttpResponse:
    """The question for one task, and what it asks about."""
    task = task_or_404(model_admin, request, unquote(object_id))
    title = _("Delete %(name)s?") % {"name": task.name}
    if request.method != "POST":
        return _question(model_admin, request, title, [task.task], can_change=task.can[Action.CHANGE])
    toast = Toast(_("%(name)s was deleted. Its runs stay.") % {"name": task.name}, about=task.pk)
    try:
        _refuse_others_rows(model_admin, request, [task.task])
        operations.delete(task.pk, actor=model_admin.actor(request))
    except Refused as refusal:
        return changed(model_admin, request, task.pk, Toast(str(refusal), is_error=True), status=409)
    return changed(model_admin, request, task.pk, toast)


@admin.action(description=gettext_lazy("Delete"), permissions=["delete"])
def delete_selected(
    model_admin: ScheduledTaskAdmin, request: HttpRequest, queryset: Tasks
) -> HttpResponse | None:
    """The same for the selected tasks."""
    pks, left_out = chosen_tasks(model_admin, request, queryset, Action.DELETE)
    if not pks:
        return None
    tasks = list(ScheduledTask.objects.with_schedules().filter(pk__in=pks).order_by("name"))
    if "confirmed" not in request.POST:
        title = ngettext("Delete %(n)s task?", "Delete %(n)s tasks?", len(pks)) % {"n": len(pks)}
        return _question(model_admin, request, title, tasks, checkbox=ACTION_CHECKBOX_NAME, left_out=left_out)
    told = ngettext_lazy("%(n)s task was deleted.", "%(n)s tasks were deleted.", "n")
    try:
        _refuse_others_rows(model_admin, request, tasks)
        toasts = do_each(model_admin, request, pks, operations.delete, told)
    except Refused as refusal:
        toasts = [Toast(str(refusal), is_error=True)]
    return redirect_back(request, list_url(model_admin), toasts)


def _refuse_others_rows(
    model_admin: ScheduledTaskAdmin, request: HttpRequest, tasks: Sequence[ScheduledTask]
) -> None:
    """Raise :class:`Refused` for rows of other apps that keep a task, or that this person may not delete."""
    _shown, _counts, needed, protected = model_admin.get_deleted_objects(tasks, request)
    if needed or protected:
        names = ", ".join(sorted(map(str, needed or protected)))
        raise Refused("protected", _("Nothing was deleted: other rows need it (%(rows)s).") % {"rows": names})


def _question(
    model_admin: ScheduledTaskAdmin,
    request: HttpRequest,
    title: str,
    tasks: Sequence[ScheduledTask],
    **shown: Any,
) -> HttpResponse:
    _all, counts, _needed, _protected = model_admin.get_deleted_objects(tasks, request)
    own = str(model_admin.opts.verbose_name_plural)
    return form_page(
        model_admin,
        request,
        title,
        "_delete.html",
        tasks=tasks,
        others=[f"{name}: {count}" for name, count in counts.items() if name != own],
        stays=_stays(model_admin, request, tasks),
        **shown,
    )


def _stays(
    model_admin: ScheduledTaskAdmin, request: HttpRequest, tasks: Sequence[ScheduledTask]
) -> list[str]:
    """What becomes of their incidents and maintenance, and whether Restore will work: a sentence each."""
    pks, now = [task.pk for task in tasks], machinery_of(request).now
    incidents = visible_incidents(model_admin, request).filter(task__in=pks, open_key__isnull=False).count()
    named = MaintenanceTask.objects.filter(task__in=pks).values("window")
    windows = MaintenanceWindow.objects.not_over_at(now).filter(pk__in=named).count()
    lost = [task.name for task in tasks if operations.row_kept(task) is None]
    told = [_("Past runs and incidents stay listed, and a run under way goes on.")]
    if incidents:
        text = ngettext(
            "%(n)s open incident is closed; nobody is told.",
            "%(n)s open incidents are closed; nobody is told.",
            incidents,
        )
        told.append(text % {"n": incidents})
    if windows:
        text = ngettext(
            "%(n)s pause or maintenance window stays, and pauses a restored task until its end.",
            "%(n)s pauses or maintenance windows stay, and pause a restored task until their end.",
            windows,
        )
        told.append(text % {"n": windows})
    if lost:
        names = and_more(", ".join(lost[:NAMES_TOLD]), len(lost) - NAMES_TOLD)
        text = _("No Restore for %(names)s: arguments hold a secret, which the history does not keep.")
        told.append(text % {"names": names})
    if len(lost) < len(tasks):
        told.append(_("“Deleted tasks”, below the list, has Restore."))
    return told
