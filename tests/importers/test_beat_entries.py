"""The ``beat_schedule`` of another app, and RedBeat's entries, which are of its shape."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab, schedule
from django.core.management import CommandError

from example_project.celery import app
from scheduled_tasks.models import ScheduledTask
from scheduled_tasks.schedules import raw
from tests.factories import make_process, make_task

from .conftest import Import

other = Celery("other", set_as_current=False)
other.conf.timezone = "Asia/Tokyo"
other.conf.beat_schedule = {
    "early": {
        "task": "tests.tasks.add",
        "schedule": crontab(hour="5", minute="0"),
        "kwargs": {"x": 1, "y": 2},
    },
    "off": {"task": "tests.tasks.add", "schedule": 30, "enabled": False, "options": {"time_limit": 5}},
    "elsewhere": {"task": "warehouse.count", "schedule": 60},
}


def test_an_app(imported: Import) -> None:
    early, off, elsewhere = imported("beat-schedule", f"{__name__}:other")
    task = ScheduledTask.objects.get(name="early")
    assert (raw(task), str(task.crontab.timezone), task.kwargs) == (
        "0 5 * * *",
        "Asia/Tokyo",
        '{"x": 1, "y": 2}',
    )
    assert early["result"] == off["result"] == "imported"
    assert off["why"] == "No stored task keeps its options time_limit."
    assert not ScheduledTask.objects.get(name="off").enabled
    assert elsewhere["why"].startswith("warehouse.count is no known Celery task and cannot be imported (")


def test_a_task_that_only_a_worker_knows(imported: Import) -> None:
    make_process(task_names=["warehouse.count"])
    *_, elsewhere = imported("beat-schedule", f"{__name__}.other")
    assert elsewhere["result"] == "imported"
    assert ScheduledTask.objects.get(name="elsewhere").task == "warehouse.count"


def test_a_dict(imported: Import) -> None:
    nightly, odd = imported("beat-schedule", "tests.importers.jobs.ENTRIES")
    assert nightly["result"] == "imported"
    assert ScheduledTask.objects.get().queue == "slow"
    assert odd["why"] == "its schedule 'every full moon' is of no kind that can be stored."


def test_a_name_in_use(imported: Import) -> None:
    make_task("nightly", task="tests.tasks.fail")
    nightly, _ = imported("beat-schedule", "tests.importers.jobs.ENTRIES")
    assert nightly["why"] == "its name is in use by a task that runs tests.tasks.fail."
    ScheduledTask.objects.update(task="tests.tasks.add")
    nightly, _ = imported("beat-schedule", "tests.importers.jobs.ENTRIES")
    assert nightly["result"] == "there"
    assert raw(ScheduledTask.objects.get()) == "0 3 * * *"


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("", "give the path of a Celery app"),
        ("no.such.app", "cannot be imported"),
        ("tests.importers.that_exits.app", "cannot be imported"),
        ("tests.importers.jobs.report", "is neither a Celery app nor a dict"),
    ],
)
def test_no_entries(imported: Import, place: str, why: str) -> None:
    with pytest.raises(CommandError, match=f"Nothing was imported: .*{why}"):
        imported("beat-schedule", place)


@pytest.fixture
def redbeat() -> Iterator[Any]:
    """RedBeat on the run's own broker."""
    schedulers = pytest.importorskip("redbeat.schedulers")
    if not str(app.conf.broker_url).startswith("redis"):
        pytest.skip("the broker of this run is no Redis")
    app.conf.redbeat_redis_url = app.conf.broker_url
    app.conf.redbeat_key_prefix = "tests-importers:"
    yield schedulers
    app.redbeat_redis = None
    client = schedulers.get_redis(app)
    for key in client.keys("tests-importers:*"):
        client.delete(key)


def test_redbeat(redbeat: Any, imported: Import) -> None:
    entry = redbeat.RedBeatSchedulerEntry
    options = {"queue": "slow", "expires": 60}
    entry(
        "early", "tests.tasks.add", crontab(minute="5", hour="4"), args=[1, 2], options=options, app=app
    ).save()
    entry("often", "tests.tasks.add", schedule(90), enabled=False, app=app).save()
    from redbeat.schedules import rrule

    entry("rule", "tests.tasks.add", rrule("DAILY", count=3), app=app).save()
    told = {each["origin"].rpartition(":")[2]: each for each in imported("redbeat")}
    assert told["rule"]["why"].endswith("is of no kind that can be stored.")
    early, often = ScheduledTask.objects.order_by("name")
    assert (raw(early), early.args, early.queue, early.expire_seconds) == ("5 4 * * *", "[1, 2]", "slow", 60)
    assert (raw(often), often.enabled) == ("every 90 seconds", False)
    assert {each["result"] for each in imported("redbeat")} == {"there", "left_out"}


def test_redbeat_without_its_redis(redbeat: Any, imported: Import) -> None:
    from redis import Redis

    app.redbeat_redis = Redis(port=9)
    with pytest.raises(CommandError, match="Nothing was imported: RedBeat's Redis cannot be read"):
        imported("redbeat")


def test_redbeat_that_is_not_installed(imported: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redbeat", None)
    with pytest.raises(CommandError, match=r"RedBeat is not installed: pip install celery-redbeat\."):
        imported("redbeat")
