"""The task that is measured: it does nothing."""

from celery import shared_task, signals


@shared_task(name="bench.noop")
def noop() -> None:
    """What is left is the cost of everything around it."""


@shared_task(name="bench.watch")
def watch(on: bool) -> None:
    """Let this process's tasks be watched by this app's receivers from now on, or not."""
    from scheduled_tasks.worker import receivers

    for name in ("task_prerun", "task_postrun", "task_failure", "task_retry"):
        getattr(signals, name).disconnect(dispatch_uid=f"scheduled_tasks.{name}")
    if on:
        receivers.connect()
