"""What people type to plan a maintenance window: when, which tasks, and what follows."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import Q
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..access import Action
from ..models import ScheduledTaskQuerySet, database_now
from ..operations import MuteSpan, Refused, plan_maintenance
from ..reading.maintenance import Forecast, forecast
from .context import only_visible_tasks, site_tasks
from .formats import and_more
from .moment_field import MomentField
from .permissions import AccessAdmin

if TYPE_CHECKING:
    from ..models import MaintenanceWindow
    from ..operations import Actor

SPANS = (MuteSpan.HOUR, MuteSpan.TOMORROW)

FIELD_OF = {"start": "starts", "past": "until", "order": "until"}
"""Which field a refusal is about, by its code."""

FILTERS = ("q", "owner", "queue", "app")

UNUSED_FILTER = gettext_lazy(
    "All tasks are chosen, but the filter is filled in. Choose the filter, or empty its fields."
)

MOST_NAMED = 5
"""Tasks under a filter that are named before the rest is counted."""

MOST_CHOICES = 200
"""Owners and queues that are offered."""


class PauseForm(forms.Form):
    """Until when some chosen tasks are paused: a span, or a time, or (neither) until somebody ends it."""

    until = MomentField()
    span = forms.ChoiceField(required=False, choices=[(each.value, each.label) for each in SPANS])
    note = forms.CharField(required=False, max_length=500)
    once = forms.BooleanField(required=False)

    def end(self, now: datetime) -> datetime | None:
        """When it ends: after the span of the button that was pressed, else at the time that was typed."""
        typed: datetime | None = self.cleaned_data["until"]
        span = self.cleaned_data["span"]
        return MuteSpan(span).until(now) if span else typed

    def end_now(self) -> datetime | None:
        """The same of a window that is saved now."""
        return self.end(database_now())

    def save(self, actor: Actor, task_ids: Collection[int] | None, **more: Any) -> MaintenanceWindow:
        """Begin the window. Raises :class:`..operations.Refused`, also for what is no time."""
        if not self.is_valid():
            raise Refused("invalid", self.error)
        return plan_maintenance(
            actor=actor,
            ends_at=self.end_now(),
            note=self.cleaned_data["note"],
            run_once_after=self.cleaned_data["once"],
            task_ids=task_ids,
            **more,
        )

    def refuse(self, refusal: Refused) -> None:
        """Tell a refusal at the field that it is about."""
        if not self.errors:
            self.add_error(FIELD_OF.get(refusal.code), str(refusal))

    @property
    def error(self) -> str:
        """The first of the errors."""
        return next((str(text) for texts in self.errors.values() for text in texts), "")


class MaintenanceForm(PauseForm):
    """The whole form: also when it begins, and for all tasks or those under a filter.

    ``unfiltered`` are the tasks that the person may see and change; ``sees_all`` tells whether that is every
    task.
    """

    starts = MomentField()
    scope = forms.CharField(required=False)
    q = forms.CharField(required=False, max_length=200)
    owner = forms.CharField(required=False)
    queue = forms.CharField(required=False)
    app = forms.CharField(required=False, max_length=200)

    def __init__(self, model_admin: AccessAdmin, request: HttpRequest, typed: QueryDict) -> None:
        super().__init__(typed)
        self.sees_all = only_visible_tasks(model_admin, request, Action.CHANGE) is None
        self.unfiltered = site_tasks(model_admin, request, Action.CHANGE)
        self.full_clean()

    def clean(self) -> dict[str, Any] | None:
        """Refuse a filter that nobody chose: its author means a few tasks and would pause all."""
        if not self.filters and any(self.cleaned_data.get(name) for name in FILTERS):
            raise ValidationError(UNUSED_FILTER)
        return super().clean()

    @property
    def filters(self) -> bool:
        """Whether a filter chooses the tasks."""
        return self.cleaned_data.get("scope") == "filter"

    @property
    def scope_error(self) -> str:
        """Why its choice of tasks is none."""
        found = (str(text) for name in (NON_FIELD_ERRORS, *FILTERS) for text in self.errors.get(name, ()))
        return next(found, "")

    @property
    def tasks(self) -> ScheduledTaskQuerySet:
        """The tasks that it is for."""
        typed, found = self.cleaned_data, self.unfiltered
        if not self.filters:
            return found
        if word := typed.get("q"):
            found = found.filter(
                Q(name__icontains=word) | Q(task__icontains=word) | Q(description__icontains=word)
            )
        if owner := typed.get("owner"):
            found = found.filter(scheduled_state__owner=owner)
        if queue := typed.get("queue"):
            found = found.filter(queue=queue)
        if app := typed.get("app"):
            found = found.filter(Q(task=app) | Q(task__startswith=f"{app}."))
        return found

    @property
    def named(self) -> str:
        """The first of these tasks by name: ``"purge, report and 10 more"``."""
        names = list(self.tasks.order_by("name").values_list("name", flat=True))
        return and_more(", ".join(names[:MOST_NAMED]), len(names) - MOST_NAMED)

    @property
    def task_ids(self) -> list[int] | None:
        """Keys of these tasks, as they are now; None for all there are and will be."""
        return None if self.sees_all and not self.filters else list(self.tasks.values_list("pk", flat=True))

    @property
    def owners(self) -> list[str]:
        """The owners to choose from."""
        return _values(self.unfiltered, "scheduled_state__owner")

    @property
    def queues(self) -> list[str]:
        """The queues that tasks name."""
        return _values(self.unfiltered, "queue")

    def forecast(self) -> Forecast:
        """What it will skip."""
        now, typed = database_now(), self.cleaned_data
        start = max(typed["starts"] or now, now)
        tasks = self.tasks.with_schedules().filter(enabled=True)
        return forecast(tasks, start, self.end(now), once=typed["once"])


def forecast_text(found: Forecast, *, once: bool) -> str:
    """``"41 ticks of 12 tasks will be skipped; 3 tasks run once afterwards."``."""
    number = {"n": found.tasks}
    if found.ticks is None:
        text = ngettext(
            "Every run of %(n)s task is skipped.", "Every run of %(n)s tasks is skipped.", found.tasks
        )
        after = _("Each that was due runs once afterwards.") if once else _("None is run afterwards.")
        return f"{text % number} {after}"
    runs = ngettext("%(n)s run", "%(n)s runs", found.ticks) % {"n": found.ticks}
    tasks = ngettext("%(n)s task", "%(n)s tasks", found.due) % {"n": found.due}
    skipped = _("%(runs)s of %(tasks)s will be skipped.") % {"runs": runs, "tasks": tasks}
    after = ngettext(
        "%(n)s task runs once afterwards.", "%(n)s tasks run once afterwards.", found.afterwards
    ) % {"n": found.afterwards}
    return f"{skipped} {after if once else _('None is run afterwards.')}"


def _values(tasks: ScheduledTaskQuerySet, column: str) -> list[str]:
    names = tasks.order_by(column).values_list(column, flat=True).distinct()
    return [name for name in names[:MOST_CHOICES] if name]
