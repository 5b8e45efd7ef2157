"""What a list reads of a run is what the run says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import product

import pytest

from scheduled_tasks.models import OUTCOMES, Status, TaskRun, Trigger
from scheduled_tasks.reading.recent_runs import recent_runs
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("status", list(Status))
def test_a_recent_run_says_what_the_stored_one_does(status: Status) -> None:
    task = make_task()
    for trigger, reason in product((Trigger.SCHEDULE, Trigger.MANUAL), ("", "not_sent")):
        actor = "" if trigger == Trigger.SCHEDULE else "ann"
        make_run(task, status, trigger=trigger, actor=actor, reason=reason, process_id="w", progress="{}")
        TaskRun.objects.exclude(reason="").update(reason_params='{"error": "it\\nsaid “why”"}')
    found = recent_runs([task.pk])[task.pk]
    stored = list(TaskRun.objects.newest_first())
    assert [run.id for run in found] == [run.pk for run in stored]
    for run, other in zip(found, stored, strict=True):
        assert (run.status, run.trigger, run.actor) == (status, other.trigger, other.actor)
        assert (run.started_at, run.duration) == (other.started_at, other.duration)
        assert run.queued_at == other.queued_at
        assert run.reason_text == other.reason_text
        assert (run.process_id, run.progress) == (other.process_id, other.progress)


def test_a_task_without_runs_has_an_empty_list() -> None:
    task = make_task()
    assert recent_runs([task.pk]) == {task.pk: []}


def test_older_outcomes_take_one_statement_for_any_number_of_tasks(
    django_assert_num_queries: Callable[[int], AbstractContextManager[object]],
) -> None:
    tasks = [make_task(f"task-{n}") for n in range(5)]
    for task in tasks[1:]:
        make_run(task, Status.SUCCEEDED)
        make_run(task, Status.FAILED)
        make_run(task, Status.CANCELLED)
    with django_assert_num_queries(1):
        found = recent_runs([task.pk for task in tasks], 1, OUTCOMES)
    assert {pk: [run.status for run in runs] for pk, runs in found.items()} == {
        task.pk: [Status.FAILED] * (task != tasks[0]) for task in tasks
    }
