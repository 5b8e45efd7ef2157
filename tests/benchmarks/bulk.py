"""Many rows at once, made by the database itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import connection

CRONTABS = 200
SUCCEEDED_OF_20 = 19


def make_tasks(count: int) -> list[int]:
    """Enabled tasks on 200 different cron schedules, with their states and a beat and a worker; their ids."""
    from django_celery_beat.models import CrontabSchedule, PeriodicTask

    from scheduled_tasks.models import TaskState

    rows = [
        CrontabSchedule.objects.create(minute=n % 60, hour=n // 60 + 1, timezone="UTC")
        for n in range(CRONTABS)
    ]
    PeriodicTask.objects.bulk_create(
        PeriodicTask(
            name=f"task-{n:04}",
            task="bench.noop",
            crontab=rows[n % CRONTABS],
            description="Does what its name says",
        )
        for n in range(count)
    )
    ids = list(PeriodicTask.objects.filter(task="bench.noop").order_by("id").values_list("id", flat=True))
    now = datetime.now(UTC)
    TaskState.objects.bulk_create(
        TaskState(
            task_id=pk, enabled_since=now, accounted_until=now, next_run_at=now + timedelta(hours=1 + n % 20)
        )
        for n, pk in enumerate(ids)
    )
    _make_processes()
    return ids


def _make_processes() -> None:
    from scheduled_tasks.models import Process, ProcessKind

    later = datetime.now(UTC) + timedelta(hours=5)
    for kind in ProcessKind:
        Process.objects.create(
            boot_id=kind.value * 4,
            kind=kind,
            node=f"{kind}@host",
            queues=["celery"],
            task_names=["bench.noop"],
            started_at=later,
            last_seen_at=later,
            loop_at=later,
            broker_ok_at=later,
        )


def make_runs(task_ids: Sequence[int], *, per_task: int) -> None:
    """``per_task`` ended runs of each task, in turns; one of 20 has failed."""
    count, tasks = per_task * len(task_ids), len(task_ids)
    columns = {
        "celery_id": text("'00000000-0000-4000-8000-' || n"),
        "task_id": f"{task_ids[0]} + n % {tasks}",
        "name": text("'task-' || (n % " + str(tasks) + ")"),
        "status": f"CASE WHEN n / {tasks} % 20 < {SUCCEEDED_OF_20} THEN 'succeeded' ELSE 'failed' END",
        "trigger": "'schedule'",
        "actor": "''",
        "tick_count": "1",
        "queued_at": moment("n"),
        "sent_at": moment("n"),
        "scheduled_for": moment("n"),
        "started_at": moment("n + 1"),
        "finished_at": moment("n + 2 + n % 97"),
        "attempts": "1",
        "attempt_log": "''",
        "retries": "0",
        "token": "'0123456789abcdef0123456789abcdef'",
        "process_id": "'0123456789abcdef0123456789abcdef'",
        "worker": "'worker1@host'",
        "pid": "4711",
        "queue": "'celery'",
        "args": "'[]'",
        "kwargs": "'{}'",
        "summary": f"'{json.dumps({'rows': 1234, 'skipped': 5})}'",
        "error_type": "''",
        "error": "''",
        "traceback": "''",
        "log": "'12:00:00 INFO a line\n12:00:01 INFO another'",
        "progress": "''",
        "reason": "''",
        "reason_params": "''",
        "redelivered": "FALSE",
    }
    _insert("scheduled_tasks_taskrun", columns, count)


def text(expression: str) -> str:
    return f"CAST({expression} AS varchar(255))"


def moment(seconds: str) -> str:
    """A time in the last months, that many seconds after a fixed one."""
    start = (datetime.now(UTC) - timedelta(days=30)).strftime("%Y-%m-%d 00:00:00")
    if connection.vendor == "sqlite":
        return f"datetime('{start}', '+' || ({seconds}) || ' seconds')"
    return f"TIMESTAMPTZ '{start}+00' + ({seconds}) * INTERVAL '1 second'"


def _insert(table: str, columns: dict[str, str], count: int) -> None:
    last = count - 1
    numbers = f"generate_series(0, {last}) AS n"
    if connection.vendor == "sqlite":
        numbers = f"(WITH RECURSIVE r(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r WHERE n < {last}) "
        numbers += "SELECT n FROM r)"
    names, values = ", ".join(f'"{name}"' for name in columns), ", ".join(columns.values())
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM {numbers}")


def tidy() -> None:
    """What a server would have done by itself by now."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE")
