"""Runs of all tasks as Django's admin registers them: the addresses of the list and of each run."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern

from ..models import TaskRun
from .context import only_visible_tasks
from .permissions import AccessAdmin, Views
from .run import show_run
from .run_changes import cancel_run, retry_failed, retry_run
from .run_export import export_runs
from .run_later import run_missed
from .run_list import show_runs
from .run_toast import show_toast


@admin.register(TaskRun)
class TaskRunAdmin(AccessAdmin):
    """Every run that was recorded, of tasks that are gone too."""

    changelist_view = show_runs
    change_view = show_run

    def get_urls(self) -> list[URLPattern]:
        views: Views = {
            "export/": ("export", export_runs),
            "retry/": ("retry_failed", retry_failed),
            "<int:pk>/retry/": ("retry", retry_run),
            "<int:pk>/cancel/": ("cancel", cancel_run),
            "<int:pk>/later/": ("later", run_missed),
            "<int:pk>/toast/": ("toast", show_toast),
        }
        return self.own_urls(views) + super().get_urls()

    def get_queryset(self, request: HttpRequest) -> QuerySet[TaskRun]:
        """Those of tasks that the tasks' own admin lets this user see; all, where it leaves out nothing."""
        runs: QuerySet[TaskRun] = super().get_queryset(request)
        tasks = only_visible_tasks(self, request)
        return runs if tasks is None else runs.filter(self.about(tasks))

    def about(self, tasks: Any) -> Q:
        return Q(task__in=tasks)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
