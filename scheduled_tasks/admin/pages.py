"""What every page and fragment of the tasks' admin has in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django_celery_beat.models import PeriodicTask

from .. import overview
from ..access import Action
from ..recent import RECENT_RUNS
from .forms import ScheduleForm
from .gate import GatedAdmin
from .per_request import facts_of
from .reply import Toast, from_script
from .row import TaskRow
from .words import script_words


class TaskPages(GatedAdmin):
    """Addresses, contexts and the schedule editor."""

    schedule_template = "admin/scheduled_tasks/schedule.html"
    editor_template = "admin/scheduled_tasks/_editor.html"

    def row_or_404(self, request: HttpRequest, pk: object, runs: int = RECENT_RUNS) -> TaskRow:
        """The task's row with that many of its newest runs. Raises Http404 when there is no such task."""
        try:
            row = overview.row(int(str(pk)), facts_of(request), runs)
        except (ValueError, OverflowError):
            row = None
        if row is None:
            raise Http404(_("This task does not exist any more."))
        return TaskRow(row)

    def list_url(self) -> str:
        """The list's address on this admin site."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
        return reverse(name, current_app=self.admin_site.name)

    def may_use_beat(self, request: HttpRequest) -> bool:
        """Whether the request's user may change tasks in django-celery-beat's own admin."""
        beat_admin = self.admin_site._registry.get(PeriodicTask)
        return beat_admin is not None and beat_admin.has_change_permission(request)

    def beat_url(self, request: HttpRequest) -> str:
        """The list of django-celery-beat's own admin, for those who may use it; empty otherwise."""
        if not self.may_use_beat(request):
            return ""
        return reverse("admin:django_celery_beat_periodictask_changelist", current_app=self.admin_site.name)

    def fragment_context(self, request: HttpRequest) -> dict[str, Any]:
        """What every template of this admin reads, fragments included."""
        request.current_app = self.admin_site.name
        return {
            "opts": self.opts,
            "now": facts_of(request).now,
            "can_change": self.may(request, Action.CHANGE),
            "can_run": self.may(request, Action.RUN),
            "list_url": self.list_url(),
            "beat_url": self.beat_url(request),
        }

    def page_context(self, request: HttpRequest) -> dict[str, Any]:
        """What a whole page reads besides."""
        return {
            **self.admin_site.each_context(request),
            **self.fragment_context(request),
            "script_words": json.dumps(script_words()),
        }

    def show_editor(
        self,
        request: HttpRequest,
        task: TaskRow,
        form: ScheduleForm,
        *,
        toasts: Sequence[Toast] = (),
        status: int = 200,
    ) -> HttpResponse:
        """The editor with what was typed."""
        context = {
            "toasts": toasts,
            **self.page_context(request),
            "title": _("Edit schedule of %(name)s") % {"name": task.name},
            "task": task,
            "form": form,
        }
        template = self.editor_template if from_script(request) else self.schedule_template
        return TemplateResponse(request, template, context, status=status)

    def show_form(self, request: HttpRequest, task: TaskRow, title: str, form: str) -> HttpResponse:
        """A small form about one task; ``form`` is its template. In the drawer, or on a page of its own."""
        context = {**self.page_context(request), "title": title, "task": task, "form_template": form}
        template = "_drawer_form.html" if from_script(request) else "form.html"
        return TemplateResponse(request, f"admin/scheduled_tasks/{template}", context)
