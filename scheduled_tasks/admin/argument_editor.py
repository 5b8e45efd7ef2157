"""The form that changes a task's own arguments: in the drawer or on a page of its own."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from .. import operations
from ..access import Action
from ..models import ScheduledTask
from ..operations import AuditEntry, Conflict, Event, Refused, arguments_token, left_so
from .argument_form import AnyArgumentForm, argument_form, refuse_masks
from .conflicts import newest_entry
from .context import admin_url, task_or_404
from .permissions import AccessAdmin, requires
from .responses import Toast, changed, form_page
from .row import TaskRow


@requires(Action.CHANGE)
def edit_arguments(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """The form of a task's arguments; with ``switch`` sent along, the other form with the same content."""
    task = task_or_404(model_admin, request, pk)
    switches, own = "switch" in request.POST, (task.own_args, task.own_kwargs)
    form = argument_form(task.listed.machinery, task.task.task, *own, request.POST, switches=switches)
    seen = request.POST.get("seen") or arguments_token(task.task)
    is_saved = request.method == "POST" and not switches
    if not is_saved or not form.is_valid() or refuse_masks(form, task.task):
        conflict = _conflict_text(task.task) if seen != arguments_token(task.task) else ""
        status = 422 if form.errors else 200
        return _show(model_admin, request, task, form, seen=seen, conflict=conflict, status=status)
    return _save(model_admin, request, task, form, seen)


def _save(
    model_admin: AccessAdmin, request: HttpRequest, task: TaskRow, form: AnyArgumentForm, seen: str
) -> HttpResponse:
    """Save what was typed; refused, it stays in the form."""
    try:
        operations.set_arguments(task.pk, actor=model_admin.actor(request), seen=seen, **form.arguments)
    except Conflict as conflict:
        text = _conflict_text(conflict.task)
        return _show(model_admin, request, task, form, seen=seen, conflict=text, status=409)
    except Refused as refusal:
        return _show(model_admin, request, task, form, seen=seen, refusal=str(refusal), status=409)
    toast = Toast(_("Arguments of %(name)s saved.") % {"name": task.name}, about=task.pk)
    return changed(model_admin, request, task.pk, toast)


def _show(
    model_admin: AccessAdmin,
    request: HttpRequest,
    task: TaskRow,
    form: AnyArgumentForm,
    *,
    seen: str,
    status: int,
    conflict: str = "",
    refusal: str = "",
) -> HttpResponse:
    """The form with what was typed, and why it was not saved."""
    told = conflict or refusal
    return form_page(
        model_admin,
        request,
        _("Arguments of %(name)s") % {"name": task.name},
        "_argument_form.html",
        toasts=[Toast(told, is_error=True, about=task.pk)] if told else [],
        status=status,
        task=task,
        form=form,
        seen=seen,
        stored=arguments_token(task.task),
        conflict=conflict,
        task_url=admin_url(model_admin, "scheduled_tasks_scheduledtask_change", task.pk),
    )


def _conflict_text(task: ScheduledTask) -> str:
    """What a conflict says, by name where Django's history knows who made the change."""

    def made_it_so(entry: AuditEntry) -> bool:
        return entry.event == Event.ARGUMENTS and left_so(task, entry, [*entry.values])

    person, entry = newest_entry(task, made_it_so)
    if not person:
        return _("Somebody changed the arguments of %(name)s meanwhile.") % {"name": task.name}
    text = _("%(person)s changed the arguments of %(name)s meanwhile. %(changes)s")
    return text % {"person": person, "name": task.name, "changes": entry}
