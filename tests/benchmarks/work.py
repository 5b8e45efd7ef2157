"""The task that is measured: it does nothing."""

from celery import shared_task


@shared_task(name="bench.noop")
def noop() -> None:
    """What is left is the cost of everything around it."""
