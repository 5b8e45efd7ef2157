"""Any django-celery-beat schedule in words, and when it is next due.

A task's schedule is a crontab, an interval, a clocked time or a solar event. Due times always come from
Celery's own schedule objects, so what is shown is what beat does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from celery.schedules import solar
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import get_language, ngettext_lazy
from django.utils.translation import gettext as _
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from django_celery_beat.tzcrontab import TzAwareCrontab

from .cron import CronExpression, InvalidCron, known_zone
from .cron.grammar import FIELDS
from .cron.occurrences import occurrences
from .once import once_label, once_text, parse_once
from .reasons import Code, Reason, ReasonedError
from .solar_events import parse_solar, solar_label, solar_text
from .spread import spread_label, spread_of, spread_offset

INTERVAL = re.compile(r"every (?:(\d+) )?(\w+)")
"""An interval as :func:`raw` writes it: how many, of what unit; one has no number."""

UNITS = {
    IntervalSchedule.DAYS: timedelta(days=1),
    IntervalSchedule.HOURS: timedelta(hours=1),
    IntervalSchedule.MINUTES: timedelta(minutes=1),
    IntervalSchedule.SECONDS: timedelta(seconds=1),
    IntervalSchedule.MICROSECONDS: timedelta(microseconds=1),
}
"""django-celery-beat's units of an interval, the longest first."""

UNIT_LABELS = {
    IntervalSchedule.DAYS: ngettext_lazy("Every day", "Every %(n)s days", "n"),
    IntervalSchedule.HOURS: ngettext_lazy("Every hour", "Every %(n)s hours", "n"),
    IntervalSchedule.MINUTES: ngettext_lazy("Every minute", "Every %(n)s minutes", "n"),
    IntervalSchedule.SECONDS: ngettext_lazy("Every second", "Every %(n)s seconds", "n"),
    IntervalSchedule.MICROSECONDS: ngettext_lazy("Every microsecond", "Every %(n)s microseconds", "n"),
}

SHORTEST_INTERVAL = timedelta(seconds=1)
"""Beat would do nothing else than start a task that runs more often."""

LONGEST_INTERVAL = timedelta(days=3650)
"""What may be typed or declared."""

MOST = 2**31 - 1
"""What fits every database's integer column."""

UNREADABLE = (
    *(ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError),
    ValidationError,
)
"""What a row raises that other code stored: an unknown zone, a directory's name, another type, a date out of
the calendar."""

Row = TypeVar("Row", bound=models.Model)


class Unschedulable(ReasonedError, ValueError):
    """A task beat cannot run on schedule."""


class InvalidInterval(ValueError):
    """What was typed is no interval; its text is one sentence in the active language."""


class UnknownZone(LookupError):
    """What was typed is no time zone; its text is one sentence in the active language."""


def cron_text(row: CrontabSchedule) -> str:
    """The five fields of a crontab row as one expression."""
    return f"{row.minute} {row.hour} {row.day_of_month} {row.month_of_year} {row.day_of_week}"


def raw(task: PeriodicTask) -> str:
    """The schedule as stored: the cron expression, or the other kind's own short form; "" if unreadable."""
    try:
        return _raw(task)
    except UNREADABLE:
        return ""


def _raw(task: PeriodicTask) -> str:
    if task.crontab is not None:
        return cron_text(task.crontab)
    if task.interval is not None:
        return interval_text(task.interval)
    if task.clocked is not None:
        return once_text(task.clocked.clocked_time)
    if task.solar is not None:
        return solar_text(task.solar)
    return ""


def interval_text(row: IntervalSchedule) -> str:
    """The short form of an interval: "every hour", "every 10 minutes"."""
    unit = str(row.period)
    return f"every {unit.removesuffix('s')}" if row.every == 1 else f"every {row.every} {unit}"


def parse_interval(text: str) -> IntervalSchedule | None:
    """The interval that :func:`interval_text` wrote, not stored; None for any other text."""
    found = INTERVAL.fullmatch(text)
    if found is None:
        return None
    return IntervalSchedule(every=int(found[1] or 1), period=found[2] if found[1] else f"{found[2]}s")


def label(task: PeriodicTask) -> str:
    """The schedule in plain words, in the active language; as stored where it has none."""
    try:
        return _label(task)
    except UNREADABLE:
        return raw(task)


