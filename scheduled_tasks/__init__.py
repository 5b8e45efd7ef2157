"""Scheduled tasks: a page in the Django admin for the jobs Celery beat runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = ["current_run", "progress", "scheduled_task", "track"]

_HOMES = {
    "scheduled_task": ".declarations.decorator",
    "current_run": ".worker.current_run",
    "progress": ".worker.output",
    "track": ".worker.output",
}

if TYPE_CHECKING:
    from .declarations.decorator import scheduled_task
    from .worker.current_run import current_run
    from .worker.output import progress, track
else:

    def __getattr__(name):
        """Import a public name when it is asked for: Django imports this module before any app is ready."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name], __name__), name)
