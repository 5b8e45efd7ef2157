"""Spreading tasks that share a schedule: each is due a fixed time after the tick of its crontab."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from zlib import crc32

from django.utils.translation import gettext as _
from django_celery_beat.models import PeriodicTask

from .cron import CronExpression, InvalidCron
from .moments import exact_span

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


class InvalidSpread(ValueError):
    """What was typed is no spread of that schedule; its text is one sentence in the active language."""


def stored_spread(task: PeriodicTask) -> timedelta | None:
    """The spread that is stored for a task; None where it is due at its tick, or has no crontab."""
    spread: timedelta | None = getattr(getattr(task, "scheduled_state", None), "spread", None)
    return spread if task.crontab is not None and spread and spread >= SECOND else None


def spread_of(task: PeriodicTask) -> timedelta | None:
    """The time within which a task is due: its stored spread, cut where it would reach the next tick.

    An operator's spread stays while code, a restored schedule or django-celery-beat's admin make the ticks
    denser.
    """
    spread, row = stored_spread(task), task.crontab
    return None if spread is None or row is None else min(spread, _longest(str(row.minute), str(row.hour)))


@lru_cache(maxsize=1000)
def _longest(minute: str, hour: str) -> timedelta:
    """The longest spread that stays below the time from one tick to the next."""
    try:
        gap = CronExpression.parse(f"{minute} {hour} * * *").shortest_gap
    except InvalidCron:  # which runs at no time
        return timedelta.max
    return gap - MINUTE if gap > MINUTE else gap - SECOND


def check_spread(cron: CronExpression, spread: timedelta | None) -> None:
    """Check that a spread tick never reaches the next one. Raises :class:`InvalidSpread`."""
    if spread is not None and spread >= cron.shortest_gap:
        text = _("The spread must be shorter than the time from one run to the next, here %(time)s.")
        raise InvalidSpread(text % {"time": exact_span(cron.shortest_gap)})


def spread_offset(task: PeriodicTask) -> timedelta:
    """How much later than its crontab says a task is due, each time: less than its spread.

    In whole seconds, from its name, so that every process and every restart comes to the same.
    """
    spread = spread_of(task)
    if spread is None:
        return timedelta(0)
    return crc32(str(task.name).encode()) % (spread // SECOND) * SECOND


def spread_label(text: str, spread: timedelta | None) -> str:
    """A schedule's text with its spread, if any: ``"Hourly, within 10 min"``."""
    if not spread:
        return text
    return _("%(schedule)s, within %(time)s") % {"schedule": text, "time": exact_span(spread)}
