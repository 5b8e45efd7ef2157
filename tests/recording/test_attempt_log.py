"""Every attempt at a run leaves its start and its error behind."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from scheduled_tasks.models import Status
from scheduled_tasks.recording import attempt_log, statements
from scheduled_tasks.recording.attempt_log import past_attempts
from tests.recording.runs import attempt, message, the_run

pytestmark = pytest.mark.django_db


def end(mine: statements.Attempt, status: Status, error: str = "", retries: int = 0) -> None:
    kind = "shop.Down" if error else ""
    statements.end(mine, statements.Ending(status=status, error_type=kind, error=error, retries=retries))


def test_each_attempt_keeps_its_start_its_length_and_its_error() -> None:
    sent = message()
    statements.queue(sent, at=time.monotonic() - 100)
    for number, ago in enumerate((90, 60)):
        mine = attempt(message(sent.celery_id, retries=number), at=time.monotonic() - ago)
        statements.start(mine)
        error = f'no {number} \u2013 "quoted"\nand more'
        ending = statements.Ending(
            status=Status.RETRYING,
            error_type="shop.Down",
            error=error,
            retries=number + 1,
            at=mine.at + 7,
        )
        statements.end(mine, ending)
    last = attempt(message(sent.celery_id, retries=2), at=time.monotonic() - 30)
    statements.start(last)
    end(last, Status.SUCCEEDED)
    run = the_run(sent)
    first, second, third = past_attempts(run)
    assert first.started_at == run.started_at
    assert [one.error for one in (first, second, third)] == [
        'no 0 \u2013 "quoted"',
        'no 1 \u2013 "quoted"',
        "",
    ]
    assert (first.error_type, first.took, second.took) == (
        "shop.Down",
        timedelta(seconds=7),
        timedelta(seconds=7),
    )
    about = timedelta(seconds=2)
    assert second.started_at - first.started_at == pytest.approx(timedelta(seconds=30), abs=about)
    assert third.started_at - first.started_at == pytest.approx(timedelta(seconds=60), abs=about)
    assert third.took is None


def test_run_of_one_attempt_notes_nothing() -> None:
    sent = message()
    mine = attempt(sent)
    statements.start(mine)
    statements.start(mine)
    end(mine, Status.FAILED, "no")
    assert the_run(sent).attempt_log == ""


def test_attempt_whose_process_died_leaves_its_error_and_no_length() -> None:
    sent = message()
    first = attempt(sent)
    statements.start(first)
    died = statements.Ending(status=Status.RETRYING, error_type="WorkerLostError", error="signal 9")
    statements.end_of_child(sent, died, process_id=first.process_id)
    statements.start(attempt(sent))
    gone, again = past_attempts(the_run(sent))
    assert (gone.error_type, gone.error, gone.took) == ("WorkerLostError", "signal 9", None)
    assert again.started_at >= gone.started_at


def test_end_that_is_written_after_the_start_of_the_retry() -> None:
    sent = message()
    first, second, third = (attempt(message(sent.celery_id, retries=number)) for number in range(3))
    statements.start(first)
    statements.start(second)
    end(first, Status.RETRYING, "the first", retries=1)
    statements.start(third)
    end(second, Status.RETRYING, "the second", retries=2)
    end(third, Status.SUCCEEDED)
    run = the_run(sent)
    assert (run.status, run.error) == (Status.SUCCEEDED, "")
    assert [one.error for one in past_attempts(run)] == ["the first", "the second", ""]


def test_start_that_comes_after_its_own_retry_is_not_known() -> None:
    sent = message()
    first, second, third = (attempt(message(sent.celery_id, retries=number)) for number in range(3))
    statements.start(first)
    end(first, Status.RETRYING, "the first", retries=1)
    statements.start(third)
    statements.start(second)
    end(second, Status.RETRYING, "the second", retries=2)
    end(third, Status.SUCCEEDED)
    told = [(one.started_at is not None, one.error) for one in past_attempts(the_run(sent))]
    assert told == [(True, "the first"), (True, ""), (False, "the second")]


def test_attempt_that_left_no_word_is_told_by_the_next_start() -> None:
    sent = message()
    statements.start(attempt(sent))
    statements.start(attempt(message(sent.celery_id, redelivered=True)))
    gone, again = past_attempts(the_run(sent))
    assert (gone.error, gone.took) == ("", None)
    assert again.started_at is not None


def test_log_of_a_task_that_retries_for_ever_stays_bounded() -> None:
    sent = message()
    for number in range(400):
        mine = attempt(message(sent.celery_id, retries=number))
        statements.start(mine)
        end(mine, Status.RETRYING, "x" * 1000, retries=number + 1)
    run = the_run(sent)
    assert run.attempts == 400
    assert attempt_log.LONGEST <= len(run.attempt_log) < attempt_log.LONGEST + 400
    assert len(past_attempts(run)) > 50
