"""Receivers of alerts that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scheduled_tasks.alerts.sender import Sender
from tests.alerts import called
from tests.alerts.receiver import Receiver


@pytest.fixture
def alerts(settings: Any) -> Callable[..., None]:
    """Set the channels of owners: ``alerts(default=[…], billing=[…])``."""

    def set_alerts(**owners: list[str]) -> None:
        settings.SCHEDULED_TASKS = {**settings.SCHEDULED_TASKS, "ALERTS": owners}

    return set_alerts


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web server that takes webhooks."""
    with Receiver() as server:
        yield server


@pytest.fixture
def function() -> Iterator[type[called.Calls]]:
    """What ``tests.alerts.called.keep`` was called with."""
    called.Calls.reset()
    yield called.Calls
    called.Calls.release()


@pytest.fixture
def sender() -> Iterator[Sender]:
    """A sender of this process."""
    made = Sender("me")
    yield made
    made.stop()
