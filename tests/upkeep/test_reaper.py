"""No run stays open without somebody to end it, and nobody alive is taken for dead."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery.backends.base import DisabledBackend
from django.core.management import call_command
from django.db import InternalError, OperationalError, connection
from django.db.models import F

from example_project.celery import app
from scheduled_tasks import operations
from scheduled_tasks.models import Process, ProcessKind, Status, TaskRun, Trigger, database_now
from scheduled_tasks.operations import publishing
from scheduled_tasks.reasons import Code
from scheduled_tasks.recording import endings, replaced, statements
from scheduled_tasks.recording.header import Header
from scheduled_tasks.recording.recorder import Unanswered
from scheduled_tasks.upkeep import reaper as reaping
from scheduled_tasks.upkeep.heartbeat import STALE_AFTER, Heartbeat
from scheduled_tasks.upkeep.reaper import REPLACED_AFTER, Reaper
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


class Backend:
    """A result backend that knows what it is told; ``error`` makes it unreachable."""

    def __init__(self) -> None:
        self.metas: dict[str, dict[str, object]] = {}
        self.error: Exception | None = None

    def as_uri(self) -> str:
        return "test://"

    def get_task_meta(self, celery_id: str, cache: bool = True) -> dict[str, object]:
        if self.error is not None:
            raise self.error
        return self.metas.get(celery_id, {"status": "PENDING", "result": None})


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def reaper(backend: Backend) -> Reaper:
    """A reaper in a worker that has been writing for long and runs nothing itself."""
    heartbeat = worker("me@host")
    found = Reaper(heartbeat, SimpleNamespace(backend=backend), active=set)
    written_for(heartbeat, HOUR)
    return found


def written_for(heartbeat: Heartbeat, span: timedelta) -> None:
    """As if the database had taken the heartbeats for so long."""
    heartbeat.writing_since = time.monotonic() - span.total_seconds()


def worker(node: str, *, silent: timedelta = timedelta(0)) -> Heartbeat:
    heartbeat = Heartbeat(ProcessKind.WORKER, node)
    heartbeat.beat()
    Process.objects.filter(pk=heartbeat.boot_id).update(last_seen_at=F("last_seen_at") - silent)
    return heartbeat


def running(of: Heartbeat | str) -> statements.Attempt:
    boot_id = of if isinstance(of, str) else of.boot_id
    message = statements.Message(celery_id=uuid4().hex, header=Header(name="a job"))
    attempt = statements.Attempt(message=message, worker="w@host", process_id=boot_id, pid=7)
    statements.start(attempt)
    return attempt


def the_run(of: statements.Attempt | statements.Message) -> TaskRun:
    message = of.message if isinstance(of, statements.Attempt) else of
    return TaskRun.objects.get(celery_id=message.celery_id)


def test_run_of_a_silent_worker_is_lost(reaper: Reaper) -> None:
    silent, alive = running(worker("a@host", silent=HOUR)), running(worker("b@host", silent=STALE_AFTER / 2))
    reaper.turn()
    run = the_run(silent)
    assert (run.status, run.reason, run.is_open) == (Status.LOST, Code.WORKER_SILENT, False)
    assert the_run(alive).status == Status.RUNNING


def test_run_of_a_worker_that_stopped_is_lost(reaper: Reaper) -> None:
    stopped = worker("a@host")
    left = running(stopped)
    stopped.stop()
    reaper.turn()
    assert the_run(left).status == Status.LOST


def test_namesake_that_was_replaced_is_lost_sooner(reaper: Reaper) -> None:
    silent = REPLACED_AFTER * 1.5
    replaced, other = running(worker("me@host", silent=silent)), running(worker("b@host", silent=silent))
    namesake = running(worker("me@host"))
    reaper.turn()
    assert the_run(replaced).status == Status.LOST
    assert [the_run(other).status, the_run(namesake).status] == [Status.RUNNING] * 2


def test_late_end_corrects_what_was_taken_for_lost(reaper: Reaper) -> None:
    paused = running(worker("a@host", silent=HOUR))
    reaper.turn()
    statements.end(paused, statements.Ending(status=Status.SUCCEEDED))
    run = the_run(paused)
    assert run.status == Status.SUCCEEDED


def test_nobody_is_dead_because_the_database_was(reaper: Reaper, monkeypatch: pytest.MonkeyPatch) -> None:
    others = running(worker("a@host", silent=HOUR))

    def gone(*args: object) -> None:
        raise Unanswered("gone")

    with monkeypatch.context() as outage:
        outage.setattr(reaping, "ask", gone)
        reaper.turn()
    heartbeat = reaper._heartbeat
    heartbeat._written_at -= 60  # nothing could be written meanwhile
    heartbeat.beat()
    reaper.turn()
    assert the_run(others).status == Status.RUNNING
    written_for(heartbeat, STALE_AFTER)
    reaper.turn()
    assert the_run(others).status == Status.LOST


READ_ONLY = [
    OperationalError("read-only"),
    InternalError("cannot execute UPDATE in a read-only transaction"),
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", READ_ONLY, ids=repr)
def test_who_cannot_write_judges_nobody(
    error: Exception, reaper: Reaper, monkeypatch: pytest.MonkeyPatch, backend: Backend
) -> None:
    """The database can be read all the while, and every process looks silent."""
    mine = running(reaper._heartbeat)
    others = running(worker("a@host", silent=HOUR))
    heartbeat = reaper._heartbeat

    def refused(execute: Callable[..., object], sql: str, *args: Any) -> object:
        if "UPDATE" in sql or "INSERT" in sql:
            raise error
        return execute(sql, *args)

    with connection.execute_wrapper(refused):
        heartbeat._written_at -= 75
        for _ in range(3):
            heartbeat.beat()
            reaper.turn()
    for seconds in (0, 10, 59):
        heartbeat.beat()
        if seconds:
            written_for(heartbeat, timedelta(seconds=seconds))
        reaper.turn()
        assert the_run(others).status == Status.RUNNING
    assert the_run(mine).status == Status.LOST  # twice missing, and its own process writes again
    written_for(heartbeat, STALE_AFTER)
    reaper.turn()
    assert the_run(others).status == Status.LOST


def test_who_has_not_written_yet_judges_nobody(backend: Backend) -> None:
    others = running(worker("a@host", silent=HOUR))
    heartbeat = Heartbeat(ProcessKind.WORKER, "me@host")
    reaper = Reaper(heartbeat, SimpleNamespace(backend=backend), active=set)
    reaper.turn()
    heartbeat.beat()
    reaper.turn()
    assert the_run(others).status == Status.RUNNING


def test_conclusion_that_waited_for_the_database_is_void(
    reaper: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[Callable[[Any], None]] = []
    monkeypatch.setattr(reaping, "record", lambda write, **options: waiting.append(write))
    others = running(worker("a@host", silent=HOUR))
    reaper.turn()
    monkeypatch.setattr(reaping, "FRESH", -1)
    for write in waiting:
        write()
    assert the_run(others).status == Status.RUNNING


def test_answer_that_comes_too_late_changes_nothing(reaper: Reaper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs were locked: the question is answered when nobody waits for it any more."""
    questions: list[Callable[[Any], Any]] = []

    def late(question: Callable[[Any], Any], timeout: float) -> Any:
        questions.append(question)
        raise Unanswered("locked")

    mine, others = running(reaper._heartbeat), running(worker("a@host", silent=HOUR))
    with monkeypatch.context() as lock:
        lock.setattr(reaping, "ask", late)
        for _ in range(6):
            reaper.turn()
        for question in questions:
            question()
    assert [the_run(mine).status, the_run(others).status] == [Status.RUNNING] * 2
    reaper.turn()
    assert [the_run(mine).status, the_run(others).status] == [Status.RUNNING, Status.LOST]
    reaper.turn()
    assert the_run(mine).status == Status.LOST


