"""Looking at all tasks: what changed becomes an entry anew, what did not stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model, Q
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from ..models import ScheduledTask, TaskState
from ..publishing import ROUTING
from ..reasons import NO_SCHEDULE, UNREADABLE_ROW
from ..schedules import Unschedulable
from . import records
from .entries import Entry, broken, entry_of, planned
from .ticks import Timetable

KINDS: dict[str, type[Model]] = {
    "crontab": CrontabSchedule,
    "interval": IntervalSchedule,
    "clocked": ClockedSchedule,
    "solar": SolarSchedule,
}

UNREADABLE = (ValueError, ValidationError)
"""What Django raises for a stored value that its field does not know."""

STATE = "scheduled_state"

OWN_COLUMNS = (
    *("pk", "expires", "last_run_at"),
    *(f"{STATE}__{name}" for name in ("accounted_until", "next_run_at", "enabled_since", "broken_reason")),
)
"""What is compared one by one."""

KIND_COLUMNS = tuple(f"{kind}_id" for kind in KINDS)

OTHER_COLUMNS = (
    *("name", "task", "args", "kwargs", "headers", *ROUTING, "expire_seconds", "one_off", "start_time"),
    *("date_changed", f"{STATE}__overlap", f"{STATE}__misfire", f"{STATE}__grace"),
)
"""What makes a fingerprint, with the schedule's own columns."""

STATE_FIELDS = ("accounted_until", "next_run_at", "enabled_since", "broken_reason")
"""What a look may change of a task's state."""


@dataclass(slots=True)
class Loaded:
    """One look at all tasks: the entries by task id, the states to write and the tasks that expired."""

    entries: dict[int, Entry] = field(default_factory=dict)
    states: list[TaskState] = field(default_factory=list)
    expired: list[int] = field(default_factory=list)


def load(known: Mapping[int, Entry], *, now: datetime, seen_at: datetime | None) -> Loaded:
    """Read every task; a row that cannot be scheduled becomes broken and harms no other.

    ``known`` are the entries of the look before, ``seen_at`` is when a change would have been noticed last,
    None when no look went before. Nothing is written.
    """
    loaded = Loaded()
    timetables = Timetables()
    changed = _sift(loaded, known, timetables, now)
    for chunk in records.chunks(list(changed)):
        for task in ScheduledTask.objects.filter(pk__in=chunk).select_related("scheduled_state").order_by():
            entry, fingerprint = known.get(task.pk), changed[task.pk]
            _add(task, loaded, timetables, fingerprint=fingerprint, known=entry, now=now, seen_at=seen_at)
    loaded.states.extend(_disabled(now))
    return loaded


def _sift(
    loaded: Loaded, known: Mapping[int, Entry], timetables: Timetables, now: datetime
) -> dict[int, int]:
    """Keep what is as it was, note what expired, and return the others' ids with their new fingerprints."""
    changed: dict[int, int] = {}
    columns = (*OWN_COLUMNS, *KIND_COLUMNS, *OTHER_COLUMNS)
    rows = ScheduledTask.objects.filter(enabled=True).order_by().values_list(*columns)
    for pk, expires, last_run_at, accounted_until, next_run_at, since, reason, *others in rows.iterator(2000):
        if expires is not None and expires <= now:
            loaded.expired.append(pk)
            continue
        values = ("" if value is None else value for value in others)  # as a state row with defaults has it
        fingerprint = hash((expires, *values, *timetables.stamps(others)))
        as_read = (fingerprint, accounted_until, next_run_at)
        entry = known.get(pk)
        if (
            entry is None
            or (entry.fingerprint, entry.accounted_until, entry.due) != as_read
            or (last_run_at is not None and last_run_at > entry.accounted_until)
            or since is None
            or reason
        ):
            changed[pk] = fingerprint
        else:
            loaded.entries[pk] = entry
    return changed


