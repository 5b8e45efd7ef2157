"""Whose a task is, its tags, its priority, and between which times it runs: as people type it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import operations, validation
from ..conf import settings
from ..declarations.fields import FIELDS
from ..masking import printable
from ..models import ScheduledTask
from ..operations import DETAILS, Actor, details_token
from ..operations.audit import value_text
from ..schedules import current_zone
from ..validation import Invalid
from .moment_field import MomentField
from .owners_and_tags import OwnersAndTags
from .task_form import TaskForm, Texts

TIMES = ("starts", "ends")


class DetailFields(forms.Form):
    """The fields of a task's details; what is left empty is left to the project or to the Celery task.

    Not before and not after are times in the page's zone. ``initial`` is what :func:`detail_texts` makes of
    the stored values: what is sent back as it was is kept exactly.
    """

    labels: OwnersAndTags
    """The owners and tags to suggest."""

    owner = forms.CharField(required=False, max_length=validation.OWNER_LENGTH)
    tags = forms.CharField(required=False)
    priority = forms.CharField(required=False)
    starts = MomentField()
    ends = MomentField()

    def clean_owner(self) -> str | None:
        """The owner without characters that no database keeps."""
        return printable(self.cleaned_data["owner"]) or None

    def clean_tags(self) -> str | None:
        """The tags, each once, as they are stored."""
        typed = [printable(each.strip()) for each in self.cleaned_data["tags"].split(",")]
        tags = [each for each in typed if each]
        for tag in tags:
            if not validation.TAG.fullmatch(tag):
                text = _("“%(tag)s” is no tag: write a word of at most 30 letters, without colon or quotes.")
                raise forms.ValidationError(text % {"tag": tag})
        try:
            return validation.tags("tags", tags)
        except Invalid as error:
            text = _("The tags may have %(most)s characters in all.")
            raise forms.ValidationError(text % {"most": validation.TAGS_LENGTH}) from error

    def clean_priority(self) -> int | None:
        """The priority that was typed: what Celery's brokers tell apart, or the higher one that is stored."""
        typed: str = self.cleaned_data["priority"]
        if typed and not re.fullmatch(r"[0-9]", typed) and typed != self.initial.get("priority"):
            raise forms.ValidationError(_("Enter a whole number from 0 to 9."))
        return int(typed) if typed else None

    def check_times(self, now: datetime, *, has_expiry: bool, is_new: bool = False) -> None:
        """Refuse an end before the start or in the past, and one beside an expiry of queued runs."""
        starts, ends = self.cleaned_data.get("starts"), self.cleaned_data.get("ends")
        if ends is None:
            return
        if starts is not None and ends <= starts:
            self.add_error("ends", _("The end must be after the start."))
        elif ends <= now and (is_new or self.is_typed("ends")):
            self.add_error("ends", _("The end is in the past: the task would never run again."))
        elif has_expiry:
            self.add_error("ends", _("A task whose queued runs expire after some seconds can have no end."))

    def is_typed(self, name: str) -> bool:
        """Whether a field says something else than the form began with."""
        initial = self.fields[name].prepare_value(self.initial.get(name))
        return str(self.data.get(name, "")).strip() != str(initial or "")

    @property
    def details(self) -> dict[str, Any]:
        """The typed values, as :mod:`..declarations.fields` has them."""
        typed = {name: self.cleaned_data[name] for name in DETAILS}
        for name in TIMES:
            at: datetime | None = typed[name]
            typed[name] = None if at is None else at.astimezone(UTC).isoformat()
        return typed

    @property
    def zone(self) -> str:
        """The zone of the typed times."""
        return current_zone().key

    @property
    def owners(self) -> list[str]:
        """The owners to choose from: those that ``ALERTS`` names, and those of other tasks."""
        return sorted({*map(str, settings.ALERTS), *self.labels.owners})


class DetailForm(DetailFields, TaskForm):
    """A task's own details."""

    template, only = "_detail_form.html", "details"
    texts = Texts(
        title=gettext_lazy("Details of %(name)s"),
        saved=gettext_lazy("Details of %(name)s saved."),
        not_saved=gettext_lazy("Details of %(name)s not saved. %(error)s"),
        conflict=gettext_lazy("%(person)s changed the details of %(name)s meanwhile. %(changes)s"),
    )

    def __init__(
        self,
        task: ScheduledTask,
        now: datetime,
        labels: OwnersAndTags,
        typed: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(task, detail_texts({name: FIELDS[name].read(task) for name in DETAILS}), typed)
        self.now, self.labels = now, labels

    @property
    def token(self) -> str:
        """The stored details."""
        return details_token(self.task)

    def clean(self) -> None:
        """Look at the times as a whole."""
        self.check_times(self.now, has_expiry=self.task.expire_seconds is not None)

    def save(self, actor: Actor) -> ScheduledTask:
        """Give the task what was typed anew."""
        changed = {name: value for name, value in self.details.items() if self.is_typed(name)}
        seen = self.cleaned_data["seen"] or None
        return operations.set_details(self.task.pk, actor=actor, values=changed, seen=seen)

    @cached_property
    def in_code(self) -> dict[str, str]:
        """What the task's code declares, in words, of each field in which the stored task differs."""
        return {name: value_text(name, value) for name, value in self.declared_otherwise(DETAILS).items()}


def detail_texts(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the form begins with for these values."""
    priority = values["priority"]
    return {
        "owner": values["owner"] or "",
        "tags": (values["tags"] or "").replace(",", ", "),
        "priority": "" if priority is None else str(priority),
        **{name: (at := values[name]) and datetime.fromisoformat(at) for name in TIMES},
    }
