"""Schedulers as projects make them: subclasses of this app's."""

from __future__ import annotations

import os
import time
from copy import copy

from celery.utils.log import get_logger

from scheduled_tasks.beat import Scheduler
from scheduled_tasks.models import ScheduledTask

logger = get_logger(__name__)


class OffsetScheduler(Scheduler):
    """Shifts the crons of entries that say ``apply_offset``, by a number of minutes of this site.

    As Alliance Auth does, so that thousands of sites do not ask one server in the same second.
    """

    def read_task(self, task: ScheduledTask) -> None:
        entry = (self.app.conf.beat_schedule or {}).get(task.name, {})
        if task.crontab is not None and entry.get("apply_offset"):
            row = copy(task.crontab)
            row.minute = str((int(row.minute) + int(os.environ["SITE_OFFSET"])) % 60)
            task.crontab = row


class ThrottledScheduler(Scheduler):
    """Reads all tasks every few seconds at most, however often somebody saves one."""

    read_at = 0.0

    def schedule_changed(self) -> bool:
        if time.monotonic() < self.read_at + 5:
            logger.info("Reading waits.")
            return False
        self.read_at = time.monotonic()
        return super().schedule_changed()
