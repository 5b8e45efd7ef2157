"""Where a task comes from, in its drawer, and the code of one that was made here."""

from __future__ import annotations

import html
import inspect
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, IntervalSchedule

import scheduled_tasks
from scheduled_tasks.admin.task_origin import TaskOrigin
from scheduled_tasks.models import CodeDefault, Overlap, ScheduledTask, Source, TaskState, database_now
from tests.factories import make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"


def origin(task: Any) -> TaskOrigin:
    return TaskOrigin(ScheduledTask.objects.with_schedules().get(pk=task.pk))


def declared(code: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, dict[str, Any]]:
    """What the code says to ``@scheduled_task``."""
    said: list[tuple[Any, dict[str, Any]]] = []

    def decorator(schedule: Any, **options: Any) -> Any:
        said.append((schedule, options))
        return lambda function: function

    known = {*inspect.signature(scheduled_tasks.scheduled_task).parameters}
    monkeypatch.setattr(scheduled_tasks, "scheduled_task", decorator)
    exec(f"{code}def function():\n    pass\n", {})
    (found,) = said
    assert found[1].keys() <= known
    return found


def test_where_it_comes_from(admin_client: Client) -> None:
    task = make_task()
    url = f"{LIST}{task.pk}/change/"
    page = admin_client.get(url).content.decode()
    assert "Made here" in page
    assert "Copy as code" in page
    default = CodeDefault.objects.create(task_id=task.pk, name=task.name, source=Source.DECORATOR)
    page = admin_client.get(url).content.decode()
    assert "In code: @scheduled_task" in page
    assert "Copy as code" not in page
    default.gone_since = timezone.now()
    default.save()
    page = admin_client.get(url).content.decode()
    assert "No longer in code: @scheduled_task" in page
    assert "Copy as code" in page


def test_code_says_all_that_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(
        "nightly “run”",
        "0 4 * * 1-5",
        "Europe/Paris",
        args='[1, {"a": null}]',
        kwargs='{"b": true}',
        queue="slow",
        priority=3,
        expire_seconds=90,
        description="It's “late”",
        enabled=False,
    )
    own = {"overlap": Overlap.ALLOW, "misfire": "ignore", "grace": timedelta(seconds=90), "owner": "billing"}
    more = {"retention": timedelta(days=3), "retention_count": 9, "alert_on": "failing,late", "tags": "a,b"}
    TaskState.objects.create(task_id=task.pk, **own, **more)
    schedule, options = declared(origin(task).code, monkeypatch)
    assert schedule == "0 4 * * 1-5"
    assert options == {
        "name": "nightly “run”",
        "timezone": "Europe/Paris",
        "args": [1, {"a": None}],
        "kwargs": {"b": True},
        "queue": "slow",
        "priority": 3,
        "expires": 90,
        "description": "It's “late”",
        "enabled": False,
        **own,
        **more,
        "alert_on": ["failing", "late"],
        "tags": ["a", "b"],
    }


def test_code_of_an_ordinary_task_says_no_more_than_needed(admin_client: Client) -> None:
    task = make_task()
    assert origin(task).code == (
        "from scheduled_tasks import scheduled_task\n\n\n# Above the function of tests.add\n"
        "@scheduled_task(\n    '0 3 * * *',\n    name='purge',\n    timezone='UTC',\n)\n"
    )
    page = html.unescape(admin_client.get(f"{LIST}{task.pk}/change/").content.decode())
    assert origin(task).code in page


def test_no_alerts_and_an_interval_that_cron_can_say(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(cron=None, interval=IntervalSchedule.objects.create(every=15, period="minutes"))
    TaskState.objects.create(task_id=task.pk, alert_on="none")
    assert declared(origin(task).code, monkeypatch) == ("*/15 * * * *", {"name": "purge", "alert_on": []})


def test_times_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"grace": timedelta(seconds=1_234_567), "max_runtime": timedelta(seconds=1.5)}
    task = make_task()
    TaskState.objects.create(task_id=task.pk, **times, retention=timedelta(0), spread=timedelta(hours=23))
    _schedule, options = declared(origin(task).code, monkeypatch)
    assert options.items() >= {**times, "retention": timedelta(0), "spread": timedelta(hours=23)}.items()