def _label(task: PeriodicTask) -> str:
    if task.crontab is not None:
        return spread_label(_cron_label(cron_text(task.crontab)), spread_of(task))
    if task.interval is not None:
        return interval_label(task.interval)
    if task.clocked is not None:
        return once_label(task.clocked.clocked_time, current_zone())
    if task.solar is not None:
        return solar_label(task.solar)
    return _("No schedule")


def text_label(text: str) -> str:
    """A schedule that is kept as the text of :func:`raw`, in plain words; any other text stays as it is."""
    if row := parse_interval(text):
        return interval_label(row)
    if at := parse_once(text):
        return once_label(at, current_zone())
    if fields := parse_solar(text):
        return solar_label(SolarSchedule(**fields))
    return _cron_label(text)


def zone(task: PeriodicTask) -> ZoneInfo:
    """The time zone the schedule is read and shown in: a crontab's own, else the current one."""
    try:
        return current_zone() if task.crontab is None else ZoneInfo(str(task.crontab.timezone))
    except UNREADABLE:
        return current_zone()


def current_zone() -> ZoneInfo:
    """Django's current time zone; ``TIME_ZONE`` where that is a mere offset, which has no name."""
    current = timezone.get_current_timezone()
    return current if isinstance(current, ZoneInfo) else ZoneInfo(settings.TIME_ZONE)


def day_begin(day: date, zone: ZoneInfo) -> datetime:
    """The moment at which a day begins in a zone."""
    return datetime.combine(day, time.min, zone)


def next_run(task: PeriodicTask, after: datetime) -> datetime | None:
    """The first due time strictly after ``after``, in UTC; None when there is none.

    For an interval ``after`` is the last due time it counts from, and its ``start_time`` the first. Nothing
    is due before a ``start_time`` or from ``expires`` on. Disabled tasks are the caller's matter.

    Raises :class:`Unschedulable` for whatever is wrong with the row, and nothing else.
    """
    try:
        return _next_run(task, after)
    except Unschedulable:
        raise
    except Exception as error:
        text = "; ".join(error.messages) if isinstance(error, ValidationError) else error
        raise Unschedulable(Reason.of(Code.UNREADABLE_ROW, error=text)) from error


def _next_run(task: PeriodicTask, after: datetime) -> datetime | None:
    start: datetime | None = task.start_time
    if start is None or after >= start:
        moment = _due_after(task, after)
    elif task.interval is not None:
        moment = start.astimezone(UTC)
    else:
        moment = _due_after(task, start - timedelta(microseconds=1))
    expired = moment is not None and task.expires is not None and moment >= task.expires
    return None if expired else moment


def _due_after(task: PeriodicTask, after: datetime) -> datetime | None:
    if task.crontab is not None:
        offset = spread_offset(task)
        return next_cron_tick(task.crontab, after - offset) + offset
    if task.interval is not None:
        return after.astimezone(UTC) + interval(task.interval)
    if task.clocked is not None:
        moment = task.clocked.clocked_time.astimezone(UTC)
        return moment if moment > after else None
    if task.solar is not None:
        return _next_solar(task.solar, after)
    raise Unschedulable(Reason(Code.NO_SCHEDULE))


def next_runs(task: PeriodicTask, after: datetime) -> Iterator[datetime]:
    """Due times after ``after``, one by one, without end unless the schedule ends."""
    moment: datetime | None = after
    while moment is not None:
        moment = next_run(task, moment)
        if moment is not None:
            yield moment


def next_cron_tick(row: CrontabSchedule, after: datetime) -> datetime:
    """The first occurrence of a crontab row after ``after``, in UTC. Raises :class:`Unschedulable`."""
    schedule = crontab(row)
    moment = next(occurrences([getattr(schedule, name) for name in FIELDS], after, schedule.tz), None)
    if moment is None:  # a date that no month has, which Celery refuses since 5.7
        raise Unschedulable(Reason.of(Code.UNREADABLE_CRON, text=cron_text(row), error="it never runs"))
    return moment


def shared_row(model: type[Row], **fields: Any) -> Row:
    """A stored schedule with these fields: the oldest there is, else a new one.

    Rows are shared between tasks and not unique, so one is never edited, nor fetched by ``get()``.
    """
    rows = model._default_manager
    return rows.filter(**fields).order_by("pk").first() or rows.create(**fields)


