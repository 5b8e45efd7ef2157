"""The list: Django's changelist with this app's rows, counts and filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.admin.templatetags.admin_list import result_headers
from django.contrib.admin.views.main import ALL_VAR, ORDER_VAR, PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import DurationField, ExpressionWrapper, F, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext

from .. import flags
from ..flags import Flag
from ..models import ScheduledTask, ScheduledTaskQuerySet, TaskRun
from .per_request import facts_of, look_of, summary_of
from .rows import Rows
from .summary import STATE


def _newest(**conditions: Any) -> QuerySet[TaskRun]:
    return TaskRun.objects.filter(task_id=OuterRef("pk"), **conditions).order_by("-id")


LAST_STARTED = Subquery(_newest(started_at__isnull=False).values("started_at")[:1])
LAST_DURATION = Subquery(
    _newest(started_at__isnull=False, finished_at__isnull=False)
    .annotate(took=ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField()))
    .values("took")[:1]
)


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
        return flags.flagged(cast(ScheduledTaskQuerySet, queryset), Flag(chosen), facts_of(request))


if TYPE_CHECKING:
    TasksPaginator = Paginator[ScheduledTask]
else:
    TasksPaginator = Paginator


class TaskPaginator(TasksPaginator):
    """Does not count again what the header line has counted."""

    @cached_property
    def count(self) -> int:
        known: int | None = getattr(self.object_list, "known_count", None)
        return super().count if known is None else known


class TaskChangeList(ChangeList):
    """Django's changelist, which counts its results but does not read them: see ``rows``."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.facts = facts_of(request)
        self.look = look_of(request)
        self.summary = summary_of(request)
        super().__init__(request, *args, **kwargs)

    def get_results(self, request: HttpRequest) -> None:
        if not self.query and not self.params.get(STATE):
            self.queryset.known_count = self.summary.counts.total
        super().get_results(request)
        self.rows = Rows(self.facts, self.look, self.result_list)
        rest = self.result_count - (self.page_num - 1) * self.list_per_page
        self.result_list = range(rest if self.show_all else min(rest, self.list_per_page))

    def get_ordering_field(self, field_name: Any) -> Any:
        """What to sort by; Status stands for what needs a look, which depends on the time."""
        return flags.urgency(self.facts) if field_name == "status" else super().get_ordering_field(field_name)

    def remember(self) -> None:
        """Let the next look at this list in this process read only what has moved since this one."""
        if self.look:
            by_edits = self.params.keys() <= {SEARCH_VAR, ALL_VAR}
            self.look.keep(self.rows.keys, self.summary, by_edits=by_edits)

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
            for n in self.paginator.get_elided_page_range(self.page_num)
        ]


@dataclass(frozen=True)
class Header:
    """A column's head; ``url`` sorts by it, ``sort`` is ``"ascending"``, ``"descending"`` or empty."""

    css: str
    text: str
    url: str = ""
    sort: str = ""


COLUMNS = {
    "name": "st-c-name",
    "schedule": "st-c-sched",
    "": "st-c-on",
    "next_run": "st-c-next",
    "last_run": "st-c-last",
    "duration": "st-c-dur st-num",
    "status": "st-c-status",
}
"""CSS classes of the sortable columns, in order; the one without a name is Enabled."""


def headers(cl: TaskChangeList) -> list[Header]:
    """The heads of the columns that say something, with Django's own links for sorting."""
    heads = dict(zip(cl.list_display, result_headers(cl), strict=True))
    if ORDER_VAR not in cl.params:  # the order of overview.tasks(), of which Django's list does not know
        descending = f"-{cl.list_display.index('name')}"
        toggle = cl.get_query_string({ORDER_VAR: descending})
        heads["name"].update(sorted=True, ascending=True, url_toggle=toggle)
    return [
        _header(css, heads[column]) if column else Header(css, pgettext("column of switches", "Enabled"))
        for column, css in COLUMNS.items()
    ]


def _header(css: str, head: dict[str, Any]) -> Header:
    if not head.get("sortable"):
        return Header(css, head["text"])
    sort = ("ascending" if head["ascending"] else "descending") if head["sorted"] else ""
    return Header(css, head["text"], head["url_toggle"] if head["sorted"] else head["url_primary"], sort)
