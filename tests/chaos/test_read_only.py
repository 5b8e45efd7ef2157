"""A failover: for a while the database server can be read but takes no writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduled_tasks.models import Overlap, Status, TaskRun, TaskState, database_now
from tests import embedded, tasks
from tests.chaos.servers import Place
from tests.integration.test_beat import no_other_jobs, succeeded
from tests.integration.test_beat_outages import accounted_to_the_last, runs_after
from tests.live import Beat, Worker, wait_for
from tests.run_rows import ended, running, send, the_run

__all__ = ["no_other_jobs"]

SECONDS = 20


@pytest.mark.parametrize("cut", [False, True], ids=["connections stay", "connections end"])
def test_server_that_takes_no_writes_for_a_while(
    cut: bool,
    postgres: Place,
    no_other_jobs: None,
    start_impatient: Callable[..., Worker],
    start_beat: Callable[..., Beat],
    tmp_path: Path,
) -> None:
    env = {"DATABASE_URL": postgres.url}
    own, other = (start_impatient(env=env, concurrency=3) for _ in range(2))
    second = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    job = PeriodicTask.objects.create(
        name="count users", task=tasks.count_users.name, interval=second, queue=other.queue
    )
    TaskState.objects.create(task_id=job.pk, overlap=Overlap.ALLOW)
    beat = start_beat(env=env)
    wait_for(lambda: succeeded(job, 3), message="runs before")
    meanwhile, throughout = tmp_path / "meanwhile", tmp_path / "throughout"
    ends, fails, goes_on = (
        send(task, str(path), queue=own.queue)
        for task, path in (
            (tasks.wait_for_file, meanwhile),
            (tasks.wait_for_file_and_fail, meanwhile),
            (tasks.wait_for_file, throughout),
        )
    )
    for celery_id in (ends, fails, goes_on):
        running(celery_id)

    embedded.refuse_writes(postgres.url, True, cut=cut)
    connection.close()
    began = database_now()
    time.sleep(SECONDS / 2)
    meanwhile.touch()
    sent_meanwhile = send(tasks.add, 1, 2, queue=own.queue)
    time.sleep(SECONDS / 2)
    over = database_now()
    newest = TaskRun.objects.latest("id")
    embedded.refuse_writes(postgres.url, False, cut=cut)
    connection.close()

    wait_for(lambda: runs_after(newest), message="runs after it takes writes again")
    assert (ended(ends).status, ended(fails).status) == (Status.SUCCEEDED, Status.FAILED)
    assert all(began < the_run(each).finished_at < over for each in (ends, fails))
    assert ended(sent_meanwhile).status == Status.SUCCEEDED
    assert the_run(goes_on).status == Status.RUNNING
    throughout.touch()
    assert ended(goes_on).status == Status.SUCCEEDED
    assert beat.running
    beat.stop()
    assert not TaskRun.objects.filter(attempts__gt=1).exists()
    assert not TaskRun.objects.filter(status=Status.LOST).exists()
    assert "Traceback" not in beat.output() + other.output()
    job_runs = TaskRun.objects.filter(task_id=job.pk)
    assert job_runs.filter(status=Status.MISSED).exists()
    assert accounted_to_the_last(job)
