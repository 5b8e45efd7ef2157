"""A task's past runs: the drawer's list, its facts, and one run in full."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Protocol
from zoneinfo import ZoneInfo

from django.core.paginator import Page, Paginator
from django.db.models import Count, QuerySet, Subquery
from django.db.models.functions import Left
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import OUTCOMES, Status, TaskRun
from ..recent import RecentRun
from . import words
from .run import LINE, RunDetails, RunRow
from .strip import chart

PER_PAGE = 20
FACTS_RUNS = 100
"""Newest runs that success rate, median and 95th percentile speak of."""

HEAVY = ("args", "kwargs", "error", "traceback", "log", "progress")

STATUSES: Mapping[str, tuple[str | Promise, frozenset[Status]]] = {
    "success": (gettext_lazy("Success"), frozenset({Status.SUCCEEDED})),
    "failed": (gettext_lazy("Failed"), frozenset({Status.FAILED, Status.TIMED_OUT, Status.LOST})),
    "skipped": (gettext_lazy("Skipped"), frozenset({Status.SKIPPED, Status.IGNORED, Status.CANCELLED})),
    "missed": (gettext_lazy("Missed"), frozenset({Status.MISSED, Status.EXPIRED})),
}
"""The filter's choices: each covers the statuses a person would look for under that word."""

PERIODS: Mapping[str, tuple[str | Promise, timedelta]] = {
    "day": (gettext_lazy("24 h"), timedelta(days=1)),
    "week": (gettext_lazy("7 days"), timedelta(days=7)),
    "month": (gettext_lazy("30 days"), timedelta(days=30)),
}


@dataclass(frozen=True)
class Facts:
    """What the newest runs say about a task: success in percent, median and 95th percentile, a chart."""

    runs: int
    success: int | None
    median: str
    p95: str
    chart: SafeString | None


def facts(newest: Iterable[RecentRun]) -> Facts:
    """What the newest runs of a task say about it, those that are outcomes."""
    runs = [run for run in newest if run.status in OUTCOMES]
    good = sum(run.status == Status.SUCCEEDED for run in runs)
    success = round(100 * good / len(runs)) if runs else None
    took = sorted(run.duration for run in runs if run.duration is not None)
    if not took:
        return Facts(len(runs), success, "", "", None)
    median, p95 = (took[min(len(took) - 1, int(len(took) * part))] for part in (0.5, 0.95))
    texts = words.duration(median), words.duration(p95)
    spoken = _("Duration of the last runs: median %(median)s, 95th percentile %(p95)s.") % {
        "median": texts[0],
        "p95": texts[1],
    }
    drawn = chart(runs, [(median, texts[0]), (p95, texts[1])], spoken) if len(runs) > 1 else None
    return Facts(len(runs), success, *texts, drawn)


Choice = tuple[str, str, bool]
"""A filter's choice: ``(text, query string, current)``."""


Filter = tuple[str, list[Choice]]
"""A filter: ``(title, choices)``."""


class Filtered(Protocol):
    """A list whose filters are attributes and whose addresses come from :meth:`link`."""

    def link(self, **changes: object) -> str:
        """The query string with some values changed."""
        ...


def choices(shown: Filtered, name: str, every: str, texts: Mapping[str, str | Promise]) -> list[Choice]:
    """The choices of the filter ``name``, the one that leaves it out first."""
    chosen = getattr(shown, name)
    found = [(every, shown.link(**{name: "", "page": 1}), not chosen)]
    return found + [
        (str(text), shown.link(**{name: key, "page": 1}), key == chosen) for key, text in texts.items()
    ]


def status_filter(shown: Filtered) -> Filter:
    """The filter by status."""
    texts = {key: text for key, (text, _of) in STATUSES.items()}
    return _("Filter by status"), choices(shown, "status", _("All"), texts)


def period_filter(shown: Filtered) -> Filter:
    """The filter by when a run was queued."""
    texts = {key: text for key, (text, _span) in PERIODS.items()}
    return _("Period"), choices(shown, "period", _("Any time"), texts)


def number(text: str, *, most_digits: int = 18) -> int | None:
    """The whole number in an address; None for any other text and for more digits than a column holds."""
    return int(text) if text.isdecimal() and len(text) <= most_digits else None


