"""A task asks for which scheduled time it runs."""

from __future__ import annotations

from scheduled_tasks import current_run
from tests import tasks


def test_there_is_none_outside_a_run() -> None:
    assert current_run() is None


def test_there_is_none_in_a_task_that_no_schedule_has_started() -> None:
    told = []
    tasks.add.run, before = lambda x, y: told.append(current_run()), tasks.add.run
    try:
        tasks.add.apply((1, 2))
    finally:
        tasks.add.run = before
    assert told == [None]
