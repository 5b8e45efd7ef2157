"""What a list reads of a run is what the run says."""

from __future__ import annotations

from itertools import product

import pytest

from scheduled_tasks.models import OPEN, Status, TaskRun, Trigger
from scheduled_tasks.recent import newest_statuses, recent_runs
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("status", list(Status))
def test_a_recent_run_says_what_the_stored_one_does(status: Status) -> None:
    task = make_task()
    for trigger, reason in product((Trigger.SCHEDULE, Trigger.MANUAL), ("", "it\nsaid “why”")):
        actor = "" if trigger == Trigger.SCHEDULE else "ann"
        make_run(task, status, trigger=trigger, actor=actor, reason=reason, process_id="w", progress="{}")
    found = recent_runs([task.pk])[task.pk]
    stored = list(TaskRun.objects.newest_first())
    assert [run.id for run in found] == [run.pk for run in stored]
    for run, other in zip(found, stored, strict=True):
        assert (run.status, run.trigger, run.actor) == (status, other.trigger, other.actor)
        assert (run.started_at, run.duration) == (other.started_at, other.duration)
        assert run.queued_at == other.queued_at
        assert run.reason == ("" if status == Status.SUCCEEDED else other.reason)
        live = (other.process_id, other.progress) if status in OPEN else ("", "")
        assert (run.process_id, run.progress) == live


def test_a_task_without_runs_has_an_empty_list() -> None:
    task = make_task()
    assert recent_runs([task.pk]) == newest_statuses([task.pk]) == {task.pk: []}
