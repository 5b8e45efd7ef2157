"""What people are told: of which incidents, in which sentences.

The words are in ``LANGUAGE_CODE``: a message has no reader whose language is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec
from uuid import uuid4

from django.conf import settings as django_settings
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, override

from ..conf import settings
from ..models import OF_TASKS, Incident, Notice, TaskRun, database
from ..values import capped
from . import sentences
from .harmless import harmless, harmless_address

__all__ = ["LISTED", "IncidentFacts", "Notification", "notification_of"]

LISTED = 50
"""Incidents that one message describes. It counts all."""

NAMED = 5
"""Incidents that a title names."""

LONGEST_TITLE = 200
LONGEST_ERROR = 500

COLUMNS = (
    "kind", "subject", "run_count", "opened_at", "closed_at", "closing", "last_seen_at",
    "task__name", "task__task", "task__scheduled_state__runbook",
    "last_run__celery_id", "last_run__error_type", "last_run__error",
    "last_run__reason", "last_run__reason_params",
)  # fmt: skip
"""What is read of an incident, its task and its last run: a run's log may be long."""

Params = ParamSpec("Params")


def in_the_sites_language(make: Callable[Params, str]) -> Callable[Params, str]:
    """A text made in ``LANGUAGE_CODE``, whatever language the thread has active."""

    @wraps(make)
    def made(*args: Params.args, **kwargs: Params.kwargs) -> str:
        with override(django_settings.LANGUAGE_CODE):
            return make(*args, **kwargs)

    return made