def _add(
    task: ScheduledTask,
    loaded: Loaded,
    timetables: Timetables,
    *,
    fingerprint: int,
    known: Entry | None,
    now: datetime,
    seen_at: datetime | None,
) -> None:
    before = copy(task.state)
    try:
        entry = entry_of(
            task, timetables.of(task), fingerprint=fingerprint, known=known, now=now, seen_at=seen_at
        )
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one row must not stop the others
        after = broken(task.pk, task.name, error, before)
    else:
        loaded.entries[task.pk] = entry
        after = planned(before, entry, now)
    if any(getattr(before, name) != getattr(after, name) for name in STATE_FIELDS):
        loaded.states.append(after)


class Timetables:
    """Timetables of tasks, shared by those with the same schedule row and bounds."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], Model] = {}
        self._stamps: dict[tuple[str, int], tuple[object, ...]] = {}
        self._errors: dict[tuple[str, int], Exception] = {}
        self._known: dict[tuple[object, ...], Timetable] = {}
        for kind, model in KINDS.items():
            self._read(kind, model)

    def _read(self, kind: str, model: type[Model]) -> None:
        used = model._default_manager.filter(Q(periodictask__enabled=True)).order_by().distinct()
        try:
            found = list(used)
        except UNREADABLE:  # a time zone that nobody knows makes the whole table unreadable
            found = list(self._one_by_one(kind, model, list(used.values_list("pk", flat=True))))
        fields = [field.attname for field in model._meta.concrete_fields]
        for row in found:
            self._rows[kind, row.pk] = row
            self._stamps[kind, row.pk] = tuple(str(getattr(row, name)) for name in fields)

    def _one_by_one(self, kind: str, model: type[Model], pks: list[int]) -> Iterator[Model]:
        for pk in pks:
            try:
                yield model._default_manager.get(pk=pk)
            except UNREADABLE as error:
                self._errors[kind, pk] = error

    def stamps(self, kind_ids: list[Any]) -> Iterator[tuple[object, ...] | None]:
        """The columns of a task's schedule; ``kind_ids`` begins with :data:`KIND_COLUMNS`."""
        for kind, pk in zip(KINDS, kind_ids, strict=False):
            if pk is not None:
                yield self._stamps.get((kind, pk))

    def of(self, task: PeriodicTask) -> Timetable:
        """The task's timetable. Raises :class:`Unschedulable` when it has none that can be read."""
        keys = [(kind, pk) for kind in KINDS if (pk := getattr(task, f"{kind}_id")) is not None]
        if not keys:
            raise Unschedulable(NO_SCHEDULE)
        for key in keys:
            if key in self._errors:
                raise Unschedulable(UNREADABLE_ROW % {"error": _sentence(self._errors[key])})
        bounds = (*keys, task.start_time, task.expires)
        if bounds not in self._known:
            rows: dict[str, Any] = {kind: self._row(kind, pk) for kind, pk in keys}
            self._known[bounds] = Timetable(**rows, start_time=task.start_time, expires=task.expires)
        return self._known[bounds]

    def _row(self, kind: str, pk: int) -> Model:
        """The schedule's row, which may have come after the look at all of them."""
        return self._rows.get((kind, pk)) or KINDS[kind]._default_manager.get(pk=pk)


def _sentence(error: Exception) -> str:
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)


def _disabled(now: datetime) -> Iterator[TaskState]:
    """Disabled tasks that are not yet noted as such: from being enabled again on they count anew."""
    noted = Q(
        scheduled_state__enabled_since__isnull=True,
        scheduled_state__next_run_at__isnull=True,
        scheduled_state__accounted_until__isnull=False,
    )
    rows = ScheduledTask.objects.filter(enabled=False).exclude(noted)
    for task in rows.select_related("scheduled_state").order_by():
        before = task.state
        yield TaskState(
            task_id=task.pk,
            accounted_until=now,
            next_run_at=None,
            enabled_since=None,
            broken_reason=before.broken_reason,
        )
