"""``manage.py scheduled_tasks_doctor``: what is wrong with the installation, and what helps."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser, no_translations

from ..findings import Finding, examine


class Command(BaseCommand):
    """Exit status 0: nothing is wrong. 1: at least one finding needs action. Changes nothing."""

    help = "Examine the installation, before and after migrate. Exit status 1 if something needs action."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print a JSON list of findings")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Print every finding with its remedy, and exit with the status that follows."""
        found = examine()
        wrong = [finding for finding in found if finding.level != "info"]
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in found], indent=2))
        else:
            for finding in found:
                self._print(finding)
            self.stdout.write(f"Findings that need action: {len(wrong)}." if wrong else "Nothing is wrong.")
        sys.exit(1 if wrong else 0)

    def _print(self, finding: Finding) -> None:
        styles = {"error": self.style.ERROR, "warning": self.style.WARNING}
        style = styles.get(finding.level, str)
        self.stdout.write(f"{style(finding.level.upper())} {finding.text}")
        if finding.remedy:
            self.stdout.write(f"    {finding.remedy}")
