"""Fixtures of all tests: real processes on the run's own database and broker, and a browser."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from example_project.celery import app
from tests import live
from tests.plugin import RESULTS

KINDS = {"integration": "integration", "chaos": "integration", "e2e": "e2e"}
"""Folder below tests -> marker of its tests."""

SLOW = {
    "tests/admin/test_matrix.py",
    "tests/admin/test_matrix_of_tasks.py",
    "tests/admin/test_security.py",
    "tests/beat/test_simulation.py",
    "tests/cron/test_occurrences.py",
    "tests/cron/test_phrase_labels.py",
    "tests/cron/test_properties.py",
    "tests/incidents/test_notices.py",
    "tests/incidents/test_wrong_settings.py",
}
"""Long computations, and thousands of requests, whose results depend on no database and no version."""

LOG_LINES = 60


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder, before pytest selects by marker."""
    for item in items:
        for folder in {*KINDS} & {*item.path.parts}:
            item.add_marker(KINDS[folder])
        if str(item.path.relative_to(live.ROOT)) in SLOW:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def logs(pytestconfig: pytest.Config) -> Path:
    """Where the processes of this run write; kept after it."""
    return pytestconfig.rootpath / RESULTS / pytestconfig.option.db / "logs"


class SharedWorker:
    """The worker that the tests of this run share: started when first needed, and again when lost."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._process: live.Worker | None = None

    def get(self) -> live.Worker:
        if self._process is None or not self._process.running:
            app.control.purge()
            self._process = live.Worker(queues=["celery"], logs=self._logs)
        return self._process

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()


@pytest.fixture(scope="session")
def shared_worker(django_db_setup: None, logs: Path) -> Iterator[SharedWorker]:
    shared = SharedWorker(logs)
    yield shared
    shared.stop()


@pytest.fixture
def no_other_worker(transactional_db: None, shared_worker: SharedWorker) -> None:
    """Only workers that the test starts itself watch over incidents, look for lost runs and the like."""
    shared_worker.stop()


@pytest.fixture
def worker(transactional_db: None, shared_worker: SharedWorker) -> Iterator[live.Worker]:
    """A prefork worker with two processes on queue ``celery``, shared by all tests: leave it alive.

    After the test its queues are emptied and its tasks have ended, before the database is.
    """
    process = shared_worker.get()
    yield process
    if process.running and not process.settle():
        process.stop()
        app.control.purge()  # a worker that stops gives back what it held


@pytest.fixture
def start_worker(transactional_db: None, logs: Path) -> Iterator[Callable[..., live.Worker]]:
    """Call it to start a worker of your own, on a queue of its own: ``start_worker(pool="threads")``.

    Takes the arguments of :class:`tests.live.Worker`. What it started ends with the test.
    """
    with ExitStack() as stack:

        def start(**options: object) -> live.Worker:
            process = live.Worker(logs=logs, **options)
            if not options.get("queues"):
                stack.callback(live.delete_queue, process.queue)
            stack.callback(process.stop)
            return process

        yield start


@pytest.fixture
def start_beat(transactional_db: None, logs: Path) -> Iterator[Callable[..., live.Beat]]:
    """Call it to start a beat; takes the arguments of :class:`tests.live.Beat`. It ends with the test."""
    with ExitStack() as stack:

        def start(**options: object) -> live.Beat:
            process = live.Beat(logs=logs, **options)
            stack.callback(process.stop)
            return process

        yield start


def pytest_runtest_setup() -> None:
    for process in live.started:
        process.shown = len(process.output())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the processes wrote during the test."""
    report = yield
    if report.failed:
        for process in live.started:
            lines = process.output()[process.shown :].splitlines()[-LOG_LINES:]
            if lines:
                report.sections.append((f"log of {process.name}", "\n".join(lines)))
    return report
