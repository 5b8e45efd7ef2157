"""A worker that includes this module concludes from silence within seconds instead of a minute."""

from datetime import timedelta

from scheduled_tasks import processes, reaper

processes.BEAT_EVERY = 1.0
reaper.TURN_EVERY = 1.0
reaper.SLEPT = 6.0
reaper.REPLACED_AFTER = timedelta(seconds=10)
reaper.EXPIRY_MARGIN = timedelta(seconds=2)
processes.STALE_AFTER = reaper.STALE_AFTER = timedelta(seconds=10)
