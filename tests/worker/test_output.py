"""A run shows what its task logs, prints and reports; outside a run the same code does nothing special."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from celery import shared_task
from celery.utils.log import LoggingProxy, get_task_logger
from django.db import OperationalError
from django.utils.translation import gettext_lazy

from scheduled_tasks import progress, track
from scheduled_tasks.models import Status, TaskRun
from scheduled_tasks.recording import statements
from scheduled_tasks.recording.header import Header
from scheduled_tasks.worker import logs, output
from scheduled_tasks.worker.output import Output
from tests.worker.conftest import work

pytestmark = pytest.mark.django_db


def an_output() -> Output:
    message = statements.Message(celery_id=uuid4().hex, header=Header(name="a job"))
    return Output(statements.Attempt(message=message, worker="w", process_id="boot", pid=1))


def test_eager_run_is_recorded_only_when_it_says_so(run: Callable[..., TaskRun]) -> None:
    assert run(lambda: {"rows": 3}).summary_data == {"rows": 3}
    work.apply((lambda: 1,), headers={"periodic_task_name": "a job"})
    work.apply((lambda: 1,))
    assert TaskRun.objects.count() == 1


def test_eager_run_while_its_caller_deals_with_an_error(run: Callable[..., TaskRun]) -> None:
    try:
        raise ValueError("the caller's")
    except ValueError:
        found = run(lambda: 1)
    assert (found.status, found.reason) == (Status.SUCCEEDED, "")


def test_failure_of_an_eager_run(run: Callable[..., TaskRun]) -> None:
    found = run(lambda: 1 / 0)
    assert (found.status, found.error_type) == (Status.FAILED, "ZeroDivisionError")
    assert "1 / 0" in found.traceback


def test_lines_of_any_logger(run: Callable[..., TaskRun]) -> None:
    def body() -> None:
        logging.getLogger("a.library").info("first")
        get_task_logger("a.task").warning("second %s", 2)
        logging.getLogger("celery.app.trace").info("of the machinery")
        logging.getLogger("scheduled_tasks").error("of this app")

    logging.getLogger("outside").warning("before")
    lines = run(body).log.splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["INFO first", "WARNING second 2"]


def test_task_that_calls_another_one_as_a_function(run: Callable[..., TaskRun]) -> None:
    @shared_task
    def inner() -> None:
        logging.getLogger("a.library").info("from within")
        progress(1, 2)

    found = run(inner)
    assert found.log.endswith("INFO from within")
    assert found.progress_data["done"] == 1


def test_exception_that_is_logged(run: Callable[..., TaskRun]) -> None:
    def body() -> None:
        try:
            raise ValueError("why")
        except ValueError:
            logging.getLogger("a.library").exception("caught")

    log = run(body).log
    assert "ERROR caught\nTraceback" in log
    assert log.endswith("ValueError: why")


def test_what_is_printed(run: Callable[..., TaskRun]) -> None:
    printed = LoggingProxy(logging.getLogger("celery.redirected"), logging.WARNING)

    def body() -> None:
        print("one", "two", 3, file=printed)
        print("next", file=printed)

    lines = run(body).log.splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["one two 3", "next"]


def test_line_that_cannot_be_formatted_harms_nobody(run: Callable[..., TaskRun]) -> None:
    def body() -> str:
        logging.raiseExceptions, before = False, logging.raiseExceptions
        record = logging.LogRecord("a.library", logging.INFO, "f", 1, "%s %s", ("one",), None)
        logs.handler.emit(record)
        logging.raiseExceptions = before
        return "done"

    assert run(body).status == Status.SUCCEEDED


def test_progress(run: Callable[..., TaskRun]) -> None:
    def body() -> list[int]:
        return list(track(range(5), description="Counting"))

    found = run(body)
    assert found.progress_data == {"done": 5, "total": 5, "text": "Counting"}
    assert found.summary_data == "[0, 1, 2, 3, 4]"


def test_progress_of_what_has_no_length(run: Callable[..., TaskRun]) -> None:
    assert run(lambda: list(track(iter("abc")))).progress_data == {"done": 3, "total": None, "text": ""}
    assert run(lambda: list(track(iter("abc"), total=7))).progress_data["total"] == 7


def test_progress_in_words(run: Callable[..., TaskRun]) -> None:
    found = run(lambda: progress(1.5, 3, "half\x00way" + "y" * 1000))
    assert found.progress_data["done"] == 1.5
    assert found.progress_data["text"].startswith("half\N{REPLACEMENT CHARACTER}wayy")
    assert len(found.progress_data["text"]) == output.TEXT_LIMIT


def test_loop_that_is_left_early_shows_how_far_it_came(run: Callable[..., TaskRun]) -> None:
    def body() -> None:
        for number in track(range(10)):
            if number == 3:
                break

    assert run(body).progress_data["done"] == 3


def test_outside_a_run() -> None:
    assert list(track([1, 2], description="x")) == [1, 2]
    progress(1, 2)
    assert output.current() is None


def test_log_keeps_its_end_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "LOG_LIMIT", 100)
    shown = an_output()
    for number in range(100):
        shown.add(f"line {number:03}")
    assert shown.log.endswith("line 098\nline 099")
    assert shown.log.startswith("… 704 characters left out …\nline 088")


def test_one_endless_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "LOG_LIMIT", 100)
    shown = an_output()
    shown.add("x" * 1000)
    assert shown.log == "… 900 characters left out …\n" + "x" * 100
    for _ in range(50):
        shown.add("y" * 10, join=True)
    assert len(shown.log) < 200
    assert shown.log.endswith("y" * 100)


def test_many_lines_are_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[tuple[float, Callable[..., None]]] = []
    monkeypatch.setattr(output, "later", lambda key, seconds, write: orders.append((seconds, write)))
    shown = an_output()
    statements.start(shown._attempt)
    for number in range(100):
        shown.add(str(number))
        shown.report(number, 100, "")
    assert len(orders) == 1
    orders[0][1]()
    found = TaskRun.objects.get()
    assert found.log.splitlines() == [str(number) for number in range(100)]
    assert found.progress_data["done"] == 99
    shown.add("more")
    assert len(orders) == 2
    assert orders[1][0] > 0.5


def test_what_could_not_be_written_is_written_after_the_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[Callable[..., None]] = []
    monkeypatch.setattr(output, "later", lambda key, seconds, write: orders.append(write))
    shown = an_output()
    statements.start(shown._attempt)
    shown.add("first line")
    with monkeypatch.context() as outage:
        outage.setattr(statements, "execute", Mock(side_effect=OperationalError("the server is gone")))
        with pytest.raises(OperationalError):
            orders[0]()
    orders[0]()
    assert TaskRun.objects.get().log == "first line"


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __float__ = __str__


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ((1, 3, gettext_lazy("Save")), {"done": 1, "total": 3, "text": "Save"}),
        ((1, 3, None), {"done": 1, "total": 3, "text": ""}),
        ((1, 3, 7), {"done": 1, "total": 3, "text": "7"}),
        ((1, 3, Unspeakable()), {"done": 1, "total": 3, "text": ""}),
        ((1, 3, "a\ud800"), {"done": 1, "total": 3, "text": "a\N{REPLACEMENT CHARACTER}"}),
        ((1, 3, "password=hunter2"), {"done": 1, "total": 3, "text": "password=••••••"}),
        ((float("nan"), 3), {"done": 0, "total": None, "text": ""}),
        ((float("inf"), 3), {"done": 0, "total": None, "text": ""}),
        ((1, float("nan")), {"done": 1, "total": None, "text": ""}),
        ((1, float("-inf")), {"done": 1, "total": None, "text": ""}),
        ((10**400, 10**401), {"done": 0, "total": None, "text": ""}),
        ((Decimal("1.5"), Fraction(3)), {"done": 1.5, "total": 3.0, "text": ""}),
        ((Decimal("NaN"), 3), {"done": 0, "total": None, "text": ""}),
        (("1", "3"), {"done": 1.0, "total": 3.0, "text": ""}),
        ((None, 3), {"done": 0, "total": None, "text": ""}),
        (("x", [3]), {"done": 0, "total": None, "text": ""}),
        ((Unspeakable(), Unspeakable()), {"done": 0, "total": None, "text": ""}),
        ((True, 3), {"done": 1.0, "total": 3, "text": ""}),
    ],
)
def test_whatever_is_reported_the_end_is_recorded(
    run: Callable[..., TaskRun], arguments: tuple[Any, ...], kept: dict[str, Any]
) -> None:
    found = run(lambda: progress(*arguments))
    assert found.status == Status.SUCCEEDED
    assert found.progress_data == kept


def test_track_with_a_description_that_is_no_text(run: Callable[..., TaskRun]) -> None:
    found = run(lambda: list(track([1, 2], description=None)))
    assert (found.status, found.progress_data) == (Status.SUCCEEDED, {"done": 2, "total": 2, "text": ""})
    assert run(lambda: list(track([1], description=gettext_lazy("Save")))).progress_data["text"] == "Save"


def test_track_of_what_cannot_tell_its_length(run: Callable[..., TaskRun]) -> None:
    class Endless(list[int]):
        def __len__(self) -> int:
            raise OverflowError("no")

    assert run(lambda: sum(track(Endless([1, 2])))).progress_data["total"] is None
