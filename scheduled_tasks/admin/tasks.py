"""The Scheduled tasks page: the list, a task's own page, the schedule editor."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import BadRequest
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from .. import overview, stamps
from ..access import Action
from ..models import ScheduledTask
from ..stamps import digest
from . import history
from .changelist import (
    LAST_DURATION,
    LAST_STARTED,
    StateFilter,
    TaskChangeList,
    TaskPaginator,
    headers,
)
from .changes import TaskChanges
from .forms import ScheduleForm
from .gate import needs
from .per_request import facts_of, look_of, summary_of
from .reply import from_script
from .rows import Refresh, Rows
from .seen import memory
from .summary import Summary
from .timeline import Timeline
from .words import script_words


@admin.register(ScheduledTask)
class ScheduledTaskAdmin(TaskChanges):
    """Every recurring job: what it is, when it runs next, whether it ran and how it ended."""

    change_list_template = "admin/scheduled_tasks/task_list.html"
    task_template = "admin/scheduled_tasks/task.html"
    drawer_template = "admin/scheduled_tasks/_drawer.html"
    preview_template = "admin/scheduled_tasks/_preview.html"
    poll_template = "admin/scheduled_tasks/_poll.html"
    timeline_template = "admin/scheduled_tasks/timeline.html"

    list_display = ("name", "schedule", "next_run", "last_run", "duration", "status")
    list_filter = (StateFilter,)
    search_fields = ("name", "task", "description")
    paginator = TaskPaginator
    list_per_page = 100
    list_max_show_all = 100
    show_full_result_count = False
    actions = ("run_selected", "enable_selected", "disable_selected")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path("rows/", view(self.rows_view), name=f"{prefix}_rows"),
            path("timeline/", view(self.timeline_view), name=f"{prefix}_timeline"),
            path("<int:pk>/schedule/", view(self.schedule_view), name=f"{prefix}_schedule"),
            path("<int:pk>/schedule/preview/", view(self.preview_view), name=f"{prefix}_preview"),
            path("<int:pk>/enabled/", view(self.enabled_view), name=f"{prefix}_enabled"),
            path("<int:pk>/pause/", view(self.pause_view), name=f"{prefix}_pause"),
            path("<int:pk>/skip/", view(self.skip_view), name=f"{prefix}_skip"),
            path("<int:pk>/default/", view(self.default_view), name=f"{prefix}_default"),
            path("<int:pk>/runs/", view(self.runs_view), name=f"{prefix}_runs"),
            path("<int:pk>/runs/new/", view(self.new_run_view), name=f"{prefix}_new_run"),
        ]
        return own + super().get_urls()

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScheduledTask]:
        return overview.tasks()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ScheduledTask], search_term: str
    ) -> tuple[QuerySet[ScheduledTask], bool]:
        """Django's own search; no name is longer than 200 characters, and databases limit what LIKE takes."""
        return super().get_search_results(request, queryset, search_term[:200])

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TaskChangeList]:
        return TaskChangeList

    @admin.display(description=gettext_lazy("Schedule"))
    def schedule(self, task: ScheduledTask) -> str:
        """Column of the list; not sortable."""
        return ""

    @admin.display(description=gettext_lazy("Next run"), ordering="scheduled_state__next_run_at")
    def next_run(self, task: ScheduledTask) -> str:
        """Column of the list, sorted by when beat will run the task."""
        return ""

    @admin.display(description=gettext_lazy("Last run"), ordering=LAST_STARTED)
    def last_run(self, task: ScheduledTask) -> str:
        """Column of the list, sorted by when the last run started."""
        return ""

    @admin.display(description=gettext_lazy("Duration"), ordering=LAST_DURATION)
    def duration(self, task: ScheduledTask) -> str:
        """Column of the list, sorted by how long the last ended run took."""
        return ""

    @admin.display(description=gettext_lazy("Status"), ordering="urgency")
    def status(self, task: ScheduledTask) -> str:
        """Column of the list, sorted by urgency: see ``TaskChangeList.get_ordering_field``."""
        return ""

    @method_decorator(transaction.non_atomic_requests)
    @needs(Action.VIEW)
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list. Not atomic, since Run now on several tasks commits each run before it is sent."""
        if not all(pk.isdecimal() and len(pk) < 19 for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadRequest
        if request.method == "GET":
            request.scheduled_tasks_look = memory.look(self.list_name(request))  # type: ignore[attr-defined]
        response = super().changelist_view(request, extra_context)
        if request.method == "POST" and from_script(request):
            return self.answer_selected(request)
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            cl: TaskChangeList = response.context_data["cl"]
            response.context_data.update(
                self.fragment_context(request),
                script_words=json.dumps(script_words()),
                title=_("Scheduled tasks"),
                headers=headers(cl),
                summary=cl.summary,
                stalled=cl.summary.stalled,
            )
            response.add_post_render_callback(lambda _response: cl.remember())
        return response

    @needs(Action.VIEW, method="GET")
    def rows_view(self, request: HttpRequest) -> HttpResponse:
        """What changed on a list since the version and the keys the script sends: rows, header; or 304."""
        shown = _keys(request.META.get(ROWS, ""))
        sent = request.META.get("HTTP_IF_NONE_MATCH", "")
        sent_version, _dot, sent_header = sent.removeprefix("W/").strip('"').partition(".")
        found = stamps.read(shown)
        version = self.list_version(request, found.text)
        if sent_version == version:
            return HttpResponseNotModified(headers={"ETag": sent})
        request.scheduled_tasks_look = memory.look_at(self.list_name(request), found.stamp())  # type: ignore[attr-defined]
        try:
            refresh, summary = self.refresh(request, shown)
        except IncorrectLookupParameters as error:
            raise BadRequest from error
        header = summary.version
        context = {
            **self.fragment_context(request),
            "summary": None if sent_header == header else summary,
            "rows": refresh.changed,
            "added": [(_place(before), row) for before, row in refresh.added],
            "gone": refresh.gone,
        }
        response = TemplateResponse(request, self.poll_template, context)
        response["ETag"] = f'"{version}.{header}"'
        return response

    def refresh(self, request: HttpRequest, shown: Mapping[int, str]) -> tuple[Refresh, Summary]:
        """What has changed on the list that is asked for, and its header; both are remembered."""
        look = look_of(request)
        if look and look.known and look.known.complete:
            rows = Rows(facts_of(request), look, ScheduledTask.objects.none())
            summary = summary_of(request)
            refresh = rows.refresh(shown)
            look.keep(rows.keys, summary, by_edits=True)
            return refresh, summary
        cl = cast(TaskChangeList, self.get_changelist_instance(request))
        refresh = cl.rows.refresh(shown)
        cl.remember()
        return refresh, cl.summary

    @needs(Action.VIEW, method="GET")
    def timeline_view(self, request: HttpRequest) -> HttpResponse:
        """The planned runs of the next 24 hours, a page of its own."""
        context = {
            **self.page_context(request),
            "title": _("Next 24 hours"),
            "timeline": Timeline(facts_of(request), request.GET.get(PAGE_VAR, "1")),
        }
        return TemplateResponse(request, self.timeline_template, context)

    @needs(Action.VIEW)
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A task's own page: its facts and runs. The drawer is the same without the frame."""
        task = self.row_or_404(request, unquote(object_id), history.FACTS_RUNS)
        runs = history.History(task.pk, request.GET, zone=task.zone, now=task.now)
        version = f'"{digest(get_language(), task.key, runs.version(), self._rights(request))}"'
        if from_script(request) and request.headers.get("If-None-Match") == version:
            return HttpResponseNotModified(headers={"ETag": version})
        context = {
            **(self.fragment_context(request) if from_script(request) else self.page_context(request)),
            "title": task.name,
            "task": task,
            "history": runs,
            "facts": history.facts(task.row.recent),
            "version": version,
            **(extra_context or {}),
        }
        template = self.drawer_template if from_script(request) else self.task_template
        return TemplateResponse(request, template, context)

    @needs(Action.CHANGE)
    def schedule_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The schedule editor: a row of the list for the script, a page of its own without it."""
        task = self.row_or_404(request, pk)
        if not task.editable:
            return self.lead_to_beat(request, task)
        if request.method == "POST":
            return self.save_schedule(request, task)
        return self.show_editor(request, task, ScheduleForm.of(task.task, request.GET))

    @needs(Action.CHANGE, method="GET")
    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What a typed schedule means: label, next runs, notices, or the error."""
        task = self.row_or_404(request, pk)
        form = ScheduleForm.of(task.task, request.GET)
        return TemplateResponse(request, self.preview_template, {"form": form, "task": task})

    @needs(Action.RUN, method="GET")
    def new_run_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The form of Run with arguments, filled with the task's own."""
        task = self.row_or_404(request, pk)
        title = _("Run %(name)s with arguments") % {"name": task.name}
        return self.show_form(request, task, title, "admin/scheduled_tasks/_new_run.html")

    @needs(Action.CHANGE, method="GET")
    def pause_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The form of Disable with a note, or of the note alone where it is disabled."""
        task = self.row_or_404(request, pk)
        title = _("Disable %(name)s") if task.enabled else _("Note of %(name)s")
        title %= {"name": task.name}
        return self.show_form(request, task, title, "admin/scheduled_tasks/_pause.html")

    def list_name(self, request: HttpRequest) -> Hashable:
        """What lists are remembered by: keys differ by language, and tasks may by host."""
        own_rows = type(self).get_queryset is not ScheduledTaskAdmin.get_queryset  # perhaps each viewer's
        viewer = request.user.pk if own_rows else None
        query = tuple((name, *values) for name, values in sorted(request.GET.lists()))
        return get_language(), request.META.get("HTTP_HOST"), viewer, query

    def list_version(self, request: HttpRequest, stamp: str) -> str:
        """Moves with everything visible on a list of tasks, but not with the time that passes."""
        rights = (*self._rights(request), self.may_use_beat(request))
        return digest(stamp, get_language(), request.GET.urlencode(), rights)

    def _rights(self, request: HttpRequest) -> tuple[bool, bool]:
        return self.may(request, Action.CHANGE), self.may(request, Action.RUN)


ROWS = "HTTP_ST_ROWS"
"""Where the script says which rows it shows: in an address they would fill the server's log."""

KEY = re.compile(r"(?<![^.])([0-9]{1,18}):(\w+)")


@lru_cache(maxsize=100)  # of a list that does not change, every refresh sends the same
def _keys(sent: str) -> Mapping[int, str]:
    """The rows the script shows, ``"12:a1b2.13:c3d4"``, as key by task."""
    return MappingProxyType({int(pk): key for pk, key in KEY.findall(sent)})


def _place(before: int) -> str:
    """Where a new row goes: after the row before it, or first."""
    return f"afterend:#st-row-{before}" if before else "afterbegin:#st-rows"
