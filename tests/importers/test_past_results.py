"""django-celery-results: results that its own backend stores."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError
from django.test import Client

from example_project.celery import app
from scheduled_tasks.importers import past_results
from scheduled_tasks.models import Flag, ScheduledTask, Status, TaskRun, Trigger, database_now
from scheduled_tasks.reading.machinery import Machinery
from tests.factories import make_run, make_task

from .conftest import Import

Store = Callable[..., Any]


@pytest.fixture
def store(install: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> Store:
    install("django_celery_results")
    from django_celery_results.backends import DatabaseBackend
    from django_celery_results.models import TaskResult

    monkeypatch.setitem(app.conf, "result_extended", True)
    backend = DatabaseBackend(app=app)

    def keep(celery_id: str, result: Any, state: str, *, of: str | None = "purge", days: float = 1) -> Any:
        request = SimpleNamespace(
            task="tests.tasks.add",
            argsrepr="(1, 'two')",
            kwargsrepr="{'password': 'secret'}",
            hostname="worker@host",
            periodic_task_name=of,
            properties={"periodic_task_name": of},
        )
        backend.store_result(
            celery_id, result, state, traceback="Traceback …" * (state == "FAILURE"), request=request
        )
        at = database_now() - timedelta(days=days)
        TaskResult.objects.filter(task_id=celery_id).update(
            date_created=at, date_started=at + timedelta(seconds=1), date_done=at + timedelta(seconds=3)
        )

    return keep


def test_results_become_runs_that_say_so(store: Store, imported: Import, admin_client: Client) -> None:
    task = make_task()
    store("new", ValueError("no such file"), "FAILURE", days=1)
    store("old", {"rows": 7}, "SUCCESS", days=3)
    store("revoked", None, "REVOKED", days=2)
    assert [each["origin"] for each in imported("celery-results", "--dry-run")] == ["3 results"]
    assert not TaskRun.objects.exists()
    (told,) = imported("celery-results")
    assert (told["result"], told["name"], told["origin"]) == ("imported", "purge", "3 results")
    failed, cancelled, succeeded = TaskRun.objects.of_task(task.pk)
    assert [run.celery_id for run in (failed, cancelled, succeeded)] == ["new", "revoked", "old"]
    assert (failed.status, failed.error_type, failed.error) == (Status.FAILED, "ValueError", "no such file")
    assert failed.traceback.startswith("Traceback")
    assert cancelled.status == Status.CANCELLED
    assert (succeeded.status, succeeded.summary_data) == (Status.SUCCEEDED, {"rows": 7})
    assert (succeeded.duration, succeeded.worker) == (timedelta(seconds=2), "worker@host")
    assert succeeded.args == '[1, "two"]'
    assert "secret" not in succeeded.kwargs
    assert {run.trigger for run in (failed, cancelled, succeeded)} == {Trigger.IMPORTED}
    machinery = Machinery.read()
    assert ScheduledTask.objects.flagged(Flag.FAILING, machinery.now, machinery.known_tasks).get() == task
    assert succeeded.reason_text == "Imported from django-celery-results. This app did not record it."
    page = admin_client.get(f"/admin/scheduled_tasks/taskrun/{succeeded.pk}/change/").content.decode()
    assert "This app did not record it." in page
    listed = admin_client.get("/admin/scheduled_tasks/taskrun/", {"trigger": "imported"}).content.decode()
    assert listed.count("imported") >= 3


def test_a_second_import_finds_nothing_new(store: Store, imported: Import) -> None:
    make_task()
    store("one", 1, "SUCCESS")
    imported("celery-results")
    (told,) = imported("celery-results")
    assert (told["result"], told["origin"]) == ("there", "1 result")
    store("two", 2, "SUCCESS", days=0.5)
    assert {each["result"]: each["origin"] for each in imported("celery-results")} == {
        "there": "1 result",
        "imported": "1 result",
    }


def test_a_recorded_run_stays_the_newest(store: Store, imported: Import) -> None:
    task = make_task()
    run = make_run(task, ago=3600)
    store("before", 1, "SUCCESS", days=1)
    store("since", 1, "STARTED", days=0)
    older, still_open = imported("celery-results")
    assert older["why"] == "there is a newer run, and runs are kept in the order of their time."
    assert still_open["why"] == "these have not ended."
    assert TaskRun.objects.get() == run


def test_ids_follow_the_time_whichever_task_ran(store: Store, imported: Import) -> None:
    make_task(), make_task("sync")
    for number, days in enumerate((4, 1, 3, 2)):
        store(f"run {days}", 1, "SUCCESS", days=days, of=("purge", "sync")[number % 2])
    imported("celery-results")
    by_id = TaskRun.objects.order_by("id").values_list("celery_id", flat=True)
    assert [*by_id] == ["run 4", "run 3", "run 2", "run 1"]


def test_a_run_of_any_task_is_newer(store: Store, imported: Import) -> None:
    """The timeline finds the runs of all tasks by one order of ids."""
    make_task()
    make_run(make_task("sync"), ago=3600)
    store("before", 1, "SUCCESS", days=1)
    (told,) = imported("celery-results")
    assert told["why"].startswith("there is a newer run")


def test_what_belongs_to_no_task_here(store: Store, imported: Import) -> None:
    store("gone", 1, "SUCCESS", of="gone")
    store("by hand", 1, "SUCCESS", of=None)
    store("ancient", 1, "SUCCESS", days=400)
    make_task()
    gone, by_hand = imported("celery-results")
    assert gone["why"] == "there is no scheduled task of this name; import the tasks first."
    assert by_hand["why"].startswith("they name no scheduled task")
    assert not TaskRun.objects.exists()


def test_a_result_that_cannot_be_decoded(store: Store, imported: Import) -> None:
    from django_celery_results.models import TaskResult

    make_task()
    store("one", 1, "SUCCESS")
    store("two", 2, "SUCCESS")
    TaskResult.objects.filter(task_id="one").update(result="{", content_type="application/json")
    told = {each["result"]: each["why"] for each in imported("celery-results")}
    assert told == {"left_out": "these cannot be decoded.", "imported": ""}
    assert TaskRun.objects.get().celery_id == "two"


def test_a_pickled_result_that_exits(store: Store, imported: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    from django_celery_results.models import TaskResult

    make_task()
    store("one", 1, "SUCCESS")
    pickled = b64encode(b"cbuiltins\nexit\n(tR.").decode()
    TaskResult.objects.update(result=pickled, content_encoding="binary")
    backend, kind = past_results._backend(), "application/x-python-serialize"
    for name, value in {"accept": {kind}, "content_type": kind, "content_encoding": "binary"}.items():
        monkeypatch.setattr(backend, name, value)
    (told,) = imported("celery-results")
    assert told["why"] == "these cannot be decoded."


@pytest.mark.parametrize("source", ["celery-results", "django-q2", "apscheduler"])
def test_an_app_that_is_not_installed(imported: Import, source: str) -> None:
    with pytest.raises(CommandError, match=r"is not in INSTALLED_APPS, so its rows cannot be read\."):
        imported(source)