class History:
    """One page of a task's runs under the filters of a query string."""

    def __init__(self, task_id: int, query: QueryDict, *, zone: ZoneInfo, now: datetime) -> None:
        self.task_id = task_id
        self.zone = zone
        self.now = now
        self.status = query.get("status", "") if query.get("status") in STATUSES else ""
        self.period = query.get("period", "") if query.get("period") in PERIODS else ""
        self.number = query.get("page", "1")
        self.opened = {number(text) for text in query.getlist("run")}

    @property
    def runs(self) -> QuerySet[TaskRun]:
        """The runs under the filters, newest first, without what only a run's own page shows."""
        runs = TaskRun.objects.filter(task_id=self.task_id).newest_first()
        if self.status:
            runs = runs.filter(status__in=STATUSES[self.status][1])
        if self.period:
            runs = runs.filter(queued_at__gte=self.now - PERIODS[self.period][1])
        return runs.defer(*HEAVY).annotate(error_head=Left("error", LINE))

    @cached_property
    def page(self) -> Page[TaskRun]:
        """The page asked for; the nearest one for a number that is not there."""
        paginator = Paginator(self.runs, PER_PAGE)
        page = number(self.number, most_digits=8) or 1
        first = (page - 1) * PER_PAGE
        found = list(self.runs.annotate(of=self._total)[first : first + PER_PAGE])
        if not found:
            return paginator.get_page(self.number)
        vars(paginator)["count"] = found[0].of  # known by the same statement
        return Page(found, page, paginator)

    @property
    def _total(self) -> Subquery:
        """How many runs there are under the filters; the database counts them once."""
        return Subquery(self.runs.order_by().values("task_id").annotate(n=Count("pk")).values("n"))

    @cached_property
    def rows(self) -> list[RunRow]:
        """The page's runs; those that are open in place come with everything."""
        rows = [RunRow(run, self.zone, self.now) for run in self.page]
        shown = self.opened & {row.pk for row in rows}
        full = TaskRun.objects.in_bulk(shown) if shown else {}
        for row in rows:
            row.link = self.link(run="" if row.pk in full else row.pk) + f"#st-run-{row.pk}"
            row.details = RunDetails(full[row.pk], self.zone, self.now) if row.pk in full else None
        return rows

    @property
    def has_open(self) -> bool:
        """Whether a shown run has not ended."""
        return any(row.run.is_open for row in self.rows)

    @property
    def page_links(self) -> list[tuple[str, str]]:
        """``(text, query string)`` of the pages around this one; an empty query string marks a gap."""
        pages = self.page.paginator.get_elided_page_range(self.page.number, on_each_side=1, on_ends=1)
        return [(str(n), self.link(page=n) if isinstance(n, int) else "") for n in pages]

    @property
    def filters(self) -> list[Filter]:
        """What the list can be filtered by."""
        return [status_filter(self), period_filter(self)]

    @property
    def previous(self) -> str:
        """Query string of the page before, or an empty text."""
        return self.link(page=self.page.number - 1) if self.page.has_previous() else ""

    @property
    def next(self) -> str:
        """Query string of the page after, or an empty text."""
        return self.link(page=self.page.number + 1) if self.page.has_next() else ""

    def link(self, **changes: object) -> str:
        """The query string of this page with some values changed, beginning with ``?``."""
        query = QueryDict(mutable=True)
        values = {"status": self.status, "period": self.period, "page": self.page_number, **changes}
        query.update(
            {name: str(value) for name, value in values.items() if value and (name, value) != ("page", 1)}
        )
        return f"?{query.urlencode()}"

    @property
    def page_number(self) -> int:
        """The number of the page shown."""
        return int(self.page.number)

    @property
    def number_text(self) -> str:
        """The same as a text."""
        return str(self.page_number)

    def version(self) -> list[object]:
        """What the list shows, to tell whether it has changed."""
        rows = [(row.pk, row.run.status, row.run.started_at, row.run.finished_at) for row in self.rows]
        return [rows, self.page.paginator.count, *(row.details.shown for row in self.rows if row.details)]