def test_nobody_is_dead_because_this_process_slept(reaper: Reaper) -> None:
    others = running(worker("a@host", silent=HOUR))
    reaper._heartbeat._written_at -= 3600
    reaper.turn()
    reaper._heartbeat.beat()
    reaper.turn()
    assert the_run(others).status == Status.RUNNING


def test_process_that_slept_brings_its_runs_back_to_life(backend: Backend) -> None:
    heartbeat = worker("me@host")
    mine, gone = running(heartbeat), running(heartbeat)
    TaskRun.objects.update(status=Status.LOST, open_since=None, reason=Code.WORKER_SILENT)
    Reaper(heartbeat, SimpleNamespace(backend=backend), active=lambda: {mine.message.celery_id}).turn()
    run = the_run(mine)
    assert (run.status, run.reason, run.is_open) == (Status.RUNNING, "", True)
    assert the_run(gone).status == Status.LOST


def test_run_that_its_worker_no_longer_runs(backend: Backend) -> None:
    heartbeat = worker("me@host")
    active, left = running(heartbeat), running(heartbeat)
    reaper = Reaper(heartbeat, SimpleNamespace(backend=backend), active=lambda: {active.message.celery_id})
    written_for(heartbeat, HOUR)
    reaper.turn()
    assert the_run(left).status == Status.RUNNING  # its end may just be under way
    reaper.turn()
    assert (the_run(left).status, the_run(left).reason) == (Status.LOST, Code.NOT_REPORTED)
    assert the_run(active).status == Status.RUNNING


