"""A watcher whose time moves, and channels that nobody reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from scheduled_tasks.incidents import notices, watcher
from scheduled_tasks.incidents.watcher import Watcher
from scheduled_tasks.models import ProcessKind, database_now
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.upkeep.heartbeat import Heartbeat
from tests.factories import make_process


class TestClock:
    """The database's time as looks have it, and this process's monotonic clock, both moved together."""

    __test__ = False

    def __init__(self) -> None:
        self.moved = timedelta()

    def move(self, **span: float) -> None:
        self.moved += timedelta(**span)

    def now(self) -> datetime:
        return database_now() + self.moved


@pytest.fixture
def clock(db: None, monkeypatch: pytest.MonkeyPatch) -> TestClock:
    clock = TestClock()
    read, began = Machinery.read, database_now()

    def moved() -> Machinery:
        found = read()
        passed = clock.moved + (found.now - began)  # on a slow machine tests take long
        for process in found.processes:
            process.last_seen_at += passed
            process.broker_ok_at = process.broker_ok_at and process.broker_ok_at + passed
        return replace(found, now=found.now + clock.moved)

    monkeypatch.setattr(Machinery, "read", moved)
    monotonic = time.monotonic
    fake = SimpleNamespace(monotonic=lambda: monotonic() + clock.moved.total_seconds())
    monkeypatch.setattr(watcher, "time", fake)
    return clock


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Owner -> names of channels; change it at will."""
    found = {"default": ["ops"]}

    def channels_for(owner: str) -> list[SimpleNamespace]:
        names = found.get(owner) or found.get("default", [])
        return [SimpleNamespace(fingerprint=f"f-{name}", label=name) for name in names]

    monkeypatch.setattr(notices, "channels_for", channels_for)
    return found


@pytest.fixture
def start_watcher(clock: TestClock, channels: dict[str, list[str]]) -> Callable[[], Watcher]:
    """Call it for another watcher, in a process that has been writing for long; a beat and a worker live."""
    make_process(ProcessKind.BEAT)
    make_process(ProcessKind.WORKER)

    def start() -> Watcher:
        heartbeat = Heartbeat(ProcessKind.WORKER, "me@host")
        heartbeat.writing_since = time.monotonic() - 3600
        heartbeat._written_at = float("inf")
        found = Watcher(heartbeat)
        assert found.lease.take()
        return found

    return start


@pytest.fixture
def watching(start_watcher: Callable[[], Watcher]) -> Watcher:
    return start_watcher()
