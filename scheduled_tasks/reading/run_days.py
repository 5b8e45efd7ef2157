"""A task's runs by the day on which they were queued: how many, how they ended, how long they took."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, FloatField, Func, IntegerField, Subquery, Sum
from django.db.models.functions import Cast, Floor

from ..models import TaskRun
from ..schedules import day_begin

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

DAYS = 90

QUARTER = 900
"""Seconds. In every zone a day begins with a quarter of an hour of UTC, so days are made of these."""


class Seconds(Func):
    """A moment as seconds since 1970."""

    output_field = FloatField()
    template = "EXTRACT(EPOCH FROM %(expressions)s)"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # SQLite's days have milliseconds, and fractions that fall short of them.
        template = "ROUND((julianday(%(expressions)s) - 2440587.5) * 86400.0, 3)"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', %(expressions)s) / 1000000.0)"
        return self.as_sql(compiler, connection, template=template, **context)


@dataclass
class RunDay:
    """The runs of one day: how many have each status, and how long all took together, in seconds."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def days_before(now: datetime, zone: ZoneInfo) -> list[date]:
    """The last 90 days in a zone, today last."""
    today = now.astimezone(zone).date()
    return [today - timedelta(days=ago) for ago in range(DAYS - 1, -1, -1)]


def run_days(task_id: int, first: date, zone: ZoneInfo) -> dict[date, RunDay]:
    """The task's days since ``first`` that have runs: one statement, which reads no older run."""
    newer = TaskRun.objects.filter(queued_at__gte=day_begin(first, zone))
    oldest = Subquery(newer.order_by("queued_at", "pk").values("pk")[:1])
    quarter = Cast(Floor(Seconds("queued_at") / QUARTER), IntegerField())
    took = Sum(Seconds("finished_at") - Seconds("started_at"))
    grouped = newer.filter(task_id=task_id, pk__gte=oldest).order_by().values("status", quarter=quarter)
    rows = grouped.annotate(n=Count("pk"), took=took).values_list("status", "quarter", "n", "took")
    found: dict[date, RunDay] = defaultdict(RunDay)
    for status, at, number, seconds in rows:
        day = found[(EPOCH + timedelta(seconds=at * QUARTER)).astimezone(zone).date()]
        day.statuses[status] += number
        day.seconds += float(seconds or 0)
    return dict(found)
