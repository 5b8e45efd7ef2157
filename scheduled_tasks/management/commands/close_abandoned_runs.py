"""``manage.py close_abandoned_runs``: close the runs that nobody is left to end."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand

from ...upkeep.reaper import close_abandoned


class Command(BaseCommand):
    """For cron, where neither a worker nor beat is sure to be running: they do the same by themselves."""

    help = "Close runs whose worker is gone and runs whose message expired before a worker took it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--wait",
            type=float,
            default=20.0,
            help="Seconds to give silent workers before they are taken for gone (default: 20).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, wait, look again, and say how many runs were closed."""
        count = close_abandoned(current_app, wait=options["wait"])
        self.stdout.write(f"{count} {'run' if count == 1 else 'runs'} closed.")