@pytest.mark.parametrize(
    ("meta", "status"),
    [
        ({"status": "SUCCESS", "result": {"rows": 2}}, Status.SUCCEEDED),
        ({"status": "FAILURE", "result": ValueError("no"), "traceback": "Traceback"}, Status.FAILED),
        ({"status": "FAILURE", "result": WorkerLostError("signal 9")}, Status.LOST),
        ({"status": "FAILURE", "result": TimeLimitExceeded(9)}, Status.TIMED_OUT),
        ({"status": "REVOKED", "result": None}, Status.CANCELLED),
        ({"status": "RETRY", "result": ValueError("a worker that shut down")}, Status.LOST),
        ({"status": "STARTED", "result": {}}, Status.LOST),
        ({"status": "FAILURE", "result": "not an exception"}, Status.LOST),
    ],
    ids=lambda value: value["status"] if isinstance(value, dict) else str(value),
)
def test_result_backend_is_asked_first(
    meta: dict[str, object], status: Status, reaper: Reaper, backend: Backend
) -> None:
    left = running(worker("a@host", silent=HOUR))
    backend.metas[left.message.celery_id] = meta
    reaper.turn()
    run = the_run(left)
    assert run.status == status
    if status == Status.SUCCEEDED:
        assert run.summary_data == {"rows": 2}
    if status == Status.FAILED:
        assert (run.error_type, run.error, run.traceback) == ("ValueError", "no", "Traceback")


TRUE_END = statements.Ending(
    status=Status.FAILED, error_type="ValueError", error="in full", log="a line", progress='{"done": 1}'
)


@pytest.mark.parametrize("result", [5, ValueError("in short"), SoftTimeLimitExceeded()], ids=repr)
def test_attempts_own_end_replaces_what_the_backend_knew(
    result: object, reaper: Reaper, backend: Backend
) -> None:
    left = running(worker("a@host", silent=HOUR))
    state = "FAILURE" if isinstance(result, Exception) else "SUCCESS"
    backend.metas[left.message.celery_id] = {"status": state, "result": result}
    reaper.turn()
    assert (the_run(left).reason, the_run(left).is_open) == (Code.TOLD_BY_BACKEND, False)
    statements.end(left, TRUE_END)
    assert_true_end(the_run(left))
    assert the_run(left).attempts == 1
    # And that is final.
    statements.end(left, statements.Ending(status=Status.SUCCEEDED))
    conclude_from_backend(the_run(left))
    assert_true_end(the_run(left))


def assert_true_end(run: TaskRun) -> None:
    kept = (run.status, run.error_type, run.error, run.log, run.progress, run.reason)
    assert kept == (Status.FAILED, "ValueError", "in full", "a line", '{"done": 1}', "")


