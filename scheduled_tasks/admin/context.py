"""What every page and fragment of an admin reads: addresses, rights, the moment, the task asked for."""

from __future__ import annotations

import json
from typing import Any, cast

from django.db.models import Count, Max, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _

from ..access import Action, grants, only_granted
from ..conf import settings
from ..models import Flag, Incident, MaintenanceWindow, ScheduledTask, ScheduledTaskQuerySet, TaskRun
from ..models.flags import condition
from ..reading.machinery import Machinery
from ..reading.recent_runs import RECENT_RUNS
from ..reading.tasks import listed_tasks
from .formats import script_words
from .permissions import LONGEST_KEY, AccessAdmin, may_use_beat, rights
from .row import TaskRow


def machinery_of(request: HttpRequest) -> Machinery:
    """The machinery at the moment of this request, read once."""
    if not hasattr(request, "scheduled_tasks_machinery"):
        request.scheduled_tasks_machinery = Machinery.read()  # type: ignore[attr-defined]
    return cast(Machinery, request.scheduled_tasks_machinery)  # type: ignore[attr-defined]


def visible_tasks(model_admin: AccessAdmin, request: HttpRequest) -> ScheduledTaskQuerySet:
    """The tasks that this request may see."""
    return cast(ScheduledTaskQuerySet, model_admin.get_queryset(request))


def task_rows(
    model_admin: AccessAdmin,
    request: HttpRequest,
    tasks: ScheduledTaskQuerySet,
    runs: int = RECENT_RUNS,
) -> list[TaskRow]:
    """These tasks as rows with that many of their newest runs, and with what this request may do to each."""
    incidents = visible_incidents(model_admin, request)
    listed = listed_tasks(tasks, machinery_of(request), runs, incidents=incidents)
    can, found = actions_of(model_admin, request), grants(request)
    if found is None:
        return [TaskRow(each, can) for each in listed]
    granted = found.tasks.items()
    return [
        TaskRow(each, {action: can[action] and each.task.pk in tasks for action, tasks in granted})
        for each in listed
    ]


def actions_of(model_admin: AccessAdmin, request: HttpRequest) -> dict[Action, bool]:
    """What this request may do at all."""
    return {action: model_admin.may(request, action) for action in Action}


def task_or_404(
    model_admin: AccessAdmin, request: HttpRequest, pk: object, runs: int = RECENT_RUNS
) -> TaskRow:
    """The task's row with that many of its newest runs. Raises Http404 when this request may see no such."""
    found = []
    if str(pk).isdecimal() and len(str(pk)) <= LONGEST_KEY:
        tasks = visible_tasks(model_admin, request).filter(pk=int(str(pk)))
        found = task_rows(model_admin, request, tasks, runs)
    if not found:
        raise Http404(_("This task no longer exists."))
    return found[0]


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


def site_tasks(
    model_admin: AccessAdmin, request: HttpRequest, action: Action = Action.VIEW
) -> ScheduledTaskQuerySet:
    """The tasks with which this request may do ``action``, as far as the tasks' own admin shows them."""
    site, tasks = model_admin.admin_site, ScheduledTask.objects.all()
    if site.is_registered(ScheduledTask):
        tasks = site.get_model_admin(ScheduledTask).get_queryset(request)  # type: ignore[assignment]
        if action == Action.VIEW:  # of which that admin has asked
            return tasks
    return only_granted(request, action, tasks)


def only_visible_tasks(
    model_admin: AccessAdmin, request: HttpRequest, action: Action = Action.VIEW
) -> QuerySet[ScheduledTask, Any] | list[int] | None:
    """Keys of these tasks; None where that leaves out nothing."""
    tasks = site_tasks(model_admin, request, action)
    query = tasks.query
    if not (query.has_filters() or query.combinator or query.is_sliced or query.distinct_fields):
        return None
    tasks = tasks.using(TaskRun.objects.db)  # the site may read the tasks from a replica
    if query.is_sliced:  # MariaDB takes no slice in a subquery
        return [*tasks.values_list("pk", flat=True)]
    return tasks.order_by().values("pk")


def visible_runs(model_admin: AccessAdmin, request: HttpRequest) -> QuerySet[TaskRun]:
    """The runs this request may see of a task that it may see."""
    if not model_admin.admin_site.is_registered(TaskRun):
        return TaskRun.objects.all()
    runs: QuerySet[TaskRun] = model_admin.admin_site.get_model_admin(TaskRun).get_queryset(request)
    return runs


