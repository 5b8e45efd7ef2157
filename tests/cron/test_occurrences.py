"""Every clock change of every zone, against a reference that looks at each clock reading.

The suite checks a sample of zones. ``EXHAUSTIVE=1`` checks all zones of tzdata from 2020 to 2040, which takes
about a minute on an idle machine.
"""

import os
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduled_tasks.cron import CronExpression
from scheduled_tasks.cron.occurrences import occurrences

EXHAUSTIVE = bool(os.environ.get("EXHAUSTIVE"))
SAMPLE = (
    "Africa/Casablanca", "America/Havana", "America/New_York", "America/Nuuk", "America/Santiago",
    "Antarctica/Casey", "Antarctica/Troll", "Asia/Beirut", "Asia/Gaza", "Asia/Kolkata", "Asia/Tehran",
    "Atlantic/Azores", "Australia/Lord_Howe", "Europe/Berlin", "Europe/Dublin", "Pacific/Chatham",
)  # fmt: skip
ZONES = tuple(sorted(available_timezones())) if EXHAUSTIVE else SAMPLE
YEARS = (2020, 2041) if EXHAUSTIVE else (2024, 2028)
EXPRESSIONS = (
    "*/5 * * * *", "0 * * * *", "*/15 * * * 6", "15,40 * * * *", "30 2 * * *", "30 2,3 * * *", "*/20 2 * * *",
    "0 */2 * * *", "*/30 1-3 * * *", "0 0 * * *", "45 23 * * *", "30 0,23 * * 0", "10 1 1,15,28-31 * *",
)  # fmt: skip
GRAIN = timedelta(minutes=5)
"""All expressions match multiples of it only, and all clocks are set by multiples of it."""


def wall(moment, zone):
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


@cache
def changes(name):
    """The moments at which the zone's clocks are set, to the grain, with the offset before and after."""
    zone, found = ZoneInfo(name), []
    moment, end = datetime(YEARS[0], 1, 1, tzinfo=UTC), datetime(YEARS[1], 1, 1, tzinfo=UTC)
    while moment < end:
        following = moment + timedelta(hours=12)
        if wall(following, zone) - wall(moment, zone) != following - moment:
            while wall(moment + GRAIN, zone) - wall(moment, zone) == GRAIN:
                moment += GRAIN
            at = moment + GRAIN
            found.append(
                (at, wall(moment, zone) - moment.replace(tzinfo=None), wall(at, zone) - wall(moment, zone))
            )
        moment = following
    return found


def matches(local, values):
    minutes, hours, days, months, weekdays = values
    return (
        local.minute in minutes
        and local.hour in hours
        and local.day in days
        and local.month in months
        and local.isoweekday() % 7 in weekdays
    )


