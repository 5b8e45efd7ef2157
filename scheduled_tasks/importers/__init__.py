"""Schedules of other schedulers, made scheduled tasks; and the results of django-celery-results, made runs.

One module per source reads it (:class:`.found.Importer`), :mod:`.imported` writes what they find.
"""

from __future__ import annotations

from . import apscheduler, beat_entries, crontab, django_cron, django_crontab, django_q2, redbeat
from .found import Importer, Outcome, Result
from .imported import import_schedules
from .past_results import import_results

__all__ = ["SOURCES", "Importer", "Outcome", "Result", "import_results", "import_schedules"]

SOURCES: dict[str, Importer] = {
    "crontab": crontab,
    "django-crontab": django_crontab,
    "django-cron": django_cron,
    "django-q2": django_q2,
    "redbeat": redbeat,
    "apscheduler": apscheduler,
    "beat-schedule": beat_entries,
}
"""Every source of schedules, by the name that the command is given."""
