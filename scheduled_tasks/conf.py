"""The app's settings: one dict, ``SCHEDULED_TASKS``, in the project's settings.

Values are read live on every access, so ``override_settings`` works and nothing is cached at import.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings as django_settings

NAME = "SCHEDULED_TASKS"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Defaults of the ``SCHEDULED_TASKS`` dict; a key left out takes the value given here."""

    ACCESS_POLICY: str | None = None
    """Dotted path of ``(request: HttpRequest, action: str) -> bool``, action being ``"view"``, ``"change"``
    or ``"run"``. When set it decides alone who may do what; when None, Django's model permissions do."""

    OVERLAP: str = "skip"
    """What happens when a tick comes while the task still runs: ``"skip"``, ``"allow"`` or ``"queue_one"``.
    A task's own policy wins."""

    MISFIRE: str = "run_once"
    """What happens to ticks beat could not send in time: ``"run_once"`` (one run, within the grace) or
    ``"ignore"``. A task's own policy wins."""

    GRACE: timedelta = timedelta(minutes=15)
    """How long after its tick a run may still start under misfire policy ``run_once``. A task's own wins."""

    RETENTION: timedelta = timedelta(days=90)
    """How long finished runs are kept. A task's own retention wins."""

    RETENTION_COUNT: int | None = None
    """How many runs of each task are kept at most, the newest; None: any number. A task's own count wins."""

    RECORD_WAIT: float = 2.0
    """Seconds a task may wait, at most, for its own run to be written down. Recording goes on without it."""

    OWN_CONNECTION: bool = True
    """Whether runs are written on a database connection of the recorder's own. Turn off only where every
    connection counts: each run then reconnects, because Celery closes Django's connections around tasks."""


class _LiveSettings:
    """Attribute access to the project's values over the defaults."""

    def __getattr__(self, key: str) -> Any:
        chosen: dict[str, Any] = getattr(django_settings, NAME, None) or {}
        if key in chosen and key in DEFAULTS:
            return chosen[key]
        try:
            return DEFAULTS[key]
        except KeyError:
            raise AttributeError(f"{NAME} has no setting {key!r}") from None


DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Settings)}

if TYPE_CHECKING:
    settings = cast(Settings, object())
else:
    settings = _LiveSettings()
