"""The runs of all tasks: filters, keyset pages, and the export of everything that passes the filters."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import QueryDict
from django.utils.translation import gettext as _

from .. import schedules
from ..models import ScheduledTask, TaskRun, Trigger
from .history import HEAVY, PERIODS, STATUSES, Filter, choices, number, period_filter, status_filter
from .run import LINE, RunRow

PER_PAGE = 50
CHUNK = 2000
"""Rows an export reads at a time."""

EXPORTED = (
    "id", "name", "status", "trigger", "actor", "scheduled_for", "queued_at", "started_at", "finished_at",
    "attempts", "worker", "queue", "celery_id", "summary", "error_type", "error", "reason",
)  # fmt: skip
"""Columns of an export. Arguments, tracebacks and logs stay on the run's own page."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
"""First characters that make a spreadsheet compute a cell."""


class RunList:
    """One page of runs under the filters of a query string, newest first."""

    def __init__(self, query: QueryDict, now: datetime) -> None:
        self.now = now
        self.status = query.get("status", "") if query.get("status") in STATUSES else ""
        self.period = query.get("period", "") if query.get("period") in PERIODS else ""
        self.trigger = query.get("trigger", "") if query.get("trigger") in Trigger.values else ""
        self.task = query.get("task", "").strip().replace("\x00", "")
        self.before = number(query.get("before", ""))
        self.after = number(query.get("after", ""))

    @cached_property
    def runs(self) -> QuerySet[TaskRun]:
        """Every run that passes the filters."""
        runs = TaskRun.objects.newest_first()
        if self.status:
            runs = runs.filter(status__in=STATUSES[self.status][1])
        if self.trigger:
            runs = runs.filter(trigger=self.trigger)
        if self.period:
            runs = runs.filter(queued_at__gte=self.now - PERIODS[self.period][1])
        return runs.filter(**self._of_task()) if self.task else runs

    def _of_task(self) -> dict[str, Any]:
        """By the task's id, which is indexed; by the copied name where the task is gone."""
        pk = ScheduledTask.objects.filter(name=self.task).values_list("pk", flat=True).first()
        return {"name": self.task} if pk is None else {"task_id": pk}

    @cached_property
    def found(self) -> list[TaskRun]:
        """The page's runs and one more, to know whether there are others."""
        runs = self.runs.defer(*HEAVY).annotate(error_head=Left("error", LINE))
        if self.after:
            return list(runs.filter(pk__gt=self.after).order_by("id")[: PER_PAGE + 1])
        return list((runs.filter(pk__lt=self.before) if self.before else runs)[: PER_PAGE + 1])

    @cached_property
    def rows(self) -> list[RunRow]:
        """The page's runs as shown, in the site's time zone."""
        shown = self.found[:PER_PAGE]
        zone = schedules.current_zone()
        return [RunRow(run, zone, self.now) for run in (reversed(shown) if self.after else shown)]

    @property
    def newer(self) -> str:
        """Query string of the page before this one, or an empty text."""
        more = len(self.found) > PER_PAGE if self.after else bool(self.before)
        return self.link(after=self.rows[0].pk) if more and self.rows else ""

    @property
    def older(self) -> str:
        """Query string of the page after this one, or an empty text."""
        more = True if self.after else len(self.found) > PER_PAGE
        return self.link(before=self.rows[-1].pk) if more and self.rows else ""

    @property
    def filters(self) -> list[Filter]:
        """What the list can be filtered by."""
        triggers = {value: str(label) for value, label in Trigger.choices}
        by_trigger = _("Filter by trigger"), choices(self, "trigger", _("Any trigger"), triggers)
        return [status_filter(self), by_trigger, period_filter(self)]

    def link(self, **changes: object) -> str:
        """The query string of this list with some values changed, beginning with ``?``."""
        query = QueryDict(mutable=True)
        values = {"status": self.status, "trigger": self.trigger, "period": self.period, "task": self.task}
        changes.pop("page", None)
        query.update({name: str(value) for name, value in {**values, **changes}.items() if value})
        return f"?{query.urlencode()}"

    def csv(self) -> Iterator[str]:
        """Every run that passes the filters as lines of CSV; no cell is a formula."""
        writer = csv.writer(Echo())
        yield writer.writerow(EXPORTED)
        for run in self._exported():
            yield writer.writerow(_harmless(value) for value in run.values())

    def json(self) -> Iterator[str]:
        """The same as one JSON list."""
        lead = "[\n"
        for run in self._exported():
            yield lead + json.dumps(run, ensure_ascii=False, default=_text)
            lead = ",\n"
        yield "\n]\n" if lead != "[\n" else "[]\n"

    def _exported(self) -> Iterator[dict[str, Any]]:
        return iter(self.runs.values(*EXPORTED).iterator(chunk_size=CHUNK))


class Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        """Give the text back."""
        return text


def _harmless(value: object) -> str:
    text = "" if value is None else _text(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
