"""``manage.py send_test_alert [OWNER]``: whether alerts would arrive."""

from __future__ import annotations

from argparse import ArgumentParser
from socket import gethostname
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ...alerts.channels import DEFAULT
from ...alerts.trial import send_test
from ...conf import settings
from ..system_user import system_user


class Command(BaseCommand):
    """Sends at once, from here: neither beat nor a worker is needed."""

    requires_system_checks = []  # what is wrong with an address is said in its own line
    help = "Send a test message to each channel of an owner, and say whether the channel took it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "owner", nargs="?", default=DEFAULT, help="A key of ALERTS; “default” if left out."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write one line per channel. Exits with 1 unless there are channels and all took the message."""
        owner = options["owner"]
        if owner not in settings.ALERTS:
            self.stdout.write(f"ALERTS does not name {owner}: its alerts go to “{DEFAULT}”.")
        trials = send_test(owner, site=gethostname(), sent_by=system_user())
        if not trials:
            raise CommandError("ALERTS names no channel for it: nobody is told of incidents.")
        for trial in trials:
            self.stdout.write(f"{trial.channel.label}: {trial.fault or 'sent'}")
        failed = sum(bool(trial.fault) for trial in trials)
        if failed:
            raise CommandError(f"{failed} of {len(trials)} channels did not take the test message.")
