"""The list: Django's changelist with this app's rows, counts and filter."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.templatetags.admin_list import result_headers
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import DurationField, ExpressionWrapper, F, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext

from ..models import Flag, ScheduledTaskQuerySet, TaskRun, urgency
from ..reading.tasks import listed_tasks
from .context import machinery_of, open_incidents
from .list_header import STATE, ListHeader
from .permissions import AccessAdmin
from .row import TaskRow


def _newest(**conditions: Any) -> QuerySet[TaskRun]:
    return TaskRun.objects.of_task(OuterRef("pk")).filter(**conditions)


LAST_STARTED = Subquery(_newest(started_at__isnull=False).values("started_at")[:1])
LAST_DURATION = Subquery(
    _newest(started_at__isnull=False, finished_at__isnull=False)
    .annotate(took=ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField()))
    .values("took")[:1]
)


COLUMNS = {
    "name": "st-c-name",
    "schedule": "st-c-sched",
    "": "st-c-on",
    "next_run": "st-c-next",
    "last_run": "st-c-last",
    "duration": "st-c-dur st-num",
    "status": "st-c-status",
}
"""CSS classes of the columns that have a visible head, in order; the one without a name is Enabled."""


class StateFilter(admin.SimpleListFilter):
    """Only tasks with one flag: the header's counts are its links."""

    title = _("state")
    parameter_name = STATE

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Flag.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if chosen not in Flag.values:
            return queryset
        machinery, tasks = machinery_of(request), cast(ScheduledTaskQuerySet, queryset)
        return tasks.flagged(Flag(chosen), machinery.now, machinery.known_tasks)


class TaskPaginator(Paginator):  # type: ignore[type-arg]
    """Does not count again what the header has counted."""

    @cached_property
    def count(self) -> int:
        known: int | None = getattr(self.object_list, "known_count", None)
        return super().count if known is None else known


class TaskChangeList(ChangeList):
    """Django's changelist, whose results are :attr:`rows`, with a header."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.machinery = machinery_of(request)
        super().__init__(request, *args, **kwargs)

    def get_results(self, request: HttpRequest) -> None:
        now, known_tasks = self.machinery.now, self.machinery.known_tasks
        incidents = open_incidents(cast(AccessAdmin, self.model_admin), request)
        tasks = cast(ScheduledTaskQuerySet, self.root_queryset)
        counts = tasks.flag_counts(now, known_tasks, open_incidents=incidents)
        self.header = ListHeader(self.machinery, counts, request.GET)
        if not self.queryset.query.where:  # every task of the header is listed
            self.queryset.known_count = counts["total"]
        super().get_results(request)
        self.rows = [TaskRow(task) for task in listed_tasks(self.result_list, self.machinery)]
        self.result_list = [row.task for row in self.rows]

    def get_ordering_field(self, field_name: Any) -> Any:
        """What to sort by; Status stands for what needs a look, which depends on the time."""
        if field_name == "status":
            return urgency(self.machinery.now, self.machinery.known_tasks)
        return super().get_ordering_field(field_name)

    @property
    def frame(self) -> tuple[object, ...]:
        """What is shown around the rows."""
        header = self.header
        above = header.count_links, header.problems, header.healthy, header.processes
        return *above, header.open_incidents, self.result_count, self.page_links

    @property
    def heads(self) -> list[tuple[str, dict[str, Any]]]:
        """CSS classes and head of :data:`COLUMNS`, as Django makes them with links for sorting."""
        heads = dict(zip(self.list_display, result_headers(self), strict=True))
        if ORDER_VAR not in self.params:  # the order of reading.tasks.tasks(), of which Django does not know
            descending = {ORDER_VAR: f"-{self.list_display.index('name')}"}
            heads["name"].update(sorted=True, ascending=True, url_toggle=self.get_query_string(descending))
        heads[""] = {"text": pgettext("column of switches", "Enabled")}
        return [(css, heads[column]) for column, css in COLUMNS.items()]

    @property
    def zone(self) -> str:
        """The zone of the page's times, where a row names no other."""
        return timezone.get_current_timezone_name()

    @property
    def page_links(self) -> list[tuple[str, str, bool]]:
        """``(text, address, current)`` of the list's pages; a gap has no address."""
        return [
            (
                str(n),
                self.get_query_string({PAGE_VAR: n}) if isinstance(n, int) and n != self.page_num else "",
                n == self.page_num,
            )
            for n in self.paginator.get_elided_page_range(self.paginator.get_page(self.page_num).number)
        ]
