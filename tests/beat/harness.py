"""The real scheduler on a clock that the test moves, with a broker that the test breaks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from example_project.celery import app
from scheduled_tasks.beat import Scheduler, lease
from scheduled_tasks.beat.broker import BrokerUnreachable
from scheduled_tasks.beat.pending_runs import PendingRun
from scheduled_tasks.models import Lease, TaskRun, TaskState
from scheduled_tasks.recording.connection import is_outage
from scheduled_tasks.testing.stepped_beat import SteppedBeat, SteppedClock

START = datetime(2026, 6, 10, 10, 7, tzinfo=UTC)
"""A Wednesday, far from any change of clocks."""


class TestClock(SteppedClock):
    """Stands still until it is moved."""

    __test__ = False

    def __init__(self, moment: datetime = START) -> None:
        super().__init__(moment)


class Beat(SteppedBeat, Scheduler):
    """A scheduler whose messages end in ``sent``, unless ``broker_error`` is set."""

    def __init__(self, clock: TestClock, **kwargs: Any) -> None:
        super().__init__(app, clock, **kwargs)
        self.sent: list[PendingRun] = []
        self.broker_error: Exception | None = None

    def turn_failed(self, error: Exception) -> float:
        if not is_outage(error):
            raise error
        return Scheduler.turn_failed(self, error)

    def publish(self, run: PendingRun) -> None:
        if self.broker_error is not None:
            raise self.broker_error
        self.sent.append(run)

    def run_until(self, moment: datetime) -> list[datetime]:
        """Tick at every moment at which something is due, then at ``moment``; the ticks that were sent."""
        before = len(self.sent)
        super().run_until(moment)
        return [run.scheduled_for for run in self.sent[before:]]


UNREACHABLE = BrokerUnreachable("connection refused")


def at(text: str) -> datetime:
    """``"10:07"`` on the first day, or ``"2026-06-11 10:07"``, in UTC."""
    return datetime.fromisoformat(text if "-" in text else f"2026-06-10 {text}").replace(tzinfo=UTC)


def cron_row(expression: str, zone: str = "UTC") -> CrontabSchedule:
    minute, hour, day, month, weekday = expression.split()
    return CrontabSchedule.objects.create(
        minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday, timezone=zone
    )


def cron_task(expression: str, *, zone: str = "UTC", **fields: Any) -> PeriodicTask:
    return task(crontab=cron_row(expression, zone), **fields)


def interval_task(every: int = 1, period: str = IntervalSchedule.MINUTES, **fields: Any) -> PeriodicTask:
    return task(interval=IntervalSchedule.objects.create(every=every, period=period), **fields)


def task(
    *, state: dict[str, Any] | None = None, changed: datetime | None = None, **fields: Any
) -> PeriodicTask:
    """A task as django-celery-beat's own admin makes it, last saved at ``changed``."""
    number = PeriodicTask.objects.count() + 1
    made = PeriodicTask.objects.create(**{"name": f"job-{number}", "task": "tests.job", **fields})
    PeriodicTask.objects.filter(pk=made.pk).update(date_changed=changed or START - timedelta(days=7))
    if state is not None:
        TaskState.objects.create(task_id=made.pk, **state)
    return made


def a_beat_was_here() -> None:
    """What a first beat leaves behind: ticks that come later are this app's to miss."""
    Lease.objects.create(name=lease.NAME, epoch=1)


def runs(task: PeriodicTask) -> list[tuple[str, str, int]]:
    """Status, first tick and number of ticks of every row of the task, oldest first."""
    rows = TaskRun.objects.filter(task_id=task.pk).order_by("id")
    return [(row.status, f"{row.scheduled_for:%d %H:%M:%S}", row.tick_count) for row in rows]


def state(task: PeriodicTask) -> TaskState:
    return TaskState.objects.get(pk=task.pk)
