"""The pages on one database: ``TASKS RUNS_PER_TASK ROUNDS``; prints JSON."""

from __future__ import annotations

import gzip
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import django
from django.db import connection

LIST = "/admin/scheduled_tasks/scheduledtask/"
RUNS = "/admin/scheduled_tasks/taskrun/"
PAGES = {
    "empty": "/admin/auth/group/",
    "null": "/null/",
    "list": LIST,
    "dcb": "/admin/django_celery_beat/periodictask/",
    "runs": RUNS,
}
RESULTS = "/admin/django_celery_results/taskresult/"
FEW = 10
"""Runs per task at first, to compare with many."""

CHANGED = 5
ROW = re.compile(r'id="st-row-(\d+)"[^>]*? data-key="(\w+)"')


@dataclass
class Visit:
    """What one request cost: processor time in ms, statements, their wall time in ms, the answer."""

    cpu: float
    statements: list[str] = field(default_factory=list)
    sql: float = 0.0
    response: Any = None


class Visitor:
    """A person with all rights."""

    def __init__(self) -> None:
        from django.contrib.auth.models import User
        from django.test import Client

        self.client = Client()
        self.client.force_login(User.objects.create_superuser("visitor"))

    def visit(self, url: str, *, status: int = 200, **headers: str) -> Visit:
        visit = Visit(0.0)

        def watch(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
            begun = time.perf_counter()
            try:
                return execute(sql, *rest)
            finally:
                visit.sql += (time.perf_counter() - begun) * 1000
                visit.statements.append(sql)

        with connection.execute_wrapper(watch):
            begun = time.process_time()
            visit.response = self.client.get(url, headers=headers)
            visit.cpu = (time.process_time() - begun) * 1000
        assert visit.response.status_code == status, f"{url}: {visit.response.status_code}"
        return visit


def first_look(visitor: Visitor) -> Visit:
    """The list when no row of it is in memory."""
    from scheduled_tasks.admin.rendered import memory

    memory.clear()
    return visitor.visit(LIST)


def polls(visitor: Visitor) -> dict[str, Callable[[], Visit]]:
    """A refresh with nothing new, and one in which some rows have changed."""
    shown = ROW.findall(visitor.visit(LIST).response.content.decode())
    old = [(pk, key if n >= CHANGED else "000000000000") for n, (pk, key) in enumerate(shown)]
    same, other = (f"{LIST}rows/?rows={'.'.join(map(':'.join, rows))}" for rows in (shown, old))
    version = visitor.visit(same).response["ETag"]
    return {
        "unchanged": lambda: visitor.visit(same, status=304, **{"If-None-Match": version}),
        "changed": lambda: visitor.visit(other, **{"If-None-Match": '"older"', "HX-Request": "true"}),
    }


def measure(visitor: Visitor, task_id: int, runs: int, rounds: int) -> dict[str, float]:
    """Every page in turns: processor time, statements, their time."""
    pages: dict[str, Callable[[], Visit]] = {
        name: lambda url=url: visitor.visit(url) for name, url in PAGES.items()
    }
    pages["deep"] = lambda: visitor.visit(f"{RUNS}?p={runs // 200}")
    pages["first"] = lambda: first_look(visitor)
    pages |= polls(visitor)
    drawer = f"{LIST}{task_id}/change/"
    pages["drawer"] = lambda: visitor.visit(drawer, **{"HX-Request": "true"})
    for visit in pages.values():
        visit()
    rows = [{name: visit() for name, visit in pages.items()} for _ in range(rounds)]
    found = {}
    for name in pages:
        visits = [row[name] for row in rows]
        found[f"{name}.cpu"] = median(visit.cpu for visit in visits)
        found[f"{name}.sql"] = median(visit.sql for visit in visits)
        found[f"{name}.statements"] = len(visits[-1].statements)
        found[f"{name}.bytes"] = len(visits[-1].response.content)
        found[f"{name}.gz"] = len(gzip.compress(visits[-1].response.content, 6))
        for base in ("empty", "null", "runs"):
            found[f"{name}/{base}"] = median(row[name].cpu / row[base].cpu for row in rows)
    return found


def few_runs(visitor: Visitor, rounds: int) -> float:
    first_look(visitor)
    return median(first_look(visitor).sql for _ in range(rounds))


def main(tasks: str, per_task: str, rounds: str) -> None:
    django.setup()
    from tests.benchmarks import bulk

    count = int(rounds)
    ids = bulk.make_tasks(int(tasks))
    bulk.make_runs(ids, per_task=FEW)
    bulk.tidy()
    visitor = Visitor()
    few = few_runs(visitor, count)
    bulk.make_runs(ids, per_task=int(per_task) - FEW, first=FEW)
    bulk.make_results(len(ids) * int(per_task))
    bulk.tidy()
    found = measure(visitor, ids[0], len(ids) * int(per_task), count) | {"few.sql": few}
    # Seconds each, so fewer of them.
    results = [visitor.visit(RESULTS) for _ in range(2)]
    found |= {
        "results.cpu": min(each.cpu for each in results),
        "results.sql": min(each.sql for each in results),
        "results.statements": len(results[0].statements),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
