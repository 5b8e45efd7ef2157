"""Incidents as Django's admin registers them: the addresses of the list, of each story, of what is done."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern

from ..access import Action, allowed
from ..models import Incident, ScheduledTask
from .context import only_visible_tasks
from .incident_changes import (
    acknowledge_incident,
    mute_incident,
    send_test_alert,
    unacknowledge_incident,
    unmute_incident,
)
from .incident_list import show_incidents
from .incident_story import show_incident
from .permissions import AccessAdmin, Views


@admin.register(Incident)
class IncidentAdmin(AccessAdmin):
    """Troubles that last, open and past: whoever may see or change tasks may see or change them."""

    changelist_view = show_incidents
    change_view = show_incident

    def get_urls(self) -> list[URLPattern]:
        views: Views = {
            "test/": ("test", send_test_alert),
            "<int:pk>/acknowledge/": ("acknowledge", acknowledge_incident),
            "<int:pk>/unacknowledge/": ("unacknowledge", unacknowledge_incident),
            "<int:pk>/mute/": ("mute", mute_incident),
            "<int:pk>/unmute/": ("unmute", unmute_incident),
        }
        return self.own_urls(views) + super().get_urls()

    def may(self, request: HttpRequest, action: Action) -> bool:
        """As the tasks' own admin says; to see incidents, their own permission is enough."""
        if action == Action.VIEW and allowed(request, action, "scheduled_tasks.view_incident"):
            return True
        tasks = self._task_admin()
        return super().may(request, action) if tasks is None else tasks.may(request, action)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Incident]:
        """The machinery's, and those of tasks that the tasks' own admin lets this user see."""
        incidents: QuerySet[Incident] = super().get_queryset(request)
        tasks = only_visible_tasks(self, request)
        return incidents if tasks is None else incidents.filter(self.about(tasks))

    def about(self, tasks: Any) -> Q:
        return Q(task__isnull=True) | Q(task__in=tasks)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def _task_admin(self) -> AccessAdmin | None:
        if not self.admin_site.is_registered(ScheduledTask):
            return None
        found = self.admin_site.get_model_admin(ScheduledTask)
        return found if isinstance(found, AccessAdmin) else None
