"""The statements by which beat writes: many rows in each, and each harmless when it comes twice."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from django.db import connections, transaction
from django.db.models import Case, F, Model, Q, QuerySet, Value, When
from django.utils.translation import gettext_noop
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from ..models import LONG_AGO, Status, TaskRun, TaskState, database, now_sql, told_by_clock

CHUNK = 500
"""Rows in one statement."""

UNNOTED = gettext_noop("Beat stopped before it noted that this run was sent.")

T = TypeVar("T")


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """``items`` in portions that fit one statement."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def unsent() -> QuerySet[TaskRun]:
    """Runs that a beat claimed and has not noted as sent."""
    return TaskRun.objects.open().filter(status=Status.QUEUED, tick__isnull=False, sent_at__isnull=True)


def close(runs: QuerySet[TaskRun], status: Status, reason: str, now: datetime) -> int:
    """End every run in ``runs``; how many there were."""
    return runs.update(status=status, reason=reason, finished_at=now, open_since=None)


def mark_sent(celery_ids: Sequence[str], now: datetime) -> None:
    """Note that the messages of these runs left."""
    for chunk in chunks(celery_ids):
        TaskRun.objects.filter(celery_id__in=chunk, sent_at__isnull=True).update(sent_at=now)


def give_back(celery_id: str, task_id: int, tick: datetime, after: datetime | None) -> bool:
    """Undo the claim of a tick that was never sent: the next leader finds it due.

    Whether that was possible; it is not once later ticks are accounted for.
    """
    with transaction.atomic(using=database()):
        newest = TaskState.objects.filter(pk=task_id, accounted_until=tick)
        if not newest.exists() or not unsent().filter(celery_id=celery_id).delete()[0]:
            return False
        PeriodicTask.objects.filter(pk=task_id, last_run_at=tick).update(last_run_at=after)
        newest.update(accounted_until=after, next_run_at=tick)
    return True


def write_states(states: Sequence[TaskState], fields: Iterable[str]) -> None:
    """Write ``fields`` of each state; a missing row is made."""
    connection = connections[database()]
    target = ["task"] if connection.features.supports_update_conflicts_with_target else None
    TaskState.objects.bulk_create(
        sorted(states, key=lambda state: state.task_id),
        update_conflicts=True,
        update_fields=list(fields),
        unique_fields=target,
        batch_size=CHUNK,
    )


class NewRun(NamedTuple):
    """A run as beat writes it first; its other columns have their defaults."""

    task_id: int
    name: str
    status: str
    queued_at: datetime
    scheduled_for: datetime
    scheduled_until: datetime | None = None
    tick_count: int = 1
    celery_id: str | None = None
    tick: str | None = None
    expires_at: datetime | None = None
    open_since: datetime | None = None
    finished_at: datetime | None = None
    queue: str = ""
    args: str = ""
    kwargs: str = ""
    blocked_by_id: int | None = None
    reason: str = ""


class Moved(NamedTuple):
    """How far a task is accounted for after a claim, and when it is due next."""

    accounted_until: datetime | None
    next_run_at: datetime | None
    broken_reason: str
    task_id: int


def move_states(moved: Sequence[Moved]) -> None:
    """Write how far tasks are accounted for, whose states are there: one prepared statement for all."""
    if not moved:
        return
    connection = connections[database()]
    quote = connection.ops.quote_name
    table, columns = quote(TaskState._meta.db_table), Moved._fields[:-1]
    ordered = sorted(moved, key=lambda each: each.task_id)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            changes = ", ".join(f"{quote(column)} = given.{quote(column)}" for column in columns)
            source = _recordset(TaskState, Moved._fields)
            statement = (
                f"UPDATE {table} AS kept SET {changes} FROM {source} WHERE kept.task_id = given.task_id"  # noqa: S608
            )
            cursor.execute(statement, [_as_json(ordered)])
        else:
            changes = ", ".join(f"{quote(column)} = %s" for column in columns)
            statement = f"UPDATE {table} SET {changes} WHERE {quote('task_id')} = %s"  # noqa: S608
            cursor.executemany(statement, _plain(ordered, connection.ops.adapt_datetimefield_value))


