"""Ticks of tasks that workers run which do not report here."""

from __future__ import annotations

import pytest

from scheduled_tasks.models import ProcessKind, TaskRun
from scheduled_tasks.reasons import Code
from tests.factories import make_process

from .harness import START, Beat, at, interval_task, runs

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("policy", ["skip", "queue_one"])
def test_run_that_only_others_can_take_blocks_nothing(beat: Beat, policy: str) -> None:
    make_process(ProcessKind.OTHER, task_names=["tests.job"])
    job = interval_task(1, changed=START, state={"overlap": policy})
    ticks = [at("10:08"), at("10:09"), at("10:10")]
    assert beat.run_until(at("10:10")) == ticks
    assert {status for status, *_ in runs(job)} == {"queued"}  # until the reaper ends it


def test_run_that_others_may_have_taken_does_not_expire(beat: Beat) -> None:
    make_process(ProcessKind.OTHER, task_names=["tests.job"])
    make_process(task_names=["tests.job"])
    job = interval_task(1, changed=START)
    beat.run_until(at("10:10"))
    assert [status for status, *_ in runs(job)] == ["elsewhere", "skipped", "queued"]
    assert TaskRun.objects.earliest("id").reason == Code.MAYBE_ELSEWHERE
