"""Incidents and notices for tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from scheduled_tasks.alerts.channels import Channel
from scheduled_tasks.incidents.untold import why_untold
from scheduled_tasks.models import Incident, Notice, Status, database_now
from tests.factories import make_run, make_task


def make_incident(name: str = "exchange-rate-sync", *, ago: float = 840, **values: Any) -> Incident:
    """A task that has failed three times, since ``ago`` seconds; open unless ``values`` say otherwise."""
    task = make_task(name)
    run = make_run(
        task, Status.FAILED, ago=ago, error_type="RatesUnavailable", error="the source does not answer"
    )
    opened = database_now() - timedelta(seconds=ago)
    fields = {
        "kind": "failing",
        "key": f"failing:{task.pk}",
        "open_key": None if values.get("closed_at") else f"failing:{task.pk}",
        "task_id": task.pk,
        "subject": name,
        "opened_at": opened,
        "last_seen_at": database_now(),
        "run_count": 3,
        "first_run": run,
        "last_run": run,
    }
    return Incident.objects.create(**{**fields, **values})


def make_notice(address: str, *incidents: Incident, **values: Any) -> Notice:
    """A notice to the channel with this address, due now."""
    channel, now = Channel(address), database_now()
    fields = {
        "event": "opened",
        "owner": "default",
        "channel": channel.fingerprint,
        "label": channel.label,
        "created_at": now,
        "due_at": now,
    }
    notice = Notice.objects.create(**{**fields, **values})
    notice.incidents.set(incidents or [make_incident()])
    return notice


def why(incident: Incident) -> str:
    """Why nobody was told of an open incident, as it stands in the database."""
    incidents = Incident.objects.prefetch_related("notices").filter(pk=incident.pk)
    return str(why_untold([*incidents], database_now())[incident.pk])
