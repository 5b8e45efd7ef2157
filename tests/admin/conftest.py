"""What tests of several pages of the admin need."""

from __future__ import annotations

import pytest

from scheduled_tasks.models import TaskRun
from scheduled_tasks.operations import publishing


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[TaskRun]:
    """The runs whose message left, in place of a broker."""
    runs: list[TaskRun] = []
    monkeypatch.setattr(publishing, "send", lambda task, run, message: runs.append(run))
    return runs
