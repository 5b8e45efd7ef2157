"""Maintenance windows that are kept no longer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from ..conf import settings
from ..models import MaintenanceWindow
from .old_incidents import AT_LEAST


def old_windows(now: datetime) -> Iterator[QuerySet[Any]]:
    """Those that ended longer ago than the project keeps runs, a day at least; whoever asks deletes them."""
    old = MaintenanceWindow.objects.filter(ends_at__lt=now - max(settings.RETENTION, AT_LEAST))
    if old.exists():
        yield old
