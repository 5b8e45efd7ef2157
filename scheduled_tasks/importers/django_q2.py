"""django-q2: the rows of its table ``Schedule``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from ..validation import Invalid
from .found import Found, every, model_of

ONCE, MINUTES, CRON = "O", "I", "C"
FROM_NEXT_RUN = {
    "H": "{minute} * * * *",
    "D": "{minute} {hour} * * *",
    "W": "{minute} {hour} * * {weekday}",
    "M": "{minute} {hour} {day} * *",
    "BM": "{minute} {hour} {day} {months} *",
    "Q": "{minute} {hour} {day} {months} *",
    "Y": "{minute} {hour} {day} {month} *",
}
"""Cron expressions of the kinds that go on from the next run."""
MONTHS_BETWEEN = {"BM": 2, "Q": 3}
LAST_SAFE_DAY = 28
"""django-q2 moves a later day to the end of a shorter month; cron leaves that month out."""


def items(place: str, zone: str) -> Iterator[tuple[str, Any]]:
    """Its rows."""
    rows = model_of("django_q", "Schedule")._default_manager.order_by("pk")
    return ((f"Schedule {row.pk}", row) for row in rows)


def find(row: Any) -> Iterator[Found]:
    """A row that recurs without end."""
    if row.schedule_type == ONCE:
        raise Invalid("it runs once, and here are schedules that recur.")
    if row.repeats == 0:
        raise Invalid("it has had all its runs.")
    if row.repeats > 0:
        raise Invalid(f"it ends after {row.repeats} more runs, which no schedule here can say.")
    if row.intended_date_kwarg:
        raise Invalid(f"it is given its time as “{row.intended_date_kwarg}”, which no task here is.")
    kwargs = _keywords(row.kwargs)
    lost = [name for name in ("hook", "cluster") if getattr(row, name)]
    lost += ["q_options"] if kwargs.pop("q_options", None) else []
    yield Found(
        name=row.name or row.func,
        schedule=_schedule(row),
        path=row.func,
        timezone=settings.TIME_ZONE,
        enabled=row.next_run is not None,
        next_run=row.next_run,
        args=_arguments(row.args),
        kwargs=kwargs,
        either_day=True,
        note=f"Its {' and '.join(lost)} is left out." if lost else "",
    )


def _schedule(row: Any) -> str:
    if row.schedule_type == CRON:
        return str(row.cron)
    if row.schedule_type == MINUTES:
        return every(timedelta(minutes=row.minutes or 1))
    pattern = FROM_NEXT_RUN.get(row.schedule_type)
    if pattern is None:
        raise Invalid("no cron expression says every second week.")
    if row.next_run is None:
        raise Invalid("it has no next run, from which its time would follow.")
    return _from(row.next_run.astimezone(ZoneInfo(settings.TIME_ZONE)), pattern, row.schedule_type)


def _from(next_run: datetime, pattern: str, kind: str) -> str:
    if "{day}" in pattern and next_run.day > LAST_SAFE_DAY:
        raise Invalid(f"it runs on day {next_run.day}, which not every month has.")
    months = range(1, 13)[(next_run.month - 1) % (step := MONTHS_BETWEEN.get(kind, 1)) :: step]
    return pattern.format(
        minute=next_run.minute,
        hour=next_run.hour,
        day=next_run.day,
        month=next_run.month,
        months=",".join(map(str, months)),
        weekday=next_run.isoweekday() % 7,
    )


def _arguments(text: str | None) -> tuple[Any, ...]:
    value = ast.literal_eval(text) if text else ()
    return value if isinstance(value, tuple) else (value,)


def _keywords(text: str | None) -> dict[str, Any]:
    """Its keyword arguments, written as a dict or as in a call."""
    if not text:
        return {}
    try:
        return dict(ast.literal_eval(text))
    except (SyntaxError, ValueError):
        call: Any = ast.parse(f"f({text})", mode="eval").body
        return {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
