"""Every kind of schedule in words, and when it is next due."""

import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from scheduled_tasks import schedules
from scheduled_tasks.cron import CronExpression
from scheduled_tasks.models import TaskState
from scheduled_tasks.schedules import InvalidInterval, Unschedulable
from scheduled_tasks.spread import InvalidSpread, check_spread, spread_offset

NOON = datetime(2026, 6, 2, 12, tzinfo=UTC)


def cron_task(minute="0", hour="3", zone="UTC", **fields):
    return PeriodicTask(crontab=CrontabSchedule(minute=minute, hour=hour, timezone=zone, **fields))


def test_cron():
    task = cron_task(zone="Europe/Paris")
    assert str(schedules.label(task)) == "Daily at 3 AM"
    assert schedules.raw(task) == "0 3 * * *"
    assert str(schedules.zone(task)) == "Europe/Paris"
    assert schedules.next_run(task, NOON) == datetime(2026, 6, 3, 1, tzinfo=UTC)


def test_a_spread_task_is_due_the_same_time_later_each_time():
    task = cron_task(hour="*")
    task.name, task.scheduled_state = "purge", TaskState(spread=timedelta(minutes=10))
    offset = spread_offset(task)
    assert timedelta(0) < offset < timedelta(minutes=10)
    assert schedules.label(task) == "Hourly, within 10 min"
    first, second = islice(schedules.next_runs(task, NOON), 2)
    assert (first, second) == (NOON + offset, NOON + offset + timedelta(hours=1))
    task.expires = first
    assert schedules.next_run(task, NOON) is None, "it is not due when it expires"


def test_only_a_crontab_is_spread():
    interval = IntervalSchedule(every=1, period="hours")
    task = PeriodicTask(name="purge", interval=interval, scheduled_state=TaskState(spread=timedelta(1)))
    assert schedules.next_run(task, NOON) == NOON + timedelta(hours=1)
    assert schedules.label(task) == "Every hour"


@pytest.mark.parametrize(
    ("cron", "gap"),
    [("0 3 * * *", 1440), ("*/15 * * * *", 15), ("0,50 * * * *", 10), ("0 23,1 * * *", 120)],
)
def test_a_spread_is_shorter_than_the_shortest_gap(cron, gap):
    expression = CronExpression.parse(cron)
    assert expression.shortest_gap == timedelta(minutes=gap)
    check_spread(expression, timedelta(minutes=gap, seconds=-1))
    with pytest.raises(InvalidSpread):
        check_spread(expression, timedelta(minutes=gap))


def test_the_next_run_is_strictly_after():
    assert schedules.next_run(cron_task(hour="12"), NOON) == NOON + timedelta(days=1)


@pytest.mark.parametrize(
    ("every", "period", "label"),
    [(1, "hours", "Every hour"), (10, "minutes", "Every 10 minutes"), (2, "days", "Every 2 days")],
)
def test_interval(every, period, label):
    task = PeriodicTask(interval=IntervalSchedule(every=every, period=period))
    assert schedules.label(task) == label
    assert schedules.next_run(task, NOON) == NOON + timedelta(**{period: every})


def test_clocked_runs_once():
    task = PeriodicTask(clocked=ClockedSchedule(clocked_time=NOON))
    assert schedules.label(task) == "Once, Tue 2 Jun 14:00"
    assert schedules.next_run(task, NOON - timedelta(days=1)) == NOON
    assert schedules.next_run(task, NOON) is None


def test_solar_is_named_honestly(monkeypatch):
    task = PeriodicTask(solar=SolarSchedule(event="sunrise", latitude="48.85", longitude="2.35"))
    task.solar.clean_fields()
    assert schedules.label(task) == "Sunrise at 48.85, 2.35"
    assert schedules.next_run(task, NOON) - NOON < timedelta(days=1)
    monkeypatch.setitem(sys.modules, "ephem", None)  # as if it were not installed
    with pytest.raises(Unschedulable, match="solar event cannot be computed"):
        schedules.next_run(task, NOON)


