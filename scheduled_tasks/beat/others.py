"""Beats that start the same tasks with django-celery-beat's own scheduler, or with another one built on it.

They are shown too: the page must not say that no beat runs, nor be silent about what such a beat cannot do.
"""

from __future__ import annotations

import atexit
from typing import Any

from celery import signals
from celery.utils.nodenames import host_format
from django_celery_beat.schedulers import DatabaseScheduler

from ..models import ProcessKind
from ..processes import Heartbeat
from .scheduler import Scheduler


def connect() -> None:
    """Connect the receiver; it does nothing in a process that is not such a beat."""
    signals.beat_init.connect(on_beat_init, weak=False, dispatch_uid="scheduled_tasks.beat_init")


def on_beat_init(sender: Any, **_: Any) -> None:
    """Keep a row for a beat whose scheduler reads the tasks and keeps none itself.

    ``sender`` is the ``celery.beat.Service``, which has made its scheduler by then.
    """
    scheduler = sender.scheduler
    if isinstance(scheduler, Scheduler) or not isinstance(scheduler, DatabaseScheduler):
        return
    kind = type(scheduler)
    heartbeat = Heartbeat(
        ProcessKind.BEAT, host_format("celerybeat@%h"), pool=f"{kind.__module__}:{kind.__qualname__}"
    )
    heartbeat.start()
    atexit.register(heartbeat.stop)
