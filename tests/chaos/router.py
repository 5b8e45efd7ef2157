"""A router for projects that keep the scheduler's tables in a database of their own."""

from __future__ import annotations

from django.db.models import Model

APPS = {"django_celery_beat", "scheduled_tasks"}


class Router:
    """Sends reads and writes of these apps to the database "jobs"."""

    def db_for_read(self, model: type[Model], **hints: object) -> str | None:
        return "jobs" if model._meta.app_label in APPS else None

    db_for_write = db_for_read
