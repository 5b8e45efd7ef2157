"""``manage.py scheduled_tasks_import SOURCE``: schedules of another scheduler, or past results."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections import Counter
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, no_translations
from django.db import DatabaseError
from django.utils.text import capfirst

from ...declarations.code import CodeUnreadable
from ...declarations.sync import tables_exist
from ...importers import SOURCES, Outcome, Result, import_results, import_schedules
from ...importers.found import shown
from ...validation import Invalid

RESULTS = "celery-results"
HEADING = "Paste this into a module of tasks that Celery loads:"
DECORATOR = "from scheduled_tasks import scheduled_task"


class Command(BaseCommand):
    """Imports what it can, and says why not the rest. A second import finds nothing new."""

    help = "Import the schedules of another scheduler as scheduled tasks, or past results as runs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", choices=[*SOURCES, RESULTS])
        parser.add_argument(
            "place",
            nargs="?",
            default="",
            help="crontab: a file, or - for standard input. beat-schedule: the path of an app or a dict.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Write nothing; say what would be done.")
        parser.add_argument(
            "--timezone",
            default=settings.TIME_ZONE,
            help="The zone of crontab and django-crontab: the host's. Default: TIME_ZONE of the settings.",
        )
        parser.add_argument("--json", action="store_true", help="The report as JSON.")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Import, and report one line for each schedule, then the code to paste."""
        if not tables_exist():
            raise CommandError("The tables are not there. Run: manage.py migrate")
        outcomes = _imported(**options)
        if options["json"]:
            self.stdout.write(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))
            return
        words = {result: result.label for result in Result}
        if options["dry_run"]:
            words[Result.IMPORTED] = "would be imported"
        for outcome in outcomes:
            self.stdout.write(f"{words[outcome.result]}: {shown(_line(outcome))}")
        self._paste([outcome.code for outcome in outcomes if outcome.code])
        self._sum_up(Counter(outcome.result for outcome in outcomes), words, options["source"])

    def _paste(self, functions: list[str]) -> None:
        if functions:
            self.stdout.write("\n\n".join([f"\n{HEADING}\n\n{DECORATOR}\n", *functions]))

    def _sum_up(self, counts: Counter[Result], words: dict[Result, str], source: str) -> None:
        told = ", ".join(f"{counts[result]} {words[result]}" for result in Result if counts[result])
        self.stdout.write(capfirst(f"{told or 'nothing found'}."))
        if source != RESULTS and (counts[Result.IMPORTED] or counts[Result.CODE]):
            self.stdout.write(f"Take these out of {source} before beat starts them, or they run twice.")


def _imported(*, source: str, place: str, timezone: str, dry_run: bool, **others: Any) -> list[Outcome]:
    try:
        if source == RESULTS:
            return import_results(dry_run=dry_run)
        return import_schedules(SOURCES[source], place=place, zone=timezone, dry_run=dry_run)
    except (Invalid, CodeUnreadable) as error:
        raise CommandError(f"Nothing was imported: {shown(str(error))}") from error
    except DatabaseError as error:
        raise CommandError(f"The import stopped: the database says {shown(str(error))}") from error


def _line(outcome: Outcome) -> str:
    zone = f" ({outcome.timezone})" if outcome.timezone else ""
    runs = f", runs {outcome.runs}" if outcome.runs else ""
    schedule = f": {outcome.schedule}{zone}{runs}" if outcome.schedule else ""
    what = f"{outcome.name}{schedule} [{outcome.origin}]" if outcome.name else outcome.origin
    return what + (f" – {outcome.why}" if outcome.why else "")
