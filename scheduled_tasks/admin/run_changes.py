"""What a person does to a run: run it again, alone or with others that failed, and cancel it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, ngettext_lazy

from .. import operations
from ..access import Action
from ..models import TaskRun
from ..operations import Actor, Refused
from .bulk_actions import do_each
from .context import list_url, machinery_of, run_link
from .forms import celery_id
from .permissions import requires
from .responses import CHANGES, Toast, form_page, from_script, redirect_back
from .run import run_or_404, whole_number
from .run_filters import STATUSES, list_filters
from .run_toast import run_toast

if TYPE_CHECKING:
    from .runs import TaskRunAdmin

MOST_RUNS = 100
"""Runs that are retried at once: each is sent while the person waits."""


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
    run_or_404(model_admin, request, str(pk))
    try:
        run = do()
    except Refused as refusal:
        toast = Toast(str(refusal), run_link(model_admin, refusal.run), is_error=True)
    else:
        toast = run_toast(model_admin, run, told)
    if from_script(request):
        status = 409 if toast.is_error else 200
        return TemplateResponse(request, CHANGES, {"toasts": [toast]}, status=status)
    return redirect_back(request, list_url(model_admin), [toast])


@non_atomic_requests
@requires(Action.RUN)
def retry_failed(model_admin: TaskRunAdmin, request: HttpRequest) -> HttpResponse:
    """Ask whether to retry the failed runs under the filters of the address; then retry those of ``runs``."""
    if request.method != "POST":
        return _question(model_admin, request)
    asked = request.POST.get("runs", "").split(",")[:MOST_RUNS]
    pks = [number for text in asked if (number := whole_number(text)) is not None]
    runs = model_admin.granted(request, Action.RUN).filter(pk__in=pks, status__in=STATUSES["failed"][1])
    key = request.POST.get("key", "")

    def own_id(pk: int) -> str:
        return celery_id(f"{key} {pk}" if key else "")

    def retry(pk: int, actor: Actor) -> None:
        operations.retry(pk, actor=actor, celery_id=own_id(pk))

    left = list(runs.order_by("pk"))
    retried = _retried(left, but=[own_id(run.pk) for run in left])  # a form may be sent twice

    told = ngettext_lazy("%(n)s run is queued again.", "%(n)s runs are queued again.", "n")
    oldest_first = [run.pk for run in left if run.pk not in retried]
    nothing = Toast(_("No failed run is left to be retried."), is_error=True)
    toasts = do_each(model_admin, request, oldest_first, retry, told) or [nothing]
    if not from_script(request):
        return redirect_back(request, list_url(model_admin), toasts)
    status = 409 if all(toast.is_error for toast in toasts) else 200
    return TemplateResponse(request, CHANGES, {"toasts": toasts}, status=status)


def _question(model_admin: TaskRunAdmin, request: HttpRequest) -> HttpResponse:
    filters = list_filters(model_admin, request)
    found = filters.apply(model_admin.granted(request, Action.RUN), machinery_of(request).now)
    failed = list(found.filter(status__in=STATUSES["failed"][1])[: MOST_RUNS + 1])
    is_too_many = len(failed) > MOST_RUNS
    retried = set[int]() if is_too_many else _retried(failed)
    runs = [run for run in failed if run.pk not in retried]
    title = ngettext("Retry %(n)s failed run?", "Retry %(n)s failed runs?", len(runs)) % {"n": len(runs)}
    return form_page(
        model_admin,
        request,
        _("Too many runs to retry at once") if is_too_many else title,
        "_retry_failed.html",
        most=MOST_RUNS,
        is_too_many=is_too_many,
        back=f"{list_url(model_admin)}{filters.link()}",
        retried=len(retried),
        runs=",".join(str(run.pk) for run in runs),
        names=sorted(Counter(run.name for run in runs).items()),
        key=str(uuid4()),
    )


def _retried(runs: Sequence[TaskRun], but: Sequence[str] = ()) -> set[int]:
    """Which of these runs were retried, by others than the runs with the Celery ids ``but``.

    None is to run a third time. By the index of their tasks' runs.
    """
    if not runs:
        return set()
    keys = {run.pk for run in runs}
    newer = TaskRun.objects.filter(task_id__in={run.task_id for run in runs}, pk__gt=min(keys))
    retries = newer.filter(retry_of__in=keys).exclude(celery_id__in=but)
    return set(retries.values_list("retry_of_id", flat=True))
