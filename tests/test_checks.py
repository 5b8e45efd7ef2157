"""System checks: each wrong setting is named, each right one passes."""

from datetime import timedelta

import pytest

from scheduled_tasks import checks


def ids(messages):
    return [message.id.removeprefix("scheduled_tasks.") for message in messages]


def test_the_example_site_is_clean():
    assert checks.check_settings() == []
    assert checks.check_databases() == []


def test_missing_apps_are_named(settings):
    settings.INSTALLED_APPS = [
        app for app in settings.INSTALLED_APPS if app not in ("django_celery_beat", "django_htmx")
    ]
    assert ids(checks.check_settings()) == ["E001", "E002"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"GRACE": timedelta(minutes=1), "RECORD_WAIT": 1}, []),
        ({"ACCESS_POLICY": "example_project.access.administers_jobs"}, []),
        ("text", ["E003"]),
        ({"GRASE": 1}, ["E004"]),
        ({"GRACE": 60}, ["E005"]),
        ({"OWN_CONNECTION": "no"}, ["E005"]),
        ({"RETENTION_COUNT": 100}, []),
        ({"RETENTION_COUNT": 0}, ["E005"]),
        ({"OVERLAP": "maybe"}, ["E006"]),
        ({"MISFIRE": "twice"}, ["E006"]),
        ({"ACCESS_POLICY": "nowhere.policy"}, ["E007"]),
        ({"ACCESS_POLICY": "example_project.settings.DEBUG"}, ["E007"]),
    ],
)
def test_own_settings(settings, value, expected):
    settings.SCHEDULED_TASKS = value
    assert ids(checks.check_settings()) == expected


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("scheduled_tasks.beat:Scheduler", []),
        ("scheduled_tasks.beat.Scheduler", []),
        ("scheduled_tasks", ["E008"]),
        ("django_celery_beat.schedulers:DatabaseScheduler", ["W001"]),
    ],
)
def test_scheduler(settings, scheduler, expected):
    settings.CELERY_BEAT_SCHEDULER = scheduler
    assert ids(checks.check_settings()) == expected


def test_time_zones_off(settings):
    settings.DJANGO_CELERY_BEAT_TZ_AWARE = False
    assert ids(checks.check_settings()) == ["W003"]


def test_sqlite_without_immediate_transactions(settings):
    settings.DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}}
    assert ids(checks.check_databases()) == ["W002"]
