"""A row tells the truth, whatever order and however late the words about its run come."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduled_tasks.models import Status, TaskRun, Trigger, database_now
from scheduled_tasks.reasons import Code, Reason
from scheduled_tasks.recording import statements
from scheduled_tasks.recording.header import Header
from tests.recording.runs import attempt, message, the_run

pytestmark = pytest.mark.django_db


class TestTransitions:
    def test_queued_started_succeeded(self) -> None:
        sent = message(queue="celery", args="[1]", expires_at=datetime(2030, 1, 1, tzinfo=UTC))
        statements.queue(sent, at=time.monotonic())
        run = the_run(sent)
        assert (run.status, run.attempts, run.args, run.queue) == (Status.QUEUED, 0, "[1]", "celery")
        assert run.open_since == run.queued_at
        assert run.expires_at == datetime(2030, 1, 1, tzinfo=UTC)
        mine = attempt(sent)
        statements.start(mine)
        run = the_run(sent)
        assert (run.status, run.attempts, run.worker, run.pid) == (Status.RUNNING, 1, "w@host", 7)
        assert run.is_open
        ending = statements.Ending(status=Status.SUCCEEDED, summary='{"rows": 3}', log="one line")
        statements.end(mine, ending)
        run = the_run(sent)
        assert (run.status, run.summary_data, run.log) == (Status.SUCCEEDED, {"rows": 3}, "one line")
        assert not run.is_open
        assert run.queued_at <= run.started_at <= run.finished_at

    def test_start_opens_a_row_that_the_sender_could_not_write(self) -> None:
        sent = message()
        statements.start(attempt(sent))
        run = the_run(sent)
        assert (run.status, run.attempts) == (Status.RUNNING, 1)
        assert run.started_at == run.queued_at == run.open_since

    def test_row_that_is_there_already_stays_when_queued_again(self) -> None:
        sent = message()
        statements.start(attempt(sent))
        statements.queue(sent, at=time.monotonic())
        assert the_run(sent).status == Status.RUNNING

    def test_start_written_twice_is_one_attempt(self) -> None:
        sent = message()
        mine = attempt(sent)
        statements.start(mine)
        statements.start(mine)
        run = the_run(sent)
        assert (run.attempts, run.reason) == (1, "")

    @pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.RETRYING, Status.LOST])
    def test_end_writes_the_start_that_was_lost(self, status: Status) -> None:
        sent = message()
        statements.end(attempt(sent), statements.Ending(status=status))
        run = the_run(sent)
        assert (run.status, run.attempts) == (status, 1)
        assert run.started_at is not None

    def test_start_and_end_that_come_together(self) -> None:
        sent = message(queue="celery", redelivered=True)
        statements.queue(sent, at=time.monotonic())
        mine = attempt(sent, at=time.monotonic() - 3)
        ending = statements.Ending(status=Status.SUCCEEDED, summary='{"rows": 3}')
        statements.end(mine, ending)
        run = the_run(sent)
        assert (run.status, run.attempts, run.worker, run.pid) == (Status.SUCCEEDED, 1, "w@host", 7)
        assert (run.summary_data, run.reason, run.redelivered) == ({"rows": 3}, "", True)
        assert not run.is_open
        assert run.duration == pytest.approx(timedelta(seconds=3), abs=timedelta(seconds=2))
        statements.end(mine, ending)
        assert (the_run(sent).attempts, the_run(sent).reason) == (1, "")

    def test_start_and_end_that_come_together_follow_an_attempt_that_did_not_end(self) -> None:
        sent = message()
        statements.start(attempt(sent))
        statements.end(attempt(sent), statements.Ending(status=Status.SUCCEEDED))
        run = the_run(sent)
        assert (run.status, run.attempts, run.reason) == (Status.SUCCEEDED, 2, Code.ATTEMPTS_OVERLAP)

    def test_start_and_end_that_come_together_leave_a_hard_end_as_it_is(self) -> None:
        sent = message()
        statements.end(attempt(sent), statements.Ending(status=Status.FAILED, error="the end"))
        statements.end(attempt(sent), statements.Ending(status=Status.SUCCEEDED))
        run = the_run(sent)
        assert (run.status, run.error, run.attempts, run.reason) == (
            Status.FAILED,
            "the end",
            2,
            Code.REPEATED,
        )

    def test_retry_keeps_the_first_start_and_counts_attempts(self) -> None:
        sent = message()
        first, second = attempt(sent), attempt(message(sent.celery_id, retries=1))
        statements.start(first)
        started_at = the_run(sent).started_at
        statements.end(first, statements.Ending(status=Status.RETRYING, error="not yet", retries=1))
        run = the_run(sent)
        assert (run.status, run.error, run.finished_at, run.is_open) == (
            Status.RETRYING,
            "not yet",
            None,
            True,
        )
        statements.start(second)
        statements.end(second, statements.Ending(status=Status.SUCCEEDED, retries=1))
        run = the_run(sent)
        assert (run.status, run.attempts, run.retries, run.error) == (Status.SUCCEEDED, 2, 1, "")
        assert run.started_at == started_at

    def test_words_of_an_attempt_that_come_after_its_retry_change_nothing(self) -> None:
        sent = message()
        first, second = attempt(sent), attempt(message(sent.celery_id, retries=1))
        statements.start(second)
        statements.start(first)
        statements.end(first, statements.Ending(status=Status.RETRYING, retries=1))
        run = the_run(sent)
        assert (run.status, run.attempts, run.reason) == (Status.RUNNING, 2, "")
        statements.end(second, statements.Ending(status=Status.SUCCEEDED, retries=1))
        another = attempt(sent)
        statements.end(another, statements.Ending(status=Status.RETRYING, retries=1))
        run = the_run(sent)
        assert (run.status, run.attempts, run.reason) == (Status.SUCCEEDED, 3, "")

    def test_retry_that_starts_before_the_end_of_its_first_attempt_is_told(self) -> None:
        sent = message()
        statements.start(attempt(sent))
        statements.start(attempt(message(sent.celery_id, retries=1)))
        run = the_run(sent)
        assert (run.status, run.attempts, run.reason) == (Status.RUNNING, 2, "")

    def test_replacement_counts_its_retries_anew(self) -> None:
        sent = message(retries=2)
        statements.start(attempt(sent))
        replacing = attempt(message(sent.celery_id, replaces=True))
        statements.start(replacing)
        statements.end(replacing, statements.Ending(status=Status.SUCCEEDED))
        run = the_run(sent)
        assert (run.status, run.attempts, run.reason) == (Status.SUCCEEDED, 2, "")

    def test_late_word_of_an_earlier_attempt_changes_nothing(self) -> None:
        sent = message()
        first, second = attempt(sent), attempt(sent)
        statements.start(first)
        statements.start(second)
        assert the_run(sent).reason == Code.ATTEMPTS_OVERLAP
        for status in (Status.RETRYING, Status.SUCCEEDED, Status.LOST):
            statements.end(first, statements.Ending(status=status))
            assert the_run(sent).status == Status.RUNNING
        statements.end(second, statements.Ending(status=Status.FAILED, error="no"))
        assert the_run(sent).status == Status.FAILED

    @pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED])
    def test_hard_end_is_never_rewritten(self, status: Status) -> None:
        sent = message()
        mine = attempt(sent)
        statements.start(mine)
        statements.end(mine, statements.Ending(status=status, error="the end"))
        ended = the_run(sent)
        other = Status.FAILED if status == Status.SUCCEEDED else Status.SUCCEEDED
        statements.end(mine, statements.Ending(status=other))
        statements.end(mine, statements.Ending(status=Status.LOST))
        statements.end_of_child(sent, statements.Ending(status=Status.LOST), process_id="boot")
        statements.close_undelivered(sent, statements.Ending(status=Status.EXPIRED))
        statements.show(mine, log="more", progress="")
        again = attempt(sent)
        statements.start(again)
        statements.end(again, statements.Ending(status=other))
        run = the_run(sent)
        assert (run.status, run.error, run.finished_at) == (status, "the end", ended.finished_at)
        assert (run.attempts, run.reason, run.log) == (2, Code.REPEATED, "")

    @pytest.mark.parametrize("status", [Status.LOST, Status.MISSED, Status.EXPIRED])
    def test_true_start_and_end_replace_what_silence_concluded(self, status: Status) -> None:
        sent = message()
        silent = Reason(Code.WORKER_SILENT)
        statements.close_undelivered(sent, statements.Ending(status=status, reason=silent))
        assert not the_run(sent).is_open
        mine = attempt(sent)
        statements.start(mine)
        run = the_run(sent)
        assert (run.status, run.reason, run.finished_at) == (Status.RUNNING, "", None)
        assert run.is_open
        TaskRun.objects.update(status=status, open_since=None)
        statements.end(mine, statements.Ending(status=Status.SUCCEEDED))
        assert the_run(sent).status == Status.SUCCEEDED

    def test_killed_process_is_told_by_the_main_process(self) -> None:
        sent = message()
        mine = attempt(sent)
        statements.start(mine)
        statements.end_of_child(sent, statements.Ending(status=Status.LOST), process_id="another boot")
        assert the_run(sent).status == Status.RUNNING
        statements.end(mine, statements.Ending(status=Status.LOST, reason=Reason(Code.INTERRUPTED)))
        assert (the_run(sent).status, the_run(sent).reason) == (Status.LOST, Code.INTERRUPTED)
        timed_out = statements.Ending(status=Status.TIMED_OUT, error="limit")
        statements.end_of_child(sent, timed_out, process_id="boot")
        assert (the_run(sent).status, the_run(sent).error) == (Status.TIMED_OUT, "limit")

    def test_a_process_that_a_cancellation_stops_does_not_call_its_run_lost(self) -> None:
        sent = message()
        mine = attempt(sent)
        statements.start(mine)
        TaskRun.objects.update(cancellation='{"name": "anna"}')
        statements.end(mine, statements.Ending(status=Status.LOST, reason=Reason(Code.INTERRUPTED)))
        run = the_run(sent)
        assert (run.status, run.reason_text, run.is_open) == (Status.CANCELLED, "Cancelled by anna.", False)

    def test_killed_process_whose_task_celery_repeats(self) -> None:
        sent = message()
        statements.start(attempt(sent))
        statements.end_of_child(
            sent, statements.Ending(status=Status.RETRYING, error="died"), process_id="boot"
        )
        run = the_run(sent)
        assert (run.status, run.error, run.is_open) == (Status.RETRYING, "died", True)

    def test_attempt_that_will_be_retried_is_past_its_end(self) -> None:
        sent = message()
        first = attempt(sent)
        statements.start(first)
        statements.end(first, statements.Ending(status=Status.RETRYING, retries=1))
        statements.end_of_child(sent, statements.Ending(status=Status.FAILED), process_id="boot")
        assert the_run(sent).status == Status.RETRYING
        of_second = statements.Ending(status=Status.LOST, retries=1)
        statements.end_of_child(sent, of_second, process_id="boot")
        assert the_run(sent).status == Status.LOST

    def test_replacement_does_not_open_a_row(self) -> None:
        mine = attempt(statements.Message(celery_id="x", header=Header(name="")))
        statements.start(mine)
        statements.end(mine, statements.Ending(status=Status.SUCCEEDED))
        assert not TaskRun.objects.exists()

    @pytest.mark.parametrize(
        "forged",
        [Header(name="another job"), Header(name="a job", trigger=Trigger.SCHEDULE)],
        ids=["another task", "another source"],
    )
    def test_forged_id_changes_nothing(self, forged: Header) -> None:
        sent = message()
        statements.queue(sent, at=time.monotonic())
        before = TaskRun.objects.values().get()
        told = statements.Message(celery_id=sent.celery_id, header=forged)
        ending = statements.Ending(status=Status.SUCCEEDED)
        mine = attempt(told)
        statements.end(attempt(told), ending)
        statements.start(mine)
        statements.end(mine, ending)
        statements.close_undelivered(told, statements.Ending(status=Status.EXPIRED))
        statements.queue(told, at=time.monotonic())
        assert TaskRun.objects.values().get() == before

    def test_late_write_stores_true_times(self) -> None:
        sent = message()
        mine = attempt(sent, at=time.monotonic() - 60)
        statements.end(mine, statements.Ending(status=Status.SUCCEEDED, at=time.monotonic() - 20))
        run = the_run(sent)
        assert run.duration == pytest.approx(timedelta(seconds=40), abs=timedelta(seconds=5))
        assert database_now() - run.finished_at > timedelta(seconds=19)

    def test_task_is_found_by_its_name(self) -> None:
        interval = IntervalSchedule.objects.create(every=1, period="days")
        job = PeriodicTask.objects.create(name="a job", task="some.task", interval=interval)
        sent, other = message(), statements.Message(celery_id="x", header=Header(name="another"))
        statements.queue(sent, at=time.monotonic())
        statements.queue(other, at=time.monotonic())
        assert the_run(sent).task_id == job.pk
        assert the_run(other).task_id is None

    def test_one_statement_for_each_step(self, django_assert_num_queries) -> None:
        sent = message()
        mine = attempt(sent)
        with django_assert_num_queries(3 * 3):  # each between the savepoint of this test's transaction
            statements.queue(sent, at=time.monotonic())
            statements.start(mine)
            statements.end(mine, statements.Ending(status=Status.SUCCEEDED))


@pytest.mark.parametrize(("status", "closed"), [(Status.EXPIRED, False), (Status.CANCELLED, True)])
def test_copy_of_a_message_ends_no_run_that_another_worker_runs(status: Status, closed: bool) -> None:
    sent = message()
    statements.start(attempt(sent))
    statements.close_undelivered(sent, statements.Ending(status=status))
    assert the_run(sent).is_open is not closed


def test_message_that_is_put_back_keeps_its_expiry() -> None:
    expires = datetime(2030, 1, 1, tzinfo=UTC)
    sent = message(expires_at=expires)
    sent.header.default_expiry = True
    mine = attempt(sent)
    statements.start(mine)
    statements.end(mine, statements.Ending(status=Status.QUEUED))
    assert the_run(sent).expires_at == expires
    again = attempt(sent)
    statements.start(again)
    statements.end(again, statements.Ending(status=Status.RETRYING))
    assert the_run(sent).expires_at is None
