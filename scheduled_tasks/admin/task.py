"""A task's own page, and the drawer, which is the same without the frame: its facts and runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib.admin.utils import unquote
from django.core.paginator import Page, Paginator
from django.db.models import Count, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, QueryDict
from django.template.response import TemplateResponse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from ..access import Action
from ..models import OUTCOMES, Status, TaskRun
from ..reading.version import digest
from . import formats
from .alert_facts import AlertFacts
from .context import fragment_context, page_context, task_or_404, visible_runs
from .heat_map import HeatMap
from .permissions import requires, rights
from .responses import from_script
from .row import TaskRow
from .run import RunDetails, RunRow, as_listed, whole_number
from .run_bars import CHART_RUNS, chart, tips
from .run_filters import RunFilters
from .task_history import newest_changes
from .task_origin import TaskOrigin
from .task_policies import TaskPolicies

if TYPE_CHECKING:
    from .tasks import ScheduledTaskAdmin

PER_PAGE = 20

FARTHEST_PAGE = 10**8
"""The row it begins at still is a number to every database."""

FAR = 10_000
"""Runs before a page that make it a far one."""

NO_ARGUMENTS = ("", "[]", "{}")

FACTS_RUNS = 100
"""Newest runs that success rate, median and 95th percentile speak of."""


@requires(Action.VIEW)
def show_task(
    model_admin: ScheduledTaskAdmin,
    request: HttpRequest,
    object_id: str,
    form_url: str = "",
    extra_context: dict[str, Any] | None = None,
) -> HttpResponse:
    """The page of one task, or the drawer for the script; 304 for a drawer that is as it was."""
    task = task_or_404(model_admin, request, unquote(object_id), FACTS_RUNS)
    history = History(task, request.GET, visible_runs(model_admin, request))
    policies = TaskPolicies(task.task, task.listed.machinery, task.zone)
    changes = newest_changes(task.task, task.now, task.zone)
    logged = [(change.pk, change.restorable) for change in changes]
    shown = task.key, history.version(), policies.texts, logged
    version = f'"{digest(get_language(), rights(model_admin, request), *shown)}"'
    known = request.headers.get("If-None-Match") if from_script(request) else None
    if known == version:
        return HttpResponseNotModified(headers={"ETag": version})
    shared = fragment_context if from_script(request) else page_context
    context = {
        **shared(model_admin, request, task),
        "title": task.name,
        "task": task,
        "history": history,
        # It reads 90 days of runs: a refresh keeps the one that is shown.
        "heat_map": None if known else HeatMap(task.pk, task.now, history.filters),
        "facts": facts(task),
        "arguments": [text for text in (task.own_args, task.own_kwargs) if text.strip() not in NO_ARGUMENTS],
        "alerts": AlertFacts(task.listed.state),
        "policies": policies,
        "origin": TaskOrigin(task.task),
        "changes": changes,
        "version": version,
        **(extra_context or {}),
    }
    template = model_admin.drawer_template if from_script(request) else model_admin.task_template
    return TemplateResponse(request, template, context)


@requires(Action.VIEW, method="GET")
def tell_bars(model_admin: ScheduledTaskAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """What each bar of the task's row is, for a person who points at them."""
    context = {**fragment_context(model_admin, request), "task": task_or_404(model_admin, request, pk)}
    return TemplateResponse(request, "admin/scheduled_tasks/_told_bars.html", context)


class History:
    """One page of a task's runs under the filters of a query string: the one asked for, or of ``run``."""

    def __init__(self, task: TaskRow, query: QueryDict, visible: QuerySet[TaskRun]) -> None:
        self.filters = RunFilters(query, "status", "period")
        runs = self.filters.apply(visible.filter(task_id=task.pk), task.now)
        asked = [number for text in query.getlist("run") if (number := whole_number(text)) is not None]
        place = query.get("page", "")
        if asked and not place:
            place = str(runs.filter(pk__gt=asked[0]).count() // PER_PAGE + 1)
        self.page = _page(as_listed(runs), place)
        opened = {*asked} & {run.pk for run in self.page}
        open_id, runbook = task.open_run_id or 0, task.task.state.runbook_url
        self.full = visible.in_bulk({*opened, open_id} - {0})
        self.open_run = RunDetails(self.full[open_id], task.zone, task.now) if open_id in self.full else None
        """The run that is open, whichever page and filter is shown."""
        shown = {pk: self.full[pk] for pk in opened & {*self.full}}
        self.rows = [
            RunRow(run, task.zone, task.now, shown.get(run.pk), runbook=runbook) for run in self.page
        ]

    @property
    def has_open(self) -> bool:
        """Whether a shown run has not ended."""
        return any(row.run.is_open for row in self.rows)

    @property
    def page_range(self) -> Iterable[int | str]:
        """Numbers of the pages around this one, with gaps."""
        return self.page.paginator.get_elided_page_range(self.page.number, on_each_side=1, on_ends=1)

    def version(self) -> list[object]:
        """What the list shows, to tell whether it has changed."""
        return [
            self.page.paginator.count,
            *((run.pk, run.status, run.started_at, run.finished_at) for run in self.page),
            *(
                (run.pk, run.attempts, run.log, run.error, run.summary, run.reason)
                for run in self.full.values()
            ),
        ]


def _page(runs: QuerySet[TaskRun], asked: str) -> Page[TaskRun]:
    """The page asked for, counted by the same statement; the nearest one for a number that is not there."""
    paginator = Paginator(runs, PER_PAGE)
    number = min(whole_number(asked) or 1, FARTHEST_PAGE)
    total = runs.order_by().values("task_id").annotate(n=Count("pk")).values("n")
    first = (number - 1) * PER_PAGE
    chosen = runs
    if first >= FAR:  # to skip runs is to read them: here only their ids, which the index has
        ids = list(runs.values_list("pk", flat=True)[first : first + PER_PAGE])
        chosen, first = runs.filter(pk__in=ids), 0
    found = list(chosen.annotate(total=Subquery(total))[first : first + PER_PAGE])
    if not found:
        return _last_page(runs, paginator)
    vars(paginator)["count"] = found[0].total
    return Page(found, number, paginator)


def _last_page(runs: QuerySet[TaskRun], paginator: Paginator[TaskRun]) -> Page[TaskRun]:
    """The last page, read from the other end."""
    rest = paginator.count - (paginator.num_pages - 1) * PER_PAGE
    return Page([*runs.reverse()[:rest]][::-1], paginator.num_pages, paginator)


def facts(task: TaskRow) -> dict[str, object]:
    """What the newest runs say whose end is known: their number, success in percent, median, p95, a chart."""
    runs = [run for run in task.listed.recent if run.status in OUTCOMES - {Status.ELSEWHERE}]
    good = sum(run.status == Status.SUCCEEDED for run in runs)
    found: dict[str, object] = {"runs": len(runs), "success": round(100 * good / len(runs)) if runs else None}
    took = sorted(run.duration for run in runs if run.duration is not None)
    if not took:
        return found
    median, p95 = (took[min(len(took) - 1, int(len(took) * part))] for part in (0.5, 0.95))
    texts = {"median": formats.duration(median), "p95": formats.duration(p95)}
    if len(runs) > 1:
        spoken = _("Duration of the last runs: median %(median)s, 95th percentile %(p95)s.") % texts
        found["chart"] = chart(runs, [(median, texts["median"]), (p95, texts["p95"])], spoken)
        found["bars"] = tips(runs[:CHART_RUNS], task.now, task.zone)
    return {**found, **texts}
