"""``manage.py scheduled_tasks_health``: whether scheduled tasks run, for probes and for people."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser, no_translations
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error as DatabaseFailure

from ...models import ScheduledTask
from ...reading.health import Problem, problems
from ...reading.machinery import Machinery

OK, DEGRADED, DOWN = 0, 1, 2
WORDS = {OK: "ok", DEGRADED: "degraded", DOWN: "down"}

FATAL = frozenset({"database", "beat", "worker", "broker"})
"""Codes of the problems with which no task runs at all."""


class Command(BaseCommand):
    """Exit status 0: beat, workers and broker work. 1: something is wrong with them, tasks run.
    2: no task runs on schedule. Failing tasks do not count.
    """

    help = "Say whether beat, workers and broker do their work. Exit status 0 ok, 1 degraded, 2 down."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Print every problem with its consequence and remedy, and exit with the status that follows."""
        found, tasks = look()
        codes = {problem.code for problem in found}
        status = DOWN if codes & FATAL else DEGRADED if found else OK
        if options["json"]:
            problems_told = [asdict(problem) for problem in found]
            told = {"status": WORDS[status], "problems": problems_told, "tasks": tasks}
            self.stdout.write(json.dumps(told, indent=2, cls=DjangoJSONEncoder))
        else:
            self.stdout.write(WORDS[status])
            for problem in found:
                self.stdout.write(_sentences(problem))
        sys.exit(status)


def look() -> tuple[list[Problem], dict[str, int]]:
    """What is wrong, and how many tasks have each flag; without a database that is the one problem."""
    try:
        machinery = Machinery.read()
        counts = ScheduledTask.objects.flag_counts(machinery.now, machinery.known_tasks)
        return problems(machinery), counts
    except DatabaseFailure as error:
        cause = f"The database does not answer: {error}"
        consequence = "Beat sends nothing until it does."
        remedy = "Check that it runs and that migrate was run."
        return [Problem("database", cause, consequence, remedy)], {}


def _sentences(problem: Problem) -> str:
    return " ".join(filter(None, (problem.cause, problem.consequence, problem.remedy, problem.command)))
