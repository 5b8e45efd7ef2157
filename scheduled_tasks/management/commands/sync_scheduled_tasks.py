"""``manage.py sync_scheduled_tasks``: bring the stored tasks in line with the code."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError, no_translations

from scheduled_tasks.declarations.sync import SyncReport, sync, tables_exist


class Command(BaseCommand):
    """Adds, updates, resumes and pauses tasks; keeps what operators changed. Exits 1 on any problem."""

    help = "Bring the scheduled tasks in line with the code: operators' edits are kept, nothing is deleted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check",
            action="store_true",
            help="Change nothing; say what would change and exit 1 if anything.",
        )
        parser.add_argument(
            "--recreate", action="store_true", help="Also create the tasks again that operators deleted."
        )

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Sync, and say what happened, one line a task."""
        if not tables_exist():
            raise CommandError("The tables are not there. Run: manage.py migrate")
        check = options["check"]
        report = sync(check=check, recreate=options["recreate"])
        for change in report.changes:
            self.stdout.write(change)
        for problem in report.problems:
            self.stderr.write(self.style.ERROR(problem))
        self._sum_up(report, check=check)
        if report.problems or (check and report.changed):
            sys.exit(1)

    def _sum_up(self, report: SyncReport, *, check: bool) -> None:
        if report.deleted:
            names = ", ".join(report.deleted)
            self.stdout.write(f"Deleted by an operator, left so (--recreate brings them back): {names}")
        if report.kept:
            self.stdout.write(f"An operator's edits were kept: {', '.join(report.kept)}")
        done = "would change" if check else "changed"
        count = len(report.changes) + len(report.unchanged)
        self.stdout.write(f"{len(report.changes)} of {count} tasks {done}.")
