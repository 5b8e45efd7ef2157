"""Pause until: a maintenance window of one task, or of several selected ones, from a small form."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import operations
from ..access import Action
from ..models import MaintenanceWindow, ScheduledTask
from ..moments import short
from ..operations import Refused, move_maintenance_end
from ..schedules import current_zone
from .bulk_actions import chosen_tasks
from .context import admin_url, check_visible, list_url, machinery_of, task_or_404
from .maintenance import window_or_404
from .maintenance_form import SPANS, PauseForm
from .permissions import LONGEST_KEY, AccessAdmin, requires
from .responses import Toast, changed, form_page, redirect_back, with_undo
from .task_changes import task_change
from .window_row import end_to_minute

ENDED = rf"[0-9]{{1,{LONGEST_KEY}}}:\w+"
SEEN = re.compile(rf"{ENDED}(,{ENDED})*")
"""The windows that Resume now ends, each with its token: see :attr:`.row.TaskRow.resumed`."""


@requires(Action.CHANGE)
def pause_until(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """The form of Pause until for one task, and what it does; of one that is paused it moves the end."""
    form = PauseForm(request.POST if request.method == "POST" else None)
    toasts: list[Toast] = []
    if request.method == "POST":
        check_visible(model_admin, request, pk)
        try:
            window = _pause(model_admin, request, form, pk)
        except Refused as refusal:
            form.refuse(refusal)
            toasts = [Toast(str(refusal), is_error=True, about=pk)]
        else:
            name = window.members.values_list("task__name", flat=True).get(task=pk)
            return changed(model_admin, request, pk, Toast(told(window, 1, name), about=pk))
    task = task_or_404(model_admin, request, pk)
    own = task.own_windows if model_admin.admin_site.is_registered(MaintenanceWindow) else []
    moved = own[-1] if own else None
    form.initial["until"] = moved and end_to_minute(moved.window)
    address = admin_url(model_admin, "scheduled_tasks_scheduledtask_until", pk)
    title = _("Pause %(name)s") % {"name": task.name}
    return _asked(model_admin, request, title, form, toasts, action=address, moved=moved)


def _pause(model_admin: AccessAdmin, request: HttpRequest, form: PauseForm, pk: int) -> MaintenanceWindow:
    """Begin a window; where the form was opened during one of the task, move the end of that one."""
    actor, moved = model_admin.actor(request), request.POST.get("window")
    if moved is None:
        return form.save(actor, [pk])
    window, seen = window_or_404(model_admin, request, moved), request.POST.get("seen")
    form.initial["until"] = end_to_minute(window)
    if not form.is_valid():
        raise Refused("invalid", form.error)
    if not (getattr(window, "task_count", 0) == 1 and window.members.filter(task=pk).exists()):
        raise Http404(_("This maintenance no longer exists."))
    return move_maintenance_end(window.pk, actor=actor, until=form.end_now(), seen=seen)


@admin.action(description=gettext_lazy("Pause until…"), permissions=["change"])
def pause_selected(
    model_admin: AccessAdmin, request: HttpRequest, queryset: QuerySet[ScheduledTask]
) -> HttpResponse | None:
    """The same for the selected tasks, in one window."""
    pks, left_out = chosen_tasks(model_admin, request, queryset, Action.CHANGE)
    if not pks:
        return None
    form = PauseForm(request.POST if "confirmed" in request.POST else None)
    toasts: list[Toast] = []
    if form.is_bound:
        try:
            window = form.save(model_admin.actor(request), pks)
        except Refused as refusal:
            form.refuse(refusal)
            toasts = [Toast(str(refusal), is_error=True)]
        else:
            toast = with_undo(model_admin, request, Toast(told(window, len(pks))))
            return redirect_back(request, list_url(model_admin), [toast])
    title = ngettext("Pause %(n)s task", "Pause %(n)s tasks", len(pks)) % {"n": len(pks)}
    return _asked(
        model_admin,
        request,
        title,
        form,
        toasts,
        action=list_url(model_admin),
        chosen=pks,
        left_out=left_out,
    )


@task_change(Action.CHANGE)
def resume(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> Toast:
    """End what pauses this task alone: ``seen`` has its windows as the person saw them."""
    text = request.POST.get("seen", "")
    if text and not SEEN.fullmatch(text):
        raise BadRequest
    seen = {int(key): token for key, token in (each.split(":") for each in text.split(",") if each)}
    operations.resume(pk, actor=model_admin.actor(request), seen=seen or None)
    task = task_or_404(model_admin, request, pk)
    text = _("%(name)s starts on schedule again.")
    if task.window:
        text = _("The pause of %(name)s has ended. Maintenance still pauses it: the list says until when.")
    return Toast(text % {"name": task.name}, about=pk)


def told(window: MaintenanceWindow, number: int, name: str = "") -> str:
    """What is said once the tasks are paused; of a single one by its name."""
    if name:
        text = _("%(name)s is paused until %(time)s. Run now still works.")
        open_text = _("%(name)s is paused until you end it. Run now still works.")
        time = short(window.ends_at, current_zone()) if window.ends_at else ""
        return (text if time else open_text) % {"name": name, "time": time}
    if window.ends_at is None:
        text = ngettext(
            "%(n)s task is paused until you end it. Run now still works.",
            "%(n)s tasks are paused until you end it. Run now still works.",
            number,
        )
        return text % {"n": number}
    text = ngettext(
        "%(n)s task is paused until %(time)s. Run now still works.",
        "%(n)s tasks are paused until %(time)s. Run now still works.",
        number,
    )
    return text % {"n": number, "time": short(window.ends_at, current_zone())}


def _asked(
    model_admin: AccessAdmin,
    request: HttpRequest,
    title: str,
    form: PauseForm,
    toasts: Sequence[Toast],
    *,
    chosen: Collection[int] = (),
    **shown: Any,
) -> HttpResponse:
    now, zone = machinery_of(request).now, current_zone()
    spans = [(span.value, span.label, short(until, zone)) for span in SPANS if (until := span.until(now))]
    return form_page(
        model_admin,
        request,
        title,
        "_pause_until.html",
        toasts=toasts,
        status=409 if toasts else 200,
        form=form,
        spans=spans,
        chosen=ScheduledTask.objects.filter(pk__in=chosen).order_by("name"),
        checkbox=ACTION_CHECKBOX_NAME,
        **shown,
    )
