"""How an attempt ended, told from what Celery says."""

from __future__ import annotations

from collections.abc import Callable
from traceback import format_exception
from types import SimpleNamespace

import pytest
from billiard.exceptions import WorkerLostError
from celery import Celery, Task, states
from celery.exceptions import Retry

from scheduled_tasks.models import Status
from scheduled_tasks.reasons import Code
from scheduled_tasks.recording import endings


class TestOutcomeThatCouldNotBeStored:
    def outcome(self, raised: BaseException) -> tuple[str | None, BaseException | None]:
        """As in Celery's tracer: the outcome is stored where it is caught, and told where that failed."""
        try:
            try:
                self.fail(raised)
            except Exception:  # noqa: BLE001 - as Celery does
                self.store()
        except BaseException as error:  # noqa: BLE001 - as Celery does
            return endings.unstored(error)
        raise AssertionError

    def fail(self, raised: BaseException) -> None:
        try:
            raise KeyError("a detail")
        except KeyError:
            raise raised  # noqa: B904 - what was handled in the task stays its context

    def store(self) -> None:
        try:
            raise OSError("refused")
        except OSError as error:
            raise ConnectionError("the backend is away") from error

    def test_is_what_the_task_raised(self) -> None:
        error = ValueError("as meant")
        assert self.outcome(error) == (states.FAILURE, error)

    def test_is_a_retry(self) -> None:
        error = Retry()
        assert self.outcome(error) == (states.RETRY, error)

    @pytest.mark.parametrize("raised", [SystemExit(), KeyboardInterrupt()])
    def test_is_nothing_when_the_attempt_was_interrupted(self, raised: BaseException) -> None:
        assert self.outcome(raised) == endings.unstored(None) == (None, None)

    def test_is_the_only_error_when_the_task_never_began(self) -> None:
        error = ConnectionError("the backend is away")
        assert endings.unstored(error) == (states.FAILURE, error)


def test_error_after_the_end_has_its_own_reason() -> None:
    """Only a result backend that failed is called one."""

    class Failing(Task):
        def after_return(self, *args: object) -> None:
            raise ValueError("in after_return")

    class Backend:
        def store_result(self) -> None:
            raise OSError("refused")

    def reason(call: Callable[[], object]) -> str:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - as Celery does
            return endings.after_end(error, Failing()).english
        raise AssertionError

    assert not endings.after_end(None, Failing())
    assert reason(Failing().after_return) == (
        "after_return failed after the task had ended: ValueError: in after_return"
    )
    assert reason(Backend().store_result) == "Celery could not store the result: OSError: refused"
    assert (
        reason(lambda: 1 / 0) == "Celery failed after the task had ended: ZeroDivisionError: division by zero"
    )


def test_summary_that_cannot_be_made_keeps_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(value: object) -> str:
        raise RecursionError

    monkeypatch.setattr(endings, "summary", broken)
    ending = endings.of_attempt(states.SUCCESS, {}, SimpleNamespace(retries=0))
    assert (ending.status, ending.summary) == (Status.SUCCEEDED, "")


def test_failure_to_store_a_success_is_no_failure_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Celery(set_as_current=False, backend="cache+memory://").backend

    def refuse(*args: object, **kwargs: object) -> None:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(backend, "store_result", refuse)
    try:
        backend.mark_as_done("id", 1)
    except ConnectionResetError as error:
        kept = {"status": states.FAILURE, "result": error, "traceback": "".join(format_exception(error))}
    ending = endings.of_result(kept, at=0.0)
    assert ending is not None
    assert (ending.status, ending.error) == (Status.SUCCEEDED, "")
    assert "ConnectionResetError: reset by peer" in str(ending.reason)
    ending = endings.of_result({**kept, "traceback": ""}, at=0.0)
    assert ending is not None
    assert ending.status == Status.FAILED


def test_failure_to_store_a_retry_is_no_end() -> None:
    traceback = 'File "celery/backends/base.py", line 1, in mark_as_retry'
    error = ConnectionResetError("reset by peer")
    assert endings.of_child(error, SimpleNamespace(traceback=traceback)).status == Status.RETRYING
    kept = {"status": states.FAILURE, "result": error, "traceback": traceback}
    assert endings.of_result(kept, at=0.0) is None


@pytest.mark.parametrize("error", [WorkerLostError("signal 9"), SystemExit(3), KeyboardInterrupt()])
def test_process_that_ended_under_its_task(error: BaseException) -> None:
    ending = endings.of_child(error, None)
    assert (ending.status, ending.reason.code, ending.error) == (Status.LOST, Code.KILLED, str(error))
