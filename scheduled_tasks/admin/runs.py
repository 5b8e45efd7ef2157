"""Runs of all tasks: the list, and each run's permanent address."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from .. import operations, schedules
from ..access import Action
from ..models import ScheduledTask, TaskRun, database_now
from ..operations import Refused
from .changes import outside_transactions
from .forms import RunForm
from .gate import GatedAdmin, needs
from .reply import Toast, back, from_script
from .run import RunDetails
from .runlist import RunList
from .words import script_words

NAMES = 500
"""Task names the filter suggests."""


@admin.register(TaskRun)
class TaskRunAdmin(GatedAdmin):
    """Every run that was recorded, of tasks that are gone too."""

    list_template = "admin/scheduled_tasks/run_list.html"
    run_template = "admin/scheduled_tasks/run.html"
    changes_template = "admin/scheduled_tasks/_changes.html"
    body_template = "admin/scheduled_tasks/_run_body.html"

    search_fields = ("=name",)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path("export/", view(self.export_view), name=f"{prefix}_export"),
            path("<int:pk>/retry/", view(self.retry_view), name=f"{prefix}_retry"),
            path("<int:pk>/cancel/", view(self.cancel_view), name=f"{prefix}_cancel"),
        ]
        return own + super().get_urls()

    def get_queryset(self, request: HttpRequest) -> QuerySet[TaskRun]:
        return TaskRun.objects.defer("args", "kwargs", "summary", "error", "traceback", "log", "progress")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @needs(Action.VIEW)
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Who ran what when: every run, newest first, under the filters of the address."""
        now = database_now()
        context = {
            **self.page_context(request, now),
            "title": _("Task runs"),
            "runs": RunList(request.GET, now),
            "names": ScheduledTask.objects.order_by("name").values_list("name", flat=True)[:NAMES],
            **(extra_context or {}),
        }
        return TemplateResponse(request, self.list_template, context)

    @needs(Action.VIEW, method="GET")
    def export_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """Every run under the filters as a file: ``format`` is ``csv`` or ``json``."""
        runs = RunList(request.GET, database_now())
        kind = "json" if request.GET.get("format") == "json" else "csv"
        lines, content_type = (
            (runs.json(), "application/json") if kind == "json" else (runs.csv(), "text/csv")
        )
        response = StreamingHttpResponse(lines, content_type=f"{content_type}; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="task-runs.{kind}"'
        return response

    @needs(Action.VIEW)
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One run in full: a page of its own, or the body of a row for the script."""
        run = _run_or_404(unquote(object_id))
        task = run.task_or_none
        zone = schedules.zone(task) if task else schedules.current_zone()
        now = database_now()
        request.current_app = self.admin_site.name
        context = {
            "opts": self.opts,
            "details": RunDetails(run, zone, now),
            "task": task,
            "now": now,
            "can_run": self.may(request, Action.RUN),
        }
        if from_script(request):
            return TemplateResponse(request, self.body_template, context)
        page = {**self.page_context(request, now), **context, "title": str(run), **(extra_context or {})}
        return TemplateResponse(request, self.run_template, page)

    def page_context(self, request: HttpRequest, now: datetime) -> dict[str, Any]:
        """What a whole page reads."""
        request.current_app = self.admin_site.name
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "now": now,
            "list_url": self.list_url(),
            "script_words": json.dumps(script_words()),
        }

    def list_url(self) -> str:
        """The list's address on this admin site."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
        return reverse(name, current_app=self.admin_site.name)

    @outside_transactions
    @needs(Action.RUN, method="POST")
    def retry_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Run the same again; the form's ``run`` is the new run's Celery task id."""
        key = RunForm.sent(request.POST).key
        return self.answer(
            request,
            pk,
            lambda: operations.retry(pk, actor=self.actor(request), celery_id=key),
            _("%(name)s is queued again."),
        )

    @outside_transactions
    @needs(Action.RUN, method="POST")
    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Cancel a run that waits; stop one that is under way, where its worker can."""
        return self.answer(
            request,
            pk,
            lambda: operations.cancel(pk, actor=self.actor(request)),
            _("The run of %(name)s is being cancelled."),
        )

    def answer(self, request: HttpRequest, pk: int, do: Callable[[], TaskRun], told: str) -> HttpResponse:
        """Do something to a run and say how that went: by a toast, or a message on the way back."""
        try:
            run = do()
        except Refused as refusal:
            toast = Toast(str(refusal), self.run_link(refusal.run), is_error=True)
        else:
            toast = Toast(told % {"name": run.name}, self.run_link(run))
        if from_script(request):
            status = 409 if toast.is_error else 200
            return TemplateResponse(request, self.changes_template, {"toasts": [toast]}, status=status)
        return back(request, self.list_url(), [toast])


def _run_or_404(pk: str) -> TaskRun:
    try:
        return TaskRun.objects.get(pk=int(pk))
    except (ValueError, OverflowError, TaskRun.DoesNotExist) as error:
        raise Http404(_("This run does not exist any more.")) from error
