"""``manage.py run_scheduled_task NAME``: run a task now, as the page's Run now does."""

from __future__ import annotations

from argparse import ArgumentParser
from difflib import get_close_matches
from getpass import getuser
from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError, no_translations

from ... import operations
from ...models import ScheduledTask, Trigger
from ...operations import Actor, Refused


class Command(BaseCommand):
    """Does not wait for the run's end; what the page would refuse is refused here."""

    help = "Run a scheduled task now, whatever its schedule says, and say which run that is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="The task's name, as the page shows it.")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Queue the run; the text of a refusal is the command's error."""
        task_id = _task_id(options["name"])
        try:
            run = operations.run_now(task_id, actor=_who(), celery_id=str(uuid4()), trigger=Trigger.COMMAND)
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{run.name} is queued: run {run.pk}, task id {run.celery_id}.")


def _task_id(name: str) -> int:
    tasks = ScheduledTask.objects.values_list("pk", flat=True)
    task_id: int | None = tasks.filter(name=name).first()
    if task_id is not None:
        return task_id
    meant = get_close_matches(name, ScheduledTask.objects.values_list("name", flat=True), n=1)
    raise CommandError(
        f"There is no scheduled task {name}." + (f" Did you mean {meant[0]}?" if meant else "")
    )


def _who() -> Actor:
    """The user of the operating system. The run keeps the name: Django's history takes only its own users."""
    try:
        name = getuser()
    except (ImportError, LookupError, OSError):  # a container's user need not have a name
        name = ""
    return Actor(name, lambda task, text: None)
