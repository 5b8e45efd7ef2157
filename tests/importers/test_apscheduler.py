"""django-apscheduler: jobs that APScheduler itself stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scheduled_tasks.models import ScheduledTask
from scheduled_tasks.schedules import next_runs, raw

from .conftest import Import


@pytest.fixture
def scheduler(install: Callable[[str], None]) -> Iterator[Any]:
    install("django_apscheduler")
    from apscheduler.schedulers.background import BackgroundScheduler
    from django_apscheduler.jobstores import DjangoJobStore

    scheduler = BackgroundScheduler(timezone="Europe/Berlin")
    scheduler.add_jobstore(DjangoJobStore(), "default")
    scheduler.start(paused=True)
    yield scheduler
    scheduler.shutdown()


@pytest.mark.parametrize(
    ("trigger", "text"),
    [
        ({"trigger": "interval", "minutes": 15}, "every 15 minutes"),
        ({"trigger": "cron", "hour": 3, "minute": 30}, "30 3 * * *"),
        ({"trigger": "cron", "hour": 3, "day_of_week": "mon-fri"}, "0 3 * * 1-5"),
        ({"trigger": "cron", "hour": 3, "day_of_week": "0,6"}, "0 3 * * 1,0"),
        ({"trigger": "cron", "minute": "*/20", "day": "1-7", "day_of_week": "0"}, "*/20 * 1-7 * 1"),
    ],
)
def test_triggers(scheduler: Any, imported: Import, trigger: dict[str, Any], text: str) -> None:
    job = scheduler.add_job("tests.tasks:add", args=[1], kwargs={"y": 2}, id="sum up", name="sum", **trigger)
    (told,) = imported("apscheduler")
    assert (told["result"], told["runs"]) == ("imported", "tests.tasks.add")
    task = ScheduledTask.objects.get(name="sum up")
    assert (raw(task), task.args, task.kwargs) == (text, "[1]", '{"y": 2}')
    if task.crontab:
        moment = job.next_run_time.replace(second=0)
        runs = next_runs(task, moment)
        for _ in range(20):  # they name the same moments
            moment = job.trigger.get_next_fire_time(moment, moment)
            assert next(runs) == moment


@pytest.mark.parametrize(
    ("trigger", "why"),
    [
        (
            {"trigger": "date", "run_date": "2099-01-01"},
            "its DateTrigger is neither a cron expression nor an interval.",
        ),
        ({"trigger": "cron", "second": "*/10"}, "no cron expression says second='*/10'."),
        ({"trigger": "cron", "week": 3}, "no cron expression says week='3'."),
        ({"trigger": "cron", "day": "last"}, 'day of month: "last" is not a valid value.'),
        (
            {"trigger": "cron", "day_of_week": "*/2"},
            "in day_of_week='*/2' steps count from Monday; list the days.",
        ),
        (
            {"trigger": "interval", "days": 1, "end_date": "2099-01-01"},
            "it ends on 2099-01-01, which no schedule here can say.",
        ),
    ],
)
def test_triggers_that_no_schedule_says(
    scheduler: Any, imported: Import, trigger: dict[str, Any], why: str
) -> None:
    scheduler.add_job("tests.tasks:add", id="sum up", name="sum", **trigger)
    (told,) = imported("apscheduler")
    assert (told["result"], told["why"]) == ("left_out", why)


def test_paused_functions_and_rows_that_cannot_be_read(scheduler: Any, imported: Import) -> None:
    from django_apscheduler.models import DjangoJob

    scheduler.add_job("tests.importers.jobs:report", "cron", hour=1, args=["a"], id="a report").pause()
    DjangoJob.objects.create(id="broken", job_state=b"no pickle")
    DjangoJob.objects.create(id="exits", job_state=b"cbuiltins\nexit\n(tR.")
    report, broken, exits = imported("apscheduler")
    assert report["result"] == "code"
    assert "enabled=False" in report["code"]
    assert "return report('a')" in report["code"]
    assert broken["why"].startswith("it cannot be read (UnpicklingError: ")
    assert exits["why"] == "it cannot be read (SystemExit: None)."
    assert DjangoJob.objects.count() == 3
