"""Lines of a run are kept whatever logging is set up, and read as they were meant."""

from __future__ import annotations

import asyncio
import logging
import logging.config
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from celery.utils.log import LoggingProxy

from scheduled_tasks import progress
from scheduled_tasks.models import Status, TaskRun
from scheduled_tasks.worker import logs, output

pytestmark = pytest.mark.django_db


def shown(run: TaskRun) -> list[str]:
    """The lines of a run's log without their time."""
    return [line.split(" ", 1)[1] if line[2:3] == ":" else line for line in run.log.splitlines()]


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Puts the root logger back as pytest has it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def apart(name: str, **options: Any) -> dict[str, Any]:
    return {"version": 1, "disable_existing_loggers": False, "loggers": {name: {"level": "INFO", **options}}}


def test_logger_that_does_not_propagate(run: Callable[..., TaskRun], restored_logging: None) -> None:
    logging.config.dictConfig(apart("proj.apart", propagate=False))
    logs.capture_logs()
    found = run(lambda: logging.getLogger("proj.apart.inner").info("kept"))
    assert shown(found) == ["INFO kept"]


def reconfigured() -> None:
    logging.config.dictConfig(apart("proj.later", propagate=False, handlers=[]) | {"root": {"handlers": []}})


def cleared() -> None:
    logging.getLogger().handlers.clear()


def forced() -> None:
    logging.basicConfig(force=True, level=logging.INFO)


@pytest.mark.parametrize("change", [reconfigured, cleared, forced])
def test_logging_that_an_earlier_task_changed(
    run: Callable[..., TaskRun], restored_logging: None, change: Callable[[], None]
) -> None:
    run(change)
    logs.capture_logs()  # as before each run of a worker
    found = run(lambda: [logging.getLogger(name).warning("kept") for name in ("proj.later", "proj.other")])
    assert shown(found) == ["WARNING kept", "WARNING kept"]


def test_threads_that_run_in_a_copy_of_the_tasks_context(run: Callable[..., TaskRun]) -> None:
    def part(number: int) -> None:
        logging.getLogger("a.library").info("part %s", number)
        progress(number, 3)

    def body() -> None:
        with ThreadPoolExecutor(2) as pool:
            for number in range(3):
                pool.submit(copy_context().run, part, number).result()
            pool.submit(logging.getLogger("a.library").info, "of no run").result()

    found = run(body)
    assert shown(found) == ["INFO part 0", "INFO part 1", "INFO part 2"]
    assert found.progress_data["done"] == 2


def test_thread_of_asyncio_belongs_to_its_task(run: Callable[..., TaskRun]) -> None:
    async def body() -> None:
        await asyncio.to_thread(logging.getLogger("a.library").info, "from a thread")
        await asyncio.gather(inner())

    async def inner() -> None:
        logging.getLogger("a.library").info("from a coroutine")

    assert shown(run(lambda: asyncio.run(body()))) == ["INFO from a thread", "INFO from a coroutine"]


def test_soft_time_limit_that_strikes_while_a_line_is_kept_ends_the_task(
    run: Callable[..., TaskRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def strike(*args: object) -> None:
        raise SoftTimeLimitExceeded

    def body() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(output, "later", strike)
            logging.getLogger("a.library").info("struck")

    assert run(body).status == Status.TIMED_OUT


def test_thread_that_outlives_its_run_adds_nothing(run: Callable[..., TaskRun]) -> None:
    contexts: list[Context] = []
    found = run(lambda: contexts.append(copy_context()))
    assert contexts[0].run(output.current) is None
    contexts[0].run(progress, 1, 2)
    found.refresh_from_db()
    assert (found.log, found.progress) == ("", "")


def test_run_inside_a_run(run: Callable[..., TaskRun]) -> None:
    def body() -> None:
        logging.getLogger("a.library").info("before")
        inner.append(run(lambda: logging.getLogger("a.library").info("inner")))
        logging.getLogger("a.library").info("after")

    inner: list[TaskRun] = []
    assert shown(run(body)) == ["INFO before", "INFO after"]
    assert shown(inner[0]) == ["INFO inner"]


def printed(*pieces: str) -> Callable[[], None]:
    proxy = LoggingProxy(logging.getLogger("celery.redirected"), logging.WARNING)
    return lambda: [proxy.write(piece) for piece in pieces] and None


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        (["a\r\nb", "\n"], ["a", "b"]),
        (["a\r\n", "b\r\n"], ["a", "b"]),
        (["10%\r20%\r30%"], ["30%"]),
        (["10%\r20%\r"], ["20%"]),
        (["\r 10%", "\r 20%", "\r 30%", "\n", "done", "\n"], [" 30%", "done"]),
        (["start", "\n", "10%", "\r20%", "\r      \r", "end", "\n"], ["start", "20%", "end"]),
        (["\x1b[32mgreen\x1b[0m", "\n"], ["green"]),
        (["a\x00b", "\n"], ["a\N{REPLACEMENT CHARACTER}b"]),
        (["one", " ", "two", "\n"], ["one two"]),
    ],
)
def test_carriage_returns(run: Callable[..., TaskRun], pieces: list[str], lines: list[str]) -> None:
    found = shown(run(printed(*pieces)))
    assert [line.strip() for line in found] == [line.strip() for line in lines]


def test_logged_line_is_not_overwritten_by_a_progress_bar(run: Callable[..., TaskRun]) -> None:
    def body() -> None:
        logging.getLogger("a.library").info("logged")
        printed("\r10%", "\r20%")()
        logging.getLogger("a.library").info("a\r\nb")

    assert shown(run(body)) == ["INFO logged", "20%", "INFO a", "b"]


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        ({"event": "paid", "order": 12, "_record": 1, "level": "info"}, ["INFO paid order=12"]),
        ({"event": "paid", "to": "a b", "timestamp": "x"}, ["INFO paid to='a b'"]),
        ({"message": "paid", "n": 1.5}, ["INFO paid n=1.5"]),
        ({"event": "paid", "password": "hunter2"}, ["INFO paid password=••••••"]),
        ({"event": "no", "exception": "Traceback\nValueError: x"}, ["INFO no", "Traceback", "ValueError: x"]),
        ({"a": 1}, ["INFO {'a': 1}"]),
    ],
)
def test_record_that_is_a_dict(run: Callable[..., TaskRun], event: dict[str, Any], lines: list[str]) -> None:
    assert shown(run(lambda: logging.getLogger("a.library").info(event))) == lines


def test_error_in_a_record_that_is_a_dict(run: Callable[..., TaskRun]) -> None:
    def body() -> None:
        try:
            raise ValueError("why")
        except ValueError as error:
            for found in (True, error):
                logging.getLogger("a.library").error({"event": "no", "exc_info": found})
        logging.getLogger("a.library").error({"event": "no", "exc_info": True})

    log = run(body).log
    assert log.count("ValueError: why") == 2
    assert log.endswith("ERROR no")


def test_secrets_in_a_log(run: Callable[..., TaskRun]) -> None:
    def body() -> None:
        logging.getLogger("a.library").info("password=%s", "hunter2")
        printed("token:", " ", "hunter2", "\n")()
        raise ValueError("could not reach postgres://ada:hunter2@db/x")

    found = run(body)
    assert "hunter2" not in found.log + found.error + found.traceback
    assert found.error == "could not reach postgres://ada:••••••@db/x"
