"""The beat wing: a scheduler that fires each tick once, and explains every tick it did not fire."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any

from celery.signals import beat_init
from celery.utils.nodenames import host_format

__all__ = ["Scheduler", "connect"]

if TYPE_CHECKING:
    from .scheduler import Scheduler
else:

    def __getattr__(name):
        """Import the scheduler when it is asked for: a web process must not load ``celery.beat``."""
        if name != "Scheduler":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .scheduler import Scheduler

        return Scheduler


def connect() -> None:
    """Connect the receiver; it does nothing in a process that is no beat."""
    beat_init.connect(_show_other_scheduler, weak=False, dispatch_uid="scheduled_tasks.beat_init")


def _show_other_scheduler(sender: Any, **_: Any) -> None:
    """Keep a row for a beat that starts the same tasks with another scheduler, and keeps no row itself.

    Without it the page would say that no beat runs. ``sender`` is the ``celery.beat.Service``.
    """
    from django_celery_beat.schedulers import DatabaseScheduler

    from ..models import ProcessKind
    from ..upkeep.heartbeat import Heartbeat
    from .scheduler import Scheduler

    kind = type(sender.scheduler)
    if issubclass(kind, Scheduler) or not issubclass(kind, DatabaseScheduler):
        return
    name = f"{kind.__module__}:{kind.__qualname__}"
    heartbeat = Heartbeat(ProcessKind.BEAT, host_format("celerybeat@%h"), pool=name)
    heartbeat.start()
    atexit.register(heartbeat.stop)