def conclude_from_backend(run: TaskRun) -> None:
    """As a process does that saw the run while it was still running."""
    suspect = reaping.Suspect(run.celery_id, run.token, Status.RUNNING)
    ending = endings.of_result({"status": "SUCCESS", "result": None}, at=time.monotonic())
    reaping.conclude(suspect, ending)


def test_end_of_another_attempt_does_not_replace_what_the_backend_knew(
    reaper: Reaper, backend: Backend
) -> None:
    left = running(worker("a@host", silent=HOUR))
    backend.metas[left.message.celery_id] = {"status": "SUCCESS", "result": 5}
    reaper.turn()
    other = statements.Attempt(message=left.message, worker="w@host", process_id="boot", pid=8)
    statements.end(other, TRUE_END)
    run = the_run(left)
    assert (run.status, run.summary_data, run.error, run.reason) == (
        Status.SUCCEEDED,
        "5",
        "",
        Code.REPEATED,
    )


def test_end_that_comes_with_its_start_replaces_what_the_backend_knew(
    reaper: Reaper, backend: Backend
) -> None:
    late = queued(expires_in=-HOUR)
    backend.metas[late.celery_id] = {"status": "SUCCESS", "result": 5}
    reaper.turn()
    attempt = statements.Attempt(message=late, worker="w@host", process_id="boot", pid=7)
    statements.end(attempt, TRUE_END)
    run = the_run(late)
    assert_true_end(run)
    assert (run.attempts, run.worker, run.started_at is not None) == (1, "w@host", True)


@pytest.mark.parametrize(
    "meta",
    [{"status": "FAILURE", "result": TimeLimitExceeded(9)}, {"status": "REVOKED", "result": None}],
    ids=["time limit", "cancelled"],
)
def test_end_that_the_main_process_stored_is_final(
    meta: dict[str, object], reaper: Reaper, backend: Backend
) -> None:
    left = running(worker("a@host", silent=HOUR))
    backend.metas[left.message.celery_id] = meta
    reaper.turn()
    concluded = the_run(left).status
    statements.end(left, TRUE_END)
    assert (the_run(left).status, the_run(left).log) == (concluded, "")


def test_end_that_the_backend_knows_keeps_its_time(reaper: Reaper, backend: Backend) -> None:
    left = running(worker("a@host", silent=HOUR))
    TaskRun.objects.update(started_at=F("started_at") - HOUR)
    done = the_run(left).started_at + timedelta(minutes=10)
    backend.metas[left.message.celery_id] = {"status": "SUCCESS", "result": 1, "date_done": done.isoformat()}
    reaper.turn()
    assert the_run(left).duration == pytest.approx(timedelta(minutes=10), abs=timedelta(seconds=5))


