"""A task that code gives an owner, and the functions that alerts call; see tests/settings_owned.py."""

from __future__ import annotations

import json
import os
from pathlib import Path

from scheduled_tasks import scheduled_task
from scheduled_tasks.alerts.notification import Notification


@scheduled_task("0 3 1 1 *", name="invoice-run", alert_after=2, owner="billing")
def send_invoices() -> None:
    raise ValueError("no paper")


def tell_billing(notification: Notification) -> None:
    _write("billing", notification)


def tell_default(notification: Notification) -> None:
    _write("default", notification)


def _write(heard_by: str, notification: Notification) -> None:
    told = {"heard by": heard_by, "owner": notification.owner, "event": notification.event}
    tasks = [(incident.task, incident.run_count) for incident in notification.incidents]
    with Path(os.environ["ALERTS_FILE"]).open("a") as file:
        file.write(json.dumps({**told, "tasks": tasks}) + "\n")
