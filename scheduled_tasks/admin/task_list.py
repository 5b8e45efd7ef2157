"""The list: Django's changelist with this app's rows, counts and filter."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.templatetags.admin_list import result_headers
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import Count, DurationField, ExpressionWrapper, F, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext

from ..models import Flag, ScheduledTaskQuerySet, TaskRun, urgency
from .context import is_phone, machinery_of, open_incidents, task_rows, with_incidents
from .list_header import NO_LABELS, STATE, ListHeader, is_narrowed
from .maintenance import banners
from .owners_and_tags import HAS_ANY, OwnersAndTags, chosen, labelled
from .permissions import AccessAdmin


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


def _empty_last(field: Any) -> Any:
    """Sorts what has no value (no next run, never ran) last in both directions, on every database."""
    if isinstance(field, str):
        field = F(field.removeprefix("-")).desc() if field.startswith("-") else F(field).asc()
    ordering = field.copy()
    ordering.nulls_first, ordering.nulls_last = None, True
    return ordering


class StateFilter(admin.SimpleListFilter):
    """Only tasks with one flag: the header's counts are its links."""

    title = _("state")
    parameter_name = STATE

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        self._model_admin = cast(AccessAdmin, model_admin)
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Flag.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return in_state(self._model_admin, request, cast(ScheduledTaskQuerySet, queryset), self.value())


def in_state(
    model_admin: AccessAdmin, request: HttpRequest, tasks: ScheduledTaskQuerySet, state: str | None
) -> ScheduledTaskQuerySet:
    """Those of the tasks that have a flag; all of them where ``state`` names none."""
    if state not in Flag.values:
        return tasks
    if state == Flag.INCIDENT:
        return tasks.filter(with_incidents(model_admin, request))
    machinery = machinery_of(request)
    return tasks.flagged(Flag(state), machinery.now, machinery.known_tasks)


def header_of(model_admin: AccessAdmin, request: HttpRequest, tasks: ScheduledTaskQuerySet) -> ListHeader:
    """What stands above a list of tasks: how many there are of each kind, and what is wrong or paused.

    Counted are those of the owner, with the tag and found by the search that the address chooses.
    """
    machinery = machinery_of(request)
    with_incident = {Flag.INCIDENT.value: Count("pk", filter=with_incidents(model_admin, request))}
    total = open_incidents(model_admin, request)
    more = {"open_incidents": total, "labelled": Count("pk", filter=HAS_ANY), **with_incident}
    counted = searched(model_admin, request, labelled(tasks, request.GET))
    counts = counted.flag_counts(machinery.now, machinery.known_tasks, **more)
    labels = OwnersAndTags.of(tasks) if counts["labelled"] or is_narrowed(request.GET) else NO_LABELS
    header = ListHeader(machinery, counts, request.GET, labels)
    if counts[Flag.PAUSED]:
        header.windows = banners(model_admin, request)
    return header


def searched(
    model_admin: AccessAdmin, request: HttpRequest, tasks: ScheduledTaskQuerySet
) -> ScheduledTaskQuerySet:
    """Those of the tasks that the search in the address finds; all of them where there is none."""
    found, _many = model_admin.get_search_results(request, tasks, chosen(request.GET, SEARCH_VAR))
    return cast(ScheduledTaskQuerySet, found)


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
        model_admin = cast(AccessAdmin, self.model_admin)
        self.header = header_of(model_admin, request, cast(ScheduledTaskQuerySet, self.root_queryset))
        if not self.queryset.query.where:  # every task of the header is listed
            self.queryset.known_count = self.header.counts["total"]
        super().get_results(request)
        self.rows = task_rows(model_admin, request, self.result_list)
        self.result_list = [row.task for row in self.rows]

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """What was chosen; otherwise what needs a look first where a screen shows few tasks, and by name."""
        if ORDER_VAR not in self.params and is_phone(request):
            self.params = {**self.params, ORDER_VAR: str(self.list_display.index("status"))}
        return [_empty_last(each) for each in super().get_ordering(request, queryset)]

    def get_ordering_field(self, field_name: Any) -> Any:
        """What to sort by; Status stands for what needs a look, which depends on the time."""
        if field_name == "status":
            return urgency(self.machinery.now, self.machinery.known_tasks)
        return super().get_ordering_field(field_name)

    @property
    def frame(self) -> tuple[object, ...]:
        """What is shown around the rows."""
        header = self.header
        above = header.count_links, header.pickers, header.problems, header.healthy, header.processes
        windows = [row.key for row in header.windows]
        return *above, windows, header.open_incidents, self.result_count, self.page_links

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
