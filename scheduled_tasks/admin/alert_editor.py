"""The form that changes who is told of a task's troubles, and when: in the drawer or on a page of its own."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from ..access import Action
from ..operations import AuditEntry, Conflict, Refused, policy_token
from .alert_form import AlertForm
from .conflicts import newest_entry
from .context import admin_url, page_context, task_or_404
from .permissions import AccessAdmin, requires
from .responses import Toast, changed, from_script, refused
from .row import TaskRow


@requires(Action.CHANGE)
def edit_alerts(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """The form of a task's alerts: in the drawer for the script, a page of its own without it."""
    task = task_or_404(model_admin, request, pk)
    if request.method == "POST":
        return _save(model_admin, request, task)
    return _show(model_admin, request, task, AlertForm(task.task))


def _save(model_admin: AccessAdmin, request: HttpRequest, task: TaskRow) -> HttpResponse:
    """Save what was typed; refused, it stays in the form."""
    form = AlertForm(task.task, request.POST)
    if not form.is_valid():
        text = _("Alerts of %(name)s not saved. %(error)s") % {"name": task.name, "error": form.error}
        return _show(model_admin, request, task, form, refusal=text, status=422)
    try:
        saved = form.save(model_admin.actor(request))
    except Conflict as conflict:
        form.compare_with(conflict.task, _conflict_text(conflict, form.cleaned_data["seen"]))
        return _show(model_admin, request, task, form, refusal=form.conflict, status=409)
    except Refused as refusal:
        return refused(model_admin, request, pk=task.pk, refusal=refusal)
    toast = Toast(_("Alerts of %(name)s saved.") % {"name": saved.name}, about=task.pk)
    return changed(model_admin, request, task.pk, toast)


def _show(
    model_admin: AccessAdmin,
    request: HttpRequest,
    task: TaskRow,
    form: AlertForm,
    *,
    refusal: str = "",
    status: int = 200,
) -> HttpResponse:
    """The form with what was typed, and why it was not saved."""
    context: dict[str, Any] = {
        **page_context(model_admin, request),
        "title": _("Alerts of %(name)s") % {"name": task.name},
        "task": task,
        "form": form,
        "form_template": "admin/scheduled_tasks/_alert_form.html",
        "task_url": admin_url(model_admin, "scheduled_tasks_scheduledtask_change", task.pk),
        "toasts": [Toast(refusal, is_error=True, about=task.pk)] if refusal else [],
    }
    template = "_drawer_form.html" if from_script(request) else "form.html"
    return TemplateResponse(request, f"admin/scheduled_tasks/{template}", context, status=status)


def _conflict_text(conflict: Conflict, seen: str) -> str:
    """What a conflict says, by name where Django's history knows who made the change."""
    task = conflict.task
    now, then = json.loads(policy_token(task)), _decoded(seen)

    def made_it_so(entry: AuditEntry) -> bool:
        policy = {name: after for name, (_before, after) in entry.values.items() if name in now}
        is_current = all(now[name] == after for name, after in policy.items())
        return is_current and any(then.get(name) != after for name, after in policy.items())

    person, entry = newest_entry(task, made_it_so)
    if not person:
        return str(conflict)
    text = _("%(person)s changed the alerts of %(name)s meanwhile. %(changes)s")
    return text % {"person": person, "name": task.name, "changes": entry}


def _decoded(token: str) -> dict[str, Any]:
    try:
        found = json.loads(token)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
