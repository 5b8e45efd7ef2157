"""A small site whose recurring work is declared with ``@scheduled_task``: run it with ``manage.py demo``."""

from example_project.celery import app as celery_app

__all__ = ["celery_app"]
