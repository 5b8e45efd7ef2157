"""Fixtures for projects that test with pytest and pytest-django.

Pytest imports this in every project of an environment that has the package: nothing is imported here but what
a test asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .models import TaskRun


@pytest.fixture
def run_scheduled(db: None) -> Callable[..., TaskRun]:
    """Call it to run a task here: :func:`scheduled_tasks.testing.run_scheduled`. The test has a database."""
    from .testing import run_scheduled

    return run_scheduled


@pytest.fixture
def tick(db: None) -> Callable[..., list[TaskRun]]:
    """Call it to move beat's clock: :func:`scheduled_tasks.testing.tick`. The test has a database."""
    from .testing import tick

    return tick
