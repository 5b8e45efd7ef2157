"""What the doctor finds, one test for each thing that it looks at."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import StringIO
from types import ModuleType
from typing import Any

import pytest
from celery import Celery, current_app
from django.core.management import call_command
from django.db import connection
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from scheduled_tasks.management import findings
from scheduled_tasks.management.findings import Finding, examine
from scheduled_tasks.management.installation import app_argument
from scheduled_tasks.models import Overlap, Process, ProcessKind, Status, TaskState, Trigger
from scheduled_tasks.operations.publishing import answering_workers
from scheduled_tasks.upkeep.startup import broker_addresses
from tests import tasks
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker answers, and nobody waits for one."""
    monkeypatch.setattr(findings, "answering_workers", list)


@pytest.fixture
def machinery() -> None:
    """A beat and a worker that work."""
    call_command("sync_scheduled_tasks", stdout=StringIO())  # which imports the task modules
    ours = broker_addresses(current_app.connection_for_write)
    make_process(ProcessKind.BEAT, brokers=ours)
    make_process(brokers=ours, task_names=[*current_app.tasks])


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """``CELERY_BEAT_SCHEDULE``, to be filled."""
    found: dict[str, Any] = {}
    monkeypatch.setitem(current_app.conf, "beat_schedule", found)
    return found


def found(*codes: str) -> list[Finding]:
    return [finding for finding in examine() if finding.code in codes]


def wrong() -> list[str]:
    return [f"{finding.code}: {finding.text}" for finding in examine() if finding.level != "info"]


@pytest.mark.usefixtures("machinery")
def test_a_sound_installation() -> None:
    assert wrong() == []


def test_a_failed_system_check_is_a_finding(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"GRASE": 1}
    (finding,) = found("scheduled_tasks.E004")
    assert (finding.level, finding.remedy) == ("error", "Did you mean 'GRACE'?")
    settings.SILENCED_SYSTEM_CHECKS = ["scheduled_tasks.E004"]
    assert found("scheduled_tasks.E004") == []


def test_the_scheduler_that_beat_will_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Beat will run scheduled_tasks.beat:Scheduler, by CELERY_" in found("scheduler")[0].text
    monkeypatch.setitem(current_app.conf, "beat_scheduler", "celery.beat:PersistentScheduler")
    assert "Beat will run celery.beat:PersistentScheduler" in found("scheduler")[0].text
    assert found("scheduled_tasks.W001")


def test_tasks_that_no_worker_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("eager") == []
    monkeypatch.setitem(current_app.conf, "task_always_eager", True)
    assert found("eager")[0].level == "warning"


def test_versions_with_what_is_needed() -> None:
    (finding,) = found("versions")
    assert f"celery {sys.modules['celery'].__version__} (" in finding.text


def test_the_database_of_this_process() -> None:
    (finding,) = found("database")
    assert connection.vendor in finding.text
    assert str(connection.settings_dict["NAME"]) in finding.text


@pytest.mark.usefixtures("machinery")
def test_a_missing_migration() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'scheduled_tasks'")
    (finding,) = found("migrate")
    assert finding.text == "The database lacks migrations of scheduled_tasks."
    assert finding.remedy == "python manage.py migrate"


@pytest.fixture
def no_tables() -> Iterator[None]:
    """As before ``migrate``: django-celery-beat's tables only."""
    names = connection.introspection.table_names
    theirs = [name for name in names() if not name.startswith("scheduled_tasks_")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(connection.introspection), "table_names", lambda *_, **__: theirs)
        yield


@pytest.mark.usefixtures("no_tables")
def test_before_migrate(entries: dict[str, Any]) -> None:
    PeriodicTask.objects.create(name="stored", task=tasks.add.name, crontab=CrontabSchedule.objects.create())
    entries["stored"] = {"task": tasks.add.name, "schedule": 60}
    entries["unknown"] = {"task": "tests.no_such", "schedule": 60}
    assert [finding.remedy for finding in found("migrate")] == ["python manage.py migrate"]
    (sync,) = found("sync")
    assert (sync.level, sync.remedy) == ("info", "python manage.py migrate")
    assert "; update stored" in sync.text
    (unknown,) = found("unknown_task")
    assert unknown.text == "“unknown” starts “tests.no_such”, which the code of this process lacks."


@pytest.mark.parametrize(
    ("address", "expected"), [("redis://127.0.0.1:1/0", "could not be reached"), ("", "no broker configured")]
)
def test_a_broker_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, address: str, expected: str) -> None:
    monkeypatch.setattr(findings, "answering_workers", answering_workers)
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    monkeypatch.setitem(current_app.conf, "broker_url", address)
    monkeypatch.setitem(current_app.conf, "broker_write_url", address)
    (finding,) = (each for each in found("broker") if each.level == "error")
    assert expected in finding.text


@pytest.mark.usefixtures("machinery")
def test_a_worker_that_is_on_the_broker_but_not_in_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "answering_workers", lambda: ["worker@host", "other@elsewhere"])
    (text,) = wrong()
    assert text.startswith("worker: These workers answer through the broker, but keep no heartbeat")
    assert "other@elsewhere;" in text


@pytest.mark.usefixtures("machinery")
def test_workers_of_another_project_are_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "answering_workers", lambda: ["worker@host", "abroad@host", "old@host"])
    own = [*Process.objects.get(kind=ProcessKind.WORKER).task_names]
    make_process(ProcessKind.OTHER, node="abroad@host", task_names=["celery.chain", "abroad.tasks.send"])
    make_process(ProcessKind.OTHER, node="old@host", task_names=["celery.chain", *own])
    of_project, of_release = found("worker")
    assert (of_project.level, "abroad@host" in of_project.text) == ("info", True)
    assert (of_release.level, "old@host" in of_release.text) == ("warning", True)


