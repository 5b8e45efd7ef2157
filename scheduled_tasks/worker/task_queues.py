"""Which queue each of a worker's tasks goes to when nothing else is said: what code and settings choose."""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery

from ..models import ROUTING

logger = logging.getLogger(__name__)


def task_queues(app: Celery) -> dict[str, str]:
    """The queue of each registered task by its name.

    Without those of which it cannot be told: an exchange may lead to any queue, and a project's own router
    may want to see the arguments.
    """
    found = {name: _queue_of(app, name, task) for name, task in [*app.tasks.items()]}
    return {name: queue for name, queue in found.items() if queue}


def _queue_of(app: Celery, name: str, task: Any) -> str:
    coded = {option: value for option in ROUTING if (value := getattr(task, option, None)) is not None}
    if "exchange" in coded:
        return ""
    try:
        queue: Any = app.amqp.router.route(coded, name, task_type=task).get("queue")
    except Exception:
        logger.exception("The queue of %s cannot be told.", name)
        return ""
    return "" if queue is None else str(getattr(queue, "name", queue))
