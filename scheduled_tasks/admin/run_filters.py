"""What an address filters runs by: in the list of all runs, in its export, and in a task's own list."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import reduce
from operator import and_
from urllib.parse import urlencode

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, QueryDict
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

from ..models import OPEN, ScheduledTask, Status, TaskRun, Trigger
from ..schedules import current_zone, day_begin
from .context import only_visible_tasks
from .permissions import AccessAdmin

STATUSES: Mapping[str, tuple[str | Promise, frozenset[Status]]] = {
    "open": (pgettext_lazy("runs", "Open"), OPEN),
    "success": (gettext_lazy("Success"), frozenset({Status.SUCCEEDED})),
    "failed": (gettext_lazy("Failed"), frozenset({Status.FAILED, Status.TIMED_OUT, Status.LOST})),
    "skipped": (gettext_lazy("Skipped"), frozenset({Status.SKIPPED, Status.IGNORED, Status.CANCELLED})),
    "missed": (gettext_lazy("Missed"), frozenset({Status.MISSED, Status.EXPIRED})),
    "elsewhere": (gettext_lazy("Elsewhere"), frozenset({Status.ELSEWHERE})),
}
"""Each covers the statuses a person would look for under that word; together they are all."""

PERIODS: Mapping[str, tuple[str | Promise, timedelta]] = {
    "day": (gettext_lazy("24 h"), timedelta(days=1)),
    "week": (gettext_lazy("7 days"), timedelta(days=7)),
    "month": (gettext_lazy("30 days"), timedelta(days=30)),
}

DATES = ("from", "to")
"""Days in the page's zone, both included."""

YEARS = range(1970, 3000)
"""Of a day that every database can compare."""

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

TAKES_AWAY = {"status": ("only", "error"), "period": DATES, "from": ("period",), "to": ("period",)}
"""Filters that the choice of another one takes away."""

LONGEST_NAME = 200
"""Characters of a task's name; databases limit what LIKE takes."""

NO_TYPE = "-"
"""As the type of an error: none. No class is called so."""

Choices = list[tuple[str, str, bool]]


