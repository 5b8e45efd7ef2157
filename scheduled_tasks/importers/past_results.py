"""django-celery-results: its past results, as runs that say that they were imported."""

from __future__ import annotations

import ast
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Max

from ..conf import settings
from ..models import SYNC_LEASE, Lease, ScheduledTask, Status, TaskRun, Trigger, database, database_now
from ..private import project_app
from ..reading.tasks import tasks as stored_tasks
from ..reasons import Code, Reason
from ..recording.endings import of_result
from ..values import stored
from .found import Outcome, Result, model_of

STEP = 500
"""Results that are read and written at a time."""

WHY = {
    "older": "there is a newer run, and runs are kept in the order of their time.",
    "open": "these have not ended.",
    "unreadable": "these cannot be decoded.",
}


def import_results(*, dry_run: bool) -> list[Outcome]:
    """Make runs of the results that name a scheduled task and are newer than every run, in one transaction.

    Ids give the runs of all tasks their order in time, so older ones have no place. What is older than runs
    are kept is not read. ``dry_run`` rolls the transaction back.

    Raises:
        Invalid: when django-celery-results is not installed.
    """
    results = model_of("django_celery_results", "TaskResult")._default_manager.order_by("date_created", "pk")
    names = results.order_by().values_list("periodic_task_name")
    totals: Counter[str | None] = Counter(dict(names.annotate(count=Count("pk"))))
    tasks = {task.name: task for task in stored_tasks().filter(name__in=[*filter(None, totals)])}
    counts = {name: Counter[str]() for name in tasks}
    with transaction.atomic(using=database()):
        # It waits for another import. On SQLite only a transaction that begins with a write waits its turn.
        Lease.objects.using(database()).filter(name=SYNC_LEASE).update(epoch=F("epoch"))
        for runs in _runs(results.filter(periodic_task_name__in=tasks), tasks, counts):
            TaskRun.objects.bulk_create(runs)
        transaction.set_rollback(dry_run, using=database())
    return [*_outcomes(totals, counts)]


def _runs(
    results: Any, tasks: Mapping[str, ScheduledTask], counts: Mapping[str, Counter[str]]
) -> Iterator[list[TaskRun]]:
    """The runs to store, a portion at a time; ``counts`` tells by task what becomes of the results."""
    now = database_now()
    kept = {name: now - (task.state.retention or settings.RETENTION) for name, task in tasks.items()}
    newest = TaskRun.objects.aggregate(at=Max("queued_at"))["at"]
    left = results.filter(date_created__gte=min(kept.values(), default=now)).iterator(chunk_size=STEP)
    while rows := list(islice(left, STEP)):
        ids = [row.task_id for row in rows]
        known = set(TaskRun.objects.filter(celery_id__in=ids).values_list("celery_id", flat=True))
        found = []
        for row in rows:
            name = row.periodic_task_name
            if row.task_id in known:
                counts[name][Result.THERE] += 1
            elif row.date_created >= kept[name]:
                found.append(_run(row, tasks[name], counts[name], newest))
        yield [run for run in found if run is not None]


def _outcomes(totals: Counter[str | None], counts: Mapping[str, Counter[str]]) -> Iterator[Outcome]:
    for name in sorted(filter(None, totals)):
        if name not in counts:
            why = "there is no scheduled task of this name; import the tasks first."
            yield _outcome(Result.LEFT_OUT, totals[name], name, why)
            continue
        for what, count in counts[name].items():
            result = Result(what) if what in Result.values else Result.LEFT_OUT
            yield _outcome(result, count, name, WHY.get(what, ""))
    if nameless := totals[None] + totals[""]:
        why = "they name no scheduled task: a person or code sent them, or CELERY_RESULT_EXTENDED was off."
        yield _outcome(Result.LEFT_OUT, nameless, "", why)


def _run(row: Any, task: ScheduledTask, counts: Counter[str], newest: datetime | None) -> TaskRun | None:
    """The run of a result, not saved; None, and why in ``counts``, for one that becomes none."""
    if newest is not None and row.date_created <= newest:
        counts["older"] += 1
        return None
    try:
        ending = of_result(_meta(row), at=time.monotonic())
    except (Exception, SystemExit):  # noqa: BLE001 - a result is of whatever class the project's tasks returned
        counts["unreadable"] += 1
        return None
    if ending is None:
        counts["open"] += 1
        return None
    counts[Result.IMPORTED] += 1
    return TaskRun(
        celery_id=row.task_id,
        task_id=task.pk,
        name=task.name,
        status=ending.status,
        trigger=Trigger.IMPORTED,
        queued_at=row.date_created,
        started_at=getattr(row, "date_started", None),
        finished_at=row.date_done,
        attempts=int(ending.status not in (Status.CANCELLED, Status.EXPIRED)),
        worker=row.worker or "",
        args=_arguments(row.task_args),
        kwargs=_arguments(row.task_kwargs),
        summary=ending.summary,
        error_type=ending.error_type,
        error=ending.error,
        traceback=ending.traceback,
        **Reason(Code.IMPORTED).columns,
    )


@cache
def _backend() -> Any:
    from django_celery_results.backends import DatabaseBackend

    return DatabaseBackend(app=project_app())


def _meta(row: Any) -> Any:
    """The result as Celery's own backend gives it: an exception is one again."""
    result = _backend().decode_content(row, row.result)
    kept = {"status": row.status, "traceback": row.traceback, "result": result}
    return _backend().meta_from_decoded(kept)


def _arguments(text: str | None) -> str:
    """Stored arguments, which are kept as the text of a text: read where they are plain values."""
    value: Any = text or ""
    for _ in range(2):
        with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            value = ast.literal_eval(value) if isinstance(value, str) else value
    return stored(value) if value else ""


def _outcome(result: Result, count: int, name: str, why: str) -> Outcome:
    what = "1 result" if count == 1 else f"{count} results"
    return Outcome(result=result, origin=what, name=name, why=why)
