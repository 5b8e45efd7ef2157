"""The Scheduled tasks page as Django's admin registers it: addresses, columns, what projects may override."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..access import Action
from ..models import ScheduledTask
from ..reading.tasks import tasks
from . import alert_editor, bulk_actions, schedule_editor, task_changes
from .context import fragment_context
from .formats import script_words
from .permissions import AccessAdmin, Views, requires
from .refresh import refresh
from .responses import from_script
from .task import show_task
from .task_list import LAST_DURATION, LAST_STARTED, StateFilter, TaskChangeList, TaskPaginator
from .timeline import show_timeline


def _column(text: Any, ordering: Any = None) -> Any:
    """A column of the list: its head and what it is sorted by. The rows come from a template."""

    @admin.display(description=text, ordering=ordering)
    def column(model_admin: Any, task: ScheduledTask) -> str:
        return ""

    return column


@admin.register(ScheduledTask)
class ScheduledTaskAdmin(AccessAdmin):
    """Every recurring job: what it is, when it runs next, whether it ran and how it ended."""

    change_list_template = "admin/scheduled_tasks/task_list.html"
    task_template = "admin/scheduled_tasks/task.html"
    drawer_template = "admin/scheduled_tasks/_drawer.html"
    poll_template = "admin/scheduled_tasks/_poll.html"
    timeline_template = "admin/scheduled_tasks/timeline.html"

    list_display = ("name", "schedule", "next_run", "last_run", "duration", "status")
    list_filter = (StateFilter,)
    search_fields = ("name", "task", "description")
    paginator = TaskPaginator
    list_per_page = 50
    list_max_show_all = 100
    show_full_result_count = False
    actions = (bulk_actions.run_selected, bulk_actions.enable_selected, bulk_actions.disable_selected)

    change_view = show_task

    def get_urls(self) -> list[URLPattern]:
        views: Views = {
            "rows/": ("rows", refresh),
            "timeline/": ("timeline", show_timeline),
            "<int:pk>/schedule/": ("schedule", schedule_editor.edit_schedule),
            "<int:pk>/schedule/preview/": ("preview", schedule_editor.preview),
            "<int:pk>/alerts/": ("alerts", alert_editor.edit_alerts),
            "<int:pk>/enabled/": ("enabled", task_changes.set_enabled),
            "<int:pk>/pause/": ("pause", task_changes.pause),
            "<int:pk>/skip/": ("skip", task_changes.set_skip_next),
            "<int:pk>/default/": ("default", task_changes.reset_to_default),
            "<int:pk>/runs/": ("runs", task_changes.run_now),
            "<int:pk>/runs/new/": ("new_run", task_changes.new_run),
        }
        return self.own_urls(views) + super().get_urls()

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScheduledTask]:
        return tasks()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ScheduledTask], search_term: str
    ) -> tuple[QuerySet[ScheduledTask], bool]:
        """Django's own search; no name is longer than 200 characters, and databases limit what LIKE takes."""
        return super().get_search_results(request, queryset, search_term[:200])

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TaskChangeList]:
        return TaskChangeList

    schedule = _column(gettext_lazy("Schedule"))
    next_run = _column(gettext_lazy("Next run"), "scheduled_state__next_run_at")
    last_run = _column(gettext_lazy("Last run"), LAST_STARTED)
    duration = _column(gettext_lazy("Duration"), LAST_DURATION)
    status = _column(gettext_lazy("Status"), "urgency")  # see TaskChangeList.get_ordering_field

    @method_decorator(transaction.non_atomic_requests)
    @requires(Action.VIEW)
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list. Not atomic, since Run now on several tasks commits each run before it is sent."""
        bulk_actions.check_selection(request)
        response = super().changelist_view(request, extra_context)
        if request.method == "POST" and from_script(request):
            return bulk_actions.selected_rows(self, request)
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            response.context_data.update(
                fragment_context(self, request),
                script_words=json.dumps(script_words()),
                title=_("Scheduled tasks"),
                summary=response.context_data["cl"].header,
            )
        return response
