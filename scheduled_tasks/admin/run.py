"""One run: as a list shows it, in full, and what a person can do to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.db.transaction import non_atomic_requests
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from .. import links, operations, schedules
from ..access import Action
from ..conf import settings
from ..models import TaskRun
from ..models.flags import FAILURES
from ..operations import Refused
from . import formats
from .badges import TRIGGER_ICONS, StatusBadge, started_by
from .context import LONGEST_KEY, fragment_context, list_url, machinery_of, page_context, run_link
from .forms import celery_id
from .permissions import requires
from .responses import CHANGES, Toast, from_script, redirect_back

if TYPE_CHECKING:
    from .runs import TaskRunAdmin

NOTABLE_LAG = timedelta(seconds=10)
"""How late a run must start for it to be said."""

LINE = 300
"""Characters of an error that a list reads; the run's own page has all of it."""

HEAVY = ("args", "kwargs", "error", "traceback", "log", "progress")
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

    ``full`` is the run to open in place, if any, and ``runbook`` where its task's runbook is.
    """

    def __init__(
        self, run: TaskRun, zone: ZoneInfo, now: datetime, full: TaskRun | None = None, *, runbook: str = ""
    ) -> None:
        self.run = run
        self.pk = run.pk
        self.id = str(run.pk)
        self.zone = zone
        self.details = RunDetails(full, zone, now, runbook) if full else None
        at = run.started_at or run.scheduled_for or run.queued_at
        self.iso = at.isoformat()
        self.started = formats.clock(at, zone)
        if formats.in_zone(at, zone).date() != formats.in_zone(now, zone).date():
            self.started = f"{formats.day(at, zone)}, {self.started}"
        self.relative = formats.relative(at, now)
        self.exact = formats.exact(at, zone)
        self.since = run.started_at.isoformat() if run.is_open and run.started_at else ""
        self.status = StatusBadge.of_run(run.status)
        self.trigger = started_by(run.trigger, run.actor)
        self.trigger_icon = TRIGGER_ICONS.get(run.trigger, "")
        self.duration = formats.duration(run.duration)
        self.lag = run.lag if run.lag is not None and run.lag >= NOTABLE_LAG else None
        self.reason = run.reason_text

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
        if self.run.error_type:
            return f"{self.run.error_type.rpartition('.')[2]}: {error}".rstrip(": ")
        return error or self.reason or self.plain_summary

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
    def traceback_lines(self) -> NamedTexts:
        """``(css class, line)``: where it went is quiet, what it was is coloured."""
        *lines, last = self.run.traceback.rstrip().split("\n")
        quiet = ("Traceback", "  File ")
        return [*(("q" if line.startswith(quiet) else "", line) for line in lines), ("e", last)]

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
            (_("Queued"), run.queued_at),
            (_("Started"), run.started_at),
            (_("Finished"), run.finished_at),
        ]
        (first_name, first), *others = [(name, at) for name, at in found if at]
        return [
            (first_name, formats.exact(first, self.zone)),
            *((name, self._time_after(first, at)) for name, at in others),
        ]

    def _time_after(self, first: datetime, at: datetime) -> str:
        if formats.in_zone(at, self.zone).date() != formats.in_zone(first, self.zone).date():
            return formats.exact(at, self.zone)
        return f"{formats.clock(at, self.zone)}.{at.microsecond // 1000:03}"

    @property
    def facts(self) -> NamedTexts:
        """How long and where it ran, by name: only what is known."""
        run = self.run
        return _known(
            (_("Trigger"), self.trigger if run.actor else ""),
            (_("Started late by"), formats.duration(self.lag)),
            (_("Queue wait"), formats.duration(run.queue_wait)),
            (_("Duration"), self.duration),
            (_("Attempts"), str(run.attempts) if run.attempts > 1 else ""),
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
        chosen = settings.RUN_LINKS if isinstance(settings.RUN_LINKS, Mapping) else {}
        found = ((str(label), template) for label, template in chosen.items() if isinstance(template, str))
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
    run = _run_or_404(model_admin, request, unquote(object_id))
    task = run.task_or_none
    zone = schedules.zone(task) if task else schedules.current_zone()
    shared = fragment_context if from_script(request) else page_context
    context = {
        **shared(model_admin, request),
        "title": str(run),
        "details": RunDetails(run, zone, machinery_of(request).now, task.state.runbook_url if task else ""),
        "task": task,
        **(extra_context or {}),
    }
    template = "_run_body.html" if from_script(request) else "run.html"
    return TemplateResponse(request, f"admin/scheduled_tasks/{template}", context)


@non_atomic_requests
@requires(Action.RUN, method="POST")
def retry_run(model_admin: TaskRunAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Run the same again, once for each key in the form's ``run``."""
    actor, new_id = model_admin.actor(request), celery_id(request.POST.get("run", ""))
    retry = partial(operations.retry, pk, actor=actor, celery_id=new_id)
    return _answer(model_admin, request, pk, retry, _("%(name)s is queued again."))


@non_atomic_requests
@requires(Action.RUN, method="POST")
def cancel_run(model_admin: TaskRunAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Cancel a run that waits; stop one that is under way, where its worker can."""
    cancel = partial(operations.cancel, pk, actor=model_admin.actor(request))
    return _answer(model_admin, request, pk, cancel, _("The run of %(name)s is being cancelled."))


def _answer(
    model_admin: TaskRunAdmin, request: HttpRequest, pk: int, do: Callable[[], TaskRun], told: str
) -> HttpResponse:
    """Do something to a run and say how that went: by a toast, or a message on the way back."""
    _run_or_404(model_admin, request, str(pk))
    try:
        run = do()
    except Refused as refusal:
        toast = Toast(str(refusal), run_link(model_admin, refusal.run), is_error=True)
    else:
        toast = Toast(told % {"name": run.name}, run_link(model_admin, run))
    if from_script(request):
        status = 409 if toast.is_error else 200
        return TemplateResponse(request, CHANGES, {"toasts": [toast]}, status=status)
    return redirect_back(request, list_url(model_admin), [toast])


def _run_or_404(model_admin: TaskRunAdmin, request: HttpRequest, pk: str) -> TaskRun:
    run: TaskRun | None = model_admin.get_queryset(request).filter(pk=whole_number(pk)).first()
    if run is None:
        raise Http404(_("This run no longer exists."))
    return run
