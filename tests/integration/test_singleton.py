"""celery-singleton: a task that is under way elsewhere is not sent, and the run says so at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from example_project.celery import app
from scheduled_tasks import operations
from scheduled_tasks.models import Overlap, Status, TaskRun, TaskState
from scheduled_tasks.operations import Actor, Refused
from scheduled_tasks.reasons import Code
from tests.live import Beat, Worker, wait_for

from .test_beat import no_other_jobs, succeeded

pytest.importorskip("celery_singleton")

from celery_singleton import clear_locks

from tests.singleton_tasks import wait_alone

__all__ = ["no_other_jobs"]

ANNA = Actor("anna", lambda task, sentence: None)


@pytest.fixture
def own(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    if not str(app.conf.result_backend).startswith("redis"):
        pytest.skip("celery-singleton keeps its locks in Redis")
    clear_locks(app)
    yield start_worker(concurrency=2)
    clear_locks(app)


def job(own: Worker, path: Path, seconds: int) -> PeriodicTask:
    interval = IntervalSchedule.objects.create(every=seconds, period=IntervalSchedule.SECONDS)
    made = PeriodicTask.objects.create(
        name="alone", task=wait_alone.name, args=f'["{path}"]', interval=interval, queue=own.queue
    )
    TaskState.objects.create(task_id=made.pk, overlap=Overlap.ALLOW)
    return made


def test_run_now_of_a_task_under_way_elsewhere(own: Worker, no_other_jobs: None, tmp_path: Path) -> None:
    task = job(own, tmp_path / "done", 3600)
    elsewhere = wait_alone.apply_async([str(tmp_path / "done")], queue=own.queue)
    wait_for(lambda: elsewhere.id in own.holds("active"), message="the run elsewhere")
    with pytest.raises(Refused, match="did not send a message") as refused:
        operations.run_now(task.pk, actor=ANNA, celery_id=str(uuid4()))
    run = TaskRun.objects.get()
    assert refused.value.run == run
    assert (run.status, run.is_open, run.reason) == (Status.MISSED, False, Code.OWN_WAY)
    (tmp_path / "done").touch()
    elsewhere.get(timeout=60)
    operations.run_now(task.pk, actor=ANNA, celery_id=str(uuid4()))
    wait_for(lambda: succeeded(task, 1), message="a run once the other had ended")


def test_ticks_of_a_task_under_way_elsewhere(
    own: Worker, start_beat: Callable[..., Beat], no_other_jobs: None, tmp_path: Path
) -> None:
    task = job(own, tmp_path / "done", 1)
    elsewhere = wait_alone.apply_async([str(tmp_path / "done")], queue=own.queue)
    wait_for(lambda: elsewhere.id in own.holds("active"), message="the run elsewhere")
    beat = start_beat()
    wait_for(lambda: TaskRun.objects.filter(reason=Code.OWN_WAY).count() >= 2, message="ticks not sent")
    assert not TaskRun.objects.exclude(status=Status.MISSED).exists()
    (tmp_path / "done").touch()
    wait_for(lambda: succeeded(task, 2), message="runs once the other had ended")
    beat.stop()
    assert not TaskRun.objects.open().exists()
