"""The form of a new task: what was typed, and the task that it is a copy of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import copy
from typing import Any

from django import forms
from django.db.models import TextChoices
from django.http import QueryDict
from django.utils.translation import gettext as _

from .. import operations
from ..conf import settings
from ..declarations.fields import Declared, unstored, values_of
from ..models import Misfire, Overlap, ScheduledTask, Source
from ..operations import DETAILS, Actor, Refused
from ..reading.machinery import Machinery
from ..schedules import current_zone, next_run
from ..validation import NAME_LENGTH, UNSTORABLE
from .alert_form import CountField
from .argument_form import FIELDS, AnyArgumentForm, argument_form, given_arguments, refuse_masks
from .detail_form import TIMES, DetailFields, detail_texts
from .owners_and_tags import OwnersAndTags
from .row import TaskRow
from .schedule_kinds import schedule_form

FIRST_SCHEDULE = "0 3 * * *"
"""What the editor of a new task begins with."""

DOTTED = re.compile(r"[\w:-]+(\.[\w:-]+)*")
"""A name that a Celery task may have, where no worker tells the names."""

ARGUMENTS = ("args", "kwargs")

OF_CELERY = "celery."
"""How the names of Celery's own tasks begin: they are not suggested."""


class NewTaskForm(DetailFields):
    """What the new task is; :attr:`schedule` and :attr:`arguments` are forms of their own."""

    field_order = ("task", "name", "description")

    task = forms.CharField(max_length=NAME_LENGTH, required=False)
    name = forms.CharField(max_length=NAME_LENGTH, required=False)
    description = forms.CharField(required=False)
    queue = forms.CharField(max_length=NAME_LENGTH, required=False)
    expires = CountField()
    overlap = forms.ChoiceField(choices=[("", ""), *Overlap.choices], required=False)
    misfire = forms.ChoiceField(choices=[("", ""), *Misfire.choices], required=False)
    enabled = forms.BooleanField(required=False)

    def __init__(
        self,
        typed: QueryDict | None,
        machinery: Machinery,
        source: TaskRow | None,
        labels: OwnersAndTags,
        *,
        switches: bool = False,
    ) -> None:
        """With ``switches`` :attr:`arguments` is its other form, see :func:`.argument_form`."""
        self.labels = labels
        self.known = machinery.known_tasks
        """Names of the Celery tasks that living workers know; None while none is alive."""
        self.source, self._machinery = source, machinery
        super().__init__(typed, initial=_copied(source) if source else {"enabled": True})
        stored = copy(source.task) if source else unscheduled()
        stored.name = name_of(self.data) if typed else self.initial.get("name", "")  # the spread goes by it
        self.schedule = schedule_form(stored, machinery.now, QueryDict() if typed is None else typed)
        self.arguments = self._argument_form(typed, switches=switches)

    def _argument_form(self, typed: QueryDict | None, *, switches: bool) -> AnyArgumentForm:
        """The form for the chosen Celery task: of fields, unless somebody has typed JSON."""
        own = (self.source.own_args, self.source.own_kwargs) if self.source else ("", "")
        name = str(self["task"].value() or "").strip()
        if typed is None:
            return argument_form(self._machinery, name, *own)
        sent = typed.copy()
        for key in ARGUMENTS:
            sent.setdefault(key, "")
        form = argument_form(self._machinery, name, *own, sent, switches=switches)
        is_typed = FIELDS not in sent and any(str(sent[key]).strip() for key in ARGUMENTS)
        if switches or is_typed or not form.is_json:
            return form
        for key in ARGUMENTS:  # what the fields of another Celery task began with
            sent[key] = ""
        sent[FIELDS] = "1"
        fields = argument_form(self._machinery, name, "", "", sent)
        return form if fields.is_json else fields

    def forget_errors(self, *, of_arguments: bool) -> None:
        """Say of no field that it is wrong: nobody has tried to save it."""
        self.errors.clear()
        if of_arguments:
            self.arguments.errors.clear()

    @property
    def suggested(self) -> list[tuple[str, str]]:
        """The Celery tasks to choose from, each with what its workers tell of it."""
        told = self._machinery.summaries()
        named = (name for name in self.known or () if not name.startswith(OF_CELERY))
        return [(name, told.get(name, "")) for name in sorted(filter(self._machinery.is_schedulable, named))]

    @property
    def overlaps(self) -> list[tuple[str, str]]:
        """The overlap policies to choose from."""
        return _choices(Overlap, settings.OVERLAP)

    @property
    def misfires(self) -> list[tuple[str, str]]:
        """The same of the misfire policies."""
        return _choices(Misfire, settings.MISFIRE)

    @property
    def is_ready(self) -> bool:
        """Whether all of it can be saved: what is wrong is said at each field, those of the schedule too."""
        return self.is_valid() & self.schedule.is_valid() & self._has_arguments and self._will_run

    @property
    def _will_run(self) -> bool:
        """Whether the schedule has a time between its start and its end; said at these where it has none."""
        task = copy(self.schedule.scheduled)
        task.start_time, task.expires = (self.cleaned_data[name] for name in TIMES)
        if next_run(task, self._machinery.now) is not None:
            return True
        wrong = "ends" if task.expires else "starts"
        self.add_error(wrong, _("The schedule has no time between the start and the end."))
        return False

    @property
    def _has_arguments(self) -> bool:
        return self.arguments.is_valid() and not refuse_masks(self.arguments, self._secrets_of)

    @property
    def _secrets_of(self) -> ScheduledTask:
        """The task whose values stand behind masks: the one that is copied, for no other Celery task."""
        return self.source.task if self.source and self.runs_the_same else unscheduled()

    def clean_task(self) -> str:
        """The Celery task that was chosen."""
        name: str = self.cleaned_data["task"]
        if not name:
            raise forms.ValidationError(_("Choose the Celery task that it runs."))
        if self.known is None and not DOTTED.fullmatch(name):
            raise forms.ValidationError(_("This is no name of a Celery task. Write it as app.tasks.name."))
        if self.known is not None and name not in self.known:
            text = _("No running worker knows “%(task)s”. Choose one of the tasks that the workers list.")
            raise forms.ValidationError(text % {"task": name})
        if not self._machinery.is_schedulable(name):
            text = _("The code of “%(task)s” says that it is not to be scheduled. Choose another task.")
            raise forms.ValidationError(text % {"task": name})
        return name

    def clean_name(self) -> str:
        """The name that was typed, else the one that ``@scheduled_task`` would give."""
        task = self.cleaned_data.get("task", "")
        name = name_of({"name": self.cleaned_data["name"], "task": task})
        if error := used_name_error(name):
            raise forms.ValidationError(error)
        return name

    def clean(self) -> dict[str, Any]:
        """Look at the times together."""
        has_expiry = bool(self.cleaned_data.get("expires"))
        self.check_times(self._machinery.now, has_expiry=has_expiry, is_new=True)
        return self.cleaned_data

    @property
    def runs_the_same(self) -> bool:
        """Whether it runs the same Celery task as the one that is copied."""
        return self.source is not None and self.source.task.task == self.cleaned_data.get("task")

    def save(self, actor: Actor) -> ScheduledTask:
        """Make the task. Raises :class:`..operations.Refused`."""
        given = given_arguments(self.arguments, self._secrets_of)
        typed = {**self.cleaned_data, **self.details, **given}
        name, task = typed.pop("name"), typed.pop("task")
        scheduled = values_of(self.schedule.scheduled)
        copied = values_of(self.source.task) if self.source and self.runs_the_same else {}
        chosen = {name: scheduled[name] for name in ("schedule", "timezone", "spread")}
        return operations.add(name, task, {**copied, **typed, **chosen}, actor=actor)


