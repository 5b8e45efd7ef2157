"""What a message says about its run is read with care: anybody who may publish can write it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from scheduled_tasks.models import Trigger
from scheduled_tasks.recording.header import LARGEST_ID, NAME, Header, moment

FULL = Header(
    name="a job",
    id="x",
    task=3,
    trigger=Trigger.SCHEDULE,
    actor="anna",
    scheduled_for=datetime(2030, 1, 1, tzinfo=UTC),
    retry_of=4,
    recorded=True,
    queued_at=datetime(2030, 1, 1, 0, 1, tzinfo=UTC),
)


def test_what_was_built_is_read() -> None:
    assert Header.of(FULL.as_headers(), "x") == FULL
    assert Header.of({NAME: FULL.as_json()}, "x") == FULL


def test_headers_are_plain_values() -> None:
    kinds = {type(value) for value in FULL.as_json().values()}
    assert kinds <= {str, int, bool, type(None)}


def test_headers_of_another_message_start_no_run() -> None:
    assert Header.of(FULL.as_headers(), "another") is None


def test_headers_of_django_celery_beat_alone() -> None:
    header = Header.of({"periodic_task_name": "a job", "celery_beat_task": True}, "x")
    assert header == Header(name="a job", id="x", trigger=Trigger.SCHEDULE)
    assert Header.of({"celery_beat_task": True}, "x") is None


@pytest.mark.parametrize("strange", ["text", 3, [], {"name": None}])
def test_strange_header_is_none(strange: object) -> None:
    assert Header.of({NAME: strange}, "x") is None


def test_strange_values_are_left_out() -> None:
    strange = {"name": 3, "task": "x", "trigger": ["magic"], "scheduled_for": "soon", "retry_of": True}
    assert Header.of({NAME: strange}, "x") == Header(name="3", id="x")


@pytest.mark.parametrize("number", [0, -1, LARGEST_ID + 1, 10**400, 1.5, True])
def test_ids_that_no_row_has_are_left_out(number: object) -> None:
    header = Header.of({NAME: {"name": "a job", "task": number, "retry_of": number}}, "x")
    assert (header.task, header.retry_of) == (None, None)


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59",
        "1969-12-31T23:59:59+00:00",
    ],
)
def test_moments_that_no_zone_can_show_are_left_out(text: str) -> None:
    assert moment(text) is None
    assert moment(datetime.fromisoformat(text)) is None


def test_moments_are_aware() -> None:
    assert moment("2030-01-01T00:00:00") == datetime(2030, 1, 1, tzinfo=UTC)
    berlin = datetime(2030, 1, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert moment(berlin) == datetime(2030, 1, 1, tzinfo=UTC)
    assert [moment(value) for value in (None, 3, "", {})] == [None] * 4
