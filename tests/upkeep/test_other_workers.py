"""Tasks of workers that do not report here: of other code, of an older release, on another database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db.models import F

from scheduled_tasks.admin.row import TaskRow
from scheduled_tasks.models import Flag, Process, ProcessKind, ScheduledTask, Status, TaskRun, database_now
from scheduled_tasks.reading.health import problems
from scheduled_tasks.reading.listed_task import State
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.reading.tasks import listed_tasks, tasks
from scheduled_tasks.reasons import Code
from scheduled_tasks.upkeep import other_workers
from scheduled_tasks.upkeep.heartbeat import Heartbeat
from scheduled_tasks.upkeep.other_workers import FORGOTTEN_AFTER, OtherWorkers
from scheduled_tasks.upkeep.reaper import Reaper
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db

ABROAD = "abroad.tasks.send"
OTHER = ProcessKind.OTHER


def make_other(**values: Any) -> Process:
    return make_process(
        OTHER, **{"node": "other@host", "queues": ["abroad"], "task_names": [ABROAD]} | values
    )


class Broker:
    """Answers as workers do: by node name, their queues and tasks."""

    def __init__(self) -> None:
        self.workers: dict[str, tuple[list[str], list[str]]] = {}
        self.error: Exception | None = None
        self.asked = 0

    def ping(self, **_: object) -> list[dict[str, object]] | None:
        self.asked += 1
        if self.error:
            raise self.error
        return [{node: {"ok": "pong"}} for node in self.workers]

    def inspect(self, destination: list[str], **_: object) -> Any:
        told = {node: self.workers[node] for node in destination}
        queues = {node: [{"name": name} for name in names] for node, (names, _tasks) in told.items()}
        registered = {node: names for node, (_queues, names) in told.items()}
        return SimpleNamespace(active_queues=lambda: queues, registered=lambda: registered)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    @contextmanager
    def connect(**_: object) -> Iterator[None]:
        yield

    found = Broker()
    app = SimpleNamespace(control=found, connection_for_write=connect, tasks=["celery.backend_cleanup", "x"])
    monkeypatch.setattr(other_workers, "current_app", app)
    return found


def others() -> dict[str, tuple[list[str], list[str]]]:
    return {each.node: (each.queues, each.task_names) for each in Process.objects.filter(kind=OTHER)}


def test_who_answers_and_keeps_no_heartbeat_is_kept(broker: Broker) -> None:
    make_process(node="own@host")
    make_process(node="silent@host", silent=3600)
    make_task(task=ABROAD)
    answer = ["abroad"], ["abroad.tasks.limited [rate_limit=1/s]", ABROAD]
    broker.workers = {"own@host": answer, "silent@host": answer, "other@host": answer}
    OtherWorkers().turn()
    names = ["abroad.tasks.limited", ABROAD, "celery.backend_cleanup"]
    assert others() == {"other@host": (["abroad"], names)}


def test_what_no_database_keeps_hides_no_other_worker(broker: Broker) -> None:
    make_task(task=ABROAD)
    many = [f"abroad.{n}" for n in range(6000)]
    broker.workers = {
        "nul\0@host": ([], []),
        "odd@host": ([], None),
        "other@host": (["q\0"], ["x" * 999, *many]),
    }  # type: ignore[dict-item]
    OtherWorkers().turn()
    (queues, names) = others()["other@host"]
    assert [*others()] == ["other@host"]
    assert queues == ["q\ufffd"]
    assert max(map(len, names)) == 200
    assert len(names) == 5001


def test_one_with_other_code_takes_the_place_of_its_namesake(broker: Broker) -> None:
    make_task(task=ABROAD)
    broker.workers = {"other@host": (["abroad"], [ABROAD])}
    OtherWorkers().turn()
    (first,) = Process.objects.filter(kind=OTHER)
    OtherWorkers().turn()
    assert Process.objects.get(kind=OTHER).pk == first.pk
    broker.workers = {"other@host": (["abroad"], [])}
    OtherWorkers().turn()
    second = Process.objects.get(kind=OTHER)
    assert second.task_names == ["celery.backend_cleanup"]
    assert second.pk != first.pk  # by which the list has another version


@pytest.mark.parametrize(
    ("values", "is_asked"),
    [({}, False), ({"queue": "celery"}, False), ({"queue": "abroad"}, True), ({"task": ABROAD}, True)],
)
def test_nobody_is_asked_while_own_workers_have_all(
    broker: Broker, values: dict[str, str], is_asked: bool
) -> None:
    make_process(task_names=["tests.add"], queues=["celery"])
    make_task(**values)
    make_task("disabled", task=ABROAD, enabled=False)
    OtherWorkers().turn()
    assert bool(broker.asked) is is_asked


def test_who_no_longer_answers_is_forgotten(broker: Broker) -> None:
    make_task(task=ABROAD)
    make_other(silent=FORGOTTEN_AFTER.total_seconds() - 30, node="busy@host")
    make_other(silent=FORGOTTEN_AFTER.total_seconds() + 30, node="gone@host")
    broker.error = OSError("no broker")
    OtherWorkers().turn()
    assert [*others()] == ["busy@host"]


def test_who_keeps_a_heartbeat_by_now_is_no_other(broker: Broker) -> None:
    make_process(node="new@host")
    make_other(node="new@host")
    make_other(node="old@host")
    OtherWorkers().turn()
    assert [*others()] == ["old@host"]


def test_asks_only_now_and_then(broker: Broker) -> None:
    make_task(task=ABROAD)
    asking = OtherWorkers()
    asking.turn()
    asking.turn()
    assert broker.asked == 1


def listed(machinery: Machinery) -> Any:
    (found,) = listed_tasks(tasks(), machinery)
    return found


def test_task_that_only_others_have_is_not_broken() -> None:
    make_process(ProcessKind.BEAT)
    make_process(task_names=["tests.add"])
    make_task(task=ABROAD, queue="abroad")
    before = listed(Machinery.read())
    assert (before.word, before.is_broken) == (State.BROKEN, True)
    assert [problem.code for problem in problems(Machinery.read())] == ["queue"]
    make_other()
    machinery = Machinery.read()
    after = listed(machinery)
    assert (after.word, after.is_broken, after.next_run_at is None) == (State.IDLE, False, False)
    assert after.key != before.key
    assert [badge[0] for badge in TaskRow(after).badges] == ["Recorded elsewhere"]
    assert problems(machinery) == []
    assert not ScheduledTask.objects.flagged(Flag.BROKEN, machinery.now, machinery.known_tasks)


def test_task_of_which_one_of_ours_may_take_the_message_has_no_such_badge() -> None:
    make_other(queues=["celery"], task_names=["tests.add"])
    make_process(task_names=["tests.add"], queues=["celery"])
    task = make_task(queue="celery")
    assert not TaskRow(listed(Machinery.read())).badges
    ScheduledTask.objects.filter(pk=task.pk).update(queue="abroad")  # which only the other one might read
    Process.objects.filter(kind=OTHER).update(queues=["abroad"])
    assert TaskRow(listed(Machinery.read())).badges


def test_health_tells_that_no_worker_reports() -> None:
    make_process(ProcessKind.BEAT)
    make_other()
    make_task(task=ABROAD)
    (problem,) = problems(Machinery.read())
    assert problem.code == "others"
    assert "other@host" in problem.cause


class Backend:
    def __init__(self) -> None:
        self.metas: dict[str, dict[str, object]] = {}

    def as_uri(self) -> str:
        return "test://"

    def get_task_meta(self, celery_id: str, cache: bool = True) -> dict[str, object]:
        return self.metas.get(celery_id, {"status": "PENDING", "result": None})


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def reaper(backend: Backend) -> Reaper:
    """In a beat that has just started: it judges nobody, and says that no run is open."""
    heartbeat = Heartbeat(ProcessKind.BEAT, "beat@host")
    heartbeat.beat()
    return Reaper(heartbeat, SimpleNamespace(backend=backend), idle=lambda: not TaskRun.objects.open())


def sent(task: Any, **values: Any) -> TaskRun:
    return make_run(task, Status.QUEUED, sent_at=database_now(), **values)


def test_run_that_only_others_can_take_is_recorded_elsewhere(reaper: Reaper) -> None:
    make_other()
    run = sent(make_task(task=ABROAD, queue="abroad"))
    unsent = make_run(make_task("unsent", task=ABROAD, queue="abroad"), Status.QUEUED)
    shared = sent(make_task("shared", task=ABROAD, queue="celery"))  # which the other one does not read
    reaper.turn()
    for each in (run, unsent, shared):
        each.refresh_from_db()
    assert (run.status, run.reason, run.is_open) == (Status.ELSEWHERE, Code.RUN_ELSEWHERE, False)
    assert [unsent.status, shared.status] == [Status.QUEUED] * 2


def test_run_that_one_of_ours_may_have_taken_waits_until_it_expires(reaper: Reaper) -> None:
    make_other(task_names=["tests.add"])
    own = make_process(queues=["abroad"], task_names=["tests.add"], silent=3600)
    run = sent(make_task(queue="abroad"))
    reaper.turn()
    run.refresh_from_db()
    assert run.status == Status.QUEUED
    TaskRun.objects.update(expires_at=F("queued_at") - timedelta(hours=1))
    reaper._heartbeat.writing_since = time.monotonic() - 3600
    Process.objects.filter(pk=own.pk).update(last_seen_at=database_now())
    reaper.turn()
    run.refresh_from_db()
    assert (run.status, run.reason) == (Status.ELSEWHERE, Code.MAYBE_ELSEWHERE)


def test_run_that_a_later_one_has_overtaken_was_taken_elsewhere(reaper: Reaper) -> None:
    make_other(task_names=["tests.add"])
    make_process(queues=["abroad"], task_names=["tests.add"])
    task = make_task(queue="abroad")
    first, second = sent(task), sent(task)
    make_run(make_task("next to it", queue="abroad"), Status.RUNNING)
    reaper.turn()
    assert TaskRun.objects.filter(status=Status.QUEUED).count() == 2
    make_run(task, Status.RUNNING)
    reaper.turn()
    for run in (first, second):
        run.refresh_from_db()
        assert (run.status, run.reason) == (Status.ELSEWHERE, Code.MAYBE_ELSEWHERE)


def test_backend_is_asked_for_a_while(reaper: Reaper, backend: Backend) -> None:
    make_other()
    run = sent(make_task(task=ABROAD, queue="abroad"))
    reaper.turn()
    run.refresh_from_db()
    assert run.status == Status.ELSEWHERE
    backend.metas[run.celery_id or ""] = {"status": "SUCCESS", "result": 5}
    reaper.turn()
    run.refresh_from_db()
    assert (run.status, run.reason) == (Status.SUCCEEDED, Code.TOLD_BY_BACKEND)
    assert not reaper._elsewhere


OUTCOMES = [
    ([Status.EXPIRED, Status.EXPIRED, Status.ELSEWHERE], 0, False),
    ([Status.ELSEWHERE, Status.FAILED], 1, True),
    ([Status.FAILED, Status.ELSEWHERE, Status.FAILED], 1, True),
    ([Status.SUCCEEDED, Status.ELSEWHERE], 0, False),
]


@pytest.mark.parametrize(("statuses", "streak", "is_failing"), OUTCOMES)
def test_run_recorded_elsewhere_is_no_failure(
    statuses: list[Status], streak: int, is_failing: bool, settings: Any
) -> None:
    make_process()
    task = make_task()
    for status in statuses:
        make_run(task, status)
    found = listed(Machinery.read())
    assert (found.streak, found.has(Flag.FAILING)) == (streak, is_failing)
    assert found.outcome.status == statuses[-1]


@pytest.fixture
def make_row() -> Callable[[Status], TaskRow]:
    def make(status: Status) -> TaskRow:
        make_process()
        make_run(make_task(), status)
        return TaskRow(listed(Machinery.read()))

    return make


def test_row_tells_it_without_alarm(make_row: Callable[[Status], TaskRow]) -> None:
    row = make_row(Status.ELSEWHERE)
    assert (row.status.word, row.status.tone, row.state_label) == ("Recorded elsewhere", "off", "Active")
