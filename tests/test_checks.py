"""System checks: each wrong setting is named, each right one passes."""

from datetime import timedelta

import pytest
from celery import Celery, current_app, shared_task
from celery.beat import PersistentScheduler
from django.apps.registry import Apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections

from scheduled_tasks import checks, scheduled_task
from scheduled_tasks.alerts.channels import channels_for
from scheduled_tasks.conf import DEFAULTS
from scheduled_tasks.declarations import registry


def ids(messages):
    return [message.id.removeprefix("scheduled_tasks.") for message in messages]


def test_the_example_site_is_clean():
    assert checks.check_settings() == []
    assert checks.check_databases() == []


def test_without_django_celery_beat_nothing_starts(settings):
    apps = [each for each in settings.INSTALLED_APPS if each != "django_celery_beat"]
    with pytest.raises(ImproperlyConfigured, match="'django_celery_beat' in INSTALLED_APPS"):
        Apps(apps)


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
        ({"MASKED_WORDS": ["iban"]}, []),
        ({"MASKED_WORDS": ("iban", "card_number")}, []),
        ({"MASKED_WORDS": "iban"}, ["E005"]),
        ({"MASKED_WORDS": [5]}, ["E005"]),
        ({"RETENTION_COUNT": 100}, []),
        ({"ALERT_AFTER": 3, "RECOVER_AFTER": 2, "MAX_RUNTIME": timedelta(hours=1), "ALERT_ON": ["late"]}, []),
        ({"ALERT_AFTER": 0}, ["E005"]),
        ({"RECOVER_AFTER": "3"}, ["E005"]),
        ({"MAX_RUNTIME": 60}, ["E005"]),
        ({"MAX_RUNTIME": timedelta(0)}, ["E005"]),
        ({"ALERT_ON": ()}, []),
        ({"ALERT_ON": ["lately"]}, ["E005"]),
        ({"ALERT_ON": "late"}, ["E005"]),
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
        ({"ACCESS_POLICY": f"{__name__}.takes_a_task"}, []),
        ({"RUN_LINKS": {"Logs": "https://logs.example.com/?id={celery_id}"}}, []),
        ({"RUN_LINKS": {"Logs": "https://logs.example.com/?id={id}", "X": "x:{name}"}}, ["E014", "E014"]),
        ({"RUN_LINKS": ["https://logs.example.com/"]}, ["E005"]),
        ({"RUN_LINKS": None}, ["E005"]),
        ({"PAUSED": True}, []),
        ({"PAUSED": "1"}, ["E005"]),
        ({"PAUSED": None}, ["E005"]),
        ({"PING_URL": "https://hc-ping.com/some-id"}, []),
        ({"PING_URL": None}, []),
        ({"PING_URL": "file:///etc/passwd"}, ["E015"]),
        ({"PING_URL": "hc-ping.com/some-id"}, ["E015"]),
        ({"PING_URL": 5}, ["E005"]),
        ({"ALERTS": None}, ["E005"]),
        ({"ALERTS": "x"}, ["E005"]),
        ({"ALERT_ON": None}, ["E005"]),
        ({"MAX_RUNTIME": timedelta.max}, ["E005"]),
        ({"METRICS_TOKEN": 5}, ["E005"]),
        ({"ALERT_SECRET": 5}, ["E005"]),
        ({"SITE_URL": 5}, ["E005"]),
    ],
)
def test_own_settings(settings, value, expected):
    settings.SCHEDULED_TASKS = value
    assert ids(checks.check_settings()) == expected


def takes_a_task(request, action, task):
    return True


def one_argument(request):
    return True


async def never_awaited(request, action):
    return False


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("GRASE", "Did you mean 'GRACE'?"),
        ("record_wait", "Did you mean 'RECORD_WAIT'?"),
        ("XYZ", f"Settings are {', '.join(sorted(DEFAULTS))}."),
        (5, f"Settings are {', '.join(sorted(DEFAULTS))}."),
    ],
)
def test_a_misspelt_setting_is_told_from_the_one_meant(settings, key, hint):
    settings.SCHEDULED_TASKS = {key: 1}
    assert [(each.msg, each.hint) for each in checks.check_settings()] == [
        (f"SCHEDULED_TASKS has no setting {key!r}.", hint)
    ]


@shared_task(name="tests.owned")
def owned():
    pass


