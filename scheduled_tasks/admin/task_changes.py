"""One view for each thing that a person changes of one task from a button or a small form."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import BadRequest
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from .. import operations
from ..access import Action
from ..declarations.fields import FIELDS
from ..operations import DETAILS, Refused
from ..validation import ALERT_POLICY
from .argument_form import AnyArgumentForm, argument_form, refuse_masks, was_sent
from .context import admin_url, check_visible, run_link, task_or_404
from .forms import celery_id
from .permissions import AccessAdmin, requires
from .responses import Toast, changed, form_page, from_script, refused
from .row import TaskRow
from .run_toast import run_toast

View = Callable[[AccessAdmin, HttpRequest, int], HttpResponse]
Change = Callable[[AccessAdmin, HttpRequest, int], Toast]


class InvalidArguments(ValueError):
    """What was typed as arguments of a run is none."""

    def __init__(self, task: TaskRow, form: AnyArgumentForm) -> None:
        super().__init__(task.name)
        self.task, self.form = task, form


def task_change(action: Action) -> Callable[[Change], View]:
    """Make a view of a function that changes a task and returns what to tell; it needs ``action``."""

    def decorate(change: Change) -> View:
        @requires(action, method="POST")
        @wraps(change)
        def view(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
            check_visible(model_admin, request, pk)
            try:
                toast = change(model_admin, request, pk)
            except InvalidArguments as error:
                return _run_form(model_admin, request, error.task, error.form, status=422)
            except Refused as refusal:
                if refusal.code == "gone":
                    return refused(model_admin, request, pk, refusal)
                toast = Toast(str(refusal), run_link(model_admin, refusal.run), is_error=True)
                return _not_changed(model_admin, request, pk, toast, status=409)
            return changed(model_admin, request, pk, toast)

        return view

    return decorate


@task_change(Action.CHANGE)
def set_enabled(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> Toast:
    """Enable or disable one task: ``enabled`` is ``1`` or ``0``; ``note`` says why it is disabled."""
    actor = model_admin.actor(request)
    if _choice(request, "enabled"):
        task = operations.enable(pk, actor=actor)
        text = _("%(name)s is enabled.")
    else:
        task = operations.disable(pk, actor=actor, note=request.POST.get("note"))
        text = _("%(name)s is disabled. Run now still works.")
    return Toast(text % {"name": task.name}, about=pk)


@task_change(Action.CHANGE)
def set_skip_next(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> Toast:
    """Leave out the next run on schedule (``skip`` is ``1``), or take that back (``0``)."""
    skip = _choice(request, "skip")
    task = operations.skip_next(pk, actor=model_admin.actor(request), skip=skip)
    text = _("%(name)s skips its next run.") if skip else _("%(name)s does not skip its next run.")
    return Toast(text % {"name": task.name}, about=pk)


@task_change(Action.CHANGE)
def follow_policies(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> Toast:
    """Let the project's policies hold for a task that runs as before this app was installed."""
    task = operations.follow_policies(pk, actor=model_admin.actor(request))
    return Toast(_("%(name)s follows the project's policies now.") % {"name": task.name}, about=pk)


@task_change(Action.CHANGE)
def reset_to_default(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> Toast:
    """Give the task what its code declares; with ``only`` being ``alerts`` or ``details``, of these alone."""
    only = request.POST.get("only")
    fields = {"alerts": ALERT_POLICY, "details": DETAILS}.get(only or "", tuple(FIELDS))
    task = operations.reset(pk, actor=model_admin.actor(request), only=fields)
    text = _("%(name)s was reset to its code default.")
    if only == "alerts":
        text = _("Alerts of %(name)s were reset to their code default.")
    elif only == "details":
        text = _("Details of %(name)s were reset to their code default.")
    return Toast(text % {"name": task.name}, about=pk)


@non_atomic_requests
@task_change(Action.RUN)
def run_now(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> Toast:
    """Run one task now. Not atomic, since the run is committed before it is sent."""
    run = operations.run_now(
        pk,
        actor=model_admin.actor(request),
        celery_id=celery_id(request.POST.get("run", "")),
        **_typed_arguments(model_admin, request, pk),
    )
    return run_toast(model_admin, run)


def _typed_arguments(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> dict[str, Any]:
    """The arguments that were sent; none by the button of Run now. Raises :class:`InvalidArguments`."""
    if not was_sent(request.POST):
        return {}
    task = task_or_404(model_admin, request, pk)
    form = _argument_form(task, request)
    if not form.is_valid() or refuse_masks(form, task.task):
        raise InvalidArguments(task, form)
    return form.arguments


@requires(Action.RUN)
def new_run(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """The form of Run with arguments, filled with the task's own; sent to this address, the other form."""
    task = task_or_404(model_admin, request, pk)
    form = _argument_form(task, request, switches=request.method == "POST")
    return _run_form(model_admin, request, task, form, status=422 if form.is_bound else 200)


def _argument_form(task: TaskRow, request: HttpRequest, *, switches: bool = False) -> AnyArgumentForm:
    machinery, own = task.listed.machinery, (task.own_args, task.own_kwargs)
    return argument_form(machinery, task.task.task, *own, request.POST, switches=switches)


def _not_changed(
    model_admin: AccessAdmin, request: HttpRequest, pk: int, toast: Toast, *, status: int
) -> HttpResponse:
    """Say why nothing was done. Typed arguments stay in their form, which the script leaves open."""
    if from_script(request) or not was_sent(request.POST):
        return changed(model_admin, request, pk, toast, status=status)
    task = task_or_404(model_admin, request, pk)
    form = _argument_form(task, request)
    return _run_form(model_admin, request, task, form, status=status, toasts=[toast])


def _run_form(
    model_admin: AccessAdmin,
    request: HttpRequest,
    task: TaskRow,
    form: AnyArgumentForm,
    *,
    status: int,
    **shown: Any,
) -> HttpResponse:
    shown["form"] = form
    shown["page_url"] = admin_url(model_admin, "scheduled_tasks_scheduledtask_new_run", task.pk)
    title = _("Run %(name)s with arguments") % {"name": task.name}
    return form_page(model_admin, request, title, "_new_run.html", status=status, task=task, **shown)


@requires(Action.CHANGE, method="GET")
def pause(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """The form of Disable with a note, or of the note alone where it is disabled."""
    task = task_or_404(model_admin, request, pk)
    title = _("Disable %(name)s") if task.enabled else _("Note of %(name)s")
    return form_page(model_admin, request, title % {"name": task.name}, "_pause.html", task=task)


def _choice(request: HttpRequest, name: str) -> bool:
    """A posted ``1`` or ``0``. Raises BadRequest for anything else: an empty form changes nothing."""
    sent = request.POST.get(name)
    if sent not in ("0", "1"):
        raise BadRequest
    return sent == "1"