def incident_admin(model_admin: AccessAdmin, request: HttpRequest) -> AccessAdmin | None:
    """The admin of incidents on the same site, for those who may see them."""
    site = model_admin.admin_site
    found = site.get_model_admin(Incident) if site.is_registered(Incident) else None
    return found if isinstance(found, AccessAdmin) and found.may(request, Action.VIEW) else None


def visible_incidents(model_admin: AccessAdmin, request: HttpRequest) -> QuerySet[Incident]:
    """The incidents this request may see: all, where the site has no admin of incidents that says which."""
    if not model_admin.admin_site.is_registered(Incident):
        return Incident.objects.all()
    found = incident_admin(model_admin, request)
    return Incident.objects.none() if found is None else found.get_queryset(request)


def with_incidents(model_admin: AccessAdmin, request: HttpRequest) -> Q:
    """The flag's condition, of incidents that this request may see."""
    machinery, seen = machinery_of(request), visible_incidents(model_admin, request).order_by()
    has_flag = Q(condition(Flag.INCIDENT, machinery.now, machinery.known_tasks))
    return has_flag & Q(pk__in=seen.filter(open_key__isnull=False, task__isnull=False).values("task_id"))


def open_incidents(model_admin: AccessAdmin, request: HttpRequest) -> Coalesce:
    """How many open incidents this request may see: an aggregate, also over no rows at all."""
    found = incident_admin(model_admin, request)
    if found is None:
        return Coalesce(Max(Value(0)), Value(0))
    seen = found.get_queryset(request).order_by().filter(open_key__isnull=False)
    count = Subquery(seen.values(one=Value(1)).annotate(n=Count("pk")).values("n"))
    return Coalesce(Max(count), count, Value(0))


def is_phone(request: HttpRequest) -> bool:
    """Whether the browser says so, by the mark that MDN recommends to look for: "Mobi"."""
    return "Mobi" in request.headers.get("User-Agent", "")


def fragment_context(
    model_admin: AccessAdmin, request: HttpRequest, task: TaskRow | None = None
) -> dict[str, Any]:
    """What every template of the tasks' admin reads, fragments included; rights to one ``task``."""
    request.current_app = model_admin.admin_site.name
    incidents = incident_admin(model_admin, request)
    can = task.can if task else actions_of(model_admin, request)
    return {
        "opts": model_admin.opts,
        "now": machinery_of(request).now,
        **{f"can_{action}": may for action, may in can.items()},
        "can_select": can[Action.CHANGE] or can[Action.RUN] or can[Action.DELETE],
        "list_url": list_url(model_admin),
        "beat_url": beat_url(model_admin, request),
        "incidents_url": list_url(incidents) if incidents else "",
        "windows_url": _windows_url(model_admin, request),
        "is_paused_by_setting": settings.PAUSED,
        "tasks_url": _tasks_url(model_admin, request),
        "rights": rights(model_admin, request),
        "list_query": _list_query(request),
    }


def _list_query(request: HttpRequest) -> QueryDict:
    """The filters of the list that is shown, as the page's script tells them."""
    return QueryDict(request.headers.get("ST-Request", "").partition("?")[2])


def _tasks_url(model_admin: AccessAdmin, request: HttpRequest) -> str:
    """The list of tasks, for those who may see it: of incidents people may see more than of tasks."""
    site = model_admin.admin_site
    found = site.get_model_admin(ScheduledTask) if site.is_registered(ScheduledTask) else None
    may = found is not None and found.has_view_permission(request)
    return admin_url(model_admin, "scheduled_tasks_scheduledtask_changelist") if may else ""


def _windows_url(model_admin: AccessAdmin, request: HttpRequest) -> str:
    """The list of maintenance windows, for those who may see it."""
    site = model_admin.admin_site
    found = site.get_model_admin(MaintenanceWindow) if site.is_registered(MaintenanceWindow) else None
    return list_url(found) if isinstance(found, AccessAdmin) and found.may(request, Action.VIEW) else ""


def page_context(
    model_admin: AccessAdmin, request: HttpRequest, task: TaskRow | None = None
) -> dict[str, Any]:
    """What a whole page reads besides."""
    return {
        **model_admin.admin_site.each_context(request),
        **fragment_context(model_admin, request, task),
        "script_words": json.dumps(script_words()),
    }
