"""Tasks of which one run at a time may be sent."""

from __future__ import annotations

from celery import shared_task
from celery_singleton import Singleton

from tests import tasks


@shared_task(base=Singleton)
def wait_alone(path: str) -> str:
    return tasks.wait_for_file(path)