@pytest.mark.parametrize(
    "task",
    [
        PeriodicTask(),
        cron_task(day_of_week="7"),
        cron_task(day_of_month="31", month_of_year="2"),
        cron_task(minute="1,,2"),
        PeriodicTask(interval=IntervalSchedule(every=0, period="hours")),
        PeriodicTask(interval=IntervalSchedule(every=1, period="fortnights")),
    ],
    ids=["none", "day 7", "31 February", "empty part", "zero", "unknown period"],
)
def test_what_cannot_be_scheduled_says_why_in_one_sentence(task):
    with pytest.raises(Unschedulable) as error:
        schedules.next_run(task, NOON)
    assert str(error.value).endswith(".")


def test_a_foreign_cron_row_is_labelled_by_its_text():
    assert schedules.label(cron_task(day_of_week="5#1")) == "0 3 * * 5#1"


def test_runs_skip_the_repeated_hour_as_beat_does():
    runs = schedules.next_runs(
        cron_task(hour="*", zone="Europe/Paris"), datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    )
    assert [next(runs).isoformat() for _ in range(2)] == [
        "2026-10-25T00:00:00+00:00",
        "2026-10-25T02:00:00+00:00",
    ]


@pytest.mark.django_db
def test_a_crontab_row_is_shared_never_edited_and_duplicates_do_no_harm():
    expression = CronExpression.parse("0 3 * * *")
    for _ in range(2):
        CrontabSchedule.objects.create(minute="0", hour="3", timezone="UTC")
    row = schedules.shared_row(CrontabSchedule, **expression.fields, timezone=ZoneInfo("UTC"))
    assert row == CrontabSchedule.objects.order_by("pk").first()
    other = schedules.shared_row(CrontabSchedule, **expression.fields, timezone=ZoneInfo("Asia/Kolkata"))
    assert other.pk != row.pk
    assert CrontabSchedule.objects.count() == 3


def test_nothing_is_due_before_the_start_time():
    start = NOON + timedelta(days=2, hours=2)
    task = cron_task()
    task.start_time = start
    assert schedules.next_run(task, NOON) == datetime(2026, 6, 5, 3, tzinfo=UTC)
    task.start_time = datetime(2026, 6, 5, 3, tzinfo=UTC)
    assert schedules.next_run(task, NOON) == task.start_time
    every_hour = PeriodicTask(interval=IntervalSchedule(every=1, period="hours"), start_time=start)
    assert schedules.next_run(every_hour, NOON) == start
    assert schedules.next_run(every_hour, start) == start + timedelta(hours=1)


def test_nothing_is_due_from_its_expiry_on():
    task = PeriodicTask(interval=IntervalSchedule(every=1, period="hours"))
    task.expires = NOON + timedelta(hours=2)
    assert schedules.next_run(task, NOON) == NOON + timedelta(hours=1)
    assert schedules.next_run(task, NOON + timedelta(hours=1)) is None


def test_the_zone_of_an_interval_is_the_current_one_or_the_sites():
    task = PeriodicTask(interval=IntervalSchedule(every=1, period="hours"))
    with timezone.override("Asia/Tokyo"):
        assert schedules.zone(task).key == "Asia/Tokyo"
    with timezone.override(timezone.get_fixed_timezone(120)):
        assert schedules.zone(task).key == settings.TIME_ZONE


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("every 900 seconds", "Every 15 minutes"),
        ("every 86400 seconds", "Every day"),
        ("every 5400 seconds", "Every 90 minutes"),
        ("every 1500000 microseconds", "Every 1500000 microseconds"),
        ("every 0 seconds", "every 0 seconds"),
        ("every 3 weeks", "Every 21 days"),
        ("0 3 * * *", "Daily at 3 AM"),
        ("sunset at 1.0, 2.0", "Sunset at 1, 2"),
        ("2036-11-29 22:00:00 UTC", "Once, Sat 29 Nov 2036 23:00"),
        ("sunset at 1.0.0, 2", "sunset at 1.0.0, 2"),
    ],
)
def test_labels_of_schedules_kept_as_text(text, label):
    assert schedules.text_label(text) == label


