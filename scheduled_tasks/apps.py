"""The app's configuration and its one composition root."""

from __future__ import annotations

from celery.signals import import_modules
from django.apps import AppConfig
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ScheduledTasksConfig(AppConfig):
    """Connects checks, signal receivers and the sync after ``migrate``; never touches the database."""

    name = "scheduled_tasks"
    label = "scheduled_tasks"
    verbose_name = _("Scheduled tasks")
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        """Say what is missing: the models cannot be imported without django-celery-beat's."""
        if self.apps is not None and not self.apps.is_installed("django_celery_beat"):
            raise ImproperlyConfigured("scheduled_tasks needs 'django_celery_beat' in INSTALLED_APPS.")
        super().import_models()

    def ready(self) -> None:
        from . import beat, recording, worker
        from .checks import check_databases, check_settings
        from .declarations.code import enable_loggers
        from .declarations.sync import sync_at_migrate

        checks.register(check_settings)
        checks.register(check_databases)
        post_migrate.connect(sync_at_migrate, sender=self)
        import_modules.connect(enable_loggers)
        recording.connect()
        worker.connect()
        beat.connect()
