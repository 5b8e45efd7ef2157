"""Access in the admin: the decorator that every view carries, and the page a refused person sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial, update_wrapper, wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.contrib import admin
from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django_celery_beat.models import PeriodicTask

from .. import moments, schedules
from ..access import Action, allowed, forget_grants, grants
from ..models import Incident, MaintenanceWindow, ScheduledTask
from ..operations import Actor, AuditEntry, Event
from ..reading.version import digest

LONGEST_KEY = 18
"""Digits of the longest key that every database compares with a column."""

View = TypeVar("View", bound=Callable[..., HttpResponseBase])

Views = Mapping[str, tuple[str, Callable[..., HttpResponseBase]]]
"""Views by route, each with the end of its URL's name; they take their :class:`AccessAdmin` first."""

FLAGS = {Event.ADDED: ADDITION, Event.UNDELETED: ADDITION, Event.DELETED: DELETION}
"""What Django's history calls an entry that is no change."""

COMPARISONS = frozenset({"exact", "isnull", "in", "gt", "gte", "lt", "lte"})
"""What Django's own list filters ask of a field."""


def requires(action: Action, *, method: str = "") -> Callable[[View], View]:
    """Decorate a view, whose first argument is its :class:`AccessAdmin`.

    Who may not do ``action``, or not even view, gets the admin's 403; so does who may not do it to the row
    of the address. A request by another ``method`` than this one gets a 405.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(model_admin: AccessAdmin, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if method and request.method != method:
                return HttpResponseNotAllowed([method])
            if not all(model_admin.may(request, each) for each in {Action.VIEW, action}):
                return model_admin.forbidden(request)
            if model_admin.refuses(request, action, kwargs.get("pk", kwargs.get("object_id"))):
                return model_admin.forbidden(request)
            try:
                return view(model_admin, request, *args, **kwargs)
            except PermissionDenied:
                return model_admin.forbidden(request)

        return cast(View, checked)

    return decorate


if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class AccessAdmin(ModelAdmin):
    """A ModelAdmin whose rights come from :mod:`scheduled_tasks.access`; it adds and deletes nothing."""

    forbidden_template = "admin/scheduled_tasks/forbidden.html"

    def may(self, request: HttpRequest, action: Action) -> bool:
        """Whether the request's user may do ``action``. The place to override for a rule of one's own."""
        return allowed(request, action)

    def about(self, tasks: Any) -> Q:
        """The condition for rows that are about these tasks, given by their keys, and about no others."""
        return Q(pk__in=tasks)

    def granted(self, request: HttpRequest, action: Action) -> QuerySet[Any]:
        """Those of the visible rows for whose tasks the policy grants ``action``."""
        rows: QuerySet[Any] = self.get_queryset(request)
        found = grants(request)
        if found is None or action in found.everything:
            return rows
        return rows.filter(self.about(found.tasks[action]))

    def may_with(self, request: HttpRequest, action: Action, pk: int | None) -> bool:
        """Whether the request's user may do ``action`` with the row that has this key, or (None) at all."""
        if pk is None or grants(request) is None:
            return self.may(request, action)
        return self.may(request, action) and self.granted(request, action).filter(pk=pk).exists()

    def refuses(self, request: HttpRequest, action: Action, object_id: object) -> bool:
        """Whether the policy keeps the request from doing ``action`` to a row that it may see.

        Of a row that it may not see, or that is gone, the view tells.
        """
        pk = str(object_id)
        if action == Action.VIEW or grants(request) is None or not pk.isdecimal() or len(pk) > LONGEST_KEY:
            return False
        return self.may_with(request, Action.VIEW, int(pk)) and not self.may_with(request, action, int(pk))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.may(request, Action.VIEW)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_with(request, Action.VIEW, getattr(obj, "pk", None))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_with(request, Action.CHANGE, getattr(obj, "pk", None))

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Named after its permission, so that actions can ask for it."""
        return self.may(request, Action.RUN)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only what ``list_filter`` names: any other field could be read letter by letter."""
        name, _separator, comparison = lookup.rpartition("__")
        names = {lookup, name} if comparison in COMPARISONS else {lookup}
        return not names.isdisjoint(self._filtered_names()) and "\x00" not in str(value)

    def _filtered_names(self) -> set[str]:
        filters = (each[0] if isinstance(each, list | tuple) else each for each in self.list_filter)
        return {each if isinstance(each, str) else getattr(each, "parameter_name", "") for each in filters}

    def forbidden(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        """The 403 page, in the admin's look."""
        context = {**self.admin_site.each_context(request), "title": _("Forbidden"), "opts": self.opts}
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.forbidden_template, context, status=403)

    add_view = delete_view = forbidden

    def actor(self, request: HttpRequest) -> Actor:
        """The request's user, with Django's own history as the log."""

        def log(about: ScheduledTask | Incident | MaintenanceWindow, entry: AuditEntry) -> None:
            forget_grants(request)
            logged: LogEntry | None = self.log_change(request, about, entry.change_message)
            if logged is None:  # a project's own log_change() may return nothing
                return
            if flag := FLAGS.get(entry.event):
                LogEntry.objects.filter(pk=logged.pk).update(action_flag=flag)
            may_undo = not entry.can_unmake or self.may_with(request, Action.DELETE, about.pk)
            if entry.is_undoable and may_undo:
                logged_changes(request).append(logged.pk)

        return Actor(name=request.user.get_username() or f"#{request.user.pk}", log=log)

    def own_urls(self, views: Views) -> list[URLPattern]:
        """The addresses of views of this admin's model, behind the site's login."""
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        found = []
        for route, (name, view) in views.items():
            bound = update_wrapper(partial(view, self), view)
            found.append(path(route, self.admin_site.admin_view(bound), name=f"{prefix}_{name}"))
        return found

    def prepare_history(self, request: HttpRequest, object_id: str, logged: Iterable[LogEntry]) -> None:
        """Add to the entries of a history what its template shows beside them."""

    @requires(Action.VIEW)
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's own, where this app's entries say in full what was done."""
        response = super().history_view(request, object_id, extra_context)
        actions = (getattr(response, "context_data", None) or {}).get("action_list", ())
        if actions:
            self.prepare_history(request, object_id, actions)
        for logged in actions:
            logged.exact_time = moments.exact(logged.action_time, schedules.current_zone())
            if entry := AuditEntry.of(logged.change_message):
                logged.change_message = str(entry)
        return response


def logged_changes(request: HttpRequest) -> list[int]:
    """Keys of what this request has written into Django's history and can be put back."""
    if not hasattr(request, "scheduled_tasks_changes"):
        request.scheduled_tasks_changes = []  # type: ignore[attr-defined]
    return cast("list[int]", request.scheduled_tasks_changes)  # type: ignore[attr-defined]


def may_use_beat(model_admin: AccessAdmin, request: HttpRequest) -> bool:
    """Whether the request's user may change tasks in django-celery-beat's own admin."""
    site = model_admin.admin_site
    registered = site.is_registered(PeriodicTask)
    return registered and site.get_model_admin(PeriodicTask).has_change_permission(request)


def rights(model_admin: AccessAdmin, request: HttpRequest) -> str:
    """Whether the user may do each action, and use django-celery-beat's own admin: ``"111000"``.

    Behind it what a policy grants of single tasks.
    """
    may = [model_admin.may(request, action) for action in Action]
    text = "".join(f"{each:d}" for each in [*may, may_use_beat(model_admin, request)])
    found = grants(request)
    if found is None:
        return text
    return text + digest(sorted(found.everything), *(sorted(keys) for keys in found.tasks.values()))
