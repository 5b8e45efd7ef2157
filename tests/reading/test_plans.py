"""How PostgreSQL finds the newest runs of tasks that have few, beside one that has nearly all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from scheduled_tasks.admin.task_list import LAST_DURATION, LAST_STARTED
from scheduled_tasks.models import OUTCOMES, ScheduledTask, TaskRun
from scheduled_tasks.models.flags import outcome_status
from scheduled_tasks.reading.recent_runs import recent_runs
from scheduled_tasks.upkeep import retention
from tests.benchmarks import bulk
from tests.factories import make_task

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="asks PostgreSQL for its plan"),
]

RUNS = 20_000
BY_ID = "using scheduled_tasks_taskrun_pkey"


@pytest.fixture
def tasks() -> list[int]:
    """The ids of tasks, the first with all runs."""
    ids = [make_task(f"task-{n}").pk for n in range(5)]
    bulk.make_runs(ids[:1], per_task=RUNS)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {TaskRun._meta.db_table}")
    return ids


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(recent_runs, id="the newest runs"),
        pytest.param(lambda ids: recent_runs(ids, 1, OUTCOMES), id="the last outcome"),
        pytest.param(lambda ids: list(ScheduledTask.objects.values(of=outcome_status())), id="failing"),
        pytest.param(lambda ids: list(ScheduledTask.objects.values(of=LAST_STARTED)), id="by last run"),
        pytest.param(lambda ids: list(ScheduledTask.objects.values(of=LAST_DURATION)), id="by duration"),
        pytest.param(lambda ids: retention._last_words(), id="the last words"),
    ],
)
def test_runs_of_a_task_are_found_by_their_index(
    tasks: list[int], read: Callable[[list[int]], object]
) -> None:
    with CaptureQueriesContext(connection) as captured:
        read(tasks)
    plans = []
    with connection.cursor() as cursor:
        for query in captured.captured_queries:
            cursor.execute(f"EXPLAIN {query['sql']}")
            plans.append("\n".join(line for (line,) in cursor.fetchall()))
    assert not [plan for plan in plans if BY_ID in plan]
    assert "using scheduled_tasks_run_task" in plans[0]
