"""Beat's own scheduler on a clock that a test moves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from celery import Celery, current_app
from celery.utils.imports import load_extension_class_names, symbol_by_name
from django.db.models import Max
from django.utils import timezone

from ..beat.broker import Broker
from ..beat.lease import Clock
from ..beat.scheduler import Scheduler
from ..models import ScheduledTask, TaskRun, TaskState
from .declared import Moment, aware
from .eager_runs import check_known, eager, store

if TYPE_CHECKING:
    from ..beat.pending_runs import PendingRun

    Base = Scheduler
else:
    Base = object


def tick(*names: str, after: Moment, until: Moment) -> list[TaskRun]:
    """Let beat lead from ``after`` on, up to and including ``until``; every run it made, oldest first.

    Beat reads the enabled tasks that are stored; ``names`` are declared tasks to store before, unless they
    are. It decides as always: the rows may also be of skipped and missed ticks. What it starts runs in this
    process, to its end, before the clock goes on. The clock is the scheduler's alone: the times at which runs
    are recorded are the database's. A time before the first call has no missed ticks, one between two calls
    does. A moment without a zone is in Django's current time zone.

    The scheduler is that of the setting ``beat_scheduler``, if it is this app's or a subclass.

    Raises ``LookupError`` for a task that is neither stored nor declared or has no Celery task,
    ``ValueError`` when ``until`` is before ``after``, ``RuntimeError`` when another beat leads, and whatever
    goes wrong in a turn.
    """
    begin, end = (aware(each, timezone.get_current_timezone()).astimezone(UTC) for each in (after, until))
    if end < begin:
        raise ValueError(f"until ({end}) is before after ({begin}).")
    store(names)
    _count_from(begin)
    newest = TaskRun.objects.aggregate(newest=Max("pk"))["newest"] or 0
    beat = stepped_beat(current_app, begin)
    try:
        with eager():
            beat.run_until(end)
        if beat.leader is None:
            raise RuntimeError("Another beat leads on this database.")
    finally:
        beat.close()
    return list(TaskRun.objects.filter(pk__gt=newest).order_by("pk"))


def _count_from(moment: datetime) -> None:
    """Have the ticks of tasks that no beat has met count from ``moment``, not from when they were stored."""
    new = ScheduledTask.objects.filter(enabled=True, scheduled_state__accounted_until__isnull=True)
    states = [TaskState(task_id=pk) for pk in new.values_list("pk", flat=True)]
    TaskState.objects.bulk_create(states, ignore_conflicts=True)
    new.filter(last_run_at__gt=moment).update(last_run_at=moment)
    ids = [state.task_id for state in states]
    TaskState.objects.filter(pk__in=ids).update(enabled_since=moment)


def stepped_beat(app: Celery, moment: datetime) -> SteppedBeat:
    """A beat of the project's own scheduler, where that is this app's or a subclass, at ``moment``."""
    aliases = dict(load_extension_class_names("celery.beat_schedulers"))
    chosen = symbol_by_name(app.conf.beat_scheduler, aliases=aliases)
    kind = chosen if issubclass(chosen, Scheduler) else Scheduler
    return cast(SteppedBeat, type(kind.__name__, (SteppedBeat, kind), {})(app, SteppedClock(moment)))


class SteppedClock(Clock):
    """Stands still until ``moment`` is set."""

    age = 0.0

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def set(self, moment: datetime) -> None:
        """What the database says does not count here."""


class NoHeartbeat:
    """In place of the heartbeat: nobody looks after a process that is none."""

    def looped(self) -> None: ...

    def broker_ok(self) -> None: ...

    def stop(self) -> None: ...


class NoBroker(Broker):
    """What is sent runs here."""

    def producer(self) -> None: ...


class SteppedBeat(Base):
    """In front of a :class:`Scheduler`: it takes its turns by a clock that is set, and starts no threads.

    Errors of a turn are raised.
    """

    def __init__(self, app: Celery, clock: SteppedClock, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self.stepped_clock = self.clock = self.lease.clock = clock
        self.broker = NoBroker(app)

    def start_heartbeat(self) -> Any:
        return NoHeartbeat()

    def sync_definitions(self) -> None:
        """Nothing: the test decides which tasks there are."""

    def turn_failed(self, error: Exception) -> float:
        raise error

    def publish(self, run: PendingRun) -> None:
        check_known(run.name, run.task)
        super().publish(run)

    def run_until(self, moment: datetime) -> None:
        """Take a turn now, at each moment at which something is due, and at ``moment``."""
        clock = self.stepped_clock
        self.tick()
        while self.leader and self.leader.due_at and self.leader.due_at < moment:
            clock.moment = max(clock.moment, self.leader.due_at)
            self.tick()
        clock.moment = moment
        while self.tick() == 0:
            pass