@pytest.mark.parametrize(
    "task",
    [
        PeriodicTask(interval=IntervalSchedule(every=5_000_000, period="days")),
        PeriodicTask(interval=IntervalSchedule(every=10**12, period="days")),
        PeriodicTask(interval=IntervalSchedule(every="many", period="days")),
        PeriodicTask(interval=IntervalSchedule(every=1000, period="microseconds")),
        PeriodicTask(interval=IntervalSchedule(every=999_999, period="microseconds")),
        PeriodicTask(interval=IntervalSchedule(every=1, period="days"), start_time="tomorrow"),
        PeriodicTask(clocked=ClockedSchedule(clocked_time="noon")),
        PeriodicTask(solar=SolarSchedule(event="sunrise", latitude="north", longitude=None)),
        PeriodicTask(solar=SolarSchedule(event="never", latitude=1, longitude=1)),
        cron_task(zone=""),
        cron_task(zone=None),
        cron_task(minute="99999999999999999999"),
        cron_task(minute=None),
    ],
    ids=lambda task: schedules.raw(task) if task.clocked is None else "clocked",
)
def test_a_row_of_any_content_is_unschedulable_and_nothing_else(task):
    with pytest.raises(Unschedulable):
        schedules.next_run(task, NOON)
    assert isinstance(schedules.label(task), str)
    assert schedules.zone(task).key


@pytest.mark.django_db
def test_a_row_with_an_unknown_zone_is_unschedulable_and_nothing_else():
    stored = PeriodicTask.objects.create(name="mars", task="t", crontab=CrontabSchedule.objects.create())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_celery_beat_crontabschedule SET timezone = 'Mars/Base'")
    task = PeriodicTask.objects.get(pk=stored.pk)
    with pytest.raises(Unschedulable, match="Mars/Base"):
        schedules.next_run(task, NOON)
    assert (schedules.raw(task), schedules.label(task)) == ("", "")
    assert schedules.zone(task).key


@pytest.mark.parametrize("moment", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
def test_dates_at_the_ends_of_the_calendar(moment):
    for task in (cron_task(), PeriodicTask(interval=IntervalSchedule(every=1, period="days"))):
        with suppress(Unschedulable):
            schedules.next_run(task, moment)
    clocked = PeriodicTask(clocked=ClockedSchedule(clocked_time=moment))
    with timezone.override("Asia/Tokyo"):
        assert schedules.label(clocked)
    with timezone.override("America/New_York"):
        assert schedules.label(clocked)


@pytest.mark.parametrize(
    ("every", "unit", "message"),
    [
        ("1", "microseconds", "The shortest interval is one second."),
        ("999999", "microseconds", "The shortest interval is one second."),
        ("2147483648000001", "microseconds", "Enter a whole number from 1 to 315360000000000."),
        ("2500000001", "microseconds", "An interval longer than half an hour must be whole seconds."),
        ("0", "seconds", "Enter a whole number from 1 to 315360000."),
    ],
)
def test_an_interval_that_may_not_be_typed(every, unit, message):
    with pytest.raises(InvalidInterval, match=message):
        schedules.read_interval(every, unit)


@pytest.mark.parametrize(
    ("every", "unit", "raw"),
    [("1", "hours", "every hour"), ("1", "seconds", "every second"), ("2", "days", "every 2 days")],
)
def test_one_unit_has_no_number(every, unit, raw):
    task = PeriodicTask(interval=schedules.read_interval(every, unit))
    assert schedules.raw(task) == raw
    row = schedules.parse_interval(raw)
    assert (row.every, row.period) == (int(every), unit)


def test_a_text_kept_with_a_number_reads_well():
    assert schedules.text_label("every 1 hours") == schedules.text_label("every hour") == "Every hour"


def test_a_beat_that_was_away_over_a_clock_change_missed_what_occurred():
    """Nuuk leaves out the last hour of that Saturday: what was due in it is due once, at midnight."""
    task = cron_task(minute="*/15", hour="*", day_of_week="6", zone="America/Nuuk")
    runs = schedules.next_runs(task, datetime(2026, 3, 29, 0, 50, tzinfo=UTC))
    until = datetime(2026, 3, 29, 7, 1, tzinfo=UTC)
    assert [run for run in islice(runs, 3) if run <= until] == [datetime(2026, 3, 29, 1, tzinfo=UTC)]
