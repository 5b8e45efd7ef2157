"""``manage.py prune_task_runs``: delete runs and incidents beyond their retention."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from ...models import Incident, TaskRun
from ...upkeep.retention import prune

NAMES = {TaskRun: "run", Incident: "incident"}


class Command(BaseCommand):
    """Deletes in short steps; may be interrupted and run again at any time."""

    help = (
        "Delete task runs that are older than their retention, or more than are to be kept. "
        "The last success and the last failure of each task stay. Old incidents go too."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only count what would be deleted.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prune, and say how many runs and incidents went."""
        counts = prune(dry_run=options["dry_run"])
        gone = " and ".join(_counted(counts[model], name) for model, name in NAMES.items())
        self.stdout.write(f"{gone} {'would be ' if options['dry_run'] else ''}deleted.")


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
