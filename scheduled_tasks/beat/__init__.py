"""The beat wing: a scheduler that fires each tick once, and explains every tick it did not fire."""

from .scheduler import Scheduler

__all__ = ["Scheduler"]