def insert_runs(runs: Sequence[NewRun]) -> None:
    """Write new rows, in this order, with one statement.

    Django's own way builds a model and the text of each row anew, which would cost as much as sending its
    message.
    """
    if not runs:
        return
    connection = connections[database()]
    quote = connection.ops.quote_name
    given, others = ", ".join(map(quote, NewRun._fields)), _other_defaults()
    names, values = ", ".join(map(quote, others)), ", ".join(others.values())
    into = f"INSERT INTO {quote(TaskRun._meta.db_table)} ({given}, {names})"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            source = _recordset(TaskRun, NewRun._fields)
            cursor.execute(f"{into} SELECT {given}, {values} FROM {source}", [_as_json(runs)])  # noqa: S608
        else:
            places = ", ".join(["%s"] * len(NewRun._fields))
            rows = _plain(runs, connection.ops.adapt_datetimefield_value)
            cursor.executemany(f"{into} VALUES ({places}, {values})", rows)


def _other_defaults() -> dict[str, str]:
    """The columns of a run that beat does not give, with their defaults in SQL."""
    fields = [field for field in TaskRun._meta.concrete_fields if not field.primary_key]
    return {
        field.attname: _literal(field.get_default())
        for field in fields
        if field.attname not in NewRun._fields
    }


def _literal(default: Any) -> str:
    if default is None:
        return "NULL"
    return f"'{default}'" if isinstance(default, str) else str(default).upper()


def _recordset(model: type[Model], columns: Sequence[str]) -> str:
    """PostgreSQL's table of one JSON text, by which it gets many rows for the price of one value."""
    connection = connections[database()]
    fields = {field.attname: field for field in model._meta.concrete_fields}
    quote = connection.ops.quote_name
    types = ", ".join(f"{quote(column)} {fields[column].db_type(connection)}" for column in columns)
    return f"json_to_recordset(%s::json) AS given({types})"


def _as_json(rows: Iterable[NewRun | Moved]) -> str:
    return json.dumps([dict(zip(row._fields, row, strict=True)) for row in rows], default=str)


def _plain(rows: Iterable[tuple[Any, ...]], adapted: Callable[[datetime], Any]) -> list[list[Any]]:
    """``rows`` with their moments ``adapted``: each once, as most rows share theirs."""
    known: dict[datetime, Any] = {}

    def plain(value: Any) -> Any:
        if not isinstance(value, datetime):
            return value
        if value not in known:
            known[value] = adapted(value)
        return known[value]

    return [[plain(value) for value in row] for row in rows]


def retire(task_ids: Sequence[int], now: datetime) -> None:
    """Disable tasks that are over, as django-celery-beat's own scheduler does, but let everybody know."""
    for chunk in chunks(task_ids):
        tasks = PeriodicTask.objects.filter(pk__in=chunk, enabled=True)
        tasks.update(enabled=False, total_run_count=0, last_run_at=None, date_changed=now)
    if task_ids:
        PeriodicTasks.update_changed()


def write_back(fired: dict[int, tuple[datetime, int]]) -> None:
    """Keep django-celery-beat's own columns: per task its last tick and how many runs came since.

    A later ``last_run_at`` that somebody else wrote stays.
    """
    for chunk in chunks(sorted(fired)):
        ticks = {pk: fired[pk][0] for pk in chunk}
        counts: dict[int, list[int]] = defaultdict(list)
        for pk in chunk:
            counts[fired[pk][1]].append(pk)
        later = Case(
            *(
                When(Q(pk=pk) & (Q(last_run_at=None) | Q(last_run_at__lt=tick)), then=Value(tick))
                for pk, tick in ticks.items()
            ),
            default=F("last_run_at"),
        )
        more = Case(*(When(pk__in=pks, then=Value(count)) for count, pks in counts.items()))
        tasks = PeriodicTask.objects.filter(pk__in=chunk, enabled=True)
        tasks.update(last_run_at=later, total_run_count=F("total_run_count") + more)


class Look(NamedTuple):
    """What beat looks at every second: the clock, tasks and schedules, and whether any run is open."""

    now: datetime
    stamp: tuple[Any, ...]
    runs_open: bool


def look() -> Look:
    """One statement; its ``stamp`` differs whenever a task or schedule was saved, added or deleted."""
    connection = connections[database()]
    changes, tasks, runs = (
        connection.ops.quote_name(model._meta.db_table) for model in (PeriodicTasks, PeriodicTask, TaskRun)
    )
    open_runs = f"SELECT 1 FROM {runs} WHERE open_since > '{LONG_AGO:%Y-%m-%d}'"  # noqa: S608
    last_update = f"(SELECT MAX(last_update) FROM {changes})"  # noqa: S608
    columns = f"{now_sql(connection)}, EXISTS({open_runs}), {last_update}, COUNT(*), MAX(id)"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {tasks}")  # noqa: S608
        now, runs_open, *stamp = cursor.fetchone()
    return Look(told_by_clock(now), tuple(stamp), bool(runs_open))
