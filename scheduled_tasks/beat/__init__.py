"""The beat wing: a scheduler that fires each tick once, and explains every tick it did not fire."""

from .others import connect
from .scheduler import Scheduler

__all__ = ["Scheduler", "connect"]
