"""Workers without this app take scheduled tasks' messages and report nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduled_tasks.models import Flag, Incident, ScheduledTask, Status, TaskRun
from scheduled_tasks.reading.health import problems
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.reasons import Code
from tests import tasks
from tests.live import Beat, Worker, wait_for

from .test_beat import no_other_jobs

__all__ = ["no_other_jobs"]

pytestmark = pytest.mark.usefixtures("no_other_worker")

PLAIN = {"DJANGO_SETTINGS_MODULE": "tests.settings_plain"}


def make_task(name: str, queue: str, ran: Path) -> PeriodicTask:
    interval, _ = IntervalSchedule.objects.get_or_create(every=10, period=IntervalSchedule.SECONDS)
    return PeriodicTask.objects.create(
        name="abroad", task=name, args=f'["{ran}"]', interval=interval, queue=queue
    )


def ended(status: Status) -> list[TaskRun]:
    return [*TaskRun.objects.filter(status=status).order_by("id")]


@pytest.mark.parametrize(
    ("env", "status", "code"),
    [
        ({"PLAIN_RESULTS": ""}, Status.ELSEWHERE, Code.RUN_ELSEWHERE),
        ({"PLAIN_RESULTS": "1"}, Status.SUCCEEDED, Code.TOLD_BY_BACKEND),
    ],
)
def test_a_task_of_another_codebase_is_recorded_elsewhere(
    start_worker: Callable[..., Worker],
    start_beat: Callable[..., Beat],
    no_other_jobs: None,
    tmp_path: Path,
    env: dict[str, str],
    status: Status,
    code: Code,
) -> None:
    other = start_worker(concurrency=1, env={**PLAIN, **env})
    start_worker(concurrency=1)
    make_task("tests.plain_tasks.other", other.queue, tmp_path / "ran")
    beat = start_beat()
    first = wait_for(lambda: ended(status), timeout=90, message="the end of a run elsewhere")[0]
    wait_for(lambda: len(ended(status)) >= 4, timeout=90, message="the next ones")
    machinery = Machinery.read()
    beat.stop()
    assert first.reason == code
    assert len((tmp_path / "ran").read_text().split()) >= 4
    later = TaskRun.objects.filter(pk__gt=first.pk).exclude(status=status)
    # None that the first ones kept from starting: only the last ones have not ended.
    assert not later.exclude(status__in=(Status.QUEUED, Status.ELSEWHERE))
    assert not ScheduledTask.objects.flagged(Flag.BROKEN, machinery.now, machinery.known_tasks)
    assert "queue" not in [problem.code for problem in problems(machinery)]
    assert not Incident.objects.all()


def test_beat_that_is_installed_before_the_workers_does_no_harm(
    start_worker: Callable[..., Worker], start_beat: Callable[..., Beat], no_other_jobs: None, tmp_path: Path
) -> None:
    before = start_worker(concurrency=1, env=PLAIN)
    make_task(tasks.stamp.name, before.queue, tmp_path / "ran")
    beat = start_beat()
    # The sender knows this task, and asks for its result, which the backend then has.
    told = TaskRun.objects.filter(reason=Code.TOLD_BY_BACKEND)
    wait_for(lambda: told.count() >= 2, timeout=90, message="runs that no worker reports")
    assert [problem.code for problem in problems(Machinery.read())] == ["others"]
    before.stop()
    start_worker(concurrency=1, queues=[before.queue])
    recorded = TaskRun.objects.filter(status=Status.SUCCEEDED, reason="")
    wait_for(recorded.exists, timeout=90, message="a run that is recorded")
    assert not problems(Machinery.read())
    beat.stop()
    ends = {Status.SUCCEEDED, Status.ELSEWHERE, Status.SKIPPED, Status.QUEUED}
    assert {*TaskRun.objects.values_list("status", flat=True)} <= ends
    assert not Incident.objects.all()
