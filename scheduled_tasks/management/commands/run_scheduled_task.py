"""``manage.py run_scheduled_task NAME``: run a task now, as the page's Run now does."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError, no_translations

from ... import operations
from ...models import Trigger
from ...operations import Refused
from ..named_tasks import task_id_of
from ..system_user import command_line


class Command(BaseCommand):
    """Does not wait for the run's end; what the page would refuse is refused here."""

    help = "Run a scheduled task now, whatever its schedule says, and say which run that is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="The task's name, as the page shows it.")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Queue the run; the text of a refusal is the command's error."""
        task_id = task_id_of(options["name"])
        try:
            run = operations.run_now(
                task_id, actor=command_line(), celery_id=str(uuid4()), trigger=Trigger.COMMAND
            )
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{run.name} is queued: run {run.pk}, task id {run.celery_id}.")
