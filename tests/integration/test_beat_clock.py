"""A beat whose host's clock jumps: nothing changes, as the database's clock decides what is due."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from django_celery_beat.models import PeriodicTask

from scheduled_tasks.beat.lease import RENEW_EVERY
from scheduled_tasks.models import Overlap, Status, TaskRun, TaskState
from tests.live import Beat, Worker, wait_for

from .test_beat import every_second, no_other_jobs, succeeded
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


def fired_since(newest: TaskRun) -> bool:
    """Whether beat has gone on for longer than it goes by one look at the database's clock."""
    return TaskRun.objects.filter(id__gt=newest.pk, status=Status.SUCCEEDED).count() > 2 * RENEW_EVERY


@pytest.mark.parametrize("first", [HOUR, -HOUR], ids=["forward", "back"])
@pytest.mark.timeout(400)
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
