"""``manage.py scheduled_tasks_resume``: end what ``scheduled_tasks_pause`` began."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, no_translations

from ... import operations
from ...models import MaintenanceWindow, database_now
from ...operations import Refused
from ..system_user import command_line


class Command(BaseCommand):
    """Leaves alone what people disabled, and their maintenance windows unless told otherwise."""

    help = "End the maintenance that scheduled_tasks_pause began. What it skipped is not caught up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--all", action="store_true", help="Also end every maintenance that a person began on the page."
        )

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """End the windows that have begun; one that somebody else ends meanwhile counts as ended."""
        windows = MaintenanceWindow.objects.active_at(database_now()).order_by("pk")
        if not options["all"]:
            windows = windows.filter(by_command=True)
        ended = 0
        for pk in list(windows.values_list("pk", flat=True)):
            try:
                operations.end_maintenance(pk, actor=command_line())
            except Refused:
                continue
            ended += 1
        if ended:
            self.stdout.write(f"{ended} maintenance window{'s' if ended > 1 else ''} ended.")
        else:
            self.stdout.write("Nothing was paused from the command line.")