def test_backend_that_is_away_delays_the_conclusion(
    reaper: Reaper, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = running(worker("a@host", silent=HOUR))
    backend.error = ConnectionError("refused")
    reaper.turn()
    assert the_run(left).status == Status.RUNNING
    monkeypatch.setattr(reaping, "BACKEND_PATIENCE", 0)
    reaper.turn()
    assert the_run(left).status == Status.LOST


def test_without_a_result_backend(reaper: Reaper) -> None:
    reaper._app = SimpleNamespace(backend=DisabledBackend(app=app))
    left = running(worker("a@host", silent=HOUR))
    reaper.turn()
    assert the_run(left).status == Status.LOST


def queued(*, expires_in: timedelta | None) -> statements.Message:
    message = statements.Message(celery_id=uuid4().hex, header=Header(name="a job"))
    statements.queue(message, at=time.monotonic())
    if expires_in is not None:
        TaskRun.objects.filter(celery_id=message.celery_id).update(expires_at=F("queued_at") + expires_in)
    return message


def test_message_that_no_worker_took_expires(reaper: Reaper) -> None:
    late, soon, never = queued(expires_in=-HOUR), queued(expires_in=HOUR), queued(expires_in=None)
    reaper.turn()
    assert (the_run(late).status, the_run(late).is_open) == (Status.EXPIRED, False)
    assert the_run(late).reason == Code.UNREPORTED
    assert [the_run(soon).status, the_run(never).status] == [Status.QUEUED] * 2


def test_no_run_waits_for_ever(reaper: Reaper) -> None:
    never, retried = queued(expires_in=None), queued(expires_in=None)
    TaskRun.objects.filter(celery_id=retried.celery_id).update(status=Status.RETRYING, attempts=2)
    TaskRun.objects.update(open_since=F("open_since") - 2 * reaping.NEVER_TAKEN_AFTER, sent_at=F("queued_at"))
    waiting, soon = queued(expires_in=None), queued(expires_in=None)
    TaskRun.objects.filter(celery_id=waiting.celery_id).update(
        status=Status.WAITING, open_since=F("open_since") - 2 * reaping.NEVER_TAKEN_AFTER
    )
    reaper.turn()
    assert [the_run(each).status for each in (never, retried)] == [Status.EXPIRED] * 2
    assert [the_run(each).status for each in (waiting, soon)] == [Status.WAITING, Status.QUEUED]


def unsent(**fields: Any) -> TaskRun:
    """As a web process leaves it that died before it sent the message."""
    run = make_run(make_task(uuid4().hex), Status.QUEUED, ago=600)
    TaskRun.objects.filter(pk=run.pk).update(**fields)
    return run


def test_run_whose_message_was_never_sent_is_closed_within_minutes(reaper: Reaper) -> None:
    dead = [unsent(trigger=trigger) for trigger in (Trigger.MANUAL, Trigger.RETRY, Trigger.COMMAND)]
    others = [unsent(sent_at=F("queued_at")), unsent(tick="1@x"), unsent(open_since=database_now())]
    reaper.turn()
    for run in (*dead, *others):
        run.refresh_from_db()
    assert [(run.status, run.reason, run.is_open) for run in dead] == [
        (Status.MISSED, Code.NEVER_SENT, False)
    ] * 3
    assert [run.status for run in others] == [Status.QUEUED] * 3
    # The message had left all the same: its start is true.
    header = Header(name=dead[0].name, task=dead[0].task_id)
    message = statements.Message(celery_id=dead[0].celery_id, header=header)
    attempt = statements.Attempt(message=message, worker="w@host", process_id="boot", pid=7)
    statements.start(attempt)
    assert the_run(attempt).status == Status.RUNNING


def test_run_that_was_never_sent_blocks_nothing(reaper: Reaper, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*args: object) -> None:
        raise SystemExit

    task = make_task()
    actor = operations.Actor("anna", lambda task, text: None)
    monkeypatch.setattr(publishing, "send", dies)
    with pytest.raises(SystemExit):
        operations.run_now(task.pk, actor=actor, celery_id="first")
    TaskRun.objects.update(open_since=F("open_since") - 2 * reaping.UNSENT_AFTER)
    reaper.turn()
    monkeypatch.setattr(publishing, "send", lambda *args: None)
    assert operations.run_now(task.pk, actor=actor, celery_id="second").status == Status.QUEUED


def test_message_that_was_taken_although_nobody_could_record_it(reaper: Reaper, backend: Backend) -> None:
    late = queued(expires_in=-HOUR)
    backend.metas[late.celery_id] = {"status": "SUCCESS", "result": 5}
    reaper.turn()
    assert (the_run(late).status, the_run(late).summary_data) == (Status.SUCCEEDED, "5")


def test_run_whose_process_nobody_knows(reaper: Reaper) -> None:
    old, young = running("unknown"), running("unknown")
    TaskRun.objects.filter(celery_id=old.message.celery_id).update(open_since=F("open_since") - 2 * HOUR)
    reaper.turn()
    assert [the_run(old).status, the_run(young).status] == [Status.LOST, Status.RUNNING]


def handed_on(*, ago: timedelta = timedelta(0)) -> statements.Attempt:
    attempt = running(worker("a@host"))
    replaced.hand_on(attempt, log="a line", progress="")
    TaskRun.objects.filter(celery_id=attempt.message.celery_id).update(
        open_since=F("open_since") - ago, expires_at=F("queued_at") - HOUR
    )
    return attempt


def test_run_that_was_handed_on_neither_expires_nor_is_lost(reaper: Reaper) -> None:
    run = handed_on(ago=20 * HOUR)
    reaper.turn()
    assert (the_run(run).status, the_run(run).is_open, the_run(run).log) == (Status.RUNNING, True, "a line")


def test_run_that_was_handed_on_is_lost_with_the_process_that_goes_on_with_it(reaper: Reaper) -> None:
    run = handed_on()
    silent = worker("b@host", silent=HOUR)
    params = {"celery_id": run.message.celery_id, "worker": "b@host", "process_id": silent.boot_id, "pid": 8}
    replaced.join(params)
    reaper.turn()
    assert the_run(run).status == Status.LOST


def test_run_that_was_handed_on_ends_as_the_backend_says(reaper: Reaper, backend: Backend) -> None:
    run = handed_on()
    error = ValueError("of a member")
    backend.metas[run.message.celery_id] = {"status": "FAILURE", "result": error}
    reaper.turn()
    assert (the_run(run).status, the_run(run).error) == (Status.FAILED, "of a member")


def test_run_that_was_handed_on_to_nobody_does_not_stay_for_ever(reaper: Reaper) -> None:
    run = handed_on(ago=25 * HOUR)
    reaper.turn()
    assert the_run(run).status == Status.LOST


def test_worker_hears_of_runs_that_were_cancelled(backend: Backend) -> None:
    cancelled, long_ago, started = queued(expires_in=None), queued(expires_in=None), running(worker("a@host"))
    TaskRun.objects.update(status=Status.CANCELLED, open_since=None, finished_at=F("queued_at"))
    TaskRun.objects.filter(celery_id=long_ago.celery_id).update(finished_at=F("queued_at") - 48 * HOUR)
    heard: list[str] = []
    Reaper(worker("me@host"), SimpleNamespace(backend=backend), on_cancelled=heard.extend).turn()
    assert heard == [started.message.celery_id, cancelled.celery_id]


def test_whoever_knows_that_no_run_is_open_does_not_ask(
    backend: Backend, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    idle = True
    heartbeat = worker("beat@host")
    reaper = Reaper(heartbeat, SimpleNamespace(backend=backend), idle=lambda: idle)
    abandoned = running(worker("a@host", silent=HOUR))
    written_for(heartbeat, HOUR)
    with django_assert_num_queries(0):
        reaper.turn()
    idle = False
    reaper.turn()
    assert the_run(abandoned).status == Status.LOST


@pytest.mark.parametrize("change", [lambda run: {"token": "new"}, lambda run: {"status": Status.SUCCEEDED}])
def test_run_that_moved_on_meanwhile_is_left_alone(
    change: Callable[[TaskRun], dict[str, object]], reaper: Reaper, backend: Backend
) -> None:
    left = running(worker("a@host", silent=HOUR))
    run = the_run(left)

    def moved_on(celery_id: str, cache: bool = True) -> dict[str, object]:
        TaskRun.objects.filter(pk=run.pk).update(**change(run))
        return {"status": "PENDING"}

    backend.get_task_meta = moved_on
    reaper.turn()
    assert the_run(left).status != Status.LOST


def test_command_for_cron() -> None:
    out = StringIO()
    call_command("close_abandoned_runs", "--wait=0", stdout=out)
    silent, alive = running(worker("a@host", silent=HOUR)), running(worker("b@host"))
    late = queued(expires_in=-HOUR)
    call_command("close_abandoned_runs", "--wait=0", stdout=out)
    assert out.getvalue() == "0 runs closed.\n2 runs closed.\n"
    assert the_run(silent).status == Status.LOST
    assert the_run(alive).status == Status.RUNNING
    assert the_run(late).status == Status.EXPIRED


def test_worker_that_speaks_up_while_the_command_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = worker("a@host", silent=HOUR)
    attempt = running(slow)
    monkeypatch.setattr(reaping.time, "sleep", lambda seconds: slow.beat())
    assert reaping.close_abandoned(app) == 0
    assert the_run(attempt).status == Status.RUNNING
