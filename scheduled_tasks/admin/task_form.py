"""A form of some of a task's own fields, which somebody else may change meanwhile, and how it is saved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from ..declarations.fields import FIELDS
from ..models import ScheduledTask
from ..operations import Actor, AuditEntry, Conflict, Refused
from .conflicts import newest_entry
from .context import admin_url
from .permissions import AccessAdmin
from .responses import Toast, changed, form_page, refused


class Texts(NamedTuple):
    """What a form says, each with ``%(name)s`` of the task."""

    title: Promise
    saved: Promise
    not_saved: Promise
    """With the ``%(error)s``."""
    conflict: Promise
    """With the ``%(person)s`` who made the change meanwhile, and the ``%(changes)s``."""


class TaskForm(forms.Form):
    """Some of a task's own fields. ``seen`` is the token of those the person was looking at."""

    texts: ClassVar[Texts]
    template: ClassVar[str]
    only: ClassVar[str]
    """Which fields *Reset to default* resets, see :func:`.task_changes.reset_to_default`."""

    seen = forms.CharField(required=False, strip=False)

    def __init__(self, task: ScheduledTask, initial: dict[str, Any], typed: Mapping[str, Any] | None) -> None:
        super().__init__(typed, initial=initial)
        self.task, self.conflict = task, ""

    @property
    def token(self) -> str:
        """The stored fields as JSON: an object of their values, see :mod:`..declarations.fields`."""
        raise NotImplementedError

    def save(self, actor: Actor) -> ScheduledTask:
        """Give the task what was typed. Raises what its operation raises."""
        raise NotImplementedError

    def compare_with(self, conflict: Conflict) -> None:
        """Lay what was typed over what somebody else saved meanwhile, and say who and what, if known."""
        self.task = conflict.task
        person, entry = newest_entry(self.task, self._is_the_change)
        told = {"person": person, "name": self.task.name, "changes": entry}
        self.conflict = str(self.texts.conflict) % told if person else str(conflict)

    def _is_the_change(self, entry: AuditEntry) -> bool:
        """Whether the task has what this entry of its history gave it, and had not when the person looked."""
        now, then = json.loads(self.token), _decoded(self.cleaned_data["seen"])
        left = {name: after for name, (_before, after) in entry.values.items() if name in now}
        is_current = all(now[name] == after for name, after in left.items())
        return is_current and any(then.get(name) != after for name, after in left.items())

    @property
    def in_code(self) -> dict[str, str]:
        """What the task's code declares, in words, of each field in which the stored task differs."""
        raise NotImplementedError

    def declared_otherwise(self, names: Iterable[str]) -> dict[str, Any]:
        """The same of these fields, as values."""
        default = self.task.code_default
        if default is None or default.gone_since is not None or not isinstance(default.declared, dict):
            return {}
        declared = {name: default.declared[name] for name in names if name in default.declared}
        return {name: value for name, value in declared.items() if value != FIELDS[name].read(self.task)}

    @property
    def error(self) -> str:
        """The first of the errors."""
        return next((str(text) for texts in self.errors.values() for text in texts), "")

    @property
    def differs_text(self) -> str:
        """The fields of the form in which the task differs from its code, in one sentence."""
        fields = ", ".join(str(FIELDS[name].label) for name in self.in_code)
        return _("Differs from the code: %(fields)s") % {"fields": fields}


def edit(model_admin: AccessAdmin, request: HttpRequest, form: TaskForm) -> HttpResponse:
    """The form, or what saving it did; refused, what was typed stays in it."""
    task, texts = form.task, form.texts
    if not form.is_bound:
        return _show(model_admin, request, form)
    if not form.is_valid():
        told = str(texts.not_saved) % {"name": task.name, "error": form.error}
        return _show(model_admin, request, form, told, status=422)
    try:
        saved = form.save(model_admin.actor(request))
    except Conflict as conflict:
        form.compare_with(conflict)
        return _show(model_admin, request, form, form.conflict, status=409)
    except Refused as refusal:
        return refused(model_admin, request, pk=task.pk, refusal=refusal)
    toast = Toast(str(texts.saved) % {"name": saved.name}, about=task.pk)
    return changed(model_admin, request, task.pk, toast)


def _show(
    model_admin: AccessAdmin, request: HttpRequest, form: TaskForm, told: str = "", *, status: int = 200
) -> HttpResponse:
    task = form.task
    return form_page(
        model_admin,
        request,
        str(form.texts.title) % {"name": task.name},
        form.template,
        toasts=[Toast(told, is_error=True, about=task.pk)] if told else [],
        status=status,
        form=form,
        task=task,
        task_url=admin_url(model_admin, "scheduled_tasks_scheduledtask_change", task.pk),
    )


def _decoded(token: str) -> dict[str, Any]:
    try:
        found = json.loads(token)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
