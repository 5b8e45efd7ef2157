"""Running later what was missed or skipped: a question that lists the times, then a run for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import moments
from ..access import Action
from ..models import ScheduledTask, TaskRun
from ..operations import Refused, can_run_later, missed_times, run_later
from ..operations.missed_runs import NOTHING_TO_RUN
from ..reading.tasks import listed_tasks
from . import formats
from .context import admin_url, list_url, machinery_of, run_link
from .permissions import requires
from .responses import CHANGES, Toast, form_page, from_script, redirect_back
from .run import run_or_404

if TYPE_CHECKING:
    from .runs import TaskRunAdmin

LISTED = 10
"""Scheduled times that the question lists; of more it tells how many there are."""


@requires(Action.RUN)
def run_missed(model_admin: TaskRunAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Ask whether to run the scheduled times of a missed or skipped row; then have them run."""
    run = run_or_404(model_admin, request, str(pk))
    if request.method != "POST":
        return _question(model_admin, request, run)
    try:
        runs = run_later(pk, actor=model_admin.actor(request))
    except Refused as refusal:
        toast = Toast(str(refusal), run_link(model_admin, refusal.run), is_error=True)
    else:
        told = ngettext("%(n)s run of %(name)s waits.", "%(n)s runs of %(name)s wait.", len(runs))
        toast = Toast(told % {"n": len(runs), "name": run.name}, about=run.task_id)
    if from_script(request):
        status = 409 if toast.is_error else 200
        return TemplateResponse(request, CHANGES, {"toasts": [toast]}, status=status)
    return redirect_back(request, list_url(model_admin), [toast])


def _question(model_admin: TaskRunAdmin, request: HttpRequest, run: TaskRun) -> HttpResponse:
    return form_page(
        model_admin,
        request,
        _("Run later: %(name)s") % {"name": run.name},
        "_run_later.html",
        run=run,
        back=admin_url(model_admin, "scheduled_tasks_taskrun_change", run.pk),
        **_asked(request, run),
    )


def _asked(request: HttpRequest, run: TaskRun) -> dict[str, Any]:
    """What the question says: the times, how many are left out, how long one run takes; or a refusal."""
    machinery = machinery_of(request)
    found = listed_tasks(ScheduledTask.objects.filter(pk=run.task_id or 0), machinery)
    if not (found and can_run_later(run)):
        return {"refusal": NOTHING_TO_RUN}
    task = found[0]
    try:
        times = missed_times(task.task, run)
    except Refused as refusal:
        return {"refusal": str(refusal)}
    shown = [moments.clock_of_day(time, machinery.now, task.zone) for time in times[:LISTED]]
    usual = formats.duration(task.usual) if task.usual else ""
    return {"times": shown, "n": len(times), "more": len(times) - len(shown), "usual": usual}