def expected(readings, values):
    """What occurs while the clocks show `readings`, pairs of a moment and what is shown then."""
    shown, found = set(), set()
    for (_, before), (moment, local) in pairwise(readings):
        left_out = [before + n * GRAIN for n in range(1, (local - before) // GRAIN)]
        late = [each for each in left_out if matches(each, values)]
        if late:
            found.add(moment + (late[0] - left_out[0]))
        if local not in shown and matches(local, values):
            found.add(moment)
        shown.add(local)
    return sorted(found)


def check(name, change):
    zone = ZoneInfo(name)
    begin = change - timedelta(hours=7)
    moments = [begin + n * GRAIN for n in range(int(timedelta(hours=36) / GRAIN))]
    readings = [(moment, wall(moment, zone)) for moment in moments]
    for text in EXPRESSIONS:
        values = CronExpression.parse(text).values
        right = expected(readings, values)
        counted = [moment for moment in right if moment > begin]
        assert list(islice(occurrences(values, begin, zone), len(counted))) == counted, (name, change, text)
        for after in moments[60::9]:  # asked at any moment, not only at the last run
            coming = next((moment for moment in right if moment > after), None)
            if coming is not None:
                assert next(occurrences(values, after, zone)) == coming, (name, after, text)
                assert next(occurrences(values, after + timedelta(seconds=1), zone)) >= coming


@pytest.mark.timeout(900)
def test_every_clock_change_of_every_zone():
    """What decides is the clocks' readings around the change, so that zones alike there are checked once."""
    alike = {change: name for name in ZONES for change in changes(name)}
    for (at, _, _), name in alike.items():
        check(name, at)
    print(f"{len(ZONES)} zones, {len(alike)} different clock changes, {len(EXPRESSIONS)} expressions")
    assert len(alike) > (1000 if EXHAUSTIVE else 50)


@pytest.mark.parametrize(
    ("text", "zone", "after", "coming"),
    [
        ("*/5 * * * *", "Europe/Berlin", "2026-10-25T01:30", ["2026-10-25T02:00", "2026-10-25T02:05"]),
        ("*/5 * * * *", "Europe/Berlin", "2026-10-25T01:01", ["2026-10-25T02:00"]),
        ("*/5 * * * *", "Europe/Berlin", "2026-10-25T00:55", ["2026-10-25T02:00"]),
        ("0 * * * *", "Australia/Lord_Howe", "2026-04-04T15:10", ["2026-04-04T15:30", "2026-04-04T16:30"]),
        ("*/15 * * * 6", "America/Nuuk", "2026-03-29T00:50", ["2026-03-29T01:00", "2026-04-04T01:00"]),
        ("*/20 2 * * *", "Europe/Paris", "2026-03-28T23:00", ["2026-03-29T01:00", "2026-03-30T00:00"]),
        ("*/20 2 * * *", "Europe/Paris", "2026-03-29T01:05", ["2026-03-30T00:00"]),
        ("30 2 * * *", "Europe/Paris", "2026-03-29T01:10", ["2026-03-29T01:30", "2026-03-30T00:30"]),
        (
            "15,40 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T15:00",
            ["2026-10-03T15:40", "2026-10-03T15:45"],
        ),
        ("0 0 * * *", "America/Santiago", "2026-09-05T12:00", ["2026-09-06T04:00", "2026-09-07T03:00"]),
        ("0 12 * * *", "Pacific/Apia", "2011-12-29T23:00", ["2011-12-30T22:00", "2011-12-31T22:00"]),
        ("0 0 29 2 1", "UTC", "2026-01-01T00:00", ["2044-02-29T00:00"]),
    ],
)
def test_clock_changes(text, zone, after, coming):
    runs = CronExpression.parse(text).next_runs(datetime.fromisoformat(f"{after}+00:00"), zone, len(coming))
    assert [run.isoformat()[:16] for run in runs] == coming


def test_a_date_that_no_month_has_never_occurs():
    values = ({0}, {0}, {30, 31}, {2}, set(range(7)))
    assert list(occurrences(values, datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo("Europe/Paris"))) == []


some = {"min_size": 1, "max_size": 4}
VALUES = st.tuples(
    st.sets(st.integers(0, 59), **some),
    st.sets(st.integers(0, 5) | st.just(23), **some),
    st.sets(st.integers(1, 31), min_size=5),
    st.sets(st.integers(1, 12), min_size=3),
    st.sets(st.integers(0, 6), min_size=2),
)
NEAR_CHANGES = st.sampled_from(sorted(SAMPLE)).flatmap(
    lambda name: st.tuples(
        st.just(ZoneInfo(name)),
        st.sampled_from([at for at, _, _ in changes(name)] or [datetime(2026, 1, 1, tzinfo=UTC)]),
    )
)
OFFSETS = st.timedeltas(timedelta(hours=-6), timedelta(hours=30))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(VALUES, NEAR_CHANGES, OFFSETS, OFFSETS)
def test_a_later_question_never_gets_an_earlier_answer(values, place, one, other):
    zone, change = place
    early, late = sorted((change + one, change + other))
    first, second = next(occurrences(values, early, zone)), next(occurrences(values, late, zone))
    assert first > early
    assert second > late
    assert first <= second
    assert first == second or first <= late
