"""``scheduled_tasks_pause`` and ``scheduled_tasks_resume``, as deploy scripts use them."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import datetime, timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from scheduled_tasks import operations
from scheduled_tasks.management import system_user
from scheduled_tasks.management.until import moment_to_come
from scheduled_tasks.models import MaintenanceWindow, ScheduledTask, database_now
from scheduled_tasks.operations import Actor
from tests.factories import make_task

pytestmark = pytest.mark.django_db

ANNA = Actor("anna", lambda about, entry: None)


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_user, "getuser", lambda: "deploy")


def run(*args: str) -> str:
    out = StringIO()
    call_command(*args, stdout=out)
    return out.getvalue()


def active() -> list[MaintenanceWindow]:
    return list(MaintenanceWindow.objects.active_at(database_now()).order_by("pk"))


def test_pause_all_and_resume() -> None:
    said = run("scheduled_tasks_pause", "--all", "--note", "release 12", "--run-once")
    assert said == "All tasks are paused until scheduled_tasks_resume.\n"
    (window,) = active()
    assert (window.covers_all, window.by, window.note, window.run_once_after) == (
        True,
        "deploy",
        "release 12",
        True,
    )
    assert run("scheduled_tasks_resume") == "1 maintenance window ended.\n"
    assert active() == []
    assert run("scheduled_tasks_resume") == "Nothing was paused from the command line.\n"


def test_pause_named_tasks_until_a_time() -> None:
    make_task()
    make_task("other")
    said = run("scheduled_tasks_pause", "purge", "other", "--until", "2h")
    assert said.startswith("2 tasks are paused until ")
    (window,) = active()
    assert abs(window.ends_at - database_now() - timedelta(hours=2)) < timedelta(minutes=1)
    assert {row.task_id for row in window.members.all()} == set(
        ScheduledTask.objects.values_list("pk", flat=True)
    )


def test_resume_ends_nothing_that_people_began() -> None:
    task = make_task()
    theirs = operations.plan_maintenance(actor=ANNA, task_ids=[task.pk])
    operations.disable(task.pk, actor=ANNA)
    run("scheduled_tasks_pause", "--all")
    assert run("scheduled_tasks_resume") == "1 maintenance window ended.\n"
    assert active() == [theirs]
    assert run("scheduled_tasks_resume", "--all") == "1 maintenance window ended.\n"
    assert active() == []
    assert not ScheduledTask.objects.get().enabled


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ([], "Name the tasks to pause, or give --all."),
        (["purge", "--all"], "Name the tasks to pause, or give --all."),
        (["purgee"], r"There is no scheduled task purgee\. Did you mean purge\?"),
        (["--all", "--until", "2020-01-01T06:00"], "The end lies in the past. Choose a later time."),
        (["--all", "--until", "9999-12-31T23:59"], "is no time"),
        (["--all", "--until", "soon"], "'soon' is no time: write 30m, 2h, 06:00 or 2026-12-01T06:00."),
    ],
)
def test_refused(args: list[str], error: str) -> None:
    make_task()
    with pytest.raises(CommandError, match=error):
        run("scheduled_tasks_pause", *args)
    assert active() == []


def test_times() -> None:
    with timezone.override("Europe/Paris"):
        now = timezone.localtime()
        soon = (now + timedelta(minutes=5)).replace(second=0, microsecond=0)
        past = (now - timedelta(minutes=5)).replace(second=0, microsecond=0)
        assert moment_to_come(f"{soon:%H:%M}") == soon
        assert moment_to_come(f"{past:%H:%M}") == past + timedelta(days=1)
        paris = ZoneInfo("Europe/Paris")
        assert moment_to_come("2030-12-01T06:00") == datetime(2030, 12, 1, 6, tzinfo=paris)
        assert moment_to_come("2030-12-01T06:00Z") == datetime(2030, 12, 1, 7, tzinfo=paris)
        assert abs(moment_to_come("30m") - now - timedelta(minutes=30)) < timedelta(minutes=1)


@pytest.mark.parametrize("text", ["", "0m", "9999999d", "2030-13-01T06:00", "25:00"])
def test_no_times(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is no time"):
        moment_to_come(text)
