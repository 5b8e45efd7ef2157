"""Who changes the same rows at the same time waits his turn: nobody's change ends as a deadlock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from scheduled_tasks import operations
from scheduled_tasks.models import ScheduledTask, Status, TaskRun, TaskState
from scheduled_tasks.operations import Actor, Refused, publishing
from scheduled_tasks.reasons import Code, Reason
from scheduled_tasks.recording import statements
from scheduled_tasks.recording.connection import PARAMETER, execute
from scheduled_tasks.upkeep import reaper
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db(transaction=True)

NOBODY = Actor("nobody", lambda task, message: None)
TASKS, STATES, RUNS = (model._meta.db_table for model in (ScheduledTask, TaskState, TaskRun))
ROUNDS = 20


def test_two_people_at_once() -> None:
    task = make_task()
    ready = threading.Barrier(2)

    def person(skip: bool) -> None:
        try:
            for _ in range(ROUNDS):
                ready.wait()
                operations.skip_next(task.pk, actor=NOBODY, skip=skip)
                operations.enable(task.pk, actor=NOBODY)
                operations.disable(task.pk, actor=NOBODY)
        finally:
            ready.abort()
            connections.close_all()

    with ThreadPoolExecutor(2) as people:
        ends = [people.submit(person, skip) for skip in (True, False)]
    assert [end.exception() for end in ends] == [None, None]


def test_a_task_is_locked_before_its_state() -> None:
    task = make_task()
    TaskState.objects.create(task_id=task.pk)
    with CaptureQueriesContext(connection) as captured:
        operations.disable(task.pk, actor=NOBODY)
    texts = [query["sql"] for query in captured]
    writes = [sql for sql in texts if sql.startswith(("INSERT", "UPDATE")) or sql.endswith("FOR UPDATE")]
    assert TASKS in writes[0]
    assert not [sql for sql in writes if sql.startswith("INSERT") and STATES in sql]


def test_a_run_that_was_not_sent_is_locked_by_its_id_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object) -> None:
        raise publishing.Unreachable(Reason(Code.BROKER_DOWN))

    monkeypatch.setattr(publishing, "send", unreachable)
    task = make_task()
    with CaptureQueriesContext(connection) as captured, pytest.raises(Refused):
        operations.run_now(task.pk, actor=NOBODY, celery_id=str(uuid4()))
    changes = [each["sql"] for each in captured if each["sql"].startswith("UPDATE") and RUNS in each["sql"]]
    assert changes
    assert not [sql for sql in changes if " AND " in sql.partition(" WHERE ")[2]]
    assert TaskRun.objects.get().status == Status.MISSED


def changes_of_one_run() -> Iterator[tuple[str, str]]:
    for module in (statements, reaper):
        for name, text in vars(module).items():
            whole = isinstance(text, str) and not text.endswith("AND")
            if whole and text.lstrip().startswith('UPDATE "run"'):
                yield name, text


@pytest.mark.skipif("connection.vendor != 'mysql'", reason="only MariaDB locks by the index it looks in")
@pytest.mark.parametrize("ended", [0, 2, 200])
@pytest.mark.parametrize(("name", "statement"), [*changes_of_one_run()])
def test_recorder_locks_a_run_by_its_celery_id(name: str, statement: str, ended: int) -> None:
    plans: list[list[str]] = []

    def explained(run: Callable[..., object], sql: str, params: object, many: bool, context: Any) -> object:
        found = run(f"EXPLAIN {sql}", params, many, context)
        plans.append([row[5] for row in context["cursor"].fetchall()])
        return found

    task = make_task()
    TaskRun.objects.bulk_create(
        TaskRun(celery_id=str(uuid4()), task_id=task.pk, status=Status.SUCCEEDED, queued_at=task.date_changed)
        for _ in range(ended)
    )
    run = make_run(task, Status.RUNNING)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE TABLE {RUNS}")
    with connection.execute_wrapper(explained):
        params = dict.fromkeys(PARAMETER.findall(statement), 0)
        execute(statement, params | {"celery_id": run.celery_id, "seen": run.status})
    assert plans == [["scheduled_tasks_run_celery_id"]]
