"""The list of all runs: filters, which a task's own list has too, and pages that new runs do not shift."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import schedules
from ..access import Action
from ..models import ScheduledTask, Status, TaskRun, Trigger
from .context import machinery_of, page_context
from .permissions import requires
from .run import RunRow, as_listed, whole_number

if TYPE_CHECKING:
    from .runs import TaskRunAdmin

Row = TypeVar("Row", bound=Model)

PER_PAGE = 50

NAMES = 500
"""Task names the filter suggests."""

STATUSES: Mapping[str, tuple[str | Promise, frozenset[Status]]] = {
    "success": (gettext_lazy("Success"), frozenset({Status.SUCCEEDED})),
    "failed": (gettext_lazy("Failed"), frozenset({Status.FAILED, Status.TIMED_OUT, Status.LOST})),
    "skipped": (gettext_lazy("Skipped"), frozenset({Status.SKIPPED, Status.IGNORED, Status.CANCELLED})),
    "missed": (gettext_lazy("Missed"), frozenset({Status.MISSED, Status.EXPIRED})),
}
"""Each covers the statuses a person would look for under that word."""

PERIODS: Mapping[str, tuple[str | Promise, timedelta]] = {
    "day": (gettext_lazy("24 h"), timedelta(days=1)),
    "week": (gettext_lazy("7 days"), timedelta(days=7)),
    "month": (gettext_lazy("30 days"), timedelta(days=30)),
}

FILTERS: Mapping[str, tuple[str | Promise, Mapping[str, str | Promise]]] = {
    "status": (
        gettext_lazy("Filter by status"),
        {"": gettext_lazy("All"), **{key: text for key, (text, _of) in STATUSES.items()}},
    ),
    "trigger": (
        gettext_lazy("Filter by trigger"),
        {"": gettext_lazy("Any trigger"), **dict(Trigger.choices)},
    ),
    "period": (
        gettext_lazy("Period"),
        {"": gettext_lazy("Any time"), **{key: text for key, (text, _span) in PERIODS.items()}},
    ),
}
"""The title of each filter, and its choices."""


class RunFilters:
    """What a query string filters runs by: ``names`` are the filters of a list, ``task`` is a task's name."""

    def __init__(self, query: QueryDict, *names: str, task: str = "") -> None:
        self.names = names
        asked = {name: query.get(name) for name in names}
        self.chosen = {name: value for name, value in asked.items() if value and value in FILTERS[name][1]}
        self.task = task

    def apply(self, runs: QuerySet[TaskRun], now: datetime) -> QuerySet[TaskRun]:
        """Those of the runs that pass, newest first."""
        runs = runs.order_by("-id")
        if status := self.chosen.get("status"):
            runs = runs.filter(status__in=STATUSES[status][1])
        if trigger := self.chosen.get("trigger"):
            runs = runs.filter(trigger=trigger)
        if period := self.chosen.get("period"):
            runs = runs.filter(queued_at__gte=now - PERIODS[period][1])
        return runs.filter(**self._of_task()) if self.task else runs

    def _of_task(self) -> dict[str, Any]:
        """By the task's id, which is indexed; by the copied name where the task is gone."""
        pk = ScheduledTask.objects.filter(name=self.task).values_list("pk", flat=True).first()
        return {"name": self.task} if pk is None else {"task_id": pk}

    @property
    def choices(self) -> list[tuple[str, list[tuple[str, str, bool]]]]:
        """Each filter: ``(title, [(text, query string, current), …])``."""
        return [(str(FILTERS[name][0]), self._choices(name)) for name in self.names]

    def _choices(self, name: str) -> list[tuple[str, str, bool]]:
        chosen = self.chosen.get(name, "")
        return [
            (str(text), self.link(**{name: value}), value == chosen)
            for value, text in FILTERS[name][1].items()
        ]

    def link(self, **changes: object) -> str:
        """The query string of the filtered list with some values changed, beginning with ``?``."""
        values = {**self.chosen, "task": self.task, **changes}
        return "?" + urlencode({name: value for name, value in values.items() if value})


def list_filters(request: HttpRequest) -> RunFilters:
    """The filters of the list of all runs."""
    task = request.GET.get("task", "").strip().replace("\x00", "")
    return RunFilters(request.GET, "status", "trigger", "period", task=task)


@requires(Action.VIEW)
def show_runs(
    model_admin: TaskRunAdmin, request: HttpRequest, extra_context: dict[str, Any] | None = None
) -> HttpResponse:
    """Who ran what when: every run, newest first, under the filters of the address."""
    filters, now = list_filters(request), machinery_of(request).now
    before, after = (whole_number(request.GET.get(name, "")) for name in ("before", "after"))
    runs = as_listed(filters.apply(model_admin.get_queryset(request), now))
    found, has_newer, has_older = newest_page(runs, before, after)
    context = {
        **page_context(model_admin, request),
        "title": _("Task runs"),
        "filters": filters,
        "rows": [RunRow(run, schedules.current_zone(), now) for run in found],
        "newer": filters.link(after=found[0].pk) if has_newer and found else "",
        "older": filters.link(before=found[-1].pk) if has_older and found else "",
        "names": _task_names(model_admin, request),
        **(extra_context or {}),
    }
    return TemplateResponse(request, "admin/scheduled_tasks/run_list.html", context)


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
