"""System checks: each wrong setting is named, each right one passes."""

from datetime import timedelta

import pytest
from celery import Celery, _state
from django.apps.registry import Apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections

from scheduled_tasks import checks
from scheduled_tasks.conf import DEFAULTS


def ids(messages):
    return [message.id.removeprefix("scheduled_tasks.") for message in messages]


def test_the_example_site_is_clean():
    assert checks.check_settings() == []
    assert checks.check_databases() == []


def without(settings, app):
    return [each for each in settings.INSTALLED_APPS if each != app]


def test_a_missing_app_is_named(settings):
    settings.INSTALLED_APPS = without(settings, "django_htmx")
    assert ids(checks.check_settings()) == ["E001"]


def test_without_django_celery_beat_nothing_starts(settings):
    with pytest.raises(ImproperlyConfigured, match="'django_celery_beat' in INSTALLED_APPS"):
        Apps(without(settings, "django_celery_beat"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"GRACE": timedelta(minutes=1), "RECORD_WAIT": 1}, []),
        ({"ACCESS_POLICY": "example_project.access.administers_jobs"}, []),
        ("text", ["E003"]),
        ({"GRASE": 1}, ["E004"]),
        ({"GRACE": 60}, ["E005"]),
        ({"GRACE": timedelta(seconds=-1)}, ["E005"]),
        ({"RECORD_WAIT": -1}, ["E005"]),
        ({"RECORD_WAIT": True}, ["E005"]),
        ({"RECORD_WAIT": float("inf")}, ["E005"]),
        ({"RECORD_WAIT": float("nan")}, ["E005"]),
        ({"RETENTION": timedelta.max}, ["E005"]),
        ({"OVERLAP": None}, ["E005"]),
        ({"OWN_CONNECTION": "no"}, ["E005"]),
        ({"RETENTION_COUNT": 100}, []),
        ({"RETENTION_COUNT": 0}, ["E005"]),
        ({"RETENTION_COUNT": 2**31}, ["E005"]),
        ({"OVERLAP": "maybe"}, ["E006"]),
        ({"MISFIRE": "twice"}, ["E006"]),
        ({"ACCESS_POLICY": "nowhere.policy"}, ["E007"]),
        ({"ACCESS_POLICY": len}, ["E007"]),
        ({"ACCESS_POLICY": "example_project.settings.DEBUG"}, ["E007"]),
        ({"ACCESS_POLICY": f"{__name__}.one_argument"}, ["E007"]),
        ({"ACCESS_POLICY": f"{__name__}.never_awaited"}, ["E007"]),
        ({"ACCESS_POLICY": "builtins.max"}, []),
    ],
)
def test_own_settings(settings, value, expected):
    settings.SCHEDULED_TASKS = value
    assert ids(checks.check_settings()) == expected


def one_argument(request):
    return True


async def never_awaited(request, action):
    return False


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("GRASE", "Did you mean 'GRACE'?"),
        ("record_wait", "Did you mean 'RECORD_WAIT'?"),
        ("XYZ", f"It knows {', '.join(sorted(DEFAULTS))}."),
        (5, f"It knows {', '.join(sorted(DEFAULTS))}."),
    ],
)
def test_a_misspelt_setting_is_told_from_the_one_meant(settings, key, hint):
    settings.SCHEDULED_TASKS = {key: 1}
    assert [(each.msg, each.hint) for each in checks.check_settings()] == [
        (f"SCHEDULED_TASKS has no setting {key!r}.", hint)
    ]


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("scheduled_tasks.beat:Scheduler", []),
        ("scheduled_tasks.beat.Scheduler", []),
        ("scheduled_tasks", ["E008"]),
        ("django_celery_beat.schedulers:DatabaseScheduler", ["W001"]),
        ("celery.beat:PersistentScheduler", ["W001"]),
    ],
)
def test_scheduler(settings, scheduler, expected):
    settings.CELERY_BEAT_SCHEDULER = scheduler
    assert ids(checks.check_settings()) == expected


@pytest.mark.parametrize(
    ("scheduler", "expected"), [("scheduled_tasks.beat:Scheduler", []), ("celery.beat:Scheduler", ["W001"])]
)
def test_a_scheduler_that_only_the_celery_app_names(settings, monkeypatch, scheduler, expected):
    del settings.CELERY_BEAT_SCHEDULER
    app = Celery("checks", set_as_current=False)
    app.conf.beat_scheduler = scheduler
    monkeypatch.setattr(_state, "default_app", app)
    assert ids(checks.check_settings()) == expected


def test_time_zones_off(settings):
    settings.DJANGO_CELERY_BEAT_TZ_AWARE = False
    assert ids(checks.check_settings()) == ["W003"]
    settings.USE_TZ = False
    assert ids(checks.check_settings()) == ["E002"]


@pytest.fixture
def second(monkeypatch):
    """A second database that needs no server, SQLite as Django leaves it."""
    database = {**connections.settings[DEFAULT_DB_ALIAS], "ENGINE": "django.db.backends.sqlite3"}
    monkeypatch.setitem(connections.settings, "second", {**database, "NAME": ":memory:", "OPTIONS": {}})
    yield connections["second"]
    connections["second"].close()
    del connections["second"]


class TasksInSecond:
    def db_for_write(self, model, **hints):
        return "second"

    db_for_read = db_for_write


class Replica:
    def db_for_read(self, model, **hints):
        return "second"


class OneAppInSecond:
    def db_for_write(self, model, **hints):
        return "second" if model._meta.app_label == "scheduled_tasks" else None

    db_for_read = db_for_write


@pytest.mark.parametrize("router", [Replica, OneAppInSecond])
def test_tasks_spread_over_two_databases(settings, second, router):
    settings.DATABASE_ROUTERS = [router()]
    assert "E009" in ids(checks.check_databases())


def test_the_tasks_own_database_is_checked(settings, second):
    assert checks.check_databases() == []
    settings.DATABASE_ROUTERS = [TasksInSecond()]
    assert ids(checks.check_databases()) == ["W002"]
    second.settings_dict["OPTIONS"] = {"transaction_mode": "IMMEDIATE"}
    assert checks.check_databases() == []


@pytest.mark.parametrize(("zone", "expected"), [("Europe/Paris", ["E010"]), ("UTC", []), (None, [])])
def test_a_zone_of_the_database_itself(settings, second, zone, expected):
    settings.DATABASE_ROUTERS = [TasksInSecond()]
    second.settings_dict |= {"OPTIONS": {"transaction_mode": "IMMEDIATE"}, "TIME_ZONE": zone}
    assert ids(checks.check_databases()) == expected
