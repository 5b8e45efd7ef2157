"""Writing down runs: the message's header, the statements, and the one thread that carries them out.

What happens inside a worker is told by the signal receivers of :mod:`scheduled_tasks.worker`.
"""

from __future__ import annotations

from .header import NAME, Header
from .publish import Sending
from .recorder import close, record

__all__ = ["NAME", "Header", "Sending", "close", "connect", "record"]


def connect() -> None:
    """Connect the receivers of the sending side; every process that may send a message needs them."""
    from celery import signals

    from .publish import after_publish, before_publish

    signals.before_task_publish.connect(
        before_publish, weak=False, dispatch_uid="scheduled_tasks.before_publish"
    )
    signals.after_task_publish.connect(
        after_publish, weak=False, dispatch_uid="scheduled_tasks.after_publish"
    )
