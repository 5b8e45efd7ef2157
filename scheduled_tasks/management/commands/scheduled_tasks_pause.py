"""``manage.py scheduled_tasks_pause``: a maintenance window from the command line, as for a deploy."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError, no_translations

from ... import operations
from ...moments import short
from ...operations import Refused
from ...schedules import current_zone
from ..named_tasks import task_id_of
from ..system_user import command_line
from ..until import moment_to_come


class Command(BaseCommand):
    """Returns at once: runs that have started go on."""

    help = (
        "Let beat start no run of these tasks, or of any, until a time or until scheduled_tasks_resume. "
        "What is due meanwhile is recorded as skipped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME", help="A task's name, as the page shows it.")
        parser.add_argument("--all", action="store_true", help="All tasks.")
        parser.add_argument(
            "--until",
            type=moment_to_come,
            help="When it ends: 30m, 2h, 06:00 or 2026-12-01T06:00. Without it: with scheduled_tasks_resume.",
        )
        parser.add_argument("--note", default="", help="Why; the page shows it.")
        parser.add_argument(
            "--run-once", action="store_true", help="Run each task that was due meanwhile once afterwards."
        )

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Begin the window; the text of a refusal is the command's error."""
        if bool(options["names"]) == options["all"]:
            raise CommandError("Name the tasks to pause, or give --all.")
        ids = None if options["all"] else {task_id_of(name) for name in options["names"]}
        try:
            window = operations.plan_maintenance(
                actor=command_line(),
                ends_at=options["until"],
                note=options["note"],
                run_once_after=options["run_once"],
                task_ids=ids,
                by_command=True,
            )
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal
        what = "All tasks are" if ids is None else "1 task is" if len(ids) == 1 else f"{len(ids)} tasks are"
        end = short(window.ends_at, current_zone()) if window.ends_at else "scheduled_tasks_resume"
        self.stdout.write(f"{what} paused until {end}.")
