"""django-cron: the classes of the setting ``CRON_CLASSES``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from .found import Found, cron_of, listed

RETRY = "Its retry after a failure is left out: give the task autoretry_for."


def items(place: str, zone: str) -> Iterator[tuple[str, str]]:
    """The paths of its classes."""
    return ((str(path), path) for path in listed("CRON_CLASSES"))


def find(path: str) -> Iterator[Found]:
    """A class's schedules: one for its interval, and one for each minute of an hour at which it runs."""
    schedule = import_string(path).schedule
    days = [_list(getattr(schedule, "run_monthly_on_days", None)), "*", _weekdays(schedule)]
    for time in _times(schedule):
        yield Found(
            name=path,
            schedule=" ".join([time, *days]),
            path=path,
            method="do",
            timezone=settings.TIME_ZONE,
            note=RETRY if getattr(schedule, "retry_after_failure_mins", None) else "",
        )


def _times(schedule: Any) -> Iterator[str]:
    """Minute and hour of each cron expression."""
    if schedule.run_every_mins:
        yield cron_of(timedelta(minutes=schedule.run_every_mins)).removesuffix(" * * *")
    hours: dict[int, list[int]] = {}
    for time in schedule.run_at_times:
        hour, minute = map(int, time.split(":"))
        hours.setdefault(minute, []).append(hour)
    for minute in sorted(hours):
        yield f"{minute} {_list(sorted(set(hours[minute])))}"


def _weekdays(schedule: Any) -> str:
    """Cron's numbers of its days, of which Monday is 0."""
    days = getattr(schedule, "run_on_days", None)
    return _list(days and sorted((day + 1) % 7 for day in days))


def _list(numbers: list[int] | None) -> str:
    return "*" if numbers is None else ",".join(map(str, numbers))
