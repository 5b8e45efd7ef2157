"""The form of a task's alert policy: what was typed, and what is stored where nothing was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.models import IntervalSchedule

from .. import operations, schedules, validation
from ..conf import settings
from ..links import has_user, is_web_address
from ..masking import printable
from ..models import Flag, ScheduledTask, TaskState
from ..operations import Actor, policy_token
from ..operations.audit import value_text
from ..schedules import InvalidInterval
from ..validation import ALERT_KINDS, ALERT_POLICY, GREATEST, NO_KINDS, Invalid
from .forms import UNIT_NAMES
from .task_form import TaskForm, Texts

OWN_KINDS = "own"
"""Value of ``kinds`` where the task chooses its kinds; empty where the project does."""


class CountField(forms.IntegerField):
    """A whole number, 1 or more, or nothing; in digits alone, where ``int()`` also reads ``1_0``."""

    def __init__(self) -> None:
        errors = dict.fromkeys(("invalid", "min_value"), gettext_lazy("Enter a whole number, 1 or more."))
        super().__init__(required=False, min_value=1, error_messages=errors)

    def to_python(self, value: Any) -> int | None:
        """The number that was typed."""
        if value and not re.fullmatch(r"[0-9]{1,20}", value.strip()):
            raise forms.ValidationError(self.error_messages["invalid"])
        number: int | None = super().to_python(value)
        if number is not None and number > GREATEST:
            raise forms.ValidationError(_("Enter a whole number from 1 to %(most)s.") % {"most": GREATEST})
        return number


class AlertForm(TaskForm):
    """A task's alert policy. What is left empty is left to the project's settings.

    ``max_runtime`` is a number of ``unit``.
    """

    template, only = "_alert_form.html", "alerts"
    texts = Texts(
        title=gettext_lazy("Alerts of %(name)s"),
        saved=gettext_lazy("Alerts of %(name)s saved."),
        not_saved=gettext_lazy("Alerts of %(name)s not saved. %(error)s"),
        conflict=gettext_lazy("%(person)s changed the alerts of %(name)s meanwhile. %(changes)s"),
    )

    alert_after = CountField()
    recover_after = CountField()
    max_runtime = forms.CharField(required=False)
    unit = forms.CharField(required=False)
    kinds = forms.CharField(required=False)
    alert_on = forms.MultipleChoiceField(required=False, choices=[(kind, kind) for kind in ALERT_KINDS])
    owner = forms.CharField(required=False, max_length=validation.OWNER_LENGTH)
    runbook = forms.CharField(required=False)

    def __init__(self, task: ScheduledTask, typed: Mapping[str, Any] | None = None) -> None:
        super().__init__(task, stored(task.state), typed)

    @property
    def token(self) -> str:
        """The stored policy."""
        return policy_token(self.task)

    def clean_max_runtime(self) -> timedelta | None:
        """The time that was typed."""
        number = self.cleaned_data["max_runtime"]
        if not number:
            return None
        try:
            return schedules.interval(schedules.read_interval(number, self.data.get("unit", "")))
        except InvalidInterval as error:
            raise forms.ValidationError(str(error)) from error

    def clean_owner(self) -> str:
        """The owner without characters that no database keeps."""
        return printable(self.cleaned_data["owner"])

    def clean_runbook(self) -> str:
        """An address that a page may link to, or nothing."""
        address: str = self.cleaned_data["runbook"]
        try:
            return validation.web_address("runbook", address or None) or ""
        except Invalid as error:
            text = _("Enter an address that begins with http:// or https://, of at most %(most)s characters.")
            if is_web_address(address) and has_user(address):
                text = _("Enter an address without a user name and a password: everybody would read them.")
            raise forms.ValidationError(text % {"most": validation.RUNBOOK_LENGTH}) from error

    def save(self, actor: Actor) -> ScheduledTask:
        """Give the task the typed policy."""
        typed = self.cleaned_data
        policy = {name: typed[name] or None for name in ALERT_POLICY}
        policy["alert_on"] = typed["alert_on"] if typed["kinds"] == OWN_KINDS else None
        return operations.set_alert_policy(
            self.task.pk, actor=actor, policy=policy, seen=typed["seen"] or None
        )

    @cached_property
    def of_project(self) -> dict[str, Any]:
        """What the project's settings say, in words: shown where the task says nothing."""
        longest = stored(TaskState(max_runtime=settings.MAX_RUNTIME))
        kinds = [kind for kind in ALERT_KINDS if kind in settings.ALERT_ON]
        return {
            "alert_after": str(settings.ALERT_AFTER),
            "recover_after": str(settings.RECOVER_AFTER),
            "max_runtime": longest["max_runtime"] or _("no limit"),
            "alert_on": value_text("alert_on", ",".join(kinds) or NO_KINDS),
        }

    @cached_property
    def in_code(self) -> dict[str, str]:
        """What the task's code declares, in words, of each field in which the stored task differs."""
        unsaid = _("the project's setting")
        return {
            name: unsaid if value is None and name in self.of_project else value_text(name, value)
            for name, value in self.declared_otherwise(ALERT_POLICY).items()
        }

    @property
    def counts(self) -> list[PolicyCount]:
        """The two numbers, as the template shows them."""
        labels = {
            "alert_after": _("Alert after failures in a row"),
            "recover_after": _("Recovered after successes in a row"),
        }
        return [
            PolicyCount(name, label, self[name], self.of_project[name], self.in_code.get(name, ""))
            for name, label in labels.items()
        ]

    @property
    def units(self) -> list[tuple[str, str]]:
        """The units of time to choose from, each with its name; microseconds only where they are chosen."""
        names = {unit: str(name) for unit, name in UNIT_NAMES.items()}
        if self["unit"].value() != IntervalSchedule.MICROSECONDS:
            del names[IntervalSchedule.MICROSECONDS]
        return [*names.items()]

    @property
    def kind_choices(self) -> list[tuple[str, str, bool]]:
        """Each kind of trouble: its value, its name, and whether it is chosen."""
        chosen = self["alert_on"].value() or ()
        return [(kind, str(Flag(kind).label), kind in chosen) for kind in ALERT_KINDS]

    @property
    def has_own_kinds(self) -> bool:
        """Whether the task chooses its kinds itself."""
        return bool(self["kinds"].value() == OWN_KINDS)

    @property
    def owners(self) -> list[str]:
        """The owners that ``ALERTS`` names."""
        return sorted(map(str, settings.ALERTS))


@dataclass(frozen=True)
class PolicyCount:
    """A field for a number: its name, label and value, what the project and what the code say."""

    name: str
    label: str
    field: forms.BoundField
    of_project: str
    in_code: str


def stored(state: TaskState) -> dict[str, Any]:
    """The fields of the form for what is stored."""
    number, unit = "", str(IntervalSchedule.MINUTES)
    longest = state.max_runtime or settings.MAX_RUNTIME
    if longest:
        count, unit = schedules.tidy_interval(longest)
        number = str(count) if state.max_runtime is not None else ""
    return {
        "alert_after": "" if state.alert_after is None else str(state.alert_after),
        "recover_after": "" if state.recover_after is None else str(state.recover_after),
        "max_runtime": number,
        "unit": unit,
        "kinds": OWN_KINDS if state.alert_on else "",
        "alert_on": [kind for kind in sorted(state.effective_alert_on) if kind != NO_KINDS],
        "owner": state.owner,
        "runbook": state.runbook,
    }
