"""The worker wing: what Celery's signals say about runs, and what a running task shows of itself."""

from __future__ import annotations


def connect() -> None:
    """Connect the receivers of the worker; they do nothing in a process that runs no tasks."""
    from .receivers import connect as connect_receivers

    connect_receivers()
