"""Cron expressions against tables of cases; the runs in the table were replayed through beat itself."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from scheduled_tasks.cron import CronExpression

VECTORS = json.loads((Path(__file__).parent.parent / "cron_vectors.json").read_text())
VALID = [pytest.param(vector, id=vector["id"]) for vector in VECTORS if vector["valid"]]
NOW = datetime(2026, 6, 2, 10, 7, tzinfo=UTC)


@pytest.mark.parametrize("vector", VALID)
def test_reads_a_valid_expression(vector):
    cron = CronExpression.parse(vector["expression"])
    assert cron.canonical == vector["canonical"]
    assert cron.fields == vector["fields"]
    assert cron.label == vector["label"]
    assert cron.notices == (("both_days",) if vector["day_and_warning"] else ())


@pytest.mark.parametrize("vector", VALID)
def test_next_runs_are_those_beat_made(vector):
    cron = CronExpression.parse(vector["expression"])
    runs = cron.next_runs(datetime.fromisoformat(vector["from"]), vector["timezone"], 3)
    assert [run.isoformat() for run in runs] == vector["next"]


def test_expressions_are_equal_by_meaning_of_their_text():
    assert CronExpression.parse("0 3 * * SUN") == CronExpression.parse("00 3 * * 7")
    assert len({CronExpression.parse("@daily"), CronExpression.parse("0 0 * * *")}) == 1


def test_fields_cannot_be_changed_through_the_dict():
    cron = CronExpression.parse("0 3 * * *")
    cron.fields["hour"] = "4"
    assert cron.fields["hour"] == "3"


def test_next_runs_are_strictly_after():
    cron = CronExpression.parse("0 3 * * *")
    at = datetime(2026, 6, 2, 3, tzinfo=UTC)
    assert cron.next_runs(at, "UTC", 1) == [at + timedelta(days=1)]
    assert cron.next_runs(at - timedelta(microseconds=1), ZoneInfo("UTC"), 1) == [at]


def test_next_runs_wants_an_aware_time():
    with pytest.raises(ValueError, match="aware"):
        CronExpression.parse("0 3 * * *").next_runs(datetime(2026, 6, 2), "UTC", 1)


@pytest.mark.parametrize(
    ("text", "zone", "notices"),
    [
        ("0 3 * * *", "UTC", ()),
        ("30 2 * * *", "UTC", ()),
        ("30 2 * * *", "Europe/Paris", ("clock_change",)),
        ("59 2 * * *", "Europe/Paris", ("clock_change",)),
        ("0 3 * * *", "Europe/Paris", ()),
        ("59 1 * * *", "Europe/Paris", ()),
        ("0 1 * * *", "America/New_York", ("clock_change",)),
        ("30 2 * * 1-5", "Europe/Paris", ()),
        ("30 2 1 * *", "Europe/Paris", ()),
        ("*/15 * * * *", "Europe/Paris", ("clock_change",)),
        ("15 2 * * *", "Australia/Lord_Howe", ("clock_change",)),
        ("45 2 * * *", "Australia/Lord_Howe", ()),
        ("0 0 * * *", "America/Santiago", ("clock_change",)),
        ("30 2 * * *", "Asia/Kolkata", ()),
        ("0 0 29 2 *", "UTC", ("far",)),
        ("0 0 29 2 1", "UTC", ("both_days", "far")),
        ("0 0 1 6 *", "UTC", ()),
    ],
)
def test_notices_that_depend_on_the_zone_and_the_moment(text, zone, notices):
    assert CronExpression.parse(text).notices_for(NOW, zone) == notices
