"""One thread writes; nobody waits for it without bound."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from django.core import mail
from django.core.mail import get_connection
from django.db import InternalError, OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import override_settings

from scheduled_tasks.models import ScheduledTask, Status, TaskRun, database
from scheduled_tasks.private import under_test
from scheduled_tasks.recording import recorder as recording
from scheduled_tasks.recording import statements
from scheduled_tasks.recording.complaints import Complaints
from scheduled_tasks.recording.connection import execute, recorders_connection
from scheduled_tasks.recording.recorder import Recorder, Unanswered
from tests.live import wait_for
from tests.recording.runs import attempt, message, the_run


@pytest.fixture
def fresh_recorder(transactional_db: None) -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close(timeout=20)


def queued(recorder: Recorder, *, wait: bool = True) -> statements.Message:
    sent = message()
    recorder.put(partial(statements.queue, message=sent, at=time.monotonic()), wait=wait)
    return sent


class Outage:
    """A database that refuses or hangs; ``end()`` brings it back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, hang: bool = False) -> None:
        self.over = threading.Event()
        self.hang = hang
        monkeypatch.setattr(recording, "recorders_connection", self.connection)

    def connection(self) -> BaseDatabaseWrapper:
        if self.hang:
            self.over.wait(60)
        elif not self.over.is_set():
            raise OperationalError("the server is gone")
        return recorders_connection()


