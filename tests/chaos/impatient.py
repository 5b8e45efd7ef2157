"""A worker that includes this module concludes from silence within seconds instead of a minute.

It also gives idle connections back after three seconds.
"""

from datetime import timedelta

from scheduled_tasks.recording import recorder
from scheduled_tasks.upkeep import heartbeat, reaper

heartbeat.BEAT_EVERY = 1.0
reaper.TURN_EVERY = 1.0
heartbeat.WRITE_GAP = 6.0
reaper.REPLACED_AFTER = timedelta(seconds=10)
reaper.EXPIRY_MARGIN = timedelta(seconds=2)
heartbeat.STALE_AFTER = reaper.STALE_AFTER = timedelta(seconds=10)
recorder.IDLE_CLOSE = 3.0
