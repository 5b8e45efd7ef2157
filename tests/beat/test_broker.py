"""How a claimed run leaves: through Celery's own scheduler; and what is known when that fails."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery, Task, states
from celery.beat import Scheduler as CeleryScheduler
from celery.result import AsyncResult, EagerResult
from celery.signals import before_task_publish
from kombu.exceptions import OperationalError
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from scheduled_tasks.beat import Scheduler, broker
from scheduled_tasks.beat.broker import Broker, BrokerUnreachable, NotPublished, OutcomeUnknown
from scheduled_tasks.beat.pending_runs import PendingRun
from scheduled_tasks.models import ScheduledTask, TaskRun
from scheduled_tasks.operations.publishing import Message
from scheduled_tasks.recording import Header

from .harness import START, Beat, TestClock

pytestmark = pytest.mark.django_db

LATER = START + timedelta(days=36_500)


class Padded(Task):
    """A project's own way to send."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        return super().apply_async((*args, "padding"), kwargs, **options)


class Single(Task):
    """A project's own way to send, which finds the task under way elsewhere."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        return AsyncResult("the-one-under-way")


class Once(Task):
    """celery-once's way to say that it found the task queued already."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        return EagerResult(None, None, states.REJECTED)


class Headless(Task):
    """A project's own way to send, which drops the headers."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> None:
        super().apply_async(args, kwargs, **{**options, "headers": {}})


class OwnId(Task):
    """A project's own way to send, which names its messages itself."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        super().apply_async(args, kwargs, **{**options, "task_id": "its-own"})


class SendingBeat(Beat):
    publish = Scheduler.publish


@pytest.fixture
def sent() -> Iterator[list[dict[str, Any]]]:
    """The headers and bodies of what is published."""
    found: list[dict[str, Any]] = []

    def note(headers: dict[str, Any], body: Any, **_: Any) -> None:
        found.append({**headers, "body": body[:2]})

    before_task_publish.connect(note)
    yield found
    before_task_publish.disconnect(note)


@pytest.fixture
def instrumented() -> Iterator[None]:
    """OpenTelemetry's own instrumentation of Celery."""
    instrumentor = CeleryInstrumentor()
    instrumentor.instrument(tracer_provider=TracerProvider())
    yield
    instrumentor.uninstrument()


@pytest.fixture(autouse=True)
def brokers_of_the_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names another one, which would win."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)


@pytest.fixture
def beat() -> SendingBeat:
    """A beat that leads, with a broker in this process."""
    app = Celery("project", broker="memory://", set_as_current=False)
    bases = {"stock": Task, "padded": Padded, "single": Single, "once": Once}
    bases |= {"own_id": OwnId, "headless": Headless}
    for name, base in bases.items():
        app.task(name=name, base=base)(_job)
    beat = SendingBeat(TestClock())
    beat.app, beat.broker = app, Broker(app)
    assert beat.lease.take()
    return beat


def _job(*args: Any, **kwargs: Any) -> None: ...


def pending(task: str, args: Any = (), kwargs: Any = None) -> PendingRun:
    row = ScheduledTask(pk=1, name="job", task=task)
    message = Message(args=list(args), kwargs=kwargs or {}, headers={})
    return PendingRun(row, message, LATER, LATER, following=None, held=TaskRun(celery_id="an-id"))


@pytest.mark.parametrize("task", ["stock", "unknown here"])
@pytest.mark.parametrize(("args", "kwargs"), [([], {}), ([1], {}), (["x" * 5000, None], {"a": [1.5]})])
def test_a_message_is_the_one_celery_itself_sends(
    beat: SendingBeat, sent: list[dict[str, Any]], task: str, args: list[Any], kwargs: dict[str, Any]
) -> None:
    beat.app.send_task(task, args=args, kwargs=kwargs)
    beat.publish(pending(task, args, kwargs))
    by_celery, by_beat = ({name: each[name] for name in ("argsrepr", "kwargsrepr", "body")} for each in sent)
    assert by_beat == by_celery
    assert (sent[1]["id"], sent[1]["celery_beat_task"]) == ("an-id", True)


def test_a_task_sends_its_own_way(beat: SendingBeat, sent: list[dict[str, Any]]) -> None:
    beat.publish(pending("padded", [1]))
    assert [each["body"] for each in sent] == [((1, "padding"), {})]


