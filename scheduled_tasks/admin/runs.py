"""Runs of all tasks as Django's admin registers them: the addresses of the list and of each run."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern

from ..models import TaskRun
from .permissions import AccessAdmin, Views
from .run import cancel_run, retry_run, show_run
from .run_export import export_runs
from .run_list import show_runs


@admin.register(TaskRun)
class TaskRunAdmin(AccessAdmin):
    """Every run that was recorded, of tasks that are gone too."""

    changelist_view = show_runs
    change_view = show_run

    def get_urls(self) -> list[URLPattern]:
        views: Views = {
            "export/": ("export", export_runs),
            "<int:pk>/retry/": ("retry", retry_run),
            "<int:pk>/cancel/": ("cancel", cancel_run),
        }
        return self.own_urls(views) + super().get_urls()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