def _copied(source: TaskRow) -> dict[str, Any]:
    """What the form of a copy begins with."""
    values = values_of(source.task)
    shown = {name: values[name] for name in ("description", "queue", "expires", "overlap", "misfire")}
    name = _("%(name)s (copy)") % {"name": source.name}
    return {
        **shown,
        **detail_texts({name: values[name] for name in DETAILS}),
        "task": source.task.task,
        "name": name[:NAME_LENGTH],
    }


def name_of(typed: Mapping[str, str]) -> str:
    """The name that was typed, else the one that ``@scheduled_task`` would give."""
    task = typed.get("task", "").strip()
    return typed.get("name", "").strip() or task.rpartition(".")[2].replace("_", "-")


def used_name_error(name: str) -> str:
    """Why a new task cannot have this name; empty if it can, and where no database could look for it."""
    if UNSTORABLE.search(name):
        return ""
    try:
        operations.refuse_used_name(name)
    except Refused as refusal:
        return str(refusal)
    return ""


def unscheduled() -> ScheduledTask:
    """What the schedule editor of a new task begins with."""
    values = {"schedule": FIRST_SCHEDULE, "timezone": current_zone().key}
    return unstored(Declared("", "", Source.DECORATOR, values))


def _choices(policies: type[TextChoices], of_project: str) -> list[tuple[str, str]]:
    """Each policy by its label; the first leaves it to the project."""
    left = _("The project's setting: %(policy)s") % {"policy": policies(of_project).label}
    return [("", left), *((each.value, str(each.label)) for each in policies)]
