"""The pages on one database: ``TASKS RUNS_PER_TASK ROUNDS``; prints JSON."""

from __future__ import annotations

import gzip
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from statistics import median
from typing import Any
from uuid import uuid4

import django
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

LIST = "/admin/scheduled_tasks/scheduledtask/"
RUNS = "/admin/scheduled_tasks/taskrun/"
PAGES = {
    "empty": "/admin/auth/group/",
    "null": "/null/",
    "list": LIST,
    "dcb": "/admin/django_celery_beat/periodictask/",
    "runs": RUNS,
}
CHANGED = 5
ROW = re.compile(r'id="st-row-(\d+)"[^>]*? data-key="(\w+)"')


@dataclass
class Visit:
    """What one request cost: processor time in ms, statements, their wall time in ms, the answer."""

    cpu: float
    statements: list[str] = field(default_factory=list)
    sql: float = 0.0
    response: Any = None


class TimedCursor(CursorWrapper):
    """Tells ``visit`` its statements and how long they take: on SQLite fetching is most of it."""

    def __init__(self, cursor: Any, db: BaseDatabaseWrapper, visit: Visit) -> None:
        super().__init__(cursor, db)
        self.visit = visit

    def execute(self, sql: str, params: Any = None) -> Any:
        self.visit.statements.append(sql)
        return self._timed(super().execute)(sql, params)

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        return self._timed(found) if name.startswith("fetch") else found

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            begun = time.perf_counter()
            try:
                return call(*args)
            finally:
                self.visit.sql += (time.perf_counter() - begun) * 1000

        return timed


class Visitor:
    """A person with all rights."""

    def __init__(self) -> None:
        from django.contrib.auth.models import User
        from django.test import Client

        self.client = Client()
        self.client.force_login(User.objects.create_superuser(str(uuid4())))

    def visit(self, url: str, *, status: int = 200, **headers: str) -> Visit:
        visit = Visit(0.0)
        connection.make_cursor = lambda cursor: TimedCursor(cursor, connection, visit)  # type: ignore[method-assign]
        begun = time.process_time()
        visit.response = self.client.get(url, headers=headers)
        visit.cpu = (time.process_time() - begun) * 1000
        del connection.make_cursor
        assert visit.response.status_code == status, f"{url}: {visit.response.status_code}"
        return visit


class Browser:
    """A browser with the list open: it sends the keys of its rows and the version of the last answer."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.rows = dict(ROW.findall(visitor.visit(LIST).response.content.decode()))
        self.version = ""
        self.version = self._poll(200).response["ETag"]
        self.turn = 0

    def unchanged(self) -> Visit:
        """A refresh with nothing new."""
        return self._poll(304)

    def changed(self) -> Visit:
        """A refresh after runs of some tasks have ended, of others each time; the counts have moved, too."""
        self.end_runs()
        visit = self._poll(200)
        new = dict(ROW.findall(visit.response.content.decode()))
        assert len(new) == CHANGED, f"{len(new)} rows"
        self.rows |= new
        self.version = visit.response["ETag"]
        return visit

    def _poll(self, status: int) -> Visit:
        rows = ".".join(map(":".join, self.rows.items()))
        headers = {"ST-Request": "1", "ST-Rows": rows, "If-None-Match": self.version}
        return self.visitor.visit(f"{LIST}rows/", status=status, **headers)

    def end_runs(self) -> None:
        """Runs of some tasks of the list end, of others each time."""
        from scheduled_tasks.models import Status, TaskRun, database_now

        self.turn += 1
        first = self.turn * CHANGED % len(self.rows)
        now = database_now()
        times = {"queued_at": now, "started_at": now, "finished_at": now}
        TaskRun.objects.bulk_create(
            TaskRun(task_id=int(pk), celery_id=uuid4(), status=Status.SUCCEEDED, **times)
            for pk in [*self.rows][first : first + CHANGED]
        )


def measure(visitor: Visitor, task_id: int, runs: int, rounds: int) -> dict[str, float]:
    """Every page in turns: processor time, statements, their time.

    Each round has another order: what a visit costs depends on the one before it, a cheap one's by a third.
    """
    pages: dict[str, Callable[[], Visit]] = {
        name: lambda url=url: visitor.visit(url) for name, url in PAGES.items()
    }
    pages["deep"] = lambda: visitor.visit(f"{RUNS}?p={runs // 200}")
    browser = Browser(visitor)
    pages |= {name: getattr(browser, name) for name in ("unchanged", "changed")}
    drawer = f"{LIST}{task_id}/change/"
    pages["drawer"] = lambda: visitor.visit(drawer, **{"ST-Request": "1"})
    for visit in pages.values():
        visit()
    order = Random(rounds)
    rows = [{name: pages[name]() for name in order.sample([*pages], len(pages))} for _ in range(rounds)]
    found = {}
    for name in pages:
        visits = [row[name] for row in rows]
        found[f"{name}.cpu"] = median(visit.cpu for visit in visits)
        found[f"{name}.sql"] = median(visit.sql for visit in visits)
        found[f"{name}.statements"] = len(visits[-1].statements)
        found[f"{name}.bytes"] = len(visits[-1].response.content)
        found[f"{name}.gz"] = len(gzip.compress(visits[-1].response.content, 6))
        for base in ("empty", "null", "runs", "dcb"):
            found[f"{name}/{base}"] = median(row[name].cpu / row[base].cpu for row in rows)
    return found


def main(tasks: str, per_task: str, rounds: str) -> None:
    django.setup()
    from tests.benchmarks import bulk

    ids = bulk.make_tasks(int(tasks))
    bulk.make_runs(ids, per_task=int(per_task))
    bulk.tidy()
    visitor = Visitor()
    print(json.dumps(measure(visitor, ids[0], len(ids) * int(per_task), int(rounds))))


if __name__ == "__main__":
    main(*sys.argv[1:])
