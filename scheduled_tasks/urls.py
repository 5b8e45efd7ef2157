"""The short route: ``path("admin/scheduled-tasks/", include("scheduled_tasks.urls"))`` above ``admin/``."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

app_name = "scheduled_tasks"
urlpatterns = [
    path(
        "",
        RedirectView.as_view(
            pattern_name="admin:scheduled_tasks_scheduledtask_changelist", query_string=True
        ),
        name="tasks",
    ),
]
