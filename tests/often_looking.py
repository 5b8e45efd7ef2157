"""A worker that imports this module looks for abandoned runs and for incidents all the time."""

from scheduled_tasks.incidents import watcher
from scheduled_tasks.upkeep import reaper

watcher.LOOK_EVERY = reaper.TURN_EVERY = 0.01
watcher.FULL_LOOK_EVERY = 0.0
