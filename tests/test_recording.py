"""Runs are written down truly, whatever order and however late the words about them come."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from celery import states
from celery.exceptions import Retry
from django.core import mail
from django.core.mail import get_connection
from django.db import DataError, OperationalError, connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduled_tasks import recording
from scheduled_tasks.models import ScheduledTask, Status, TaskRun, Trigger, database, database_now
from scheduled_tasks.recording import endings, runs
from scheduled_tasks.recording import writer as writing
from scheduled_tasks.recording.complaints import Complaints
from scheduled_tasks.recording.handover import under_test
from scheduled_tasks.recording.header import Header
from scheduled_tasks.recording.publish import after_publish, before_publish
from scheduled_tasks.recording.session import PREPARE_AFTER, Session, ordinary_session, own_session
from scheduled_tasks.recording.writer import Writer
from tests.live import wait_for


def message(celery_id: str = "", **options: object) -> runs.Message:
    return runs.Message(celery_id=celery_id or uuid4().hex, header=Header(name="a job"), **options)


def attempt(of: runs.Message, **options: object) -> runs.Attempt:
    return runs.Attempt(message=of, worker="w@host", process_id="boot", pid=7, **options)


def the_run(of: runs.Message) -> TaskRun:
    return TaskRun.objects.get(celery_id=of.celery_id)


@pytest.fixture
def session(db: None) -> Session:
    return ordinary_session()


class TestTransitions:
    def test_queued_started_succeeded(self, session: Session) -> None:
        sent = message(queue="celery", args="[1]", expires_at=datetime(2030, 1, 1, tzinfo=UTC))
        runs.queue(session, sent, at=time.monotonic())
        run = the_run(sent)
        assert (run.status, run.attempts, run.args, run.queue) == (Status.QUEUED, 0, "[1]", "celery")
        assert run.open_since == run.queued_at
        assert run.expires_at == datetime(2030, 1, 1, tzinfo=UTC)
        mine = attempt(sent)
        runs.start(session, mine)
        run = the_run(sent)
        assert (run.status, run.attempts, run.worker, run.pid) == (Status.RUNNING, 1, "w@host", 7)
        assert run.is_open
        ending = runs.Ending(status=Status.SUCCEEDED, summary='{"rows": 3}', log="one line")
        runs.end(session, mine, ending)
        run = the_run(sent)
        assert (run.status, run.summary_data, run.log) == (Status.SUCCEEDED, {"rows": 3}, "one line")
        assert not run.is_open
        assert run.queued_at <= run.started_at <= run.finished_at

    def test_start_opens_a_row_that_the_sender_could_not_write(self, session: Session) -> None:
        sent = message()
        runs.start(session, attempt(sent))
        run = the_run(sent)
        assert (run.status, run.attempts) == (Status.RUNNING, 1)
        assert run.started_at == run.queued_at == run.open_since

    def test_row_that_is_there_already_stays_when_queued_again(self, session: Session) -> None:
        sent = message()
        runs.start(session, attempt(sent))
        runs.queue(session, sent, at=time.monotonic())
        assert the_run(sent).status == Status.RUNNING

    def test_start_written_twice_is_one_attempt(self, session: Session) -> None:
        sent = message()
        mine = attempt(sent)
        runs.start(session, mine)
        runs.start(session, mine)
        run = the_run(sent)
        assert (run.attempts, run.reason) == (1, "")

    @pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.RETRYING, Status.LOST])
    def test_end_writes_the_start_that_was_lost(self, status: Status, session: Session) -> None:
        sent = message()
        runs.end(session, attempt(sent), runs.Ending(status=status))
        run = the_run(sent)
        assert (run.status, run.attempts) == (status, 1)
        assert run.started_at is not None

    def test_start_and_end_that_come_together_are_one_statement(self, session: Session) -> None:
        sent = message(queue="celery", redelivered=True)
        runs.queue(session, sent, at=time.monotonic())
        mine = attempt(sent, at=time.monotonic() - 3)
        ending = runs.Ending(status=Status.SUCCEEDED, summary='{"rows": 3}')
        with CaptureQueriesContext(connection) as made:
            runs.end(ordinary_session(), mine, ending)
        assert sum(not query["sql"].startswith(("SAVEPOINT", "RELEASE")) for query in made) == 1
        run = the_run(sent)
        assert (run.status, run.attempts, run.worker, run.pid) == (Status.SUCCEEDED, 1, "w@host", 7)
        assert (run.summary_data, run.reason, run.redelivered) == ({"rows": 3}, "", True)
        assert not run.is_open
        assert timedelta(seconds=3) <= run.duration < timedelta(seconds=60)
        runs.end(session, mine, ending)
        assert (the_run(sent).attempts, the_run(sent).reason) == (1, "")

    def test_start_and_end_that_come_together_follow_an_attempt_that_did_not_end(
        self, session: Session
    ) -> None:
        sent = message()
        runs.start(session, attempt(sent))
        runs.end(session, attempt(sent), runs.Ending(status=Status.SUCCEEDED))
        run = the_run(sent)
        assert (run.status, run.attempts, run.reason) == (Status.SUCCEEDED, 2, runs.AGAIN)

    def test_start_and_end_that_come_together_leave_a_hard_end_as_it_is(self, session: Session) -> None:
        sent = message()
        runs.end(session, attempt(sent), runs.Ending(status=Status.FAILED, error="the end"))
        runs.end(session, attempt(sent), runs.Ending(status=Status.SUCCEEDED))
        run = the_run(sent)
        assert (run.status, run.error, run.attempts, run.reason) == (
            Status.FAILED,
            "the end",
            2,
            runs.REPEATED,
        )

    def test_retry_keeps_the_first_start_and_counts_attempts(self, session: Session) -> None:
        sent = message()
        first, second = attempt(sent), attempt(message(sent.celery_id, retries=1))
        runs.start(session, first)
        started_at = the_run(sent).started_at
        runs.end(session, first, runs.Ending(status=Status.RETRYING, error="not yet", retries=1))
        run = the_run(sent)
        assert (run.status, run.error, run.finished_at, run.is_open) == (
            Status.RETRYING,
            "not yet",
            None,
            True,
        )
        runs.start(session, second)
        runs.end(session, second, runs.Ending(status=Status.SUCCEEDED, retries=1))
        run = the_run(sent)
        assert (run.status, run.attempts, run.retries, run.error) == (Status.SUCCEEDED, 2, 1, "")
        assert run.started_at == started_at

    def test_words_of_an_attempt_that_come_after_its_retry_change_nothing(self, session: Session) -> None:
        sent = message()
        first, second = attempt(sent), attempt(message(sent.celery_id, retries=1))
        runs.start(session, second)
        runs.start(session, first)
        runs.end(session, first, runs.Ending(status=Status.RETRYING, retries=1))
        run = the_run(sent)
        assert (run.status, run.attempts, run.reason) == (Status.RUNNING, 2, "")
        runs.end(session, second, runs.Ending(status=Status.SUCCEEDED, retries=1))
        another = attempt(sent)
        runs.end(session, another, runs.Ending(status=Status.RETRYING, retries=1))
        run = the_run(sent)
        assert (run.status, run.attempts, run.reason) == (Status.SUCCEEDED, 3, "")

    def test_retry_that_starts_before_the_end_of_its_first_attempt_is_told(self, session: Session) -> None:
        sent = message()
        runs.start(session, attempt(sent))
        runs.start(session, attempt(message(sent.celery_id, retries=1)))
        run = the_run(sent)
        assert (run.status, run.attempts, run.reason) == (Status.RUNNING, 2, "")

    def test_replacement_counts_its_retries_anew(self, session: Session) -> None:
        sent = message(retries=2)
        runs.start(session, attempt(sent))
        replacing = attempt(message(sent.celery_id, replaces=True))
        runs.start(session, replacing)
        runs.end(session, replacing, runs.Ending(status=Status.SUCCEEDED))
        run = the_run(sent)
        assert (run.status, run.attempts, run.reason) == (Status.SUCCEEDED, 2, "")

    def test_late_word_of_an_earlier_attempt_changes_nothing(self, session: Session) -> None:
        sent = message()
        first, second = attempt(sent), attempt(sent)
        runs.start(session, first)
        runs.start(session, second)
        assert the_run(sent).reason == runs.AGAIN
        for status in (Status.RETRYING, Status.SUCCEEDED, Status.LOST):
            runs.end(session, first, runs.Ending(status=status))
            assert the_run(sent).status == Status.RUNNING
        runs.end(session, second, runs.Ending(status=Status.FAILED, error="no"))
        assert the_run(sent).status == Status.FAILED

    @pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED])
    def test_hard_end_is_never_rewritten(self, status: Status, session: Session) -> None:
        sent = message()
        mine = attempt(sent)
        runs.start(session, mine)
        runs.end(session, mine, runs.Ending(status=status, error="the end"))
        ended = the_run(sent)
        other = Status.FAILED if status == Status.SUCCEEDED else Status.SUCCEEDED
        runs.end(session, mine, runs.Ending(status=other))
        runs.end(session, mine, runs.Ending(status=Status.LOST))
        runs.end_of_child(session, sent, runs.Ending(status=Status.LOST), process_id="boot")
        runs.close_undelivered(session, sent, runs.Ending(status=Status.EXPIRED))
        runs.close_unsent(session, sent.celery_id, "not sent", at=time.monotonic())
        runs.show(session, mine, log="more", progress="")
        again = attempt(sent)
        runs.start(session, again)
        runs.end(session, again, runs.Ending(status=other))
        run = the_run(sent)
        assert (run.status, run.error, run.finished_at) == (status, "the end", ended.finished_at)
        assert (run.attempts, run.reason, run.log) == (2, runs.REPEATED, "")

    @pytest.mark.parametrize("status", [Status.LOST, Status.MISSED, Status.EXPIRED])
    def test_true_start_and_end_replace_what_silence_concluded(
        self, status: Status, session: Session
    ) -> None:
        sent = message()
        runs.close_undelivered(session, sent, runs.Ending(status=status, reason="silence"))
        assert not the_run(sent).is_open
        mine = attempt(sent)
        runs.start(session, mine)
        run = the_run(sent)
        assert (run.status, run.reason, run.finished_at) == (Status.RUNNING, "", None)
        assert run.is_open
        TaskRun.objects.update(status=status, open_since=None)
        runs.end(session, mine, runs.Ending(status=Status.SUCCEEDED))
        assert the_run(sent).status == Status.SUCCEEDED

    def test_killed_process_is_told_by_the_main_process(self, session: Session) -> None:
        sent = message()
        mine = attempt(sent)
        runs.start(session, mine)
        runs.end_of_child(session, sent, runs.Ending(status=Status.LOST), process_id="another boot")
        assert the_run(sent).status == Status.RUNNING
        runs.end(session, mine, runs.Ending(status=Status.LOST, reason="interrupted"))
        assert (the_run(sent).status, the_run(sent).reason) == (Status.LOST, "interrupted")
        timed_out = runs.Ending(status=Status.TIMED_OUT, error="limit")
        runs.end_of_child(session, sent, timed_out, process_id="boot")
        assert (the_run(sent).status, the_run(sent).error) == (Status.TIMED_OUT, "limit")

    def test_a_process_that_a_cancellation_stops_does_not_call_its_run_lost(self, session: Session) -> None:
        sent = message()
        mine = attempt(sent)
        runs.start(session, mine)
        TaskRun.objects.update(cancellation="Cancelled by anna.")
        runs.end(session, mine, runs.Ending(status=Status.LOST, reason="interrupted"))
        run = the_run(sent)
        assert (run.status, run.reason, run.is_open) == (Status.CANCELLED, "Cancelled by anna.", False)

    def test_killed_process_whose_task_celery_repeats(self, session: Session) -> None:
        sent = message()
        runs.start(session, attempt(sent))
        runs.end_of_child(session, sent, runs.Ending(status=Status.RETRYING, error="died"), process_id="boot")
        run = the_run(sent)
        assert (run.status, run.error, run.is_open) == (Status.RETRYING, "died", True)

    def test_attempt_that_will_be_retried_is_past_its_end(self, session: Session) -> None:
        sent = message()
        first = attempt(sent)
        runs.start(session, first)
        runs.end(session, first, runs.Ending(status=Status.RETRYING, retries=1))
        runs.end_of_child(session, sent, runs.Ending(status=Status.FAILED), process_id="boot")
        assert the_run(sent).status == Status.RETRYING
        of_second = runs.Ending(status=Status.LOST, retries=1)
        runs.end_of_child(session, sent, of_second, process_id="boot")
        assert the_run(sent).status == Status.LOST

    def test_replacement_does_not_open_a_row(self, session: Session) -> None:
        sent = message()
        mine = attempt(sent, own_row=False)
        runs.start(session, mine)
        runs.end(session, mine, runs.Ending(status=Status.SUCCEEDED))
        assert not TaskRun.objects.exists()

    def test_message_that_did_not_leave(self, session: Session) -> None:
        sent = message()
        runs.queue(session, sent, at=time.monotonic())
        recording.publish_failed(sent.celery_id, "The broker is down.")
        run = the_run(sent)
        assert (run.status, run.reason, run.is_open) == (Status.MISSED, "The broker is down.", False)

    def test_message_that_did_leave_is_not_called_missed(self, session: Session) -> None:
        sent = message()
        runs.start(session, attempt(sent))
        recording.publish_failed(sent.celery_id, "The broker is down.")
        assert the_run(sent).status == Status.RUNNING

    def test_late_write_stores_true_times(self, session: Session) -> None:
        sent = message()
        mine = attempt(sent, at=time.monotonic() - 60)
        runs.end(session, mine, runs.Ending(status=Status.SUCCEEDED, at=time.monotonic() - 20))
        run = the_run(sent)
        assert run.duration == pytest.approx(timedelta(seconds=40), abs=timedelta(seconds=5))
        assert database_now() - run.finished_at > timedelta(seconds=19)

    def test_task_is_found_by_its_name(self, session: Session) -> None:
        interval = IntervalSchedule.objects.create(every=1, period="days")
        job = PeriodicTask.objects.create(name="a job", task="some.task", interval=interval)
        sent, other = message(), runs.Message(celery_id="x", header=Header(name="another"))
        runs.queue(session, sent, at=time.monotonic())
        runs.queue(session, other, at=time.monotonic())
        assert the_run(sent).task_id == job.pk
        assert the_run(other).task_id is None

    def test_one_statement_for_each_step(self, session: Session, django_assert_num_queries) -> None:
        sent = message()
        mine = attempt(sent)
        with django_assert_num_queries(3 * 3):  # each between the savepoint of this test's transaction
            runs.queue(session, sent, at=time.monotonic())
            runs.start(session, mine)
            runs.end(session, mine, runs.Ending(status=Status.SUCCEEDED))

    @pytest.mark.parametrize(
        "error", [DataError("untranslatable"), OperationalError(1366, "Incorrect string")]
    )
    def test_text_that_the_database_cannot_keep_is_kept_in_ascii(
        self, error: Exception, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        execute = Session._execute

        def like_latin1(self: Session, sql: str, values: dict[str, object]) -> object:
            if any(isinstance(value, str) and not value.isascii() for value in values.values()):
                raise error
            return execute(self, sql, values)

        monkeypatch.setattr(Session, "_execute", like_latin1)
        sent = message()
        runs.end(session, attempt(sent), runs.Ending(status=Status.FAILED, error="café 🙂"))
        assert the_run(sent).error == "caf\\xe9 \\U0001f642"

    def test_failed_statement_leaves_the_projects_transaction_usable(self, session: Session) -> None:
        sent = message()
        runs.queue(session, sent, at=time.monotonic())
        runs.queue(session, sent, at=time.monotonic())
        assert TaskRun.objects.count() == 1


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


class TestPublish:
    def publish(self, **headers: object) -> dict[str, object]:
        sent = {"id": uuid4().hex, "task": "a.task", "retries": 0, "expires": None, **headers}
        before_publish(sender="a.task", headers=sent, body=((1,), {"token": "x"}, {}), routing_key="celery")
        return sent

    @pytest.mark.django_db(transaction=True)
    def test_stock_beat(self) -> None:
        sent = self.publish(periodic_task_name="a job", celery_beat_task=True, expires="2030-01-01T00:00:00")
        run = TaskRun.objects.get(celery_id=sent["id"])
        assert (run.name, run.trigger, run.status) == ("a job", Trigger.SCHEDULE, Status.QUEUED)
        assert (run.queue, run.args, run.expires_at) == ("celery", "[1]", datetime(2030, 1, 1, tzinfo=UTC))
        assert '"x"' not in run.kwargs
        header = Header.of(sent)
        assert header.recorded
        assert header.trigger == Trigger.SCHEDULE

    @pytest.mark.django_db(transaction=True)
    def test_run_selected_in_the_admin_of_django_celery_beat(self) -> None:
        self.publish(periodic_task_name="a job")
        assert TaskRun.objects.get().trigger == Trigger.MANUAL

    @pytest.mark.django_db
    def test_inside_a_transaction_only_the_header_is_added(self) -> None:
        sent = self.publish(periodic_task_name="a job")
        assert not TaskRun.objects.exists()
        header = Header.of(sent)
        assert not header.recorded
        assert abs(datetime.now(UTC) - header.queued_at) < timedelta(minutes=1)

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"periodic_task_name": "a job", "retries": 1},
            {"scheduled_tasks": {"name": "a job", "recorded": True}},
            {"parent_id": "another"},
        ],
        ids=["not scheduled", "retry", "recorded already", "canvas child"],
    )
    def test_nothing_to_write(self, headers: dict[str, object]) -> None:
        before = dict(headers)
        sent = self.publish(**headers)
        assert not TaskRun.objects.exists()
        assert {key: sent[key] for key in before} == before
        assert ("scheduled_tasks" in sent) == ("scheduled_tasks" in before)

    def test_strange_headers_do_no_harm(self, caplog: pytest.LogCaptureFixture) -> None:
        for strange in ("text", 3, [], {"name": None}):
            assert Header.of({"scheduled_tasks": strange}) is None
        header = Header.of(
            {"scheduled_tasks": {"name": 3, "task": "x", "trigger": "magic", "scheduled_for": "soon"}}
        )
        assert header == Header(name="3")
        after_publish(sender="a.task", headers={})
        assert not caplog.records


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="how SQLite tells what a statement changes")
@pytest.mark.django_db(transaction=True)
def test_start_of_an_open_run_leaves_the_index_of_open_runs_alone() -> None:
    session, index = ordinary_session(), "scheduled_tasks_run_open"
    ((root,),) = session.fetch(f"SELECT rootpage FROM sqlite_master WHERE name = '{index}'", {})

    def changed(statement: str) -> set[int]:
        steps = session.fetch(f"EXPLAIN {statement}", attempt(message()).params)
        return {step[3] for step in steps if step[1] == "OpenWrite"}

    assert root in changed(runs.RESTART)
    assert root not in changed(runs.START)


@pytest.fixture
def fresh_writer(transactional_db: None) -> Iterator[Writer]:
    writer = Writer()
    yield writer
    writer.close(timeout=20)


def queued(writer: Writer, *, wait: bool = True) -> runs.Message:
    sent = message()
    writer.put(partial(runs.queue, message=sent, at=time.monotonic()), wait=wait)
    return sent


class Outage:
    """A database that refuses or hangs; ``end()`` brings it back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, hang: bool = False) -> None:
        self.over = threading.Event()
        self.hang = hang
        monkeypatch.setattr(writing, "own_session", self.session)

    def session(self) -> Session:
        if self.hang:
            self.over.wait(60)
        elif not self.over.is_set():
            raise OperationalError("the server is gone")
        return own_session()


