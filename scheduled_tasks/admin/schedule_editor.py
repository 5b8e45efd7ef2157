"""The schedule editor: what a typed schedule means, and saving it."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from .. import schedules
from ..access import Action
from ..operations import AuditEntry, Conflict, Event, Refused, left_so, schedule_token
from ..typed_moments import InvalidMoment
from .conflicts import newest_entry
from .context import page_context, task_or_404
from .forms import ScheduleForm
from .permissions import AccessAdmin, requires
from .responses import CHANGES, Toast, changed, from_script
from .row import TaskRow
from .schedule_kinds import filled, schedule_form

PAGE = "admin/scheduled_tasks/schedule.html"
FRAGMENT = "admin/scheduled_tasks/_editor.html"
PREVIEW = "admin/scheduled_tasks/_preview.html"


@requires(Action.CHANGE)
def edit_schedule(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """The schedule editor: a row of the list for the script, a page of its own without it."""
    task = task_or_404(model_admin, request, pk)
    if "fill" in request.POST:
        form = schedule_form(task.task, task.now, filled(request.POST))
        form.errors.clear()  # nobody has tried to save it
        return _show(model_admin, request, task, form)
    if request.method == "POST":
        return _save(model_admin, request, task)
    return _show(model_admin, request, task, schedule_form(task.task, task.now, request.GET))


@requires(Action.CHANGE, method="GET")
def preview(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """What a typed schedule means: label, next runs, notices, or the error."""
    task = task_or_404(model_admin, request, pk)
    form = schedule_form(task.task, task.now, request.GET)
    context = {"form": form, "task": task, "skipped": _skipped(task, form)}
    return TemplateResponse(request, PREVIEW, context)


def _skipped(task: TaskRow, form: ScheduleForm) -> set[datetime]:
    """Those of the form's next runs that a maintenance skips."""
    covering = task.listed.windows.covering
    return {moment.at for moment in form.next_runs if covering(task.pk, moment.at)}


def _save(model_admin: AccessAdmin, request: HttpRequest, task: TaskRow) -> HttpResponse:
    """Save what the editor sent; refused, the typed text stays in the editor."""
    form = schedule_form(task.task, task.now, request.POST)
    if form.is_valid() and form.is_unseen:
        text = _("Not saved yet. This will be stored as %(cron)s: save again to confirm.")
        return _show(model_admin, request, task, form, refusal=text % {"cron": form.stored_as}, status=422)
    if form.is_valid():
        try:
            saved = form.save(model_admin.actor(request))
        except Conflict as conflict:
            form.compare_with(conflict.task, _conflict_text(conflict))
            return _show(model_admin, request, task, form, refusal=form.conflict, status=409)
        except (Refused, InvalidMoment) as refusal:
            form.add_error(None, str(refusal))
        else:
            text = _("%(name)s: %(schedule)s.") % {"name": saved.name, "schedule": schedules.label(saved)}
            toast = Toast(text, about=task.pk)
            return changed(model_admin, request, task.pk, toast, closed_editor=task.id)
    text = _("Schedule of %(name)s not saved. %(error)s It still runs as before: %(schedule)s.")
    text %= {"name": task.name, "error": form.error, "schedule": form.stored_label}
    return _show(model_admin, request, task, form, refusal=text, status=422)


def _show(
    model_admin: AccessAdmin,
    request: HttpRequest,
    task: TaskRow,
    form: ScheduleForm,
    *,
    refusal: str = "",
    status: int = 200,
) -> HttpResponse:
    """The editor with what was typed; the script's, which is open, only gets why it was not saved."""
    context = {
        **page_context(model_admin, request),
        "title": _("Edit schedule of %(name)s") % {"name": task.name},
        "task": task,
        "form": form,
        "skipped": _skipped(task, form),
        "toasts": [Toast(refusal, is_error=True, about=task.pk)] if refusal else [],
    }
    fragment = CHANGES if refusal else FRAGMENT
    return TemplateResponse(request, fragment if from_script(request) else PAGE, context, status=status)


def _conflict_text(conflict: Conflict) -> str:
    """What a conflict says, by name where Django's history knows who made the change."""
    task, schedule = conflict.task, schedule_token(conflict.task)

    def made_it_so(entry: AuditEntry) -> bool:
        is_put_back = left_so(task, entry, ("schedule", "timezone", "spread"))
        return is_put_back or (entry.event == Event.RESCHEDULED and entry.params.get("after") == schedule)

    person, _entry = newest_entry(task, made_it_so)
    if not person:
        return str(conflict)
    text = _("%(person)s changed the schedule of %(name)s meanwhile: it is now %(schedule)s.")
    return text % {"person": person, "name": task.name, "schedule": schedule}
