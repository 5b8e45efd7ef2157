"""A beat whose host's clock jumps: nothing changes, as the database's clock decides what is due. When that
one jumps, ticks run late or are accounted for as missed, and none runs twice."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduled_tasks.declarations.sync import sync
from scheduled_tasks.models import Overlap, ScheduledTask, Status, TaskRun, TaskState
from tests import tasks
from tests.chaos import servers
from tests.live import Beat, Worker, wait_for

from .test_beat import LEADS, PERIOD, TAKEOVER, every_second, no_other_jobs, succeeded
from .test_beat_hosts import SENT
from .test_beat_outages import accounted_to_the_last

__all__ = ["every_second", "no_other_jobs"]

pytestmark = [
    pytest.mark.skipif(
        "sqlite" in os.environ.get("DATABASE_URL", ""), reason="SQLite has no clock but the host's"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="the clock is shifted by way of LD_PRELOAD"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler to shift a process's clock"),
]

HOUR = 3600
ENOUGH = 10
"""Runs of a task of every second after which beat has looked at the database's clock several times."""


class ShiftedClock:
    """The wall clock of the processes that run with ``env``."""

    def __init__(self, home: Path) -> None:
        self._file, library = home / "shift", home / "clock.so"
        self.shift(0)
        source = Path(__file__).with_name("clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        self.env = {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(self._file)}

    def shift(self, seconds: int) -> None:
        """Let the clock be so much ahead of the true time from now on."""
        with open(self._file, "r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("l", seconds))


@pytest.mark.skipif(
    "postgres" not in os.environ.get("DATABASE_URL", ""), reason="the server with that clock is a PostgreSQL"
)
@pytest.mark.parametrize("first", [HOUR, -HOUR], ids=["forward", "back"])
def test_clock_of_the_database_jumps_and_is_set_right(
    first: int, start_beat: Callable[..., Beat], start_worker: Callable[..., Worker]
) -> None:
    with ExitStack() as stack:
        home = stack.enter_context(servers.public_directory())
        clock = ShiftedClock(home)
        variables = [f"{name}={value}" for name, value in clock.env.items()]
        place = stack.enter_context(servers.own_postgres(home, within=["env", *variables]))
        env = {"DATABASE_URL": place.url}
        own = start_worker(env=env)
        job = job_every_second(own.queue)
        beats = [start_beat(env=env)]
        beats[0].wait_for_log(LEADS)
        beats.append(start_beat(env=env))
        beats[1].wait_for_log("stands by")
        wait_for(lambda: succeeded(job, 2), message="runs by the true time")
        for shift in (first, 0):
            newest = TaskRun.objects.latest("id")
            clock.shift(shift)
            wait_for(partial(sent_since, newest, 1), timeout=TAKEOVER + PERIOD, message="the next run sent")
            enough = partial(sent_since, newest, ENOUGH)
            wait_for(enough, timeout=120, message=f"runs sent with a shift of {shift} s")
        newest = TaskRun.objects.latest("id")
        wait_for(partial(fired_since, newest), timeout=120, message="runs once the clock was set right")
        for process in (*reversed(beats), own):
            assert process.running
            process.stop()
        runs = TaskRun.objects.order_by("scheduled_for")
        assert runs.last().scheduled_for - runs.first().scheduled_for > timedelta(seconds=HOUR)
        sent = Counter(tick for beat in beats for tick in SENT.findall(beat.output()))
        assert max(sent.values()) == 1
        # Ticks before the task was enabled are no gap, although a clock that is behind shows that time.
        begun = TaskRun.objects.earliest("id").scheduled_for
        assert without_a_gap(run for run in runs if (run.scheduled_until or run.scheduled_for) >= begun)
        assert not TaskRun.objects.filter(attempts__gt=1).exists()
        assert not TaskRun.objects.filter(status=Status.MISSED, reason="").exists()


def job_every_second(queue: str) -> PeriodicTask:
    """The only task of a database of the test's own."""
    sync()
    ScheduledTask.objects.all().delete()
    second = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    job = PeriodicTask.objects.create(
        name="count users", task=tasks.count_users.name, interval=second, queue=queue
    )
    TaskState.objects.create(task_id=job.pk, overlap=Overlap.ALLOW)
    return job


def sent_since(newest: TaskRun, count: int) -> bool:
    """Whether so many runs were sent; by a clock that is behind, workers take them for expired."""
    return TaskRun.objects.filter(id__gt=newest.pk, sent_at__isnull=False).count() >= count


def without_a_gap(runs: Iterable[TaskRun]) -> bool:
    """Whether rows stand for each second from the first to the last. Two may stand for the same: a tick that
    was missed by a clock that was wrong runs by the right one."""
    reached = None
    for run in runs:
        if reached is not None and run.scheduled_for > reached + timedelta(seconds=1):
            return False
        last = run.scheduled_until or run.scheduled_for
        reached = last if reached is None else max(reached, last)
    return reached is not None


def fired_since(newest: TaskRun) -> bool:
    """Whether beat has gone on for longer than it goes by one look at the database's clock."""
    return TaskRun.objects.filter(id__gt=newest.pk, status=Status.SUCCEEDED).count() >= ENOUGH


@pytest.mark.parametrize("first", [HOUR, -HOUR], ids=["forward", "back"])
def test_clock_jumps_and_is_set_right(
    first: int, start_beat: Callable[..., Beat], every_second: PeriodicTask, worker: Worker, tmp_path: Path
) -> None:
    TaskState.objects.create(task_id=every_second.pk, overlap=Overlap.ALLOW)
    clock = ShiftedClock(tmp_path)
    beat = start_beat(env=clock.env)
    wait_for(lambda: succeeded(every_second, 2), message="runs by the true time")
    for shift in (first, 0):
        newest = TaskRun.objects.latest("id")
        clock.shift(shift)
        wait_for(partial(fired_since, newest), timeout=120, message=f"runs with a shift of {shift} s")
    assert beat.running
    beat.stop()
    hours = {line[12:14] for line in beat.output().splitlines() if ": INFO/MainProcess] Sent" in line}
    assert len(hours) > 1, "the clock of beat's logs was to jump"
    assert accounted_to_the_last(every_second)
    assert not TaskRun.objects.filter(attempts__gt=1).exists()
    assert not TaskRun.objects.filter(tick_count__gt=HOUR / 2).exists()
