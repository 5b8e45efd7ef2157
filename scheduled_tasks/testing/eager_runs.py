"""Runs in the process of a test, recorded as in a worker."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from celery import current_app

from .. import operations
from ..declarations.code import read
from ..declarations.sync import sync
from ..models import ScheduledTask, TaskRun, Trigger
from ..operations import Actor
from ..worker.logs import capture_logs

EAGER = {"task_always_eager": True, "task_eager_propagates": False}


def run_scheduled(
    name: str, *, args: list[Any] | None = None, kwargs: dict[str, Any] | None = None
) -> TaskRun:
    """Run a task in this process, to its end, and return the run as recorded.

    It is *Run now* without a broker. A task that is not stored yet is stored as code declares it. ``args``
    and ``kwargs`` replace its own. An exception of the task ends the run as *failed*, and is not raised.

    Raises ``LookupError`` for a task that is neither stored nor declared or has no Celery task, and
    :class:`.operations.Refused` for what *Run now* refuses.
    """
    store([name])
    task = ScheduledTask.objects.get(name=name)
    check_known(task.name, task.task)
    with eager():
        return operations.run_now(
            task.pk,
            actor=Actor("", lambda task, text: None),
            celery_id=str(uuid4()),
            args=args,
            kwargs=kwargs,
            trigger=Trigger.COMMAND,
        )


def store(names: Collection[str]) -> None:
    """Store those of the tasks that are not stored yet, as code declares them. Raises ``LookupError``."""
    missing = set(names) - _stored(names)
    report = sync(only=missing) if missing else None
    if report is not None and (lacking := sorted(missing - _stored(missing))):
        reasons = " ".join(report.problems)
        raise LookupError(f"Neither stored nor declared: {', '.join(lacking)}. {reasons}".rstrip())


def _stored(names: Collection[str]) -> set[str]:
    return set(ScheduledTask.objects.filter(name__in=names).values_list("name", flat=True))


def check_known(name: str, path: str) -> None:
    """Raise ``LookupError`` when this process has no Celery task ``path``, which ``name`` starts."""
    if path not in current_app.tasks:
        read()
    if path not in current_app.tasks:
        raise LookupError(f"The Celery task of {name!r}, {path}, does not exist.")


@contextmanager
def eager() -> Iterator[None]:
    """Tasks run where they are sent, and their log lines are kept; no broker is needed."""
    conf = current_app.conf
    during = {**EAGER, "broker_write_url": conf.broker_write_url or "memory://"}
    before = {name: conf[name] for name in during}
    capture_logs()
    conf.update(during)
    try:
        yield
    finally:
        conf.update(before)
