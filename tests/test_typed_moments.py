"""Moments as people type them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from scheduled_tasks.once import once_text, parse_once
from scheduled_tasks.typed_moments import InvalidMoment, comes_twice, read_moment

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 27, 20, 30, 15, 500, tzinfo=UTC)
"""A Friday, 21:30 in Paris."""


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("in 2 h", "2026-11-27 23:30:15"),
        ("2h", "2026-11-27 23:30:15"),
        ("In 30 Min", "2026-11-27 22:00:15"),
        ("in 2 Stunden", "2026-11-27 23:30:15"),
        ("dans 3 jours", "2026-11-30 21:30:15"),
        ("en 1 día", "2026-11-28 21:30:15"),
        ("tonight 23:00", "2026-11-27 23:00:00"),
        ("tonight at 1 am", "2026-11-28 01:00:00"),
        ("tonight 20:00", "2026-11-27 20:00:00"),
        ("today 22:00", "2026-11-27 22:00:00"),
        ("tomorrow 9:00", "2026-11-28 09:00:00"),
        ("tomorrow at 9 pm", "2026-11-28 21:00:00"),
        ("tomorrow 9", "2026-11-28 09:00:00"),
        ("morgen um 9 Uhr", "2026-11-28 09:00:00"),
        ("heute Abend 23:00", "2026-11-27 23:00:00"),
        ("demain à 9h30", "2026-11-28 09:30:00"),
        ("aujourd’hui 22:00", "2026-11-27 22:00:00"),  # noqa: RUF001
        ("mañana a las 9:00", "2026-11-28 09:00:00"),
        ("06:00", "2026-11-28 06:00:00"),
        ("12 am", "2026-11-28 00:00:00"),
        ("2026-12-01 06:00", "2026-12-01 06:00:00"),
        (" 2026-12-01T06:00:30 ", "2026-12-01 06:00:30"),
        ("2026-12-01T06:00Z", "2026-12-01 07:00:00"),
        ("2026-10-25 02:30", "2026-10-25 02:30:00"),
    ],
)
def test_read(text: str, local: str) -> None:
    moment = read_moment(text, NOW, PARIS)
    assert (str(moment.replace(tzinfo=None)), moment.tzinfo) == (local, PARIS)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "9", "in 2", "25:00", "tomorrow", "13 pm", "999999 d", "in h", "tomorrow 9:75",
     "3000-01-01 00:00", "2026-02-30 06:00", "2026-12-01"],
)  # fmt: skip
def test_no_moment(text: str) -> None:
    with pytest.raises(InvalidMoment, match=r"^This is no time\. Write it as [-0-9]+ 06:00\.$"):
        read_moment(text, NOW, PARIS)


def test_a_time_that_clocks_leave_out_and_one_that_comes_twice() -> None:
    with pytest.raises(InvalidMoment, match="There is no 02:30 on Sun 28 Mar in Europe/Paris: the clocks"):
        read_moment("2027-03-28 02:30", NOW, PARIS)
    twice = read_moment("2026-10-25 02:30", NOW, PARIS)
    assert comes_twice(twice)
    assert twice.astimezone(UTC) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "the first"
    assert not comes_twice(read_moment("2026-10-25 03:30", NOW, PARIS))


@pytest.mark.parametrize("micro", [0, 1, 500_000])
def test_the_text_of_a_time_is_read_back(micro: int) -> None:
    at = NOW.replace(microsecond=micro)
    assert parse_once(once_text(at)) == at
    assert parse_once("0 3 * * *") is None
