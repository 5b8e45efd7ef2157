"""The statements by which beat writes: many rows in each, and each harmless when it comes twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

from django.db import connections, router, transaction
from django.db.models import Case, F, Model, Q, QuerySet, Value, When
from django.utils.translation import gettext_noop
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from ..models import Status, TaskRun, TaskState

CHUNK = 500
"""Rows in one statement."""

UNNOTED = gettext_noop("Beat stopped before it noted that this run was sent.")

T = TypeVar("T")


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """``items`` in portions that fit one statement."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def database() -> str:
    """The alias of the database that the runs are in."""
    return router.db_for_write(TaskRun)


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
        newest.update(accounted_until=after, next_run_at=tick)
        PeriodicTask.objects.filter(pk=task_id, last_run_at=tick).update(last_run_at=after)
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


def update_states(states: Sequence[TaskState], fields: Sequence[str]) -> None:
    """Write ``fields`` of states that are there: one prepared statement for all."""
    connection = connections[database()]
    quote = connection.ops.quote_name
    changes = ", ".join(f"{quote(field)} = %s" for field in fields)
    statement = f"UPDATE {quote(TaskState._meta.db_table)} SET {changes} WHERE {quote('task_id')} = %s"  # noqa: S608
    ordered = sorted(states, key=lambda state: state.task_id)
    _execute_many(statement, ordered, (*fields, "task_id"))


def insert_runs(runs: Sequence[TaskRun]) -> None:
    """Write new rows, in this order: one prepared statement for all.

    Django's own way builds the text of each row anew, which would cost as much as sending its message.
    """
    connection = connections[database()]
    quote = connection.ops.quote_name
    columns = [field.attname for field in TaskRun._meta.concrete_fields if not field.primary_key]
    names, places = ", ".join(map(quote, columns)), ", ".join(["%s"] * len(columns))
    statement = f"INSERT INTO {quote(TaskRun._meta.db_table)} ({names}) VALUES ({places})"  # noqa: S608
    _execute_many(statement, runs, columns)


def _execute_many(statement: str, rows: Sequence[Model], columns: Sequence[str]) -> None:
    if not rows:
        return
    connection = connections[database()]

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return connection.ops.adapt_datetimefield_value(value)
        return value.value if isinstance(value, Enum) else value

    values = [[plain(getattr(row, column)) for column in columns] for row in rows]
    with connection.cursor() as cursor:
        cursor.executemany(statement, values)


def retire(task_ids: Sequence[int], now: datetime) -> None:
    """Disable tasks that are over, as django-celery-beat's own scheduler does."""
    for chunk in chunks(task_ids):
        tasks = PeriodicTask.objects.filter(pk__in=chunk, enabled=True)
        tasks.update(enabled=False, total_run_count=0, last_run_at=None, date_changed=now)


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


def change_stamp() -> tuple[Any, ...]:
    """What differs whenever a task or schedule was saved, added or deleted; one statement."""
    connection = connections[router.db_for_read(PeriodicTask)]
    changes, tasks = (
        connection.ops.quote_name(model._meta.db_table) for model in (PeriodicTasks, PeriodicTask)
    )
    statement = f"SELECT (SELECT MAX(last_update) FROM {changes}), COUNT(*), MAX(id) FROM {tasks}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return tuple(cursor.fetchone())
