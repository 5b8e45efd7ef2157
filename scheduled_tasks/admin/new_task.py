"""Making a task on the page, from nothing or as a copy of another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from .. import schedules
from ..access import Action
from ..operations import Refused
from .context import list_url, machinery_of, page_context, task_or_404, visible_tasks
from .new_task_form import NewTaskForm, name_of, unscheduled, used_name_error
from .owners_and_tags import OwnersAndTags
from .permissions import requires
from .responses import Toast, from_script, redirect_back, with_undo
from .schedule_kinds import filled, schedule_form

if TYPE_CHECKING:
    from ..models import ScheduledTask
    from .tasks import ScheduledTaskAdmin

NEW = {"id": "new"}
"""What the templates of the schedule editor read of a task that is not there yet."""


@requires(Action.ADD)
def add_task(
    model_admin: ScheduledTaskAdmin,
    request: HttpRequest,
    form_url: str = "",
    extra_context: dict[str, Any] | None = None,
) -> HttpResponse:
    """The form of a new task; ``source`` is the key of the task that it is a copy of.

    Sent along, ``fill`` is another schedule, ``switch`` asks for the other form of the arguments, and
    ``choose`` for that of the Celery task that was chosen.
    """
    key = request.GET.get("source")
    source = task_or_404(model_admin, request, key) if key else None
    if source and not source.can[Action.ADD]:
        raise PermissionDenied
    machinery, labels = machinery_of(request), OwnersAndTags.of(visible_tasks(model_admin, request))
    if request.method != "POST":
        return _show(model_admin, request, NewTaskForm(None, machinery, source, labels))
    if request.POST.keys() & {"fill", "switch", "choose"}:
        switches = "switch" in request.POST
        form = NewTaskForm(filled(request.POST), machinery, source, labels, switches=switches)
        form.forget_errors(of_arguments=not switches)
        return _show(model_admin, request, form)
    return _save(model_admin, request, NewTaskForm(request.POST, machinery, source, labels))


@requires(Action.ADD, method="GET")
def preview_new(model_admin: ScheduledTaskAdmin, request: HttpRequest) -> HttpResponse:
    """What a typed schedule of a new task means, and whether its name is in use."""
    task = unscheduled()
    task.name = name_of(request.GET)
    form = schedule_form(task, machinery_of(request).now, request.GET)
    context = {"form": form, "task": NEW, "name_error": used_name_error(task.name)}
    return TemplateResponse(request, "admin/scheduled_tasks/_new_task_preview.html", context)


def _save(model_admin: ScheduledTaskAdmin, request: HttpRequest, form: NewTaskForm) -> HttpResponse:
    """Save what was typed; refused, it stays in the form."""
    if not form.is_ready:
        return _show(
            model_admin, request, form, refusal=_("Not saved yet. Each field that needs a change says so.")
        )
    if form.schedule.is_unseen:
        text = _("Not saved yet. This will be stored as %(cron)s: save again to confirm.")
        return _show(model_admin, request, form, refusal=text % {"cron": form.schedule.stored_as})
    try:
        made = form.save(model_admin.actor(request))
    except Refused as refusal:
        form.add_error("name" if refusal.code == "name" else None, str(refusal))
        return _show(model_admin, request, form, refusal=str(refusal))
    seen = visible_tasks(model_admin, request).filter(pk=made.pk).exists()
    fallback = f"{list_url(model_admin)}#task={made.pk}" if seen else list_url(model_admin)
    toast = with_undo(model_admin, request, Toast(_told(made, form), about=made.pk))
    return redirect_back(request, fallback, [toast])


def _told(made: ScheduledTask, form: NewTaskForm) -> str:
    text = _("%(name)s was added: %(schedule)s.") % {"name": made.name, "schedule": schedules.label(made)}
    if not made.enabled:
        text += " " + _("It is disabled.")
    if form.known is None:
        text += " " + _("No worker is running that could say whether it knows %(task)s.") % {
            "task": made.task
        }
    return text


def _show(
    model_admin: ScheduledTaskAdmin, request: HttpRequest, form: NewTaskForm, *, refusal: str = ""
) -> HttpResponse:
    context = {
        **page_context(model_admin, request),
        "title": _("Add scheduled task"),
        "form": form,
        "task": NEW,
        "form_template": "admin/scheduled_tasks/_new_task.html",
        "toasts": [Toast(refusal, is_error=True)] if refusal else [],
    }
    template = "_new_task_arguments.html" if from_script(request) else "form.html"
    status = 422 if refusal else 200
    return TemplateResponse(request, f"admin/scheduled_tasks/{template}", context, status=status)
