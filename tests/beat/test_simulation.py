"""The real tick loop over changes of clocks and over years: what is shown as next is what is fired."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab
from django_celery_beat.models import ClockedSchedule, PeriodicTask, SolarSchedule

from scheduled_tasks.models import TaskState

from .harness import Beat, TestClock, cron_task, task

pytestmark = pytest.mark.django_db

VECTORS = Path(__file__).parent.parent / "cron_vectors.json"

ZONES = [
    "Europe/Paris",
    "Europe/London",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Chatham",
    "Asia/Kolkata",
]

EXPRESSIONS = [
    "30 2 * * *",
    "30 2,3 * * *",
    "*/20 2 * * *",
    "0 */2 * * *",
    "0 * * * *",
    "*/15 * * * *",
    "0 0 * * *",
    "30 0-3 * * *",
    "15 2 * * 0",
    "45 1 1-7 * 0",
]


def transitions(zone: str, year: int) -> Iterator[datetime]:
    """The hours, in UTC, in which the zone changes its clocks; the middle of the year when it never does."""
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(366 * 24)]
    offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
    changes = [hour for hour, old, new in zip(hours, offsets, offsets[1:], strict=False) if old != new]
    yield from changes or [datetime(year, 7, 1, tzinfo=UTC)]


def expected(expression: str, zone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Ticks by brute force: minute by minute on the wall clock, from each tick to the next.

    A time that the clocks leave out comes later by the gap; of a repeated hour only the first pass counts.
    """
    minute, hour, day, month, weekday = expression.split()
    fields = crontab(minute=minute, hour=hour, day_of_week=weekday, day_of_month=day, month_of_year=month)
    wall = after.astimezone(ZoneInfo(zone)).replace(tzinfo=None, second=0, microsecond=0)
    while True:
        wall += timedelta(minutes=1)
        if not matches_day(fields, wall):
            wall = wall.replace(hour=23, minute=59)
        elif wall.hour in fields.hour and wall.minute in fields.minute:
            tick = wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
            if tick > until:
                return
            yield tick
            wall = tick.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        if wall - timedelta(days=2) > until.replace(tzinfo=None):
            return


def matches_day(fields: crontab, wall: datetime) -> bool:
    return (
        wall.day in fields.day_of_month
        and wall.month in fields.month_of_year
        and wall.isoweekday() % 7 in fields.day_of_week
    )


@pytest.mark.parametrize("zone", ZONES)
def test_every_change_of_clocks(zone: str) -> None:
    for change in transitions(zone, 2026):
        start, end = change - timedelta(hours=26), change + timedelta(hours=10)
        jobs = {
            cron_task(text, zone=zone, changed=start, state={"overlap": "allow"}).pk: text
            for text in EXPRESSIONS
        }
        fired = watched(Beat(TestClock(start)), end)
        for pk, text in jobs.items():
            assert fired[pk] == list(expected(text, zone, start, end)), (text, change)
        PeriodicTask.objects.all().delete()
        TaskState.objects.all().delete()


@pytest.mark.parametrize(
    "case", [case for case in json.loads(VECTORS.read_text()) if case["valid"]], ids=lambda c: c["id"]
)
def test_vector(case: dict[str, Any]) -> None:
    after, ticks = (
        datetime.fromisoformat(case["from"]),
        [datetime.fromisoformat(text) for text in case["next"]],
    )
    job = cron_task(case["canonical"], zone=case["timezone"], last_run_at=after, state={"overlap": "allow"})
    assert watched(Beat(TestClock(after)), ticks[-1]) == {job.pk: ticks}


def watched(beat: Beat, end: datetime) -> dict[int, list[datetime]]:
    """Run until ``end``; what each task fired, after checking that it was shown as next just before."""
    fired: dict[int, list[datetime]] = defaultdict(list)
    beat.tick()
    while True:
        shown = dict(TaskState.objects.values_list("pk", "next_run_at"))
        moment = min(filter(None, shown.values()), default=None)
        if moment is None or moment > end:
            beat.lease.release()
            return fired
        beat.sent.clear()
        beat.clock.moment = moment
        beat.tick()
        sent = {message.task_id: message.scheduled_for for message in beat.sent}
        assert sent == {pk: next_run_at for pk, next_run_at in shown.items() if next_run_at == moment}
        for pk, tick in sent.items():
            fired[pk].append(tick)


def test_years_with_leap_days() -> None:
    start, end = datetime(2027, 12, 1, tzinfo=UTC), datetime(2036, 4, 1, tzinfo=UTC)
    texts = ["0 0 29 2 *", "0 0 31 * *", "30 3 1 1 *", "0 12 13 * 5", "0 9 1-7 3 1", "0 0 29 2 1"]
    jobs = {cron_task(text, changed=start, state={"overlap": "allow"}).pk: text for text in texts}
    fired = watched(Beat(TestClock(start)), end)
    for pk, text in jobs.items():
        assert fired[pk] == list(expected(text, "UTC", start, end)), text
    assert len(fired[next(iter(jobs))]) == 3


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/Santiago", "Australia/Lord_Howe"])
def test_once_is_fired_once_at_the_time_shown_and_is_over(zone: str) -> None:
    for change in transitions(zone, 2026):
        start, end = change - timedelta(hours=3), change + timedelta(hours=3)
        times = [start + timedelta(minutes=minutes) for minutes in range(7, 360, 13)]
        jobs = {
            task(
                clocked=ClockedSchedule.objects.create(clocked_time=at),
                one_off=True,
                changed=start,
            ).pk: [at]
            for at in times
        }
        assert watched(Beat(TestClock(start)), end) == jobs
        assert not PeriodicTask.objects.filter(enabled=True).exists()
        assert watched(Beat(TestClock(end)), end + timedelta(days=400)) == {}, "never again"
        PeriodicTask.objects.all().delete()
        TaskState.objects.all().delete()


def test_the_sun_is_fired_when_it_was_shown() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    paris = SolarSchedule.objects.create(event="sunset", latitude=48.8566, longitude=2.3522)
    job = task(solar=paris, changed=start, state={"overlap": "allow"})
    fired = watched(Beat(TestClock(start)), start + timedelta(days=90))[job.pk]
    assert [at.date() for at in fired] == [(start + timedelta(days=n)).date() for n in range(90)]