def crontab(row: CrontabSchedule) -> TzAwareCrontab:
    """Celery's schedule of a crontab row, shared by all rows alike. Raises :class:`Unschedulable`."""
    fields = (row.minute, row.hour, row.day_of_month, row.month_of_year, row.day_of_week)
    return _crontab(*fields, str(row.timezone))


@lru_cache(maxsize=20_000)
def _crontab(
    minute: str, hour: str, day_of_month: str, month_of_year: str, day_of_week: str, zone: str
) -> TzAwareCrontab:
    try:
        return TzAwareCrontab(
            minute=minute,
            hour=hour,
            day_of_week=day_of_week,
            day_of_month=day_of_month,
            month_of_year=month_of_year,
            tz=ZoneInfo(zone),
        )
    except Exception as error:  # celery raises ValueError, ParseException and more for texts it rejects
        text = f"{minute} {hour} {day_of_month} {month_of_year} {day_of_week}"
        raise Unschedulable(Reason.of(Code.UNREADABLE_CRON, text=text, error=error)) from error


def interval(row: IntervalSchedule) -> timedelta:
    """The length of an interval. Raises :class:`Unschedulable` when it is too short or not known."""
    try:
        length = timedelta(**{row.period: row.every})
    except (TypeError, OverflowError) as error:
        raise Unschedulable(Reason.of(Code.UNUSABLE_INTERVAL, text=interval_text(row))) from error
    if length < SHORTEST_INTERVAL:
        raise Unschedulable(Reason.of(Code.UNUSABLE_INTERVAL, text=interval_text(row)))
    return length


def read_interval(every: str, unit: str) -> IntervalSchedule:
    """The interval that was typed, not yet stored. Raises :class:`InvalidInterval`."""
    length = UNITS.get(unit)
    if length is None:
        raise InvalidInterval(_("Choose seconds, minutes, hours or days."))
    most = LONGEST_INTERVAL // length
    number = every.strip()
    if not re.fullmatch(r"[0-9]{1,20}", number) or not 1 <= int(number) <= most:
        raise InvalidInterval(_("Enter a whole number from 1 to %(most)s.") % {"most": most})
    check_interval(int(number) * length)
    return IntervalSchedule(every=int(number), period=unit)


def read_zone(name: str) -> ZoneInfo:
    """The time zone that was typed. Raises :class:`UnknownZone`."""
    zone = known_zone(name)
    if zone is None:
        message = _("“%(name)s” is not a known time zone. Choose one such as Europe/Paris.")
        raise UnknownZone(message % {"name": name[:60]})
    return zone


def check_interval(length: timedelta) -> None:
    """Check that a task may run this often, and that every database can keep it.

    Raises :class:`InvalidInterval`.
    """
    if length < SHORTEST_INTERVAL:
        raise InvalidInterval(_("The shortest interval is one second."))
    if length > LONGEST_INTERVAL:
        raise InvalidInterval(_("The longest interval is %(days)d days.") % {"days": LONGEST_INTERVAL.days})
    if tidy_interval(length)[0] > MOST:
        raise InvalidInterval(_("An interval longer than half an hour must be whole seconds."))


def tidy_interval(length: timedelta) -> tuple[int, str]:
    """A length in the longest unit of which it is a whole number: 900 seconds are 15 minutes."""
    unit = next(unit for unit, one in UNITS.items() if not length % one)
    return length // UNITS[unit], unit


def _next_solar(row: SolarSchedule, after: datetime) -> datetime:
    after = after.astimezone(UTC)
    try:
        schedule = solar(row.event, row.latitude, row.longitude, nowfun=lambda: after)
        remaining: timedelta = schedule.remaining_estimate(after)
        return after + remaining
    except Exception as error:  # ephem missing, unknown event, no such event at that latitude
        raise Unschedulable(Reason.of(Code.UNUSABLE_SOLAR, error=error)) from error


def _cron_label(text: str) -> str:
    return _cron_label_in(text, get_language())


@lru_cache(maxsize=4096)
def _cron_label_in(text: str, language: str | None) -> str:
    try:
        return CronExpression.parse(text).label
    except InvalidCron:
        return text


def interval_label(row: IntervalSchedule) -> str:
    """An interval in plain words, in the active language; of one that is unusable what it says."""
    try:
        every, unit = tidy_interval(interval(row))
    except Unschedulable:
        return interval_text(row)
    return UNIT_LABELS[unit] % {"n": every}