def test_spread_that_an_interval_ignores_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(cron=None, interval=IntervalSchedule.objects.create(every=10, period="minutes"))
    TaskState.objects.create(task_id=task.pk, spread=timedelta(minutes=30))
    assert declared(origin(task).code, monkeypatch) == ("*/10 * * * *", {"name": "purge"})


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "negative spread": ({"spread": timedelta(minutes=-30)}, "spread must be a timedelta above 0"),
    "long spread": ({"spread": timedelta(days=2)}, "spread must be shorter than the time from one run"),
    "overlap": ({"overlap": "bogus"}, "overlap 'bogus' is not known"),
    "priority": ({"priority": 999}, "priority must be a whole number from 0 to 255, not 999"),
    "expires": ({"expire_seconds": 0}, "expires must be a timedelta or a number of seconds, 1 or more"),
    "max_runtime": ({"max_runtime": timedelta(seconds=-5)}, "max_runtime must be a timedelta above 0"),
    "retention_count": ({"retention_count": 0}, "retention_count must be a whole number from 1"),
    "alert_on": ({"alert_on": "bogus,failing"}, "alert_on must be a list or tuple of some of failing, late"),
    "runbook": ({"runbook": "https://anna:hunter2@wiki/x"}, "runbook has a user name or a password"),
    "odd runbook": ({"runbook": "ftp://anna:hunter2@wiki/x"}, "runbook must be an http or https address."),
    "tags": ({"tags": "a b"}, "tags must be words"),
    "name": ({"name": " "}, "name is empty; give one."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_decorator_would_refuse_says_why(admin_client: Client, case: str) -> None:
    values, sentence = REFUSED[case]
    task = make_task()
    of_state = {each: value for each, value in values.items() if hasattr(TaskState, each)}
    TaskState.objects.create(task_id=task.pk, **of_state)
    ScheduledTask.objects.filter(pk=task.pk).update(**{k: v for k, v in values.items() if k not in of_state})
    assert origin(task).code == ""
    assert origin(task).why_no_code.startswith(f"@scheduled_task cannot declare this task: {sentence}")
    page = html.unescape(admin_client.get(f"{LIST}{task.pk}/change/").content.decode())
    assert origin(task).why_no_code in page
    assert "hunter2" not in page


def test_secrets_are_masked() -> None:
    code = origin(make_task(kwargs='{"password": "hunter2hunter2"}')).code
    assert "password" in code
    assert "hunter2" not in code


@pytest.mark.parametrize("name", ["a\nimport os", "'''", "\\", "\u202e", "x\x1b"])
def test_no_name_breaks_out_of_its_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = origin(make_task(name, task=f"tests.{name}")).code
    assert declared(code, monkeypatch)[1]["name"] == name
    assert all(line.isprintable() for line in code.splitlines())
    assert len(code.splitlines()) == 9


UNDECLARABLE: dict[str, tuple[dict[str, Any], str]] = {
    "headers": ({"headers": '{"a": 1}'}, "cannot declare this of it: headers."),
    "routing": ({"exchange": "x", "routing_key": "y"}, "cannot declare this of it: exchange, routing key."),
    "one-off": ({"one_off": True}, "cannot declare this of it: One-off Task."),
    "odd interval": ({"every": 7}, "takes cron expressions, and none says “Every 7 minutes”."),
    "no JSON": ({"args": "[NaN]"}, "cannot declare this task: args cannot be written as JSON"),
    "nested": ({"args": f"{'[' * 101}{']' * 101}"}, "Its arguments are nested too deeply"),
    "clocked": ({"clocked": True, "one_off": True}, "cannot declare this of it"),
}


@pytest.mark.parametrize("case", UNDECLARABLE)
def test_what_cannot_be_declared_says_why(admin_client: Client, case: str) -> None:
    values, sentence = UNDECLARABLE[case]
    values = {**values}
    if every := values.pop("every", None):
        values |= {"cron": None, "interval": IntervalSchedule.objects.create(every=every, period="minutes")}
    if values.pop("clocked", None):
        values |= {"cron": None, "clocked": ClockedSchedule.objects.create(clocked_time=database_now())}
    task = make_task(**values)
    assert origin(task).code == ""
    assert sentence in admin_client.get(f"{LIST}{task.pk}/change/").content.decode()


@pytest.mark.parametrize(("every", "period"), [(1, "microseconds"), (2_147_483_647, "days"), (0, "days")])
def test_an_interval_that_beat_cannot_keep_has_no_code(admin_client: Client, every: int, period: str) -> None:
    row = IntervalSchedule.objects.create(every=every, period=period)
    task = make_task("odd", None, interval=row)
    page = admin_client.get(f"{LIST}{task.pk}/change/")
    assert page.status_code == 200
    assert "@scheduled_task cannot declare this task" in page.content.decode()
