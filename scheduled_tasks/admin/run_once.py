"""Run once at a time: a new task that is a copy of another one, with any arguments."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from .. import operations, schedules
from ..access import Action
from ..declarations.fields import values_of
from ..moments import compact
from ..once import check_once, once_text
from ..operations import Refused
from ..schedules import current_zone
from ..typed_moments import InvalidMoment
from ..validation import NAME_LENGTH
from .argument_form import AnyArgumentForm, argument_form, given_arguments, refuse_masks
from .context import list_url, page_context, task_or_404
from .once_form import field_text, time_field, time_presets, typed_time
from .permissions import requires
from .responses import Toast, changed, from_script
from .row import TaskRow

if TYPE_CHECKING:
    from ..models import ScheduledTask
    from ..operations import Actor
    from .permissions import AccessAdmin

LONGEST_SOURCE = NAME_LENGTH - 50
"""Letters of the task's name that its copy's name begins with."""


class RunOnceForm(forms.Form):
    """When it runs, and what the copy is called; its arguments are a form of their own."""

    at, words = time_field(), time_field()
    name = forms.CharField(max_length=NAME_LENGTH, required=False)

    def __init__(self, task: TaskRow, typed: Any) -> None:
        super().__init__(typed)
        self.task = task

    def clean(self) -> dict[str, Any]:
        """Read the time, and name the copy after it where nobody has."""
        found, now = self.cleaned_data, self.task.now
        try:
            found["moment"] = typed_time(found.get("at", ""), found.get("words", ""), now)
            check_once(found["moment"], now)
        except InvalidMoment as error:
            raise forms.ValidationError({self.time_field: str(error)}) from error
        found["name"] = found.get("name") or self._own_name(found["moment"])
        return found

    @property
    def time_field(self) -> str:
        """The field of the time that counts."""
        return "words" if self.data.get("words", "").strip() else "at"

    def _own_name(self, at: datetime) -> str:
        parts = {"name": self.task.name[:LONGEST_SOURCE], "moment": compact(at, current_zone())}
        return _("%(name)s, once on %(moment)s") % parts

    def save(self, actor: Actor, arguments: AnyArgumentForm) -> ScheduledTask:
        """Make the copy. Raises :class:`..operations.Refused`."""
        source, typed = self.task.task, self.cleaned_data
        schedule = {"schedule": once_text(typed["moment"]), "timezone": None, "spread": None}
        given = given_arguments(arguments, source)
        chosen = {**values_of(source), **given, **schedule, "enabled": True}
        return operations.add(typed["name"], source.task, chosen, actor=actor)


@requires(Action.RUN)
def run_once(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """The form of Run once at, and what it does: for who may run this task, and add one like it."""
    task = task_or_404(model_admin, request, pk)
    if not task.can[Action.ADD]:
        raise PermissionDenied
    switches = "switch" in request.POST
    own = (task.own_args, task.own_kwargs)
    arguments = argument_form(task.listed.machinery, task.task.task, *own, request.POST, switches=switches)
    if request.method != "POST" or switches:
        in_an_hour = field_text((task.now + timedelta(hours=1)).replace(second=0))
        form = RunOnceForm(task, request.POST or {"at": in_an_hour, "words": "", "name": ""})
        form.errors.clear()  # nobody has tried to save it
        return _show(model_admin, request, task, form, arguments)
    form = RunOnceForm(task, request.POST)
    if not (form.is_valid() & arguments.is_valid()) or refuse_masks(arguments, task.task):
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
    context = {
        **page_context(model_admin, request),
        "title": _("Run %(name)s once") % {"name": task.name},
        "task": task,
        "once": once,
        "form": form,
        "presets": time_presets(task.now),
        "back": list_url(model_admin),
        "form_template": "admin/scheduled_tasks/_run_once.html",
    }
    template = "_drawer_form.html" if from_script(request) else "form.html"
    return TemplateResponse(request, f"admin/scheduled_tasks/{template}", context, status=status)
