"""The app's settings: the dict ``SCHEDULED_TASKS`` in the project's settings.

Values are read on every access, so ``override_settings`` works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings as django_settings

NAME = "SCHEDULED_TASKS"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of ``SCHEDULED_TASKS`` with their defaults."""

    ACCESS_POLICY: str | None = None
    """Dotted path of a function ``(request: HttpRequest, action: str) -> bool`` that decides who may do what.
    ``action`` is ``"view"``, ``"change"`` or ``"run"``. None: Django's model permissions decide."""

    OVERLAP: str = "skip"
    """What happens when a task is due while its last run is open: ``"skip"``, ``"allow"`` or ``"queue_one"``.
    The task's own setting wins."""

    MISFIRE: str = "run_once"
    """What happens when beat could not start a run in time: ``"run_once"`` (one run, within the grace) or
    ``"ignore"``. The task's own setting wins."""

    GRACE: timedelta = timedelta(minutes=15)
    """How late a run may still start under ``"run_once"``. The task's own setting wins."""

    RETENTION: timedelta = timedelta(days=90)
    """How long finished runs are kept; the task's own setting wins. Closed incidents too, a day at least."""

    RETENTION_COUNT: int | None = None
    """How many finished runs of each task are kept, the newest ones. None: no limit. The task's own setting
    wins."""

    ALERTS: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Who is told of incidents: owner -> addresses (``"mailto:ops@example.com"``, ``"https://…"``, any other
    scheme of Apprise, or the dotted path of a function). ``"default"`` serves the machinery and every owner
    that is not named."""

    ALERT_AFTER: int = 1
    """After how many failures in a row somebody is told. The task's own setting wins."""

    RECOVER_AFTER: int = 1
    """After how many successes in a row a failing task has recovered. The task's own setting wins."""

    MAX_RUNTIME: timedelta | None = None
    """How long a run may take before somebody is told, besides what is unusual for its task. The task's own
    setting wins."""

    ALERT_ON: tuple[str, ...] = ("failing", "late", "slow")
    """The kinds of trouble of a task that somebody is told of. The task's own setting wins."""

    ALERT_SECRET: str | None = None
    """The key that signs messages to ``https://`` channels. None: one derived from ``SECRET_KEY``."""

    SITE_URL: str | None = None
    """Where the site is, such as ``"https://example.com"``: messages then carry links to it."""

    PING_URL: str | None = None
    """Requested once a minute while beat leads, ticks and sends."""

    RUN_LINKS: Mapping[str, str] = field(default_factory=dict)
    """Links shown with every run: label -> URL with ``{celery_id}``, ``{name}``, ``{worker}``,
    ``{started_at}`` or ``{finished_at}`` (ISO 8601, in UTC)."""

    METRICS_TOKEN: str | None = None
    """The bearer token that may read ``metrics/``. None: who may view the page may."""

    RECORD_WAIT: float = 2.0
    """The most seconds that a task waits until its run is recorded. Recording goes on in the background."""

    MASKED_WORDS: tuple[str, ...] = ()
    """More names whose values are masked wherever a run keeps them, such as ``"iban"`` or ``"card_number"``.
    They are matched as whole words of a name, in snake, kebab or camel case."""

    OWN_CONNECTION: bool = True
    """Whether the recorder opens its own database connection. Turn it off only if connections are scarce:
    each run then reconnects, because Celery closes Django's connections around tasks."""


class _LiveSettings:
    """Gives the project's value of a setting, or its default."""

    def __getattr__(self, key: str) -> Any:
        chosen: dict[str, Any] = getattr(django_settings, NAME, None) or {}
        if key in chosen and key in DEFAULTS:
            return chosen[key]
        try:
            return DEFAULTS[key]
        except KeyError:
            raise AttributeError(f"{NAME} has no setting {key!r}") from None


DEFAULTS: dict[str, Any] = {
    each.name: each.default if each.default_factory is MISSING else each.default_factory()
    for each in fields(Settings)
}

if TYPE_CHECKING:
    settings = cast(Settings, object())
else:
    settings = _LiveSettings()
