"""The message of a run that a person has started: it follows the run and becomes its outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.template.response import TemplateResponse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from ..access import Action
from ..models import FAILURES, Status, TaskRun, word_of
from ..reading.version import digest
from . import formats
from .context import admin_url, run_link
from .permissions import AccessAdmin, requires
from .responses import CHANGES, Toast
from .run import LINE, run_or_404

if TYPE_CHECKING:
    from .runs import TaskRunAdmin


def run_toast(model_admin: AccessAdmin, run: TaskRun, queued: str = "") -> Toast:
    """What there is to say of the run now; ``queued`` is what to say while it waits.

    One that has not ended names its address, where the page's script asks again. A run that went wrong is an
    error, which stays until it is closed.
    """
    address = admin_url(model_admin, "scheduled_tasks_taskrun_toast", run.pk)
    return Toast(
        _text(run, queued or _("%(name)s is queued.")),
        run_link(model_admin, run),
        is_error=run.status in FAILURES,
        about=f"run-of-{run.task_id}",
        id=f"st-toast-run-{run.pk}",
        url=address if run.is_open else "",
        version=f'"{digest(run.status, get_language())}"',
    )


def _text(run: TaskRun, queued: str) -> str:
    told = {"name": run.name, "status": word_of(Status, run.status)}
    if run.status in (Status.QUEUED, Status.WAITING):
        return queued % told
    if run.status == Status.SUCCEEDED:
        return _("%(name)s: %(status)s after %(duration)s.") % {
            **told,
            "duration": formats.duration(run.duration),
        }
    why = "" if run.is_open else formats.error_line(run.error_type, run.error[:LINE]) or run.reason_text
    if run.status == Status.CANCELLED and why:  # which says so
        return f"{run.name}: {why}"
    return f"{run.name}: {told['status']}: {why}" if why else f"{run.name}: {told['status']}."


@requires(Action.VIEW, method="GET")
def show_toast(model_admin: TaskRunAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """The run's message as it is now; 304 when the script has this one."""
    toast = run_toast(model_admin, run_or_404(model_admin, request, str(pk)))
    if request.headers.get("If-None-Match") == toast.version:
        return HttpResponseNotModified(headers={"ETag": toast.version})
    return TemplateResponse(request, CHANGES, {"toasts": [toast]})
