"""One process of the benchmark ``retention``; the last line it prints is JSON (s, ms, MB).

``fill TASKS RUNS``, ``copy NAME``, ``drop NAME``, ``write STOP_FILE``, ``rest SECONDS``, ``plain RUNS`` and
``prune RUNS``.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.db import OperationalError, connection

WRITE_EVERY = 0.02
SHARE = 0.9


def fill(tasks: str, runs: str) -> None:
    from tests.benchmarks import bulk

    ids = bulk.make_tasks(int(tasks))
    bulk.make_runs(ids, per_task=int(runs) // len(ids))
    bulk.tidy()
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def copy(name: str) -> None:
    """A copy of the database; while it is made nobody may be connected to the original."""
    if connection.vendor == "postgresql":
        _of_server(f"CREATE DATABASE {name} TEMPLATE {connection.settings_dict['NAME']}")
        return
    original = Path(connection.settings_dict["NAME"])
    shutil.copy(original, original.with_name(name))
    with original.with_name(name).open() as file:
        os.fsync(file.fileno())  # or it would be written while something is measured


def drop(name: str) -> None:
    if connection.vendor == "postgresql":
        _of_server(f"DROP DATABASE {name}")
        return
    original = Path(connection.settings_dict["NAME"])
    for file in original.parent.glob(f"{name}*"):
        file.unlink()


def _of_server(statement: str) -> None:
    import psycopg

    url = urlsplit(os.environ["DATABASE_URL"])._replace(path="/template1").geturl()
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(statement.encode())


def write(stop: str) -> dict[str, float]:
    """Insert a run every 20 ms until the file ``stop`` is there."""
    from scheduled_tasks.models import TaskRun, database_now

    now = database_now()
    print("ready", flush=True)
    waits: list[float] = []
    while not Path(stop).exists():
        begun, run = time.perf_counter(), TaskRun(name="beside", queued_at=now, open_since=now)
        while run.pk is None:
            with suppress(OperationalError):  # one DELETE may last longer than SQLite's timeout
                run.save()
        waits.append((time.perf_counter() - begun) * 1000)
        time.sleep(WRITE_EVERY)
    return {
        "longest": max(waits),
        "p99": quantiles(waits, n=100, method="inclusive")[-1],
        "writes": len(waits),
    }


def rest(seconds: str) -> dict[str, float]:
    time.sleep(float(seconds))
    return {}


def plain(runs: str) -> dict[str, float]:
    begun = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM scheduled_tasks_taskrun WHERE queued_at < %s", [_limit(runs)])
        assert cursor.rowcount == int(runs) * SHARE, cursor.rowcount
    return {"took": time.monotonic() - begun}


def prune(runs: str) -> dict[str, float]:
    from scheduled_tasks.models import TaskRun, database_now
    from scheduled_tasks.upkeep.retention import prune as prune_runs

    settings.SCHEDULED_TASKS = {"RETENTION": database_now() - _limit(runs)}
    before, begun = _peak(), time.monotonic()
    count = prune_runs()[TaskRun]
    took = time.monotonic() - begun
    assert count == int(runs) * SHARE, count
    return {"took": took, "memory": _peak() - before}


def _limit(runs: str) -> Any:
    """The moment before which nine of ten runs were queued; they are a second apart."""
    from scheduled_tasks.models import TaskRun

    oldest = TaskRun.objects.order_by("queued_at").values_list("queued_at", flat=True)[0]
    return oldest + timedelta(seconds=int(int(runs) * SHARE) - 0.5)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main(command: str, *arguments: str) -> None:
    django.setup()
    commands: dict[str, Any] = {
        "fill": fill, "copy": copy, "drop": drop,
        "write": write, "rest": rest, "plain": plain, "prune": prune,
    }  # fmt: skip
    print(json.dumps(commands[command](*arguments) or {}))


if __name__ == "__main__":
    main(*sys.argv[1:])