class TestWriter:
    def test_waits_until_the_row_is_there(self, fresh_writer: Writer) -> None:
        assert the_run(queued(fresh_writer)).status == Status.QUEUED

    def test_is_not_part_of_the_callers_transaction(self, fresh_writer: Writer) -> None:
        sent = message()
        with transaction.atomic():
            fresh_writer.put(partial(runs.queue, message=sent, at=time.monotonic()), wait=False)
            transaction.set_rollback(True)
        wait_for(lambda: TaskRun.objects.filter(celery_id=sent.celery_id).exists())

    def test_keeps_the_order(self, fresh_writer: Writer) -> None:
        sent = message()
        mine = attempt(sent)
        for write in (
            partial(runs.queue, message=sent, at=time.monotonic()),
            partial(runs.start, attempt=mine),
        ):
            fresh_writer.put(write, wait=False)
        ending = runs.Ending(status=Status.SUCCEEDED)
        fresh_writer.put(partial(runs.end, attempt=mine, ending=ending), wait=True)
        assert the_run(sent).status == Status.SUCCEEDED

    @override_settings(SCHEDULED_TASKS={"RECORD_WAIT": 60.0})
    def test_refused_connection_delays_nobody_and_is_made_up_for(
        self, fresh_writer: Writer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(writing, "complaints", Complaints())
        outage = Outage(monkeypatch)
        sent = [queued(fresh_writer) for _ in range(5)]
        assert fresh_writer.error == "the server is gone"
        assert len([line for line in caplog.records if line.levelno == logging.ERROR]) == 1
        outage.over.set()
        wait_for(lambda: TaskRun.objects.count() == 5, message="the backlog")
        assert [the_run(one).status for one in sent] == [Status.QUEUED] * 5
        wait_for(lambda: fresh_writer.error == "")

    @override_settings(SCHEDULED_TASKS={"RECORD_WAIT": 0.3})
    def test_hanging_database_delays_one_caller_once(
        self, fresh_writer: Writer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outage = Outage(monkeypatch, hang=True)
        began = time.monotonic()
        queued(fresh_writer)
        assert time.monotonic() - began >= 0.3
        for _ in range(100):
            queued(fresh_writer)
        assert time.monotonic() - began < 20  # and not a hundred times the wait
        outage.over.set()
        wait_for(lambda: TaskRun.objects.count() == 101, message="the backlog")

    def test_who_waits_writes_by_himself_once_connected(self, fresh_writer: Writer) -> None:
        threads: list[int] = []
        for _ in range(3):
            fresh_writer.put(lambda session: threads.append(threading.get_ident()), wait=True)
        assert threads[0] != threading.get_ident()  # connecting may hang for longer than anybody waits
        queued(fresh_writer)
        fresh_writer.put(lambda session: threads.append(threading.get_ident()), wait=True)
        assert threads[-1] == threading.get_ident()

    @override_settings(SCHEDULED_TASKS={"RECORD_WAIT": 0})
    def test_who_must_not_wait_never_writes_by_himself(self, fresh_writer: Writer) -> None:
        threads: list[int] = []
        for count in (1, 2, 3):
            fresh_writer.put(lambda session: threads.append(threading.get_ident()), wait=True)
            wait_for(lambda count=count: len(threads) == count)
        assert threading.get_ident() not in threads

    def test_who_does_not_wait_never_writes_by_himself(self, fresh_writer: Writer) -> None:
        queued(fresh_writer)
        threads: list[int] = []
        fresh_writer.put(lambda session: threads.append(threading.get_ident()), wait=False)
        wait_for(lambda: threads)
        assert threads[0] != threading.get_ident()

    @override_settings(SCHEDULED_TASKS={"RECORD_WAIT": 0.3})
    def test_write_that_hangs_is_cut_and_made_up_for(self, fresh_writer: Writer) -> None:
        sent = queued(fresh_writer)
        writers: list[int] = []

        def start(session: Session) -> None:
            writers.append(threading.get_ident())
            runs.start(session, mine)

        mine = attempt(sent)
        with transaction.atomic():
            TaskRun.objects.update(actor="keeps the lock")
            fresh_writer.put(start, wait=True)  # would wait for ever
            assert writers[0] == threading.get_ident()
            queued(fresh_writer)
        wait_for(lambda: the_run(sent).status == Status.RUNNING)
        assert the_run(sent).attempts == 1
        assert writers[-1] != threading.get_ident()

    def test_soft_time_limit_that_strikes_while_writing(self, fresh_writer: Writer) -> None:
        sent = queued(fresh_writer)
        mine = attempt(sent)
        limits = [SoftTimeLimitExceeded()]

        def start(session: Session) -> None:
            if limits:
                raise limits.pop()
            runs.start(session, mine)

        with pytest.raises(SoftTimeLimitExceeded):
            fresh_writer.put(start, wait=True)
        wait_for(lambda: the_run(sent).status == Status.RUNNING)

    def test_fork_waits_until_nobody_writes(self, fresh_writer: Writer) -> None:
        queued(fresh_writer)
        assert fresh_writer.pause(timeout=60.0)
        begun = threading.Event()
        fresh_writer.put(lambda session: begun.set(), wait=False)
        assert not fresh_writer.pause(timeout=0.05)
        assert not begun.is_set()
        fresh_writer.resume()
        assert begun.wait(20)

    def test_backlog_is_bounded(self, fresh_writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writing, "BACKLOG_BYTES", 10_000)
        outage = Outage(monkeypatch)
        sent = [queued(fresh_writer) for _ in range(30)]
        outage.over.set()
        wait_for(lambda: TaskRun.objects.filter(celery_id=sent[-1].celery_id).exists())
        assert 1 <= TaskRun.objects.count() <= 11

    def test_order_that_cannot_be_carried_out_does_not_hold_up_the_others(self, fresh_writer: Writer) -> None:
        def broken(session: Session) -> None:
            raise ValueError("not a database error")

        fresh_writer.put(broken, wait=True)
        assert fresh_writer.error == "not a database error"
        assert the_run(queued(fresh_writer)).status == Status.QUEUED

    @pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no server that could hang up")
    def test_connection_that_broke_while_idle_is_replaced(self, fresh_writer: Writer) -> None:
        queued(fresh_writer)
        own, end = {
            "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend(%s)"),
            "mysql": ("SELECT CONNECTION_ID()", "KILL %s"),
        }[connection.vendor]
        [[number]] = fresh_writer.session.fetch(own, {})
        with connection.cursor() as cursor:
            cursor.execute(end, [number])
        assert the_run(queued(fresh_writer)).status == Status.QUEUED

    def test_idle_connection_goes_back(self, fresh_writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writing, "IDLE_CLOSE", 0.05)
        queued(fresh_writer)
        wait_for(lambda: fresh_writer.session is None, message="the connection's return")
        assert the_run(queued(fresh_writer)).status == Status.QUEUED

    @override_settings(SCHEDULED_TASKS={"OWN_CONNECTION": False})
    def test_without_a_connection_of_its_own(self, fresh_writer: Writer) -> None:
        assert the_run(queued(fresh_writer)).status == Status.QUEUED
        wait_for(lambda: fresh_writer.session is None, message="the connection's return")

    def test_closes_after_what_waits_and_opens_again(self, fresh_writer: Writer) -> None:
        sent = [queued(fresh_writer, wait=False) for _ in range(20)]
        fresh_writer.close(timeout=30)
        assert TaskRun.objects.count() == len(sent)
        assert fresh_writer.session is None
        assert the_run(queued(fresh_writer)).status == Status.QUEUED

    def test_later_is_carried_out_once(self, fresh_writer: Writer) -> None:
        calls: list[Session] = []
        for _ in range(10):
            fresh_writer.later("a key", 0.05, calls.append)
        wait_for(lambda: calls)
        queued(fresh_writer)
        assert len(calls) == 1

    def test_own_connection_is_not_djangos(self, transactional_db: None) -> None:
        session = own_session()
        session.fetch("SELECT 1", {})
        assert session.connection is not connection
        assert session.connection.settings_dict is not connection.settings_dict
        assert "pool" not in session.connection.settings_dict["OPTIONS"]
        session.close()


@pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="only PostgreSQL parses a statement anew each time"
)
class TestPrepared:
    """The two statements of every run, once a connection has been used a few times."""

    @pytest.fixture
    def session(self, transactional_db: None) -> Iterator[Session]:
        session = own_session()
        yield session
        session.close()

    @staticmethod
    def record(session: Session, times: int = PREPARE_AFTER) -> None:
        for _ in range(times):
            sent = message()
            runs.queue(session, sent, at=time.monotonic())
            mine = attempt(sent)
            runs.start(session, mine)
            runs.end(session, mine, runs.Ending(status=Status.SUCCEEDED, log="café 100 %"))
            assert (the_run(sent).status, the_run(sent).log) == (Status.SUCCEEDED, "café 100 %")

    @staticmethod
    def prepared(session: Session) -> int:
        names = "SELECT name FROM pg_prepared_statements WHERE name LIKE 'scheduled_tasks_%%'"
        return len(session.fetch(names, {}))

    def test_unless_a_pooler_forgets_them(self, session: Session) -> None:
        self.record(session)
        assert self.prepared(session) == 2
        session.execute("DEALLOCATE ALL", {})
        self.record(session, 2 * PREPARE_AFTER)
        assert self.prepared(session) == 0

    def test_unless_waiting_must_let_other_tasks_go_on(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(socket.socket, "__module__", "gevent._socket3")
        self.record(session, 2 * PREPARE_AFTER)
        assert self.prepared(session) == 0

    def test_a_lost_connection_is_told_as_one(self, session: Session) -> None:
        self.record(session)
        session.cut()
        for _ in range(2):
            with pytest.raises(OperationalError):
                runs.start(session, attempt(message()))

    def test_a_text_is_not_cut_short(self, session: Session) -> None:
        self.record(session)
        mine = attempt(message())
        runs.start(session, mine)
        with pytest.raises(DataError, match="NUL"):
            runs.end(session, mine, runs.Ending(status=Status.SUCCEEDED, log="begin\0end"))


class OtherDatabase:
    """A router that keeps this app's rows elsewhere."""

    def db_for_write(self, model: type, **hints: object) -> str | None:
        return "elsewhere" if model is ScheduledTask else None


@override_settings(DATABASE_ROUTERS=[OtherDatabase()])
def test_routers_say_which_database() -> None:
    assert database() == "elsewhere"


def test_an_outbox_makes_no_test(monkeypatch: pytest.MonkeyPatch) -> None:
    assert under_test()
    get_connection("django.core.mail.backends.locmem.EmailBackend")
    monkeypatch.delattr("django.test.utils._TestState.saved_data")
    assert hasattr(mail, "outbox")
    assert not under_test()


def test_one_line_of_log_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints()
    for _ in range(5):
        complaints.log("Trouble.", ValueError("why"))
    complaints.log("Other trouble.")
    assert [line.getMessage() for line in caplog.records] == ["Trouble. (ValueError: why)", "Other trouble."]
