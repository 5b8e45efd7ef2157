"""A worker without this app takes a scheduled task's messages and reports nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduled_tasks.models import Status, TaskRun
from scheduled_tasks.reasons import Code
from tests import tasks
from tests.live import Beat, Worker, wait_for

from .test_beat import no_other_jobs

__all__ = ["no_other_jobs"]


def test_a_run_that_nobody_reports_blocks_for_a_minute(
    start_worker: Callable[..., Worker], start_beat: Callable[..., Beat], no_other_jobs: None, tmp_path: Path
) -> None:
    own = start_worker(concurrency=1, env={"DJANGO_SETTINGS_MODULE": "tests.settings_plain"})
    interval = IntervalSchedule.objects.create(every=10, period=IntervalSchedule.SECONDS)
    ran = tmp_path / "ran"
    PeriodicTask.objects.create(
        name="stamp", task=tasks.stamp.name, args=f'["{ran}"]', interval=interval, queue=own.queue
    )
    beat = start_beat()
    wait_for(ran.exists, message="the run that is not reported")
    wait_for(lambda: len(ran.read_text().split()) == 2, timeout=90, message="the next run")
    beat.stop()
    first, skipped, second = TaskRun.objects.order_by("id")
    assert (first.status, first.reason) == (Status.EXPIRED, Code.UNREPORTED)
    assert (skipped.status, skipped.reason, skipped.tick_count) == (Status.SKIPPED, Code.OVERLAP, 5)
    assert second.status == Status.QUEUED
