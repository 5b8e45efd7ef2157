"""Entries of CELERY_BEAT_SCHEDULE: what is stored of each, and that a wrong one harms no other."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from celery import Celery
from celery.schedules import crontab, schedule
from kombu.utils.json import loads

from scheduled_tasks import scheduled_task
from scheduled_tasks.declarations import registry, sync
from scheduled_tasks.models import ScheduledTask, TaskState
from tests.own_schedulers import OffsetScheduler

pytestmark = pytest.mark.django_db

KEY = UUID("6f1c2f8e-9d0b-4a31-8d2b-0c1f5f6f0a11")
VALUES = [KEY, Decimal("1.50"), datetime(2026, 3, 1, 12, tzinfo=UTC), date(2026, 3, 1), {"deep": [KEY]}, b"x"]


@pytest.fixture
def app(monkeypatch):
    """A Celery app that imports nothing; no decorator declares anything."""
    monkeypatch.setattr(registry, "definitions", {})
    return Celery("beat-schedule-tests", set_as_current=False)


def purge() -> None: ...


class Unreadable:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


WRONG = {
    "a number as name": {1: {"task": "t", "schedule": 30}},
    "no name": {None: {"task": "t", "schedule": 30}},
    "a tuple as name": {("a", 1): {"task": "t", "schedule": 30}},
    "empty name": {"": {"task": "t", "schedule": 30}},
    "long name": {"n" * 300: {"task": "t", "schedule": 30}},
    "NUL in name": {"a\0b": {"task": "t", "schedule": 30}},
    "half a character in name": {"a\ud800": {"task": "t", "schedule": 30}},
    "infinite schedule": {"wrong": {"task": "t", "schedule": float("inf")}},
    "NaN schedule": {"wrong": {"task": "t", "schedule": float("nan")}},
    "huge schedule": {"wrong": {"task": "t", "schedule": 10**20}},
    "longest schedule": {"wrong": {"task": "t", "schedule": timedelta.max}},
    "fractions of a microsecond": {"wrong": {"task": "t", "schedule": 100_000.0000007 / 3}},
    "often": {"wrong": {"task": "t", "schedule": timedelta(microseconds=1000)}},
    "no time": {"wrong": {"task": "t", "schedule": schedule(timedelta(0))}},
    "negative": {"wrong": {"task": "t", "schedule": -5}},
    "priority of a list": {"wrong": {"task": "t", "schedule": 30, "options": {"priority": [1]}}},
    "priority of text": {"wrong": {"task": "t", "schedule": 30, "options": {"priority": "high"}}},
    "large priority": {"wrong": {"task": "t", "schedule": 30, "options": {"priority": 10**10}}},
    "infinite expiry": {"wrong": {"task": "t", "schedule": 30, "options": {"expires": float("inf")}}},
    "long expiry": {"wrong": {"task": "t", "schedule": 30, "options": {"expires": timedelta.max}}},
    "short expiry": {"wrong": {"task": "t", "schedule": 30, "options": {"expires": 0.2}}},
    "expiry at a moment": {"wrong": {"task": "t", "schedule": 30, "options": {"expires": datetime.now(UTC)}}},
    "long queue": {"wrong": {"task": "t", "schedule": 30, "options": {"queue": "q" * 300}}},
    "no dict": {"wrong": 5},
    "nothing": {"wrong": None},
    "options of a list": {"wrong": {"task": "t", "schedule": 30, "options": [1]}},
    "arguments of a number": {"wrong": {"task": "t", "schedule": 30, "args": 5}},
    "keyword arguments of a list": {"wrong": {"task": "t", "schedule": 30, "kwargs": [1]}},
    "arguments of NaN": {"wrong": {"task": "t", "schedule": 30, "args": [float("nan")]}},
    "arguments of an object": {"wrong": {"task": "t", "schedule": 30, "args": [object()]}},
    "no task": {"wrong": {"task": None, "schedule": 30}},
    "unreadable description": {"wrong": {"task": "t", "schedule": 30, "description": Unreadable()}},
    "31 February": {"wrong": {"task": "t", "schedule": "0 0 31 2 *"}},
}


def an_argument_deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("wrong", [pytest.param(wrong, id=name) for name, wrong in WRONG.items()])
def test_a_wrong_entry_is_reported_and_the_others_are_synced(app, wrong):
    app.conf.beat_schedule = {**wrong, "right": {"task": "t", "schedule": 30}}
    report = sync.sync(app=app)
    assert report.created == ("right",)
    [problem] = report.problems
    assert "wrong" in problem or "CELERY_BEAT_SCHEDULE is unusable" in problem
    assert ScheduledTask.objects.get().name == "right"
    assert sync.sync(app=app).problems == report.problems


def test_an_argument_too_deep_for_json_is_reported(app):
    app.conf.beat_schedule = {
        "wrong": {"task": "t", "schedule": 30, "args": an_argument_deep(100_000)},
        "right": {"task": "t", "schedule": 30},
    }
    report = sync.sync(app=app)
    assert (report.created, len(report.problems)) == (("right",), 1)


@pytest.mark.parametrize("given", [[1], "text", 5])
def test_a_beat_schedule_that_is_no_dict_changes_nothing(app, given):
    app.conf.beat_schedule = {"purge": {"task": "t", "schedule": 30}}
    sync.sync(app=app)
    app.conf.beat_schedule = given
    report = sync.sync(app=app)
    assert (report.changes, len(report.problems)) == ((), 1)
    assert ScheduledTask.objects.get().enabled


def test_arguments_are_stored_as_celerys_json_sends_them(app):
    app.conf.beat_schedule = {"right": {"task": "t", "schedule": 30, "args": VALUES, "kwargs": {"key": KEY}}}
    assert sync.sync(app=app).problems == ()
    task = ScheduledTask.objects.get()
    assert loads(task.args) == VALUES
    assert loads(task.kwargs) == {"key": KEY}
    # What the worker reads of a message that carries the stored values as they are.
    assert loads(json.dumps(json.loads(task.args))) == VALUES
    assert sync.sync(app=app).unchanged == ("right",)


@pytest.mark.parametrize(
    ("given", "stored"), [(0, None), (timedelta(0), None), (None, None), (1, 1), (90.0, 90)]
)
def test_an_expiry_of_zero_is_none_as_in_django_celery_beat(app, given, stored):
    app.conf.beat_schedule = {"right": {"task": "t", "schedule": 30, "options": {"expires": given}}}
    assert sync.sync(app=app).problems == ()
    assert ScheduledTask.objects.get().expire_seconds == stored


@pytest.mark.parametrize("length", [timedelta(seconds=1), timedelta(seconds=1.5), timedelta(days=3650)])
def test_intervals_from_a_second_to_ten_years_are_stored(app, length):
    app.conf.beat_schedule = {"right": {"task": "t", "schedule": length}}
    assert sync.sync(app=app).created == ("right",)


def test_an_interval_of_one_unit_reads_well(app):
    app.conf.beat_schedule = {"right": {"task": "t", "schedule": 3600}}
    assert sync.sync(app=app).changes == ("right: created (every hour)",)
    app.conf.beat_schedule = {"right": {"task": "t", "schedule": crontab(minute=0)}}
    assert "'every hour' → '0 * * * *'" in sync.sync(app=app).changes[0]


@pytest.mark.parametrize(
    ("scheduler", "is_kept"),
    [
        ("acme.beat:OffsetScheduler", True),
        ("tests.own_schedulers.OffsetScheduler", True),
        (OffsetScheduler, True),
        ("scheduled_tasks.beat:Scheduler", False),
        ("scheduled_tasks", False),
        ("django_celery_beat.schedulers:DatabaseScheduler", False),
        ("celery.beat:PersistentScheduler", False),
    ],
)
def test_keys_of_a_scheduler_of_the_projects_own(app, scheduler, is_kept):
    app.conf.beat_scheduler = scheduler
    app.conf.beat_schedule = {"shifted": {"task": "t", "schedule": 30, "apply_offset": True}}
    report = sync.sync(app=app)
    assert (report.created, bool(report.problems)) == (("shifted",) if is_kept else (), not is_kept)


def test_an_entry_runs_as_celery_has_it_until_a_decorator_declares_it(app, monkeypatch):
    app.conf.beat_schedule = {"purge": {"task": "t", "schedule": 30}}
    sync.sync(app=app)
    assert ScheduledTask.objects.get(name="purge").state.is_as_before
    TaskState.objects.update(runs_as_before=False)  # as an operator chose
    app.conf.beat_schedule["purge"]["schedule"] = 60
    sync.sync(app=app)
    assert not ScheduledTask.objects.get(name="purge").state.runs_as_before
    TaskState.objects.update(runs_as_before=True)
    app.conf.beat_schedule = {}

    scheduled_task("* * * * *", name="purge")(app.task(name="t")(purge))

    sync.sync(app=app)
    assert not ScheduledTask.objects.get(name="purge").state.runs_as_before
