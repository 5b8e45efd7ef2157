"""Incidents that are kept no longer, in portions: an incident goes with its notices.

It goes once it has been closed for as long as the project keeps runs, unless a notice waits to be sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from ..conf import settings
from ..models import Incident, Notice

AT_LEAST = timedelta(days=1)
"""How long a closed incident stays whatever the settings say: it decides how the trouble is told
when it comes back."""

AT_ONCE = 500


def old_incidents(now: datetime) -> Iterator[QuerySet[Any]]:
    """The old incidents, then the notices that tell of none any more; whoever asks deletes each."""
    before = now - max(settings.RETENTION, AT_LEAST)
    closed = Incident.objects.filter(opened_at__lt=before, closed_at__lt=before, open_key=None)
    told = closed.exclude(notices__in=Notice.objects.filter(due_at__isnull=False))
    yield from _portions(told)
    yield from _portions(Notice.objects.filter(created_at__lt=before, due_at=None, incidents=None))


def _portions(rows: QuerySet[Any]) -> Iterator[QuerySet[Any]]:
    ids, last = rows.order_by("pk").values_list("pk", flat=True), 0
    while found := list(ids.filter(pk__gt=last)[:AT_ONCE]):
        last = found[-1]
        yield rows.model._default_manager.filter(pk__in=found)