def test_what_the_health_line_says() -> None:
    beat, worker = found("beat", "worker")
    assert beat.text == "Beat is not running. No task will start on schedule. Run now still works."
    assert beat.remedy == "celery -A example_project.celery beat -S scheduled_tasks"
    assert (worker.level, worker.remedy.split()[-1]) == ("error", "worker")


def test_a_beat_that_sends_where_no_worker_reads() -> None:
    ours = broker_addresses(current_app.connection_for_write)
    make_process(ProcessKind.BEAT, brokers=["amqp://elsewhere:5672/"])
    make_process(brokers=ours)
    (finding,) = (each for each in found("broker") if each.level == "error")
    assert finding.text == f"beat@host sends to amqp://elsewhere:5672/, but workers read from {ours[0]}."


@pytest.mark.usefixtures("machinery")
def test_an_entry_that_is_refused(entries: dict[str, Any]) -> None:
    entries["bad"] = {"task": tasks.add.name, "schedule": 60, "arguments": []}
    (finding,) = found("entry")
    assert 'its key "arguments" is not known' in finding.text
    assert finding.remedy.endswith("python manage.py sync_scheduled_tasks --check")


def test_code_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImportError("no such module")

    monkeypatch.setattr(current_app.loader, "import_default_modules", fail)
    (finding,) = found("code")
    assert "A task module could not be imported (ImportError: no such module)" in finding.text


@pytest.mark.usefixtures("machinery")
def test_what_the_next_sync_would_change(entries: dict[str, Any]) -> None:
    assert found("sync") == []
    entries.update({f"new {n:02}": {"task": tasks.add.name, "schedule": 60} for n in range(12)})
    (finding,) = found("sync")
    assert "will create new 00, new 01," in finding.text
    assert finding.text.endswith("new 09 and 2 more.")
    assert (finding.level, finding.remedy) == ("info", "python manage.py sync_scheduled_tasks --check")


@pytest.mark.usefixtures("machinery")
def test_a_task_that_no_worker_knows() -> None:
    make_task(task="tests.no_such")
    make_task("disabled", task="tests.no_such", enabled=False)
    (finding,) = found("unknown_task")
    assert finding.text == "“purge” cannot run: No running worker knows the task “tests.no_such”."


def test_a_task_that_this_code_lacks_while_no_worker_can_tell() -> None:
    make_task(task="tests.no_such")
    make_task("known", task=tasks.add.name)
    (finding,) = found("unknown_task")
    assert finding.text == "“purge” starts “tests.no_such”, which the code of this process lacks."


@pytest.mark.usefixtures("machinery")
@pytest.mark.parametrize(
    ("args", "reason"),
    [("no json", "not valid JSON"), ("[1, 2, 3, 4]", "arguments")],
)
def test_a_task_that_beat_leaves_out(args: str, reason: str) -> None:
    make_task(task=tasks.add.name, args=args)
    (finding,) = found("refused_task")
    assert finding.text.startswith("Beat leaves out “purge”: ")
    assert reason in finding.text


@pytest.mark.usefixtures("machinery")
@pytest.mark.parametrize(
    ("overlap", "trigger", "gap", "expected"),
    [
        (Overlap.SKIP, Trigger.SCHEDULE, 30, 1),
        (Overlap.SKIP, Trigger.SCHEDULE, 90, 0),
        (Overlap.SKIP, Trigger.MANUAL, 30, 0),
        (Overlap.ALLOW, Trigger.SCHEDULE, 30, 0),
    ],
)
def test_overlapping_runs(overlap: Overlap, trigger: Trigger, gap: float, expected: int) -> None:
    task = make_task()
    TaskState.objects.create(task_id=task.pk, overlap=overlap)
    make_run(task, ago=600, took=60)
    make_run(task, Status.FAILED, ago=600 - gap, took=1, trigger=trigger)
    told = found("overlap")
    assert len(told) == expected
    assert all(finding.text.startswith("1 runs of “purge”") for finding in told)


@pytest.mark.usefixtures("machinery")
@pytest.mark.parametrize(("allowed", "level"), [(1, "warning"), (1000, "info")])
def test_connections(monkeypatch: pytest.MonkeyPatch, allowed: int, level: str) -> None:
    monkeypatch.setitem(current_app.conf, "worker_concurrency", 8)
    monkeypatch.setattr(findings, "LIMITS", {connection.vendor: f"SELECT {allowed}"})
    (finding,) = found("connections")
    needed = findings.OF_WORKER + 8 + findings.OF_BEAT
    assert finding.level == level
    assert f"hold up to {needed} database connections" in finding.text
    assert f"takes {allowed}." in finding.text


def test_a_look_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def some_look(installation: object) -> Iterator[Finding]:
        raise RuntimeError("out of order")

    monkeypatch.setattr(findings, "LOOKS", (some_look,))
    (finding,) = examine()
    assert (finding.level, finding.text) == (
        "error",
        "Some look could not be examined: RuntimeError('out of order').",
    )


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ({"proj_x": "celery_app", "proj_x.celery": "app", "x": "app"}, "proj_x"),
        ({"config_x.celery_app": "app", "short": "app"}, "config_x.celery_app"),
        ({"short": "app"}, "short"),
        ({}, ""),
    ],
)
def test_the_argument_of_celery_is_found(
    monkeypatch: pytest.MonkeyPatch, modules: dict[str, str], expected: str
) -> None:
    app = Celery("strange", set_as_current=False)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "proj_x.settings")
    for name in ("proj_x", "config_x"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name, attribute in modules.items():
        module = sys.modules[name] if name == "proj_x" else ModuleType(name)
        setattr(module, attribute, app)
        monkeypatch.setitem(sys.modules, name, module)
    assert app_argument(app) == expected
