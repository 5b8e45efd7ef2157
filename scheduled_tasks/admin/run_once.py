"""Run once at a time: a new task that is a copy of another one, with any arguments."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from .. import operations, schedules
from ..access import Action
from ..declarations.fields import values_of
from ..moments import compact
from ..once import once_text
from ..operations import Refused
from ..schedules import current_zone
from ..validation import NAME_LENGTH
from .argument_form import AnyArgumentForm, argument_form, given_arguments, refuse_masks
from .context import list_url, task_or_404
from .moment_field import field_text
from .new_task import NEW
from .once_form import OnceForm
from .permissions import requires
from .responses import Toast, changed, form_page
from .row import TaskRow
from .schedule_kinds import filled

if TYPE_CHECKING:
    from ..models import ScheduledTask
    from ..operations import Actor
    from .permissions import AccessAdmin

LONGEST_SOURCE = NAME_LENGTH - 50
"""Letters of the task's name that its copy's name begins with."""


class RunOnceForm(forms.Form):
    """What the copy is called and, as :attr:`schedule`, when it runs. Its arguments have their own form."""

    name = forms.CharField(max_length=NAME_LENGTH, required=False)

    def __init__(self, task: TaskRow, typed: Any) -> None:
        super().__init__(typed)
        self.task = task
        self.schedule = OnceForm(task.task, task.now, {"at": "", "words": "", **typed})

    @property
    def is_ready(self) -> bool:
        """Whether all of it can be saved."""
        return self.is_valid() & self.schedule.is_valid()

    def _own_name(self, at: datetime) -> str:
        parts = {"name": self.task.name[:LONGEST_SOURCE], "moment": compact(at, current_zone())}
        return _("%(name)s, once on %(moment)s") % parts

    def save(self, actor: Actor, arguments: AnyArgumentForm) -> ScheduledTask:
        """Make the copy. Raises :class:`..operations.Refused`."""
        source, at = self.task.task, self.schedule.row().clocked_time
        schedule = {"schedule": once_text(at), "timezone": None, "spread": None, "starts": None, "ends": None}
        given = given_arguments(arguments, source)
        chosen = {**values_of(source), **given, **schedule, "enabled": True}
        name = self.cleaned_data["name"] or self._own_name(at)
        return operations.add(name, source.task, chosen, actor=actor)


@requires(Action.RUN)
def run_once(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """The form of Run once at, and what it does: for who may run this task, and add one like it."""
    task = task_or_404(model_admin, request, pk)
    if not task.can[Action.ADD]:
        raise PermissionDenied
    switches = "switch" in request.POST
    own = (task.own_args, task.own_kwargs)
    arguments = argument_form(task.listed.machinery, task.task.task, *own, request.POST, switches=switches)
    in_an_hour = field_text((task.now + timedelta(hours=1)).replace(second=0))
    form = RunOnceForm(task, filled(request.POST).dict() or {"at": in_an_hour})
    if request.method != "POST" or switches or "fill" in request.POST:
        form.schedule.errors.clear()  # nobody has tried to save it
        return _show(model_admin, request, task, form, arguments)
    if not (form.is_ready & arguments.is_valid()) or refuse_masks(arguments, task.task):
        return _show(model_admin, request, task, form, arguments, status=422)
    try:
        made = form.save(model_admin.actor(request), arguments)
    except Refused as refusal:
        form.add_error("name", str(refusal))
        return _show(model_admin, request, task, form, arguments, status=422)
    text = _("%(name)s was added: %(schedule)s.") % {"name": made.name, "schedule": schedules.label(made)}
    return changed(model_admin, request, made.pk, Toast(text, about=made.pk))


def _show(
    model_admin: AccessAdmin,
    request: HttpRequest,
    task: TaskRow,
    once: RunOnceForm,
    form: AnyArgumentForm,
    *,
    status: int = 200,
) -> HttpResponse:
    return form_page(
        model_admin,
        request,
        _("Run %(name)s once") % {"name": task.name},
        "_run_once.html",
        status=status,
        task=task,
        once=once,
        form=form,
        new=NEW,
        back=list_url(model_admin),
    )
