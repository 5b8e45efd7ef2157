"""``run_scheduled()``: a run in the test's own process, recorded as in a worker."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from celery import shared_task
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from example_project.celery import app
from scheduled_tasks import scheduled_task, track
from scheduled_tasks.declarations import registry
from scheduled_tasks.declarations.code import read
from scheduled_tasks.models import ScheduledTask, TaskRun
from scheduled_tasks.operations import Refused
from scheduled_tasks.signals import run_ended
from scheduled_tasks.testing import run_scheduled

pytestmark = pytest.mark.django_db

logger = logging.getLogger(__name__)


@shared_task(name="tests.eager.import_prices", autoretry_for=(ConnectionError,), retry_backoff=False)
def import_prices(shop: str = "", *, times: int = 1, error: str = "") -> dict[str, Any]:
    logger.warning("importing %s", shop)
    for _ in track(range(times)):
        if error:
            raise {"value": ValueError, "connection": ConnectionError}[error]("password=hunter2")
    return {"imported": times}


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    read()  # what it imports declares itself now, not during the test
    monkeypatch.setattr(registry, "definitions", {})
    scheduled_task("0 3 * * *", name="prices", args=["north"], description="Prices")(import_prices)
    scheduled_task("0 4 * * *", name="other")(import_prices)


def test_returns_the_run_as_recorded() -> None:
    run = run_scheduled("prices")
    assert (run.status, run.summary_data, run.attempts, run.trigger) == (
        "succeeded",
        {"imported": 1},
        1,
        "command",
    )
    assert run.args == '["north"]'
    assert run.log.endswith("WARNING importing north\n") or run.log.endswith("WARNING importing north")
    assert run.progress_data is not None
    assert run.started_at
    assert run.finished_at
    assert run == TaskRun.objects.get()


def test_stores_the_declared_task_alone() -> None:
    run = run_scheduled("prices")
    assert [(task.pk, task.description) for task in ScheduledTask.objects.all()] == [(run.task_id, "Prices")]


def test_other_arguments() -> None:
    run = run_scheduled("prices", args=["south"], kwargs={"times": 3})
    assert (run.args, run.summary_data) == ('["south"]', {"imported": 3})


@pytest.mark.parametrize("propagates", [False, True])
def test_an_exception_is_recorded_and_masked(monkeypatch: pytest.MonkeyPatch, propagates: bool) -> None:
    monkeypatch.setitem(app.conf, "task_eager_propagates", propagates)
    run = run_scheduled("prices", kwargs={"error": "value"})
    assert (run.status, run.error_type) == ("failed", "ValueError")
    assert "hunter2" not in run.error + run.traceback


def test_retries_are_attempts_of_one_run() -> None:
    run = run_scheduled("prices", kwargs={"error": "connection"})
    assert (run.status, run.error_type, run.attempts) == ("failed", "ConnectionError", 4)
    assert TaskRun.objects.count() == 1


def test_the_signal_is_sent() -> None:
    told = []

    def note(sender: Any, **values: Any) -> None:
        told.append((values["name"], values["status"]))

    run_ended.connect(note)
    try:
        run_scheduled("prices")
    finally:
        run_ended.disconnect(note)
    assert told == [("prices", "succeeded")]


def test_a_stored_task_is_run_as_it_is_stored() -> None:
    row = IntervalSchedule.objects.create(every=1, period="days")
    PeriodicTask.objects.create(name="prices", task=import_prices.name, interval=row, args='["stored"]')
    assert run_scheduled("prices").args == '["stored"]'


def test_no_broker_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.conf, "broker_write_url", None)
    monkeypatch.setitem(app.conf, "broker_url", None)
    assert run_scheduled("prices").status == "succeeded"
    monkeypatch.setitem(app.conf, "broker_url", "redis://127.0.0.1:1/0")
    assert run_scheduled("prices").status == "succeeded"


def test_what_run_now_refuses() -> None:
    with pytest.raises(Refused, match="colour"):
        run_scheduled("prices", kwargs={"colour": "red"})


def test_unknown_tasks() -> None:
    with pytest.raises(LookupError, match=r"Neither stored nor declared: price\."):
        run_scheduled("price")
    row = IntervalSchedule.objects.create(every=1, period="days")
    PeriodicTask.objects.create(name="gone", task="no.such", interval=row)
    with pytest.raises(LookupError, match=r"The Celery task of 'gone', no\.such, does not exist"):
        run_scheduled("gone")
