"""What holds for every text: nothing but InvalidCron is raised, and what is accepted runs under beat."""

from datetime import UTC, datetime

import pytest
from croniter import croniter
from django_celery_beat.models import CrontabSchedule
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from scheduled_tasks.cron import CronExpression, InvalidCron
from scheduled_tasks.cron.grammar import COLUMNS

bounded = settings(max_examples=200, deadline=None, derandomize=True, database=None)

ZONES = ["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata"]
MONDAY = datetime(2026, 6, 1, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


def items(low, high, words=()):
    """Right items of one field's list."""
    top = min(high, 6) if high == 7 else high
    number = st.integers(low, high)
    value = number.map(str) | number.map("{:02d}".format)
    if words:
        value |= st.sampled_from(words)
    ordered = st.integers(low, top).flatmap(lambda first: st.tuples(st.just(first), st.integers(first, high)))
    span = ordered.map("{0[0]}-{0[1]}".format)
    step = st.integers(1, top)
    stepped = st.builds("*/{}".format, step) | st.builds("{}/{}".format, span, step)
    return st.one_of(st.just("*"), value, span, stepped)


def field(low, high, words=()):
    few = st.lists(items(low, high, words), min_size=1, max_size=3).map(",".join)
    return st.just("*") | st.integers(low, high).map(str) | few


RIGHT = st.builds(
    "{} {} {} {} {}".format,
    field(0, 59),
    field(0, 23),
    field(1, 31),
    field(1, 12, ("jan", "Feb", "DEC")),
    field(0, 7, ("sun", "Mon", "SAT")),
)
NEARLY_CRON = st.text(alphabet="0123456789*,-/ LW#?@HR\t\n.monjanSUN+_x", max_size=40)
DAMAGED = st.builds(
    lambda text, at, sign: text[: at % len(text)] + sign + text[at % len(text) + 1 :],
    RIGHT,
    st.integers(0, 600),
    st.sampled_from([*"0123456789*,-/ L#?H", "", "monday", "60", "5/2"]),
)


def accepted(text):
    """The expression, or None when it was refused; every other exception fails the test."""
    try:
        return CronExpression.parse(text)
    except InvalidCron:
        return None


def possible(text):
    """The expression of a right text; a date that no month has is not the grammar's matter."""
    cron = accepted(text)
    assume(cron is not None or refusal(text).code != "never")
    assert cron is not None, refusal(text)
    return cron


def refusal(value):
    with pytest.raises(InvalidCron) as caught:
        CronExpression.parse(value)
    return caught.value


@bounded
@given(RIGHT)
@example("0 3 * * 0-7")
@example("4-4 4-4 4-4 4-4 4-4")
def test_accepted_text_is_idempotent_and_fits_beat(text):
    cron = possible(text)
    again = CronExpression.parse(cron.canonical)
    assert (again.canonical, again.values) == (cron.canonical, cron.values)
    row = CrontabSchedule(**cron.fields, timezone="UTC")
    row.full_clean()
    schedule = row.schedule
    assert cron.values == tuple(frozenset(getattr(schedule, column.key)) for column in COLUMNS)
    assert cron.label


@bounded
@given(RIGHT, MOMENTS, st.sampled_from(ZONES))
def test_next_runs_ascend_and_match_the_fields(text, after, zone):
    cron = possible(text)
    runs = cron.next_runs(after, zone, 4)
    assert all(earlier < later for earlier, later in zip([after, *runs], runs, strict=False))
    assert all(run.tzinfo is UTC for run in runs)
    cron.notices_for(after, zone)


@bounded
@given(RIGHT, MOMENTS)
def test_next_runs_agree_with_another_reader_where_no_clock_changes(text, after):
    cron = possible(text)
    expected = croniter(cron.canonical, after, day_or=False, max_years_between_matches=50)
    assert cron.next_runs(after, "UTC", 3) == [expected.get_next(datetime) for _ in range(3)]


@bounded
@given(st.one_of(st.text(max_size=300), NEARLY_CRON, DAMAGED))
@example("9" * 5000)
@example(" " * 100_000)
@example("@")
@example("\ud800 * * * *")
def test_no_text_raises_anything_else(text):
    cron = accepted(text)
    if cron is None:
        assert 0 < len(str(refusal(text))) < 1000
    else:
        assert cron.next_runs(MONDAY, "UTC")[0] > MONDAY


@bounded
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.binary()
        | st.dates()
        | st.complex_numbers(),
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
        max_leaves=4,
    )
)
def test_no_other_value_raises_anything_else(value):
    assert refusal(value).code in ("type", "empty")
