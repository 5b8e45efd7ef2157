"""A worker that includes this module concludes from silence within seconds instead of a minute.

It also gives idle connections back after three seconds.
"""

from datetime import timedelta

from scheduled_tasks import processes, reaper
from scheduled_tasks.recording import writer

processes.BEAT_EVERY = 1.0
reaper.TURN_EVERY = 1.0
reaper.SLEPT = 6.0
reaper.REPLACED_AFTER = timedelta(seconds=10)
reaper.EXPIRY_MARGIN = timedelta(seconds=2)
processes.STALE_AFTER = reaper.STALE_AFTER = timedelta(seconds=10)
writer.IDLE_CLOSE = 3.0
