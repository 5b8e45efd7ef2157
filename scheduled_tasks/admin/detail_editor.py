"""The form that changes a task's details: in the drawer or on a page of its own."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from ..access import Action
from ..operations import DETAILS, Conflict, Refused, left_so
from .conflicts import newest_entry
from .context import admin_url, page_context, task_or_404, visible_tasks
from .detail_form import DetailForm
from .owners_and_tags import OwnersAndTags
from .permissions import AccessAdmin, requires
from .responses import Toast, changed, from_script, refused
from .row import TaskRow


@requires(Action.CHANGE)
def edit_details(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """The form of a task's owner, tags, priority, start and end."""
    task = task_or_404(model_admin, request, pk)
    labels = OwnersAndTags.of(visible_tasks(model_admin, request))
    typed = request.POST if request.method == "POST" else None
    form = DetailForm(task.task, task.now, labels, typed)
    return (_show if typed is None else _save)(model_admin, request, task, form)


def _save(model_admin: AccessAdmin, request: HttpRequest, task: TaskRow, form: DetailForm) -> HttpResponse:
    """Save what was typed; refused, it stays in the form."""
    if not form.is_valid():
        text = _("Details of %(name)s not saved. %(error)s") % {"name": task.name, "error": form.error}
        return _show(model_admin, request, task, form, refusal=text, status=422)
    try:
        saved = form.save(model_admin.actor(request))
    except Conflict as conflict:
        form.compare_with(conflict.task, _conflict_text(conflict))
        return _show(model_admin, request, task, form, refusal=form.conflict, status=409)
    except Refused as refusal:
        return refused(model_admin, request, pk=task.pk, refusal=refusal)
    toast = Toast(_("Details of %(name)s saved.") % {"name": saved.name}, about=task.pk)
    return changed(model_admin, request, task.pk, toast)


def _show(
    model_admin: AccessAdmin,
    request: HttpRequest,
    task: TaskRow,
    form: DetailForm,
    *,
    refusal: str = "",
    status: int = 200,
) -> HttpResponse:
    """The form with what was typed, and why it was not saved."""
    context: dict[str, Any] = {
        **page_context(model_admin, request),
        "title": _("Details of %(name)s") % {"name": task.name},
        "task": task,
        "form": form,
        "form_template": "admin/scheduled_tasks/_detail_form.html",
        "task_url": admin_url(model_admin, "scheduled_tasks_scheduledtask_change", task.pk),
        "toasts": [Toast(refusal, is_error=True, about=task.pk)] if refusal else [],
    }
    template = "_drawer_form.html" if from_script(request) else "form.html"
    return TemplateResponse(request, f"admin/scheduled_tasks/{template}", context, status=status)


def _conflict_text(conflict: Conflict) -> str:
    """What a conflict says, by name where Django's history knows who made the change."""
    person, entry = newest_entry(conflict.task, lambda each: left_so(conflict.task, each, DETAILS))
    if not person:
        return str(conflict)
    text = _("%(person)s changed the details of %(name)s meanwhile. %(changes)s")
    return text % {"person": person, "name": conflict.task.name, "changes": entry}
