"""Real beats with schedulers that projects made of this app's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduled_tasks.models import ScheduledTask, Status, TaskRun
from tests import tasks
from tests.integration.test_beat import no_other_jobs  # noqa: F401 - a fixture
from tests.live import Beat, Worker, wait_for


def test_a_site_shifts_its_crons(
    worker: Worker,
    start_beat: Callable[..., Beat],
    no_other_jobs: None,  # noqa: F811
) -> None:
    minute = (datetime.now(UTC) + timedelta(seconds=75)).minute
    start_beat(env={"DJANGO_SETTINGS_MODULE": "tests.settings_own_scheduler", "SITE_OFFSET": str(minute)})
    tasks_of_code = ScheduledTask.objects.filter(name__in=["shifted", "plain"])
    wait_for(lambda: tasks_of_code.filter(scheduled_state__next_run_at__isnull=False).count() == 2)
    planned = {task.name: task.state.next_run_at.minute for task in tasks_of_code}
    assert planned == {"shifted": minute, "plain": 0}
    assert {task.crontab.minute for task in tasks_of_code} == {"0"}
    shifted = TaskRun.objects.filter(name="shifted", status=Status.SUCCEEDED)
    run = wait_for(shifted.first, timeout=150, message="a run at the shifted minute")
    assert run.scheduled_for.minute == minute
    assert ScheduledTask.objects.get(name="shifted").state.next_run_at == run.scheduled_for + timedelta(
        hours=1
    )


def test_a_site_throttles_reading(
    worker: Worker,
    start_beat: Callable[..., Beat],
    no_other_jobs: None,  # noqa: F811
) -> None:
    beat = start_beat(options=["-S", "tests.own_schedulers:ThrottledScheduler"])
    beat.wait_for_log("This beat leads now")
    second = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    for number in range(3):
        name = f"saved {number}"
        PeriodicTask.objects.create(name=name, task=tasks.count_users.name, interval=second)
        runs = TaskRun.objects.filter(name=name, status=Status.SUCCEEDED)
        wait_for(runs.first, message=f"a run of “{name}”")
    assert "Reading waits." in beat.output()
