"""The job that gets webhooks to their subscriber."""

import json
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from celery import Task
from django.conf import settings
from django.db.models import F
from django.utils import timezone

from example_project.webhooks.models import Delivery
from example_project.webhooks.signing import HEADER, signature
from scheduled_tasks import scheduled_task, track

GIVE_UP_AFTER = 8
"""Attempts, after which a webhook is not tried again."""

# The subscriber is this site itself: a proxy of the environment must not come between.
open_url = build_opener(ProxyHandler({})).open


class Refused(Exception):
    """The subscriber did not take every webhook of this attempt."""


@scheduled_task(
    "* * * * *",
    name="webhook-delivery-retry",
    description="Sends webhooks, and those that were refused once more",
    alert_after=3,
    owner="integrations",
    runbook="https://example.com/runbooks/webhooks",
    kwargs={"batch": 20},
    bind=True,
    max_retries=3,
    soft_time_limit=50,
)
def retry_webhook_deliveries(task: Task, batch: int) -> dict[str, int]:
    """Deliver what waits; while some are refused, try again after 2, 4 and 8 seconds."""
    waiting = Delivery.objects.filter(delivered_at=None, gave_up_at=None).order_by("pk")
    due = list(waiting[:batch])
    run_id = task.request.id or ""
    refused = sum(not deliver(delivery, run_id=run_id) for delivery in track(due, description="Delivering"))
    if refused and task.request.retries < task.max_retries:
        reason = Refused(f"{refused} of {len(due)} webhooks refused")
        raise task.retry(countdown=2 ** (task.request.retries + 1), exc=reason)
    tried = Delivery.objects.filter(run_id=run_id)
    return {
        "delivered": tried.exclude(delivered_at=None).count(),
        "gave_up": tried.exclude(gave_up_at=None).count(),
        "waiting": waiting.count(),
    }


def deliver(delivery: Delivery, *, run_id: str) -> bool:
    """Send one webhook and note how that went; False when it was refused and will be tried again."""
    error = post(delivery)
    attempts = delivery.attempts + 1
    gave_up = bool(error) and attempts >= GIVE_UP_AFTER
    Delivery.objects.filter(pk=delivery.pk).update(
        attempts=F("attempts") + 1,
        delivered_at=None if error else timezone.now(),
        gave_up_at=timezone.now() if gave_up else None,
        last_error=error[:200],
        run_id=run_id,
    )
    return not error or gave_up


def post(delivery: Delivery) -> str:
    """Send the webhook over HTTP; the reason it was refused, or an empty text."""
    body = json.dumps({"id": delivery.pk, "event": delivery.event, **delivery.payload}).encode()
    request = Request(
        settings.WEBHOOK_URL,
        data=body,
        headers={"Content-Type": "application/json", HEADER: signature(body)},
    )
    try:
        with open_url(request, timeout=5):
            return ""
    except HTTPError as refusal:
        return f"{refusal.code} {refusal.read(200).decode(errors='replace')}"
    except OSError as failure:
        return str(failure)