def test_hooks_of_celerys_scheduler_see_every_run(
    beat: SendingBeat, sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_entry = CeleryScheduler.apply_entry

    def hook(self: Any, entry: Any, producer: Any = None) -> None:
        entry.options["headers"]["traced"] = entry.name
        apply_entry(self, entry, producer=producer)

    monkeypatch.setattr(CeleryScheduler, "apply_entry", hook)
    beat.publish(pending("stock"))
    assert [each["traced"] for each in sent] == ["job"]


def test_a_message_carries_the_headers_of_opentelemetry(
    instrumented: None, beat: SendingBeat, sent: list[dict[str, Any]]
) -> None:
    beat.publish(pending("stock"))
    assert [each["traceparent"].count("-") for each in sent] == [3]


def test_a_hook_that_raises_before_it_sends_is_no_reason_to_try_for_ever(
    beat: SendingBeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hook(self: Any, entry: Any, producer: Any = None) -> None:
        raise RuntimeError("a fault of the hook")

    monkeypatch.setattr(CeleryScheduler, "apply_entry", hook)
    with pytest.raises(NotPublished, match="a fault of the hook"):
        beat.publish(pending("stock"))


def test_a_hook_that_raises_after_it_sent_changes_nothing(
    beat: SendingBeat, sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_entry = CeleryScheduler.apply_entry

    def hook(self: Any, entry: Any, producer: Any = None) -> None:
        apply_entry(self, entry, producer=producer)
        raise RuntimeError("a fault of the hook")

    monkeypatch.setattr(CeleryScheduler, "apply_entry", hook)
    beat.publish(pending("stock"))
    assert [each["id"] for each in sent] == ["an-id"]


@pytest.mark.parametrize("task", ["single", "once", "own_id"])
def test_a_task_that_sends_nothing_under_the_runs_id_is_told_at_once(beat: SendingBeat, task: str) -> None:
    with pytest.raises(NotPublished, match="with the ID of this run"):
        beat.publish(pending(task))


def test_headers_that_a_task_drops_are_put_back(beat: SendingBeat, sent: list[dict[str, Any]]) -> None:
    run = pending("headless")
    beat.publish(run)
    assert Header.of(sent[0], "an-id") == run.header


def test_a_task_that_runs_instead_of_being_sent_is_no_failure(beat: SendingBeat) -> None:
    beat.app.conf.task_always_eager = True
    beat.publish(pending("stock"))


def test_a_message_that_cannot_be_written_is_not_sent(beat: SendingBeat) -> None:
    with pytest.raises(NotPublished, match="EncodeError"):
        beat.publish(pending("stock", [object()]))


def test_a_broker_that_fails_while_it_is_given_the_message_may_have_it(
    beat: SendingBeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat.publish(pending("stock"))

    def hang(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("Timeout reading from socket")

    monkeypatch.setattr(type(beat.broker.producer()), "publish", hang)
    with pytest.raises(OutcomeUnknown, match="Timeout"):
        beat.publish(pending("stock"))
    assert beat.broker._producer is None


@pytest.fixture
def dead_ports() -> list[int]:
    """Ports on which nothing listens."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    return ports


def test_the_third_of_three_brokers_is_tried(dead_ports: list[int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as alive:
        urls = [f"amqp://127.0.0.1:{port}//" for port in [*dead_ports, alive.getsockname()[1]]]
        alive.settimeout(30)
        app = Celery("project", broker=";".join(urls), set_as_current=False)
        app.conf.broker_connection_timeout = 1
        tried = broker.Broker(app)
        reached = threading.Event()

        def answer() -> None:
            connection, _address = alive.accept()
            reached.set()
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(BrokerUnreachable):
            tried.producer()  # what listens is no broker, but it was asked
        thread.join(30)
        assert reached.is_set()


def test_an_idle_connection_is_replaced(beat: SendingBeat, monkeypatch: pytest.MonkeyPatch) -> None:
    first = beat.broker.producer()
    assert beat.broker.producer() is first
    monkeypatch.setattr(broker, "IDLE_LIMIT", -1.0)
    assert beat.broker.producer() is not first
