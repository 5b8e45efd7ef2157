"""``manage.py run_scheduled_task``: a run from the command line, with the name of who typed it."""

from __future__ import annotations

from io import StringIO

import pytest
from celery import current_app
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils.translation import override

from scheduled_tasks.management import system_user
from scheduled_tasks.models import Status, TaskRun, Trigger
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_user, "getuser", lambda: "deploy")


def run(name: str) -> str:
    out = StringIO()
    call_command("run_scheduled_task", name, stdout=out)
    return out.getvalue()


def test_a_run_says_that_it_came_from_the_command_line_and_from_whom() -> None:
    make_task(enabled=False)
    said = run("purge")
    mine = TaskRun.objects.get()
    assert (mine.status, mine.trigger, mine.actor) == (Status.QUEUED, Trigger.COMMAND, "deploy")
    assert mine.sent_at is not None
    assert said == f"purge is queued: run {mine.pk}, task id {mine.celery_id}.\n"
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def nobody() -> str:
        raise error

    monkeypatch.setattr(system_user, "getuser", nobody)
    make_task()
    run("purge")
    assert (TaskRun.objects.get().trigger, TaskRun.objects.get().actor) == (Trigger.COMMAND, "")


def test_a_name_that_is_not_there() -> None:
    make_task()
    with pytest.raises(CommandError, match=r"There is no scheduled task purgee\. Did you mean purge\?"):
        run("purgee")
    with pytest.raises(CommandError, match=r"There is no scheduled task something else\.$"):
        run("something else")


def test_what_the_page_refuses_is_refused_in_english() -> None:
    make_run(make_task(), Status.RUNNING)
    with override("de"), pytest.raises(CommandError, match="its last run is still running"):
        run("purge")
    assert TaskRun.objects.count() == 1


def test_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app.conf, "broker_write_url", "redis://127.0.0.1:9/0")
    make_task()
    with pytest.raises(CommandError, match="broker"):
        run("purge")
    assert TaskRun.objects.get().status == Status.MISSED


def test_the_page_tells_a_command_from_a_person(admin_client: Client) -> None:
    task = make_task()
    make_run(task, trigger=Trigger.COMMAND, actor="anna")
    said = "by anna on the command line"
    assert said in admin_client.get("/admin/scheduled_tasks/scheduledtask/").content.decode()
    runs = admin_client.get("/admin/scheduled_tasks/taskrun/", {"trigger": "command"}).content.decode()
    assert said in runs
    assert "#st-terminal" in runs
