"""A beat or worker that imports this module looks for incidents all the time, and may die of sending one.

It writes down its boot id in the directory ``DEATHS``, and when it kills itself between claim and send.
Import ``tests.chaos.impatient`` first.
"""

from __future__ import annotations

import os
import random
import signal
import time
from datetime import timedelta
from pathlib import Path

from scheduled_tasks.alerts import sender
from scheduled_tasks.beat import scheduler
from scheduled_tasks.incidents import watcher
from scheduled_tasks.models import Notice
from scheduled_tasks.reading import machinery, version
from scheduled_tasks.upkeep import heartbeat

DIES = 0.1
"""Share of the messages that nobody sends, because the process dies, while the file ``trouble`` is there."""

HOME = Path(os.environ["DEATHS"])

watcher.LOOK_EVERY = 0.5
watcher.FULL_LOOK_EVERY = 5.0
watcher.LASTS_AFTER = 3.0
watcher.TTL = timedelta(seconds=4)
sender.CLAIMED_FOR = timedelta(seconds=2)
scheduler.HEARTBEAT_EVERY = 1.0
for module in (watcher, sender, machinery, version):
    module.STALE_AFTER = heartbeat.STALE_AFTER

start, attempt = watcher.Watcher.start, sender._attempt


def started(self: watcher.Watcher) -> None:
    (HOME / self.lease.holder).write_text(str(os.getpid()))
    start(self)


def attempted(notice: Notice, *more: object) -> str:
    if (HOME / "trouble").exists() and random.random() < DIES:
        (HOME / f"death-{os.getpid()}").write_text(str(time.monotonic()))
        os.kill(os.getpid(), signal.SIGKILL)
    return attempt(notice, *more)


watcher.Watcher.start = started
sender._attempt = attempted
