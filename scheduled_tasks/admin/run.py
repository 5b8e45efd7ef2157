"""One run: as a list shows it, and in full."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from .. import links, moments, schedules
from ..access import Action
from ..conf import settings
from ..models import FAILURES, TaskRun
from ..operations.missed_runs import NOT_RUN, can_run_later
from . import formats
from .badges import TRIGGER_ICONS, StatusBadge, started_by
from .context import fragment_context, machinery_of, page_context
from .permissions import LONGEST_KEY, requires
from .responses import from_script
from .run_attempts import RelatedRun, attempts, related_runs
from .traceback_frames import own_frames, styled

if TYPE_CHECKING:
    from .runs import TaskRunAdmin

NOTABLE_LAG = timedelta(seconds=10)
"""How late a run must start for it to be said."""

LINE = 300
"""Characters of an error that a list reads; the run's own page has all of it."""

HEAVY = ("attempt_log", "args", "kwargs", "error", "traceback", "log", "progress")
"""Columns that a list does not read."""

LOGGED = re.compile(r"\d\d:\d\d:\d\d (\w*)")
"""How a kept log line begins; without it a line goes on from the one before."""

LEVELS = {"DEBUG": "q", "WARNING": "w", "ERROR": "e", "CRITICAL": "e"}
"""CSS class of a log line by its level."""

NamedTexts = list[tuple[str, str]]


def whole_number(text: str) -> int | None:
    """The number in an address; None for any other text and for more digits than a column holds."""
    return int(text) if text.isdecimal() and len(text) <= LONGEST_KEY else None


