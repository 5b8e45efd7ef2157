"""What a worker tells of its tasks' options: what the code sets, as JSON that every database keeps."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from celery import Celery, Task

from scheduled_tasks.worker.task_options import task_options


class Odd(Task):
    @property
    def time_limit(self) -> float:
        raise RuntimeError("not yet known")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, None),
        ({"expires": 0, "time_limit": 0, "ignore_result": True}, None),
        ({"expires": 60, "soft_time_limit": 1.5}, {"expires": 60, "soft_time_limit": 1.5}),
        ({"expires": datetime(2030, 1, 1, 12)}, {"expires": "2030-01-01T12:00:00+00:00"}),
        (
            {"expires": datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))},
            {"expires": "2030-01-01T10:00:00+00:00"},
        ),
        ({"expires": datetime.max.replace(tzinfo=UTC)}, None),
        ({"expires": "2030-01-01"}, None),
        ({"expires": float("inf"), "time_limit": float("nan")}, {"time_limit": "nan"}),
        ({"time_limit": timedelta(minutes=5)}, {"time_limit": "0:05:00"}),
        ({"time_limit": "x" * 10_000}, {"time_limit": "x" * 100}),
        ({"base": Odd}, None),
        ({"schedulable": True}, None),
        ({"schedulable": False}, {"schedulable": False}),
    ],
)
def test_options_of_the_code(options: dict[str, Any], told: dict[str, Any] | None) -> None:
    app = Celery("options", set_as_current=False)
    app.task(name="tests.options", shared=False, **options)(job)
    found = task_options(app)
    assert found.get("tests.options") == told
    json.dumps(found, allow_nan=False)


def job() -> None:
    """A task of the tests."""
