"""What every page and fragment of an admin reads: addresses, rights, the moment, the task asked for."""

from __future__ import annotations

import json
from typing import Any, cast

from django.db.models import Count, Max, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from ..access import Action
from ..models import Incident, ScheduledTask, ScheduledTaskQuerySet, TaskRun
from ..reading.machinery import Machinery
from ..reading.recent_runs import RECENT_RUNS
from ..reading.tasks import listed_tasks
from .formats import script_words
from .permissions import AccessAdmin, may_use_beat, rights
from .row import TaskRow

LONGEST_KEY = 18
"""Digits of the longest key that every database compares with a column."""


def machinery_of(request: HttpRequest) -> Machinery:
    """The machinery at the moment of this request, read once."""
    if not hasattr(request, "scheduled_tasks_machinery"):
        request.scheduled_tasks_machinery = Machinery.read()  # type: ignore[attr-defined]
    return cast(Machinery, request.scheduled_tasks_machinery)  # type: ignore[attr-defined]


def visible_tasks(model_admin: AccessAdmin, request: HttpRequest) -> ScheduledTaskQuerySet:
    """The tasks that this request may see."""
    return cast(ScheduledTaskQuerySet, model_admin.get_queryset(request))


def task_or_404(
    model_admin: AccessAdmin, request: HttpRequest, pk: object, runs: int = RECENT_RUNS
) -> TaskRow:
    """The task's row with that many of its newest runs. Raises Http404 when this request may see no such."""
    found = []
    if str(pk).isdecimal() and len(str(pk)) <= LONGEST_KEY:
        tasks = visible_tasks(model_admin, request).filter(pk=int(str(pk)))
        found = listed_tasks(tasks, machinery_of(request), runs)
    if not found:
        raise Http404(_("This task no longer exists."))
    return TaskRow(found[0])


def check_visible(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> None:
    """Raise Http404 for a task that this request may not see; of one that is gone the operation tells."""
    if not pk or len(str(pk)) > LONGEST_KEY:
        raise Http404(_("This task no longer exists."))
    seen = visible_tasks(model_admin, request).filter(pk=pk).exists()
    if not seen and ScheduledTask.objects.filter(pk=pk).exists():
        raise Http404(_("This task no longer exists."))


def admin_url(model_admin: AccessAdmin, name: str, *args: object) -> str:
    """The address of that name on the admin's own site."""
    return reverse(f"admin:{name}", args=args, current_app=model_admin.admin_site.name)


def list_url(model_admin: AccessAdmin) -> str:
    """The address of the admin's list."""
    return admin_url(model_admin, f"{model_admin.opts.app_label}_{model_admin.opts.model_name}_changelist")


def run_link(model_admin: AccessAdmin, run: TaskRun | None) -> tuple[str, str] | None:
    """The address of a run's page, and its words."""
    if run is None:
        return None
    return admin_url(model_admin, "scheduled_tasks_taskrun_change", run.pk), _("View run")


def beat_url(model_admin: AccessAdmin, request: HttpRequest) -> str:
    """The list of django-celery-beat's own admin, for those who may use it; empty otherwise."""
    may = may_use_beat(model_admin, request)
    return admin_url(model_admin, "django_celery_beat_periodictask_changelist") if may else ""


def incident_admin(model_admin: AccessAdmin, request: HttpRequest) -> AccessAdmin | None:
    """The admin of incidents on the same site, for those who may see them."""
    site = model_admin.admin_site
    found = site.get_model_admin(Incident) if site.is_registered(Incident) else None
    return found if isinstance(found, AccessAdmin) and found.may(request, Action.VIEW) else None


def open_incidents(model_admin: AccessAdmin, request: HttpRequest) -> Coalesce:
    """How many open incidents this request may see: an aggregate, also over no rows at all."""
    found = incident_admin(model_admin, request)
    if found is None:
        return Coalesce(Max(Value(0)), Value(0))
    seen = found.get_queryset(request).order_by().filter(open_key__isnull=False)
    count = Subquery(seen.values(one=Value(1)).annotate(n=Count("pk")).values("n"))
    return Coalesce(Max(count), count, Value(0))


def fragment_context(model_admin: AccessAdmin, request: HttpRequest) -> dict[str, Any]:
    """What every template of the tasks' admin reads, fragments included."""
    request.current_app = model_admin.admin_site.name
    incidents = incident_admin(model_admin, request)
    return {
        "opts": model_admin.opts,
        "now": machinery_of(request).now,
        "can_change": model_admin.may(request, Action.CHANGE),
        "can_run": model_admin.may(request, Action.RUN),
        "list_url": list_url(model_admin),
        "beat_url": beat_url(model_admin, request),
        "incidents_url": list_url(incidents) if incidents else "",
        "tasks_url": _tasks_url(model_admin, request),
        "rights": rights(model_admin, request),
    }


def _tasks_url(model_admin: AccessAdmin, request: HttpRequest) -> str:
    """The list of tasks, for those who may see it: of incidents people may see more than of tasks."""
    site = model_admin.admin_site
    found = site.get_model_admin(ScheduledTask) if site.is_registered(ScheduledTask) else None
    may = found is not None and found.has_view_permission(request)
    return admin_url(model_admin, "scheduled_tasks_scheduledtask_changelist") if may else ""


def page_context(model_admin: AccessAdmin, request: HttpRequest) -> dict[str, Any]:
    """What a whole page reads besides."""
    return {
        **model_admin.admin_site.each_context(request),
        **fragment_context(model_admin, request),
        "script_words": json.dumps(script_words()),
    }