def as_listed(runs: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
    """The runs with what a list shows of each."""
    return runs.defer(*HEAVY).annotate(error_head=Left("error", LINE))


class RunRow:
    """One run as a list shows it, with times in ``zone``.

    ``full`` is the run to open in place, if any, and ``runbook`` where its task's runbook is. Its time is
    when it started, or ``by_queue`` when it was queued, which is the order of lists.
    """

    def __init__(
        self,
        run: TaskRun,
        zone: ZoneInfo,
        now: datetime,
        full: TaskRun | None = None,
        *,
        runbook: str = "",
        by_queue: bool = False,
    ) -> None:
        self.run = run
        self.pk = run.pk
        self.id = str(run.pk)
        self.zone = zone
        self.details = RunDetails(full, zone, now, runbook) if full else None
        at = run.queued_at if by_queue else run.started_at or run.scheduled_for or run.queued_at
        self.iso = at.isoformat()
        self.started = moments.clock_of_day(at, now, zone)
        is_today = moments.in_zone(at, zone).date() == moments.in_zone(now, zone).date()
        self.relative = formats.relative(at, now) if is_today else ""  # beside a date there is no room
        self.exact = moments.exact(at, zone)
        self.since = run.started_at.isoformat() if run.is_open and run.started_at else ""
        self.status = StatusBadge.of_run(run.status)
        self.trigger = started_by(run.trigger, run.actor if run.celery_id else "")
        self.trigger_icon = TRIGGER_ICONS.get(run.trigger, "")
        self.duration = formats.duration(run.duration)
        self.lag = run.lag if run.lag is not None and run.lag >= NOTABLE_LAG else None
        self.reason = " ".join(filter(None, (run.reason_text, self._ticks(now), self._run_later())))

    def _ticks(self, now: datetime) -> str:
        """How many ticks a row stands for, when several."""
        run = self.run
        if run.tick_count < 2 or run.scheduled_until is None:
            return ""
        last = moments.clock_of_day(run.scheduled_until, now, self.zone)
        return _("%(n)s scheduled times, the last one at %(time)s.") % {"n": run.tick_count, "time": last}

    def _run_later(self) -> str:
        """Who had the ticks run later, of a row whose ticks did not run at their time."""
        is_later = self.run.status in NOT_RUN and self.run.celery_id is None and self.run.actor
        return _("Run later by %(name)s.") % {"name": self.run.actor} if is_later else ""

    @property
    def lateness(self) -> str:
        """``"12 s late"`` for a run that started well after its scheduled time."""
        if self.lag is None:
            return ""
        return pgettext("the start of a run", "%s late") % formats.length(round(self.lag.total_seconds()))

    @property
    def pairs(self) -> NamedTexts:
        """The summary as key and value, when it is one."""
        data = self.run.summary_data
        if not isinstance(data, dict):
            return []
        return [(str(key).replace("_", " "), _plain(value)) for key, value in data.items()]

    @property
    def plain_summary(self) -> str:
        """The summary when it is not one of keys and values."""
        data = self.run.summary_data
        return "" if data is None or isinstance(data, dict) else _plain(data)

    @property
    def text(self) -> str:
        """The error, the reason or the plain summary, in one line."""
        error: str = self.run.error_head  # type: ignore[attr-defined] # of as_listed()
        return formats.error_line(self.run.error_type, error) or self.reason or self.plain_summary

    @property
    def is_reason(self) -> bool:
        """Whether the line says why nothing ran, rather than what a run did."""
        return bool(self.run.reason) and not self.run.error_type


class RunDetails(RunRow):
    """One run in full; ``runbook`` is where its task's runbook is: a web address, or empty."""

    def __init__(self, run: TaskRun, zone: ZoneInfo, now: datetime, runbook: str = "") -> None:
        super().__init__(run, zone, now)
        self.run_key = str(uuid4())
        is_bad = bool(run.error or run.error_type) or run.status in FAILURES
        self.runbook = runbook if is_bad else ""

    @property
    def can_run_later(self) -> bool:
        """Whether its ticks can be run now."""
        return can_run_later(self.run)

    @property
    def tracebacks(self) -> list[NamedTexts]:
        """The traceback, and where that can be folded the project's own frames of it: styled lines."""
        texts = (self.run.traceback, own_frames(self.run.traceback))
        return [styled(text) for text in texts if text]

    @property
    def attempts(self) -> NamedTexts:
        """See :func:`.run_attempts.attempts`."""
        return attempts(self.run, self._clock)

    @cached_property
    def related(self) -> list[RelatedRun]:
        """See :func:`.run_attempts.related_runs`. Up to two statements."""
        return related_runs(self.run)

    @property
    def log_parts(self) -> NamedTexts:
        """``(css class, text)``: lines of one level together, with those that go on from them."""
        parts: list[tuple[str, list[str]]] = []
        for line in self.run.log.split("\n"):
            found = LOGGED.match(line)
            css = LEVELS.get(found[1], "") if found else (parts[-1][0] if parts else "")
            if not parts or parts[-1][0] != css:
                parts.append((css, []))
            parts[-1][1].append(line)
        return [(css, "\n".join(lines)) for css, lines in parts]

    @property
    def times(self) -> NamedTexts:
        """Every recorded moment, by name: the first in full, others of its day to the millisecond."""
        run = self.run
        found = [
            (_("Scheduled for"), run.scheduled_for),
            (_("Scheduled until"), run.scheduled_until if run.tick_count > 1 else None),
            (_("Queued"), run.queued_at),
            (_("Started"), run.started_at),
            (_("Finished"), run.finished_at),
        ]
        (first_name, first), *others = [(name, at) for name, at in found if at]
        return [
            (first_name, moments.exact(first, self.zone)),
            *((name, self._time_after(first, at)) for name, at in others),
        ]

    def _time_after(self, first: datetime, at: datetime) -> str:
        if moments.in_zone(at, self.zone).date() != moments.in_zone(first, self.zone).date():
            return moments.exact(at, self.zone)
        return self._clock(at)

    def _clock(self, at: datetime) -> str:
        return f"{moments.clock(at, self.zone)}.{at.microsecond // 1000:03}"

    @property
    def facts(self) -> NamedTexts:
        """How long and where it ran, by name: only what is known."""
        run = self.run
        return _known(
            (_("Trigger"), self.trigger if run.actor else ""),
            (_("Spread by"), formats.duration(run.spread)),
            (_("Started late by"), formats.duration(self.lag)),
            (_("Queue wait"), formats.duration(run.queue_wait)),
            (_("Duration"), self.duration),
            (_("Delivered"), _("more than once by the broker") if run.redelivered else ""),
            (_("Worker"), run.worker),
            (_("Process id"), str(run.pid or "")),
            (_("Queue"), run.queue),
            (_("Scheduled times covered"), str(run.tick_count) if run.tick_count > 1 else ""),
        )

    @property
    def texts(self) -> NamedTexts:
        """What it was called with, and its id."""
        run = self.run
        return _known(
            (_("Arguments"), "" if run.args in ("[]", "()") else run.args),
            (_("Keyword arguments"), "" if run.kwargs == "{}" else run.kwargs),
            (_("Task id"), run.celery_id or ""),
        )

    @property
    def links(self) -> NamedTexts:
        """``(label, address)`` of each of ``RUN_LINKS`` that this run has all values for."""
        run = self.run
        values = {
            "celery_id": run.celery_id or "",
            "name": run.name,
            "worker": run.worker,
            "started_at": _in_utc(run.started_at),
            "finished_at": _in_utc(run.finished_at),
        }
        chosen = settings.RUN_LINKS.items()
        found = ((str(label), template) for label, template in chosen if isinstance(template, str))
        return _known(*((label, links.filled(template, values)) for label, template in found))


def _known(*found: tuple[str, str]) -> NamedTexts:
    return [(name, value) for name, value in found if value]


def _in_utc(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else ""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


@requires(Action.VIEW)
def show_run(
    model_admin: TaskRunAdmin,
    request: HttpRequest,
    object_id: str,
    form_url: str = "",
    extra_context: dict[str, Any] | None = None,
) -> HttpResponse:
    """One run in full: a page of its own, or the body of a row for the script."""
    run = run_or_404(model_admin, request, unquote(object_id))
    task = run.task_or_none
    zone = schedules.zone(task) if task else schedules.current_zone()
    shared = fragment_context if from_script(request) else page_context
    context = {
        **shared(model_admin, request),
        "title": str(run),
        "details": RunDetails(run, zone, machinery_of(request).now, task.state.runbook_url if task else ""),
        "task": task,
        "can_run": model_admin.may_with(request, Action.RUN, run.pk),
        **(extra_context or {}),
    }
    template = "_run_body.html" if from_script(request) else "run.html"
    return TemplateResponse(request, f"admin/scheduled_tasks/{template}", context)


def run_or_404(model_admin: TaskRunAdmin, request: HttpRequest, pk: str) -> TaskRun:
    """The run. Raises Http404 when this request may see no such."""
    number = whole_number(pk)
    run = None if number is None else model_admin.get_queryset(request).filter(pk=number).first()
    if run is None:
        raise Http404(_("This run no longer exists."))
    return run
