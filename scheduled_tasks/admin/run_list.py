"""The list of all runs, which keeps itself up to date, with pages that new runs do not shift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from .. import schedules
from ..access import Action
from ..models import ScheduledTask, TaskRun
from .context import machinery_of, page_context
from .permissions import requires
from .responses import live, version_of
from .run import RunRow, as_listed, whole_number
from .run_filters import RunFilters, list_filters
from .run_totals import RunTotals

if TYPE_CHECKING:
    from .runs import TaskRunAdmin

Row = TypeVar("Row", bound=Model)

TEMPLATE = "admin/scheduled_tasks/run_list.html"
FRAGMENT = "admin/scheduled_tasks/_run_list.html"

PER_PAGE = 50

NAMES = 500
"""Task names the filter suggests."""


@requires(Action.VIEW)
def show_runs(
    model_admin: TaskRunAdmin, request: HttpRequest, extra_context: dict[str, Any] | None = None
) -> HttpResponse:
    """Who ran what when: every run, newest first, under the filters of the address; kept up to date."""
    filters, now = list_filters(model_admin, request), machinery_of(request).now
    before, after = (whole_number(request.GET.get(name, "")) for name in ("before", "after"))
    runs = filters.apply(model_admin.get_queryset(request), now)
    found, has_newer, has_older = newest_page(as_listed(runs), before, after)
    opened = _opened(request, found)
    shared = page_context(model_admin, request)
    context = {
        **shared,
        "title": _("Task runs"),
        "filters": filters,
        "totals": RunTotals(runs, filters, now),
        "rows": [
            RunRow(run, schedules.current_zone(), now, opened.get(run.pk), by_queue=True) for run in found
        ],
        "has_open": any(run.is_open for run in found),
        "here": filters.link(before=before, after=after),
        "newer": filters.link(after=found[0].pk) if has_newer and found else "",
        "older": filters.link(before=found[-1].pk) if has_older and found else "",
        "names": _task_names(model_admin, request),
        "version": version_of(shared, *_shown(filters, found, opened), has_newer, has_older),
        **(extra_context or {}),
    }
    return live(request, TEMPLATE, FRAGMENT, context)


def _opened(request: HttpRequest, found: list[TaskRun]) -> dict[int, TaskRun]:
    """In full the runs of the page that are open in place: each ``run`` of the address."""
    asked = {whole_number(text) for text in request.GET.getlist("run")}
    pks = [run.pk for run in found if run.pk in asked]
    return TaskRun.objects.in_bulk(pks) if pks else {}


def _shown(filters: RunFilters, found: list[TaskRun], opened: dict[int, TaskRun]) -> list[object]:
    """What the rows show, to tell whether it has changed."""
    return [
        filters.link(),
        *((run.pk, run.status, run.started_at, run.finished_at, run.reason) for run in found),
        *((run.pk, run.attempts, run.log, run.error, run.summary) for run in opened.values()),
    ]


def newest_page(rows: QuerySet[Row], before: int | None, after: int | None) -> tuple[list[Row], bool, bool]:
    """The rows before or after an id, newest first, and whether there are newer and older ones."""
    if after:
        found = list(rows.filter(pk__gt=after).order_by("id")[: PER_PAGE + 1])
        return found[:PER_PAGE][::-1], len(found) > PER_PAGE, True
    found = list((rows.filter(pk__lt=before) if before else rows)[: PER_PAGE + 1])
    return found[:PER_PAGE], bool(before), len(found) > PER_PAGE


def _task_names(model_admin: TaskRunAdmin, request: HttpRequest) -> QuerySet[ScheduledTask, str]:
    """Names to choose a task by: of those that the tasks' own admin lets this user see."""
    tasks: QuerySet[ScheduledTask] = ScheduledTask.objects.all()
    if model_admin.admin_site.is_registered(ScheduledTask):
        tasks = model_admin.admin_site.get_model_admin(ScheduledTask).get_queryset(request)
    return tasks.order_by("name").values_list("name", flat=True)[:NAMES]
