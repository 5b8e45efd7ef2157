"""``manage.py prune_task_runs``: delete runs beyond their task's retention."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from ...upkeep.retention import prune


class Command(BaseCommand):
    """Deletes in short steps; may be interrupted and run again at any time."""

    help = (
        "Delete task runs that are older than their retention, or more than are to be kept. "
        "The last success and the last failure of each task stay."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only count what would be deleted.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prune, and say how many runs went."""
        count = prune(dry_run=options["dry_run"])
        runs = "run" if count == 1 else "runs"
        self.stdout.write(f"{count} {runs} {'would be ' if options['dry_run'] else ''}deleted.")