@pytest.mark.parametrize(
    ("alerts", "hint"),
    [
        ({"default": ["mailto:ops@example.com"]}, 'Its alerts go to "default".'),
        ({"default": []}, "Nobody gets its alerts."),
        ({"billing": ["mailto:ops@example.com"]}, "Nobody gets its alerts."),
        ({"default": ["mailto:ops@example.com"], "biling": []}, None),
        ({}, None),
        ("text", None),
    ],
)
def test_an_owner_that_alerts_does_not_have(settings, monkeypatch, alerts, hint):
    monkeypatch.setattr(registry, "definitions", {})
    settings.SCHEDULED_TASKS = {"ALERTS": alerts}
    scheduled_task("@daily", name="purge", owner="biling")(owned)
    scheduled_task("@daily", name="other")(owned)
    found = [each for each in checks.check_settings() if each.id == "scheduled_tasks.W006"]
    assert len(found) == (hint is not None)
    for warning in found:
        assert warning.msg == (
            'The owner "biling" of the scheduled task "purge" is not in SCHEDULED_TASKS["ALERTS"].'
        )
        assert warning.hint.startswith(f'{hint} Add the owner to ALERTS, or correct its name: "{__file__}"')
        assert [each.label for each in channels_for("biling")] == (
            ["ops@example.com"] if "default" in warning.hint else []
        )


OURS = "scheduled_tasks.beat:Scheduler"
SCHEDULERS = [
    (OURS, []),
    ("scheduled_tasks.beat.Scheduler", []),
    ("django_celery_beat.schedulers:DatabaseScheduler", ["W001"]),
    ("celery.beat:PersistentScheduler", ["W001"]),
    ("tests.own_schedulers:OffsetScheduler", []),
    ("tests.own_schedulers:logger", ["W001"]),
    ("no.such:Scheduler", ["W001"]),
]


@pytest.fixture
def celery_app():
    """Makes an app the project's: what ``Celery(...)`` does in a project's ``celery.py``."""
    before = current_app._get_current_object()

    def make(**options):
        app = Celery("acme", set_as_current=False)
        app.config_from_object("django.conf:settings", **options)
        app.set_current()
        return app

    yield make
    before.set_current()


def test_the_schedulers_short_name(settings):
    settings.CELERY_BEAT_SCHEDULER = "scheduled_tasks"
    assert ids(checks.check_settings()) == ["E008"]


@pytest.mark.parametrize("scheduler", [OURS, "celery.beat:PersistentScheduler"])
@pytest.mark.parametrize("namespace", ["CELERY", "ACME"])
def test_scheduler_of_the_apps_own_namespace(settings, celery_app, namespace, scheduler):
    settings.CELERY_BEAT_SCHEDULER = OURS
    setattr(settings, f"{namespace}_BEAT_SCHEDULER", scheduler)
    celery_app(namespace=namespace)
    found = checks.check_settings()
    assert ids(found) == ([] if scheduler == OURS else ["W001"])
    assert [each.hint for each in found] == [f'Set {namespace}_BEAT_SCHEDULER = "{OURS}".' for _ in found]


def test_setting_of_another_namespace_does_not_count(settings, celery_app):
    settings.CELERY_BEAT_SCHEDULER = OURS
    celery_app(namespace="ACME")
    assert ids(checks.check_settings()) == ["W001"]


@pytest.mark.parametrize(("scheduler", "expected"), SCHEDULERS)
def test_scheduler_without_a_namespace(celery_app, scheduler, expected):
    celery_app().conf.beat_scheduler = scheduler
    found = checks.check_settings()
    assert ids(found) == expected
    assert [each.hint for each in found] == [f'Set acme.conf.beat_scheduler = "{OURS}".' for _ in found]


@pytest.mark.parametrize(("scheduler", "expected"), SCHEDULERS)
def test_scheduler_in_a_process_without_the_app(settings, monkeypatch, scheduler, expected):
    monkeypatch.setattr(checks, "project_app", lambda: None)
    settings.CELERY_BEAT_SCHEDULER = scheduler
    assert ids(checks.check_settings()) == expected
    del settings.CELERY_BEAT_SCHEDULER
    assert checks.check_settings() == []


def test_scheduler_given_as_a_class(celery_app):
    celery_app().conf.beat_scheduler = PersistentScheduler
    assert ids(checks.check_settings()) == ["W001"]


def test_broker_for_which_redis_py_is_too_old(celery_app, monkeypatch):
    app = celery_app()
    app.conf.broker_url = "redis://127.0.0.1:1/0"
    app.conf.beat_scheduler = OURS
    assert checks.check_settings() == []
    monkeypatch.setattr("redis.VERSION", (3, 0, 0))
    (found,) = checks.check_settings()
    assert found.id == "scheduled_tasks.W007"
    assert "Redis transport requires redis-py version" in found.msg
    assert "celery[redis]" in found.hint


def test_broker_whose_package_is_missing(celery_app):
    app = celery_app()
    app.conf.beat_scheduler = OURS
    app.conf.broker_transport = "no_such_package:Transport"
    (found,) = checks.check_settings()
    assert found.id == "scheduled_tasks.W007"
    assert "No module named 'no_such_package'" in found.msg


@pytest.mark.parametrize(
    "address", ["memory://", "amqp://127.0.0.1:1", "redis://h:1;redis://h:2", "sentinel://h:1"]
)
def test_broker_that_is_not_asked(celery_app, address):
    app = celery_app()
    app.conf.beat_scheduler = OURS
    app.conf.broker_url = address
    assert checks.check_settings() == []


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