def answer(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


class TestRecorder:
    def test_waits_until_the_row_is_there(self, fresh_recorder: Recorder) -> None:
        assert the_run(queued(fresh_recorder)).status == Status.QUEUED

    def test_is_not_part_of_the_callers_transaction(self, fresh_recorder: Recorder) -> None:
        sent = message()
        with transaction.atomic():
            fresh_recorder.put(partial(statements.queue, message=sent, at=time.monotonic()), wait=False)
            transaction.set_rollback(True)
        wait_for(lambda: TaskRun.objects.filter(celery_id=sent.celery_id).exists())

    def test_keeps_the_order(self, fresh_recorder: Recorder) -> None:
        sent = message()
        mine = attempt(sent)
        for write in (
            partial(statements.queue, message=sent, at=time.monotonic()),
            partial(statements.start, attempt=mine),
        ):
            fresh_recorder.put(write, wait=False)
        ending = statements.Ending(status=Status.SUCCEEDED)
        fresh_recorder.put(partial(statements.end, attempt=mine, ending=ending), wait=True)
        assert the_run(sent).status == Status.SUCCEEDED

    @override_settings(SCHEDULED_TASKS={"RECORD_WAIT": 60.0})
    def test_refused_connection_delays_nobody_and_is_made_up_for(
        self, fresh_recorder: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(recording, "complaints", Complaints())
        outage = Outage(monkeypatch)
        sent = [queued(fresh_recorder) for _ in range(5)]
        assert fresh_recorder.error == "the server is gone"
        assert len([line for line in caplog.records if line.levelno == logging.ERROR]) == 1
        outage.over.set()
        wait_for(lambda: TaskRun.objects.count() == 5, message="the backlog")
        assert [the_run(one).status for one in sent] == [Status.QUEUED] * 5
        wait_for(lambda: fresh_recorder.error == "")

    @override_settings(SCHEDULED_TASKS={"RECORD_WAIT": 0.3})
    def test_hanging_database_delays_one_caller_once(
        self, fresh_recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outage = Outage(monkeypatch, hang=True)
        began = time.monotonic()
        queued(fresh_recorder)
        assert time.monotonic() - began >= 0.3
        for _ in range(100):
            queued(fresh_recorder)
        assert time.monotonic() - began < 20  # and not a hundred times the wait
        outage.over.set()
        wait_for(lambda: TaskRun.objects.count() == 101, message="the backlog")

    @override_settings(SCHEDULED_TASKS={"RECORD_WAIT": 0})
    def test_who_must_not_wait_goes_on_at_once(
        self, fresh_recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outage = Outage(monkeypatch, hang=True)
        sent = queued(fresh_recorder)
        assert not TaskRun.objects.exists()
        outage.over.set()
        wait_for(lambda: TaskRun.objects.filter(celery_id=sent.celery_id).exists())

    @override_settings(SCHEDULED_TASKS={"RECORD_WAIT": 0.3})
    def test_write_that_hangs_is_made_up_for(self, fresh_recorder: Recorder) -> None:
        sent = queued(fresh_recorder)
        mine = attempt(sent)
        began = time.monotonic()
        with transaction.atomic():
            TaskRun.objects.update(actor="keeps the lock")
            fresh_recorder.put(partial(statements.start, attempt=mine), wait=True)  # would wait for ever
            queued(fresh_recorder)
            assert time.monotonic() - began < 5
        wait_for(lambda: the_run(sent).status == Status.RUNNING)
        assert the_run(sent).attempts == 1

    @override_settings(SCHEDULED_TASKS={"RECORD_WAIT": 60.0})
    def test_soft_time_limit_that_strikes_while_waiting(
        self, fresh_recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def strike(number: int, frame: object) -> None:
            raise SoftTimeLimitExceeded

        outage = Outage(monkeypatch, hang=True)
        before = signal.signal(signal.SIGUSR1, strike)
        try:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            with pytest.raises(SoftTimeLimitExceeded):
                queued(fresh_recorder)
        finally:
            signal.signal(signal.SIGUSR1, before)
        outage.over.set()
        wait_for(lambda: TaskRun.objects.count() == 1)
        assert the_run(queued(fresh_recorder)).status == Status.QUEUED

    def test_fork_waits_until_nobody_writes(self, fresh_recorder: Recorder) -> None:
        queued(fresh_recorder)
        assert fresh_recorder.busy.acquire(timeout=60.0)
        begun = threading.Event()
        fresh_recorder.put(begun.set, wait=False)
        assert not fresh_recorder.busy.acquire(timeout=0.05)
        assert not begun.is_set()
        fresh_recorder.busy.release()
        assert begun.wait(20)

    def test_backlog_is_bounded(self, fresh_recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recording, "BACKLOG_BYTES", 10_000)
        outage = Outage(monkeypatch)
        sent = [queued(fresh_recorder) for _ in range(30)]
        outage.over.set()
        wait_for(lambda: TaskRun.objects.filter(celery_id=sent[-1].celery_id).exists())
        assert 1 <= TaskRun.objects.count() <= 11

    def test_order_that_cannot_be_carried_out_does_not_hold_up_the_others(
        self, fresh_recorder: Recorder
    ) -> None:
        def broken() -> None:
            raise ValueError("not a database error")

        fresh_recorder.put(broken, wait=True)
        assert fresh_recorder.error == "not a database error"
        assert the_run(queued(fresh_recorder)).status == Status.QUEUED

    def test_waits_while_the_database_is_read_only(
        self, fresh_recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording, "RETRY_PAUSES", (0.01,))
        sent = queued(fresh_recorder)
        mine = attempt(sent)
        tries: list[float] = []

        def end() -> None:
            tries.append(time.monotonic())
            if len(tries) <= 20:
                raise InternalError("cannot execute UPDATE in a read-only transaction")
            statements.end(mine, statements.Ending(status=Status.SUCCEEDED))

        fresh_recorder.put(end, wait=True)
        wait_for(lambda: the_run(sent).status == Status.SUCCEEDED)
        assert len(tries) == 21

    def test_asks_nothing_while_nothing_can_be_written(
        self, fresh_recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        over: list[bool] = []

        def beat() -> None:
            if not over:
                raise InternalError("cannot execute UPDATE in a read-only transaction")

        fresh_recorder.put(beat, wait=False)
        with pytest.raises(Unanswered):
            fresh_recorder.ask(TaskRun.objects.count, timeout=0.5)
        over.append(True)
        assert fresh_recorder.ask(TaskRun.objects.count, timeout=20) == 0

    def test_value_that_the_database_refuses_does_not_hold_up_the_others(
        self, fresh_recorder: Recorder
    ) -> None:
        sent = queued(fresh_recorder)
        fresh_recorder.put(
            partial(execute, 'UPDATE "run" SET "tick_count" = %(count)s', {"count": 2**70}),
            wait=False,
        )
        other = queued(fresh_recorder)
        assert [the_run(each).status for each in (sent, other)] == [Status.QUEUED] * 2

    @pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no server that could hang up")
    def test_connection_that_broke_while_idle_is_replaced(self, fresh_recorder: Recorder) -> None:
        queued(fresh_recorder)
        own, end = {
            "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend(%s)"),
            "mysql": ("SELECT CONNECTION_ID()", "KILL %s"),
        }[connection.vendor]
        number = fresh_recorder.ask(lambda: answer(own), timeout=20)
        with connection.cursor() as cursor:
            cursor.execute(end, [number])
        assert the_run(queued(fresh_recorder)).status == Status.QUEUED

    def test_idle_connection_goes_back(
        self, fresh_recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording, "IDLE_CLOSE", 0.05)
        queued(fresh_recorder)
        wait_for(lambda: fresh_recorder.connection is None, message="the connection's return")
        assert the_run(queued(fresh_recorder)).status == Status.QUEUED

    @override_settings(SCHEDULED_TASKS={"OWN_CONNECTION": False})
    def test_without_a_connection_of_its_own(self, fresh_recorder: Recorder) -> None:
        assert the_run(queued(fresh_recorder)).status == Status.QUEUED
        wait_for(lambda: fresh_recorder.connection is None, message="the connection's return")

    def test_closes_after_what_waits_and_opens_again(self, fresh_recorder: Recorder) -> None:
        sent = [queued(fresh_recorder, wait=False) for _ in range(20)]
        fresh_recorder.close(timeout=30)
        assert TaskRun.objects.count() == len(sent)
        assert fresh_recorder.connection is None
        assert the_run(queued(fresh_recorder)).status == Status.QUEUED

    @override_settings(SCHEDULED_TASKS={"RECORD_WAIT": 0})
    def test_process_that_ends_waits_where_tasks_do_not(
        self, fresh_recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording, "_recorder", fresh_recorder)
        fresh_recorder.put(partial(time.sleep, 0.3), wait=True)
        sent = queued(fresh_recorder)
        recording.close()
        assert the_run(sent).status == Status.QUEUED

    def test_later_is_carried_out_once(self, fresh_recorder: Recorder) -> None:
        calls: list[float] = []
        for _ in range(10):
            fresh_recorder.later("a key", 0.05, lambda: calls.append(time.monotonic()))
        wait_for(lambda: calls)
        queued(fresh_recorder)
        assert len(calls) == 1

    def test_own_connection_is_not_the_callers(self, fresh_recorder: Recorder) -> None:
        queued(fresh_recorder)
        own = fresh_recorder.connection
        assert own is not connection
        assert own.settings_dict is not connection.settings_dict
        assert "pool" not in own.settings_dict["OPTIONS"]


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


def test_thread_that_cannot_start_is_tried_again(
    fresh_recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(recording.threading.Thread, "start", refuse)
        first = queued(fresh_recorder, wait=False)
    second = queued(fresh_recorder)
    wait_for(lambda: TaskRun.objects.count() == 2)
    assert {the_run(first).status, the_run(second).status} == {Status.QUEUED}


def no_more_threads(*args: object, **options: object) -> None:
    raise RuntimeError("can't start new thread at interpreter shutdown")


@pytest.mark.parametrize("failing", ["recorder", "thread", "router"])
def test_record_raises_nothing(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[None] = []
    monkeypatch.setattr(recording, "under_test", lambda: False)
    monkeypatch.setattr(recording, "_recorder", Recorder())
    if failing == "recorder":
        monkeypatch.setattr(recording.Recorder, "put", no_more_threads)
    elif failing == "thread":
        monkeypatch.setattr(recording.threading, "Thread", no_more_threads)
    else:
        monkeypatch.setattr(recording, "database", no_more_threads)
    recording.record(lambda: written.append(None), inline=None if failing == "router" else False)
    recording.later("a key", 0.0, lambda: written.append(None))
    assert not written


def test_soft_time_limit_goes_through_record() -> None:
    def strike() -> None:
        raise SoftTimeLimitExceeded

    with pytest.raises(SoftTimeLimitExceeded):
        recording.record(strike, inline=True)
