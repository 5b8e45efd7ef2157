"""The Scheduled tasks page as Django's admin registers it: addresses, columns, what projects may override."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import unquote
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils.decorators import method_decorator
from django.utils.text import smart_split
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..access import Action, only_granted
from ..models import ScheduledTask, ScheduledTaskQuerySet
from ..reading.tasks import tasks
from . import (
    alert_editor,
    argument_editor,
    bulk_actions,
    deleted_tasks,
    detail_editor,
    new_task,
    pause_until,
    run_once,
    schedule_editor,
    task_changes,
    task_deletion,
    undo,
)
from .context import fragment_context, page_context
from .formats import script_words
from .glossary import show_words
from .owners_and_tags import OwnerFilter, TagFilter
from .permissions import AccessAdmin, Views, requires
from .refresh import refresh
from .responses import from_script
from .task import show_task, tell_bars
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
    object_history_template = "admin/scheduled_tasks/history.html"

    list_display = ("name", "schedule", "next_run", "last_run", "duration", "status")
    list_filter = (StateFilter, OwnerFilter, TagFilter)
    search_fields = ("name", "task", "description", "scheduled_state__pause_note")
    paginator = TaskPaginator
    list_per_page = 50
    list_max_show_all = 100
    show_full_result_count = False
    actions = (
        bulk_actions.run_selected,
        bulk_actions.enable_selected,
        bulk_actions.disable_selected,
        pause_until.pause_selected,
        task_deletion.delete_selected,
    )

    change_view = show_task
    add_view = new_task.add_task
    delete_view = task_deletion.delete_task

    def get_urls(self) -> list[URLPattern]:
        views: Views = {
            "rows/": ("rows", refresh),
            "timeline/": ("timeline", show_timeline),
            "words/": ("words", show_words),
            "add/preview/": ("new_preview", new_task.preview_new),
            "restore/": ("restore", undo.put_back),
            "deleted/": ("deleted", deleted_tasks.show_deleted),
            "<int:pk>/schedule/": ("schedule", schedule_editor.edit_schedule),
            "<int:pk>/schedule/preview/": ("preview", schedule_editor.preview),
            "<int:pk>/alerts/": ("alerts", alert_editor.edit_alerts),
            "<int:pk>/details/": ("details", detail_editor.edit_details),
            "<int:pk>/arguments/": ("arguments", argument_editor.edit_arguments),
            "<int:pk>/enabled/": ("enabled", task_changes.set_enabled),
            "<int:pk>/pause/": ("pause", task_changes.pause),
            "<int:pk>/until/": ("until", pause_until.pause_until),
            "<int:pk>/resume/": ("resume", pause_until.resume),
            "<int:pk>/skip/": ("skip", task_changes.set_skip_next),
            "<int:pk>/policies/": ("policies", task_changes.follow_policies),
            "<int:pk>/default/": ("default", task_changes.reset_to_default),
            "<int:pk>/bars/": ("bars", tell_bars),
            "<int:pk>/runs/": ("runs", task_changes.run_now),
            "<int:pk>/runs/new/": ("new_run", task_changes.new_run),
            "<int:pk>/once/": ("once", run_once.run_once),
        }
        return self.own_urls(views) + super().get_urls()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may(request, Action.ADD)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_with(request, Action.DELETE, getattr(obj, "pk", None))

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScheduledTask]:
        return only_granted(request, Action.VIEW, tasks())

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ScheduledTask], search_term: str
    ) -> tuple[QuerySet[ScheduledTask], bool]:
        """Django's own search, besides words such as ``tag:nightly`` and ``owner:billing``.

        No name is longer than 200 characters, and databases limit what LIKE takes.
        """
        words, tasks = [], cast(ScheduledTaskQuerySet, queryset)
        for word in smart_split(search_term[:200]):
            kind, _colon, value = word.partition(":")
            value = value.strip("\"'")
            if kind == "tag" and value:
                tasks = tasks.tagged(value)
            elif kind == "owner" and value:
                tasks = tasks.filter(scheduled_state__owner__iexact=value)
            else:
                words.append(word)
        return super().get_search_results(request, tasks, " ".join(words))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TaskChangeList]:
        return TaskChangeList

    @requires(Action.VIEW)
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's own with Restore beside each earlier value, also of a task that was deleted."""
        gone = deleted_tasks.show_history_of_deleted(self, request, unquote(object_id))
        if gone is not None:
            return gone
        context = {**page_context(self, request), **(extra_context or {})}
        return super().history_view(request, object_id, context)

    def prepare_history(self, request: HttpRequest, object_id: str, logged: Iterable[LogEntry]) -> None:
        if self.may_with(request, Action.CHANGE, int(unquote(object_id))):
            undo.offer_restore(self, request, unquote(object_id), logged)

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
        context = response.context_data if isinstance(response, TemplateResponse) else None
        is_question = context is not None and "form_template" in context
        if request.method == "POST" and from_script(request) and not is_question:
            return bulk_actions.selected_rows(self, request)
        if context is not None and "cl" in context:
            context.update(
                fragment_context(self, request),
                script_words=json.dumps(script_words()),
                title=_("Scheduled tasks"),
                list_query=request.GET,
                summary=context["cl"].header,
            )
        return response
