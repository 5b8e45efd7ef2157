"""The story of one incident: what it is, its runs, who was told of it and when, or why nobody was."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import moments, schedules
from ..access import Action
from ..incidents.notices import Untold
from ..incidents.untold import why_untold
from ..models import Incident, Notice, NoticeEvent, NoticeState, ScheduledTask, TaskRun, word_of
from .badges import Moment, StatusBadge
from .context import admin_url, machinery_of, page_context
from .incident_row import IncidentRow
from .permissions import LONGEST_KEY, AccessAdmin, requires
from .responses import live, version_of
from .run import RunRow, as_listed

if TYPE_CHECKING:
    from .incidents import IncidentAdmin

TEMPLATE = "admin/scheduled_tasks/incident.html"
FRAGMENT = "admin/scheduled_tasks/_incident.html"

NOTICE_GLYPHS: Mapping[str, tuple[str, str]] = {
    NoticeState.SENT: ("ok", "ok"),
    NoticeState.GIVEN_UP: ("failed", "bad"),
    NoticeState.CLAIMED: ("queued", "busy"),
    NoticeState.WAITING: ("queued", "busy"),
}
"""Shape and tone of where a notice stands."""

MOST_NOTICES = 200
"""A trouble that flaps for a week has one an hour."""


@requires(Action.VIEW)
def show_incident(
    model_admin: IncidentAdmin,
    request: HttpRequest,
    object_id: str,
    form_url: str = "",
    extra_context: dict[str, Any] | None = None,
) -> HttpResponse:
    """One incident on a page of its own, which the script keeps up to date."""
    context = {**story_context(model_admin, request, unquote(object_id)), **(extra_context or {})}
    return live(request, TEMPLATE, FRAGMENT, context)


def incident_or_404(model_admin: AccessAdmin, request: HttpRequest, pk: object) -> Incident:
    """The incident. Raises Http404 when this request may see no such."""
    found = None
    if str(pk).isdecimal() and len(str(pk)) <= LONGEST_KEY:
        incidents: QuerySet[Incident] = model_admin.get_queryset(request)
        found = incidents.prefetch_related("notices").filter(pk=int(str(pk))).first()
    if found is None:
        raise Http404(_("This incident no longer exists."))
    return found


def story_url(model_admin: AccessAdmin, pk: object) -> str:
    """The address of an incident's page."""
    return admin_url(model_admin, "scheduled_tasks_incident_change", pk)


def story_context(model_admin: AccessAdmin, request: HttpRequest, pk: object) -> dict[str, Any]:
    """What the page of one incident reads, and its part that changes."""
    incident, now = incident_or_404(model_admin, request, pk), machinery_of(request).now
    story = Story(incident, now, runs_of(model_admin, request, incident))
    shared = page_context(model_admin, request)
    return {
        **shared,
        "title": story.title,
        "incident": story,
        "can_change": model_admin.may_with(request, Action.CHANGE, incident.pk),
        "page_url": story_url(model_admin, pk),
        "version": version_of(shared, *story.key),
    }


def runs_of(model_admin: AccessAdmin, request: HttpRequest, incident: Incident) -> dict[int, TaskRun]:
    """The first and the last run of an incident, by id: those that the runs' own admin lets this user see."""
    site = model_admin.admin_site
    if not site.is_registered(TaskRun):
        return {}
    run_admin = site.get_model_admin(TaskRun)
    if not run_admin.has_view_permission(request):
        return {}
    ids = [pk for pk in (incident.first_run_id, incident.last_run_id) if pk is not None]
    runs: QuerySet[TaskRun] = run_admin.get_queryset(request)
    return {run.pk: run for run in as_listed(runs.filter(pk__in=ids))} if ids else {}


class NoticeRow:
    """One message to one channel, as the timeline shows it."""

    def __init__(self, notice: Notice, zone: ZoneInfo, now: datetime) -> None:
        at = notice.sent_at or notice.created_at
        self.at = Moment.of(at, now, zone)
        self.clock = moments.clock_of_day(at, now, zone)
        self.event = word_of(NoticeEvent, notice.event)
        self.channel = notice.label
        self.error = notice.error
        shape = NOTICE_GLYPHS.get(notice.state, ("queued", "busy"))
        self.state = StatusBadge(*shape, word_of(NoticeState, notice.state))
        self.attempts = notice.attempts
        self.retry = ""
        if notice.state == NoticeState.WAITING and notice.attempts and notice.due_at:
            self.retry = moments.clock_of_day(notice.due_at, now, zone)

    @property
    def key(self) -> tuple[object, ...]:
        """All that is shown of it."""
        return self.clock, self.event, self.channel, self.state, self.attempts, self.retry, self.error


class Story(IncidentRow):
    """An incident with its runs and notices."""

    def __init__(self, incident: Incident, now: datetime, runs: dict[int, TaskRun]) -> None:
        super().__init__(incident, schedules.current_zone(), now)
        self.untold = reason_text(why_untold([incident], now).get(incident.pk, ""))
        self._runs = runs
        self.closed = Moment.of(incident.closed_at, now, self.zone) if incident.closed_at else None

    @cached_property
    def task(self) -> ScheduledTask | None:
        """The task that has the trouble, while there is one."""
        return self.incident.task_or_none

    @property
    def key(self) -> tuple[object, ...]:
        """See :attr:`.IncidentRow.key`."""
        runs = [(name, row.pk, row.status, row.text) for name, row in self.shown_runs]
        notices = [notice.key for notice in self.notices]
        return *super().key, self.untold, self.task and self.task.pk, self.runbook, runs, notices

    @property
    def runbook(self) -> str:
        """Where it is written what to do: only an address that a browser may be sent to."""
        return self.task.state.runbook_url if self.task else ""

    @cached_property
    def shown_runs(self) -> list[tuple[str, RunRow]]:
        """Its first and its last run, each with what it is: those that are there and may be seen."""
        first, last = self.incident.first_run_id, self.incident.last_run_id
        named = [(_("Run"), first)] if first == last else [(_("First run"), first), (_("Last run"), last)]
        runs = [(name, self._runs.get(pk or 0)) for name, pk in named]
        return [(name, RunRow(run, self.zone, self.now)) for name, run in runs if run is not None]

    @cached_property
    def notices(self) -> list[NoticeRow]:
        """Who was told what, oldest first; of very many the newest."""
        newest = sorted(self.incident.notices.all(), key=lambda each: each.pk)[-MOST_NOTICES:]
        return [NoticeRow(notice, self.zone, self.now) for notice in newest]


def reason_text(untold: Untold | str) -> str:
    """The sentence for why nobody was told; empty for no reason."""
    return str(Untold(untold).label) if untold else ""


def told_text(incident: Incident, untold: Untold | str) -> str:
    """Who heard of it in a few words, or why nobody did; ``incident.notices`` should be prefetched."""
    notices = [*incident.notices.all()]
    channels = len({each.channel for each in notices if each.state == NoticeState.SENT})
    if untold:
        return reason_text(untold)
    if channels:
        return ngettext("%(n)s channel", "%(n)s channels", channels) % {"n": channels}
    is_under_way = any(each.due_at is not None for each in notices) or incident.is_open
    return _("Being sent") if is_under_way else _("Nobody")