@dataclass(frozen=True, kw_only=True)
class IncidentFacts:
    """One incident as a message tells it.

    ``kind`` is a value of :class:`.models.IncidentKind`, ``closing`` one of :class:`.models.Closing`, empty
    while it is open. ``subject`` names the task or the queue; ``task`` is
    empty for the machinery, ``celery_task`` is the task's name in code. ``last_run_id``, ``last_celery_id``,
    ``error_type`` and ``error`` are of its last run, the error short and without secrets; ``reason`` is a
    sentence that says why that run did not start, or how it ended. ``url`` is absolute, and empty without
    the setting ``SITE_URL``.
    """

    id: int
    kind: str
    subject: str = ""
    task: str = ""
    celery_task: str = ""
    run_count: int = 0
    opened_at: datetime
    closed_at: datetime | None = None
    closing: str = ""
    seen_at: datetime | None = None
    error_type: str = ""
    error: str = ""
    reason: str = ""
    last_run_id: int | None = None
    last_celery_id: str = ""
    runbook: str = ""
    url: str = ""

    @property
    def duration(self) -> timedelta:
        """From its opening to its end, or to the moment at which it was last seen."""
        until = self.closed_at or self.seen_at or self.opened_at
        return max(until - self.opened_at, timedelta(0))

    def for_chats(self) -> IncidentFacts:
        """The same with texts of which a chat makes no mention and no link; see :mod:`.harmless`."""
        names = ("subject", "task", "celery_task", "error_type", "error", "reason")
        texts: dict[str, Any] = {name: harmless(getattr(self, name)) for name in names}
        return replace(self, **texts, runbook=harmless_address(self.runbook), url=harmless_address(self.url))

    @property
    @in_the_sites_language
    def title(self) -> str:
        """``"Failing: exchange-rate-sync"``, ``"Beat is down"``."""
        return sentences.name_of(self)

    def as_json(self) -> dict[str, Any]:
        """Plain values; times in ISO 8601, ``duration`` in seconds."""
        return {
            "id": self.id,
            "kind": self.kind,
            "title": self.title,
            "task": self.task,
            "celery_task": self.celery_task,
            "subject": self.subject,
            "run_count": self.run_count,
            "opened_at": self.opened_at.isoformat(),
            "closed_at": self.closed_at.isoformat() if self.closed_at else None,
            "closing": self.closing,
            "duration": round(self.duration.total_seconds(), 3),
            "error_type": self.error_type,
            "error": self.error,
            "reason": self.reason,
            "last_run_id": self.last_run_id,
            "last_celery_id": self.last_celery_id,
            "runbook": self.runbook,
            "url": self.url,
        }


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One message to one channel.

    ``event`` is a value of :class:`.models.NoticeEvent`. ``incidents`` are the first :data:`LISTED` of
    ``total``. ``count`` is how often the trouble came, for ``"flapping"`` and ``"summary"``. ``notice_id`` is
    None for a test, of which ``site`` and ``sent_by`` say where it was sent and by whom.
    """

    event: str
    owner: str
    notice_id: int | None = None
    incidents: tuple[IncidentFacts, ...] = ()
    total: int = 0
    count: int = 1
    site: str = ""
    sent_by: str = ""
    key: str = field(default_factory=lambda: f"test-{uuid4().hex}")
    """The same for every attempt to send this message, and for no other message."""

    @property
    @in_the_sites_language
    def title(self) -> str:
        """What happened, in one line of at most :data:`LONGEST_TITLE` characters."""
        text = " ".join(self._headline().split())
        return text if len(text) <= LONGEST_TITLE else f"{text[: LONGEST_TITLE - 1]}…"

    @property
    @in_the_sites_language
    def details(self) -> str:
        """What the title leaves out, line by line."""
        if not self.incidents:
            return _lines((_("Site"), self.site), (_("Sent by"), self.sent_by))
        parts = [_details(each, with_title=self.total > 1) for each in self.incidents]
        if left_out := self.total - len(self.incidents):
            more = ngettext("and %(count)s more incident", "and %(count)s more incidents", left_out)
            parts.append(more % {"count": left_out})
        return "\n\n".join(parts)

    @property
    def text(self) -> str:
        """Title and details, as plain text."""
        return f"{self.title}\n\n{self.details}" if self.details else self.title

    def for_chats(self) -> Notification:
        """The same with texts that call nobody in a chat, whatever an error says; see :mod:`.harmless`."""
        incidents = tuple(each.for_chats() for each in self.incidents)
        texts: dict[str, Any] = {name: harmless(getattr(self, name)) for name in ("owner", "sent_by")}
        return replace(self, **texts, site=harmless_address(self.site), incidents=incidents)

    def as_json(self) -> dict[str, Any]:
        """Plain values. ``title`` and ``text`` are what people read: chats that take webhooks show them."""
        shown = self.for_chats()
        return {
            "event": self.event,
            "owner": self.owner,
            "notice_id": self.notice_id,
            "title": shown.title,
            "text": shown.text,
            "count": self.count,
            "total": self.total,
            "incidents": [each.as_json() for each in self.incidents],
        }

    def _headline(self) -> str:
        if not self.incidents:
            return sentences.test(self.owner)
        if self.total > 1:
            return sentences.of_several(
                self.event, self.total, [each.title for each in self.incidents[:NAMED]]
            )
        say = sentences.SENTENCES.get(self.event, sentences.opened)
        return say(self.incidents[0], self.count)


def notification_of(notice: Notice) -> Notification:
    """What a notice tells, as its incidents are now: three statements. Raises ``django.db.Error``."""
    incidents = Incident.objects.using(database()).filter(notices=notice.pk)
    total = incidents.count()
    rows = (
        incidents.select_related("task__scheduled_state", "last_run").only(*COLUMNS).order_by("pk")[:LISTED]
    )
    return Notification(
        event=notice.event,
        owner=notice.owner,
        notice_id=notice.pk,
        incidents=tuple(_facts(row) for row in rows),
        total=total,
        count=notice.count,
        key=str(notice.pk),
    )


def _facts(incident: Incident) -> IncidentFacts:
    task, run = incident.task, incident.last_run
    state = getattr(task, "scheduled_state", None)
    told = run if run is not None else TaskRun()
    with override(django_settings.LANGUAGE_CODE):
        reason = told.reason_text
    return IncidentFacts(
        id=incident.pk,
        kind=incident.kind,
        subject=task.name if task is not None else incident.subject,
        task=task.name if task is not None else incident.subject if incident.kind in OF_TASKS else "",
        celery_task=task.task if task is not None else "",
        run_count=incident.run_count,
        opened_at=incident.opened_at,
        closed_at=incident.closed_at,
        closing=incident.closing,
        seen_at=incident.last_seen_at,
        error_type=told.error_type,
        error=" ".join(capped(told.error, LONGEST_ERROR).split()),
        reason=reason,
        last_run_id=told.pk,
        last_celery_id=told.celery_id or "",
        runbook=state.runbook_url if state is not None else "",
        url=link(incident),
    )


def link(incident: Incident) -> str:
    """Where the incident is shown; empty without the setting ``SITE_URL`` or an admin."""
    site: str | None = settings.SITE_URL
    if not site:
        return ""
    try:
        path = reverse("admin:scheduled_tasks_incident_change", args=[incident.pk])
    except Exception:  # noqa: BLE001 - reading the project's URLs runs its code
        return ""
    return f"{site.rstrip('/')}{path}"


def _details(incident: IncidentFacts, *, with_title: bool) -> str:
    shown = _lines(
        (_("Task"), incident.celery_task),
        (_("Error"), ": ".join(filter(None, (incident.error_type, incident.error)))),
        (_("Reason"), incident.reason),
        (_("Opened"), _moment(incident.opened_at)),
        (_("Closed"), _moment(incident.closed_at)),
        (_("Last run"), f"#{incident.last_run_id}" if incident.last_run_id else ""),
        (_("Task id"), incident.last_celery_id),
        (_("Runbook"), incident.runbook),
        (_("Link"), incident.url),
    )
    return f"{_in_one_line(incident.title)}\n{shown}" if with_title else shown


def _lines(*lines: tuple[str, str]) -> str:
    """``"Label: value"`` of each that has a value."""
    return "\n".join(f"{label}: {_in_one_line(value)}" for label, value in lines if value)


def _in_one_line(value: str) -> str:
    """A name with a line break would look like another line of the message."""
    return " ".join(value.split())


def _moment(moment: datetime | None) -> str:
    if moment is None:
        return ""
    local = timezone.localtime(moment)
    return f"{date_format(local, 'Y-m-d H:i:s')} {local.tzname()}"