class RunFilters:
    """What a query string filters runs by: ``names`` are the filters of a list, ``task`` is a task's name or
    words of names, looked for among the ``visible`` tasks (None: all).

    ``only`` is one of the statuses that ``status`` covers, ``error`` the type of an error or :data:`NO_TYPE`.
    """

    def __init__(
        self, query: QueryDict, *names: str, task: str = "", visible: Collection[int] | None = None
    ) -> None:
        self.names = names
        self._visible = visible
        asked = {name: query.get(name) for name in names}
        self.chosen = {name: value for name, value in asked.items() if value and value in FILTERS[name][1]}
        self.days = {name: day for name in DATES if (day := _day(query.get(name, "")))}
        if self.days:
            self.chosen.pop("period", None)
        self.task = task
        self.error = query.get("error", "").replace("\x00", "")[:255]
        only = query.get("only", "")
        self.only = only if only in self.covered else ""

    @property
    def covered(self) -> list[Status]:
        """The statuses that the chosen word covers, in the order of their definition."""
        status = self.chosen.get("status", "")
        return [each for each in Status if each in STATUSES[status][1]] if status else []

    @property
    def wanted(self) -> Sequence[str]:
        """The statuses that pass; none where every status does."""
        return [self.only] if self.only else self.covered

    @property
    def values(self) -> dict[str, str]:
        """The filters that are in force, as the address has them."""
        days = {name: day.isoformat() for name, day in self.days.items()}
        others = {"only": self.only, "error": self.error, "task": self.task}
        return {name: value for name, value in {**self.chosen, **days, **others}.items() if value}

    @property
    def are_days_reversed(self) -> bool:
        """Whether the first day is after the last one, so that no run can be found."""
        return len(self.days) == len(DATES) and self.days["from"] > self.days["to"]

    def apply(self, runs: QuerySet[TaskRun], now: datetime) -> QuerySet[TaskRun]:
        """Those of the runs that pass, newest first."""
        runs = runs.order_by("-id")
        if self.wanted:
            runs = runs.filter(status__in=self.wanted)
        if self.error:
            runs = runs.filter(error_type="" if self.error == NO_TYPE else self.error)
        if trigger := self.chosen.get("trigger"):
            runs = runs.filter(trigger=trigger)
        if since := self.since(now):
            runs = runs.filter(queued_at__gte=since)
        if last := self.days.get("to"):
            runs = runs.filter(queued_at__lt=day_begin(last + timedelta(days=1), current_zone()))
        return runs.filter(self._of_tasks) if self.task else runs

    def since(self, now: datetime) -> datetime | None:
        """From when on runs are listed; None for any time."""
        if first := self.days.get("from"):
            return day_begin(first, current_zone())
        period = self.chosen.get("period")
        return now - PERIODS[period][1] if period else None

    @cached_property
    def _task_ids(self) -> dict[int, int]:
        """The task of this name, else those whose names have all its words: the newest run of each by its id.

        Names are looked for among the tasks, of which there are few: the runs' copies have no index.
        """
        newest = TaskRun.objects.of_task(OuterRef("pk")).values("pk")[:1]
        tasks = ScheduledTask.objects.order_by().annotate(newest=Coalesce(Subquery(newest), 0))
        if self._visible is not None:
            tasks = tasks.filter(pk__in=self._visible)
        found = dict(tasks.filter(name=self.task).values_list("pk", "newest"))
        return found or dict(tasks.filter(self._has_words).values_list("pk", "newest"))

    @property
    def _has_words(self) -> Q:
        return reduce(and_, (Q(name__icontains=word) for word in self.task.split()), Q())

    @property
    def _of_tasks(self) -> Q:
        """By the tasks' ids, which are indexed; by the copied name where they are gone."""
        found = self._task_ids
        if not found:
            return self._has_words
        # PostgreSQL may walk through all runs from the newest on: it begins where these tasks have one.
        return Q(task_id__in=found, pk__lte=max(found.values()))

    @property
    def is_of_one_task(self) -> bool:
        """Whether the runs are those of one task."""
        return bool(self.task) and len(self._task_ids) == 1

    @property
    def choices(self) -> list[tuple[str, Choices]]:
        """Each filter: ``(title, [(text, query string, current), …])``."""
        return [(str(FILTERS[name][0]), self._choices(name)) for name in self.names]

    def _choices(self, name: str) -> Choices:
        chosen = self.chosen.get(name, "")
        if name == "period" and self.days:
            chosen = "days"  # none of them
        return [
            (str(text), self.link(**{name: value}), value == chosen)
            for value, text in FILTERS[name][1].items()
        ]

    @property
    def statuses(self) -> Choices:
        """One by one the statuses that the chosen word covers, where these are several."""
        covered = self.covered
        if len(covered) < 2:
            return []
        return [
            (str(each.label), self.link(only="" if each == self.only else each.value), each == self.only)
            for each in covered
        ]

    @property
    def error_text(self) -> str:
        """The type of an error that is chosen, in words."""
        return gettext("No type of error") if self.error == NO_TYPE else self.error

    @property
    def without_error(self) -> str:
        """The query string of all errors."""
        return self.link(error="")

    def day_link(self, day: date, statuses: Collection[str]) -> str:
        """The query string of the runs of a day, which have these statuses: of any where none would pass."""
        changes = {**dict.fromkeys(DATES, day.isoformat()), "error": ""}
        is_empty = self.wanted and not {*self.wanted} & {*statuses}
        return self.link(**changes, **({"status": ""} if is_empty else {}))

    def link(self, **changes: object) -> str:
        """The query string of the filtered list with some values changed, beginning with ``?``."""
        away = {name for changed in changes for name in TAKES_AWAY.get(changed, ())}
        kept = {name: value for name, value in self.values.items() if name not in away}
        return "?" + urlencode({name: value for name, value in {**kept, **changes}.items() if value})


def list_filters(model_admin: AccessAdmin, request: HttpRequest) -> RunFilters:
    """The filters of the list of all runs."""
    task = request.GET.get("task", "").replace("\x00", "")[:LONGEST_NAME].strip()
    visible = only_visible_tasks(model_admin, request)
    return RunFilters(request.GET, "status", "trigger", "period", task=task, visible=visible)


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.year in YEARS else None
