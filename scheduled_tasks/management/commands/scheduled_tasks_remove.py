"""``manage.py scheduled_tasks_remove``: take what this app keeps out of the database."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, no_translations
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.models import ForeignObjectRel, Model, QuerySet
from django_celery_beat.models import CrontabSchedule, IntervalSchedule

from ...declarations.sync import tables_exist
from ...models import Incident, MaintenanceWindow, ProcessKind, TaskRun, database
from ...reading.machinery import Machinery

APP = "scheduled_tasks"


class Command(BaseCommand):
    """Leaves the tasks and their schedules, which are django-celery-beat's. Asks before it deletes."""

    help = (
        "Drop this app's tables, and delete its permissions, its entries in the admin's history and the "
        "schedules that no task uses. The tasks stay in django-celery-beat."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only count what would be deleted.")
        parser.add_argument("--no-input", action="store_false", dest="interactive", help="Do not ask.")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Say what goes; then drop the tables, and delete the rows that they leave behind."""
        kept_in_tables = tables_exist()
        _refuse_dependents()
        for rows, name in [*(_in_tables() if kept_in_tables else ()), *_beside_tables()]:
            self.stdout.write(f"{name.capitalize()}: {rows.count()}")
        if options["dry_run"]:
            return
        if options["interactive"] and not _confirmed():
            raise CommandError("Nothing was deleted.")
        if kept_in_tables:
            _refuse_while_running()
        call_command("migrate", APP, "zero", database=database(), verbosity=0)
        for rows, _ in _beside_tables():
            rows.delete()
        self.stdout.write("Deleted. Remove the app from INSTALLED_APPS, and its scheduler from the settings.")


def _confirmed() -> bool:
    try:
        return input("Delete all of this? Type 'yes': ") == "yes"
    except EOFError:
        raise CommandError("Nothing was deleted. Without a terminal, give --no-input.") from None


def _refuse_dependents() -> None:
    """Migrations of other apps that depend on this app's would be undone, too, and their tables dropped."""
    plan = MigrationExecutor(connections[database()]).migration_plan([(APP, None)])
    others = sorted(f"{migration.app_label}.{migration.name}" for migration, _ in plan)
    others = [name for name in others if not name.startswith(f"{APP}.")]
    if others:
        text = "Take the dependency on this app out of these migrations first, they would be undone, too"
        raise CommandError(f"{text}: {', '.join(others)}.")


def _refuse_while_running() -> None:
    machinery = Machinery.read()
    running = sorted(process.node for kind in ProcessKind for process in machinery.alive(kind))
    if running:
        raise CommandError(f"Stop beat and the workers first, they use the tables: {', '.join(running)}.")


def _in_tables() -> Iterator[tuple[QuerySet[Any], str]]:
    yield TaskRun.objects.all(), "runs"
    yield Incident.objects.all(), "incidents"
    yield MaintenanceWindow.objects.all(), "maintenance windows"


def _beside_tables() -> Iterator[tuple[QuerySet[Any], str]]:
    """What ``migrate scheduled_tasks zero`` leaves, in an order in which it can be deleted."""
    if apps.is_installed("django.contrib.admin"):
        history = apps.get_model("admin", "LogEntry").objects
        yield history.filter(content_type__app_label=APP), "entries of the admin's history"
    yield Permission.objects.filter(content_type__app_label=APP), "permissions"
    yield ContentType.objects.filter(app_label=APP), "content types"
    yield _unused(CrontabSchedule), "crontab schedules that nothing uses"
    yield _unused(IntervalSchedule), "interval schedules that nothing uses"


def _unused(model: type[Model]) -> QuerySet[Any]:
    """Rows that no row of any app refers to, under whatever name."""
    rows: QuerySet[Any] = model._default_manager.all()
    for relation in model._meta.get_fields(include_hidden=True):
        if isinstance(relation, ForeignObjectRel):
            column = relation.field.name
            referring = relation.related_model._base_manager.exclude(**{column: None})
            rows = rows.exclude(pk__in=referring.values(column))
    return rows
