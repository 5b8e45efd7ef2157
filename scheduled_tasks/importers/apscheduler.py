"""APScheduler 3: the jobs that django-apscheduler keeps in the database."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from typing import Any

from ..validation import Invalid
from .found import Found, every, model_of

CRON = ("minute", "hour", "day", "month", "day_of_week")
OTHERS = {"year": ("*",), "week": ("*",), "second": ("0",)}
"""What the other fields must be for a cron expression to say the same."""


def items(place: str, zone: str) -> Iterator[tuple[str, Any]]:
    """Its rows. They are read here: its own job store deletes each job that it cannot read."""
    rows = model_of("django_apscheduler", "DjangoJob")._default_manager.order_by("pk")
    return ((f"DjangoJob {row.pk}", row) for row in rows)


def find(row: Any) -> Iterator[Found]:
    """A job with a cron or an interval trigger. A job that is paused has no next run."""
    job = pickle.loads(row.job_state)  # noqa: S301 - as its scheduler does whenever it starts
    trigger = job["trigger"]
    kind = type(trigger).__name__
    if kind not in ("CronTrigger", "IntervalTrigger"):
        raise Invalid(f"its {kind} is neither a cron expression nor an interval.")
    if trigger.end_date is not None:
        raise Invalid(f"it ends on {trigger.end_date:%Y-%m-%d}, which no schedule here can say.")
    yield Found(
        name=row.pk,
        schedule=_cron(trigger) if kind == "CronTrigger" else every(trigger.interval),
        path=job["func"].replace(":", "."),
        timezone=str(trigger.timezone),
        enabled=row.next_run_time is not None,
        next_run=row.next_run_time,
        args=job["args"],
        kwargs=job["kwargs"],
        note="Its jitter is left out." if trigger.jitter else "",
    )


def _cron(trigger: Any) -> str:
    fields = {field.name: str(field) for field in trigger.fields}
    for name, allowed in OTHERS.items():
        if fields[name] not in allowed:
            raise Invalid(f"no cron expression says {name}='{fields[name]}'.")
    fields["day_of_week"] = _weekdays(fields["day_of_week"])
    return " ".join(fields[name] for name in CRON)


def _weekdays(text: str) -> str:
    """Cron's days of the week, of which Sunday is 0: APScheduler's begin with Monday."""
    if "/" in text:
        raise Invalid(f"in day_of_week='{text}' steps count from Monday; list the days.")
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    return re.sub(r"\d", lambda found: names[int(found[0])], text)
