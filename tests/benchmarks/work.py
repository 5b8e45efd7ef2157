"""The task that is measured: it does nothing."""

from celery import shared_task, signals


@shared_task(name="bench.noop")
def noop() -> None:
    """What is left is the cost of everything around it."""


@shared_task(name="bench.record")
def record(recorder: str) -> None:
    """Let this process's tasks be recorded by ``ours``, by ``raw`` or by nobody from now on."""
    from scheduled_tasks.worker import receivers
    from tests.benchmarks import raw

    for name in ("task_prerun", "task_postrun", "task_failure", "task_retry"):
        getattr(signals, name).disconnect(dispatch_uid=f"scheduled_tasks.{name}")
    raw.disconnect()
    if recorder == "ours":
        receivers.connect()
    elif recorder == "raw":
        raw.connect()
