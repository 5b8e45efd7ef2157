"""Access in the admin: the decorator that every view carries, and the page a refused person sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, update_wrapper, wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django_celery_beat.models import PeriodicTask

from ..access import Action, allowed
from ..models import Incident, ScheduledTask
from ..operations import Actor, AuditEntry

View = TypeVar("View", bound=Callable[..., HttpResponseBase])

Views = Mapping[str, tuple[str, Callable[..., HttpResponseBase]]]
"""Views by route, each with the end of its URL's name; they take their :class:`AccessAdmin` first."""

COMPARISONS = frozenset({"exact", "isnull", "in", "gt", "gte", "lt", "lte"})
"""What Django's own list filters ask of a field."""


def requires(action: Action, *, method: str = "") -> Callable[[View], View]:
    """Decorate a view, whose first argument is its :class:`AccessAdmin`.

    Who may not do ``action``, or not even view, gets the admin's 403. A request by another ``method`` than
    this one gets a 405.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(model_admin: AccessAdmin, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if method and request.method != method:
                return HttpResponseNotAllowed([method])
            if not all(model_admin.may(request, each) for each in {Action.VIEW, action}):
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
    """A ModelAdmin whose rights come from :mod:`scheduled_tasks.access`; nothing is added or deleted."""

    forbidden_template = "admin/scheduled_tasks/forbidden.html"

    def may(self, request: HttpRequest, action: Action) -> bool:
        """Whether the request's user may do ``action``. The place to override for a rule of one's own."""
        return allowed(request, action)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.may(request, Action.VIEW)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, Action.VIEW)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, Action.CHANGE)

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

        def log(about: ScheduledTask | Incident, entry: AuditEntry) -> None:
            self.log_change(request, about, entry.change_message)

        return Actor(name=request.user.get_username() or f"#{request.user.pk}", log=log)

    def own_urls(self, views: Views) -> list[URLPattern]:
        """The addresses of views of this admin's model, behind the site's login."""
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        found = []
        for route, (name, view) in views.items():
            bound = update_wrapper(partial(view, self), view)
            found.append(path(route, self.admin_site.admin_view(bound), name=f"{prefix}_{name}"))
        return found

    @requires(Action.VIEW)
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's own, where this app's entries say in full what was done."""
        response = super().history_view(request, object_id, extra_context)
        for logged in (getattr(response, "context_data", None) or {}).get("action_list", ()):
            if entry := AuditEntry.of(logged.change_message):
                logged.change_message = str(entry)
        return response


def may_use_beat(model_admin: AccessAdmin, request: HttpRequest) -> bool:
    """Whether the request's user may change tasks in django-celery-beat's own admin."""
    site = model_admin.admin_site
    registered = site.is_registered(PeriodicTask)
    return registered and site.get_model_admin(PeriodicTask).has_change_permission(request)


def rights(model_admin: AccessAdmin, request: HttpRequest) -> str:
    """Whether the user may change and run tasks, and use django-celery-beat's own admin: ``"110"``."""
    change, run = (model_admin.may(request, action) for action in (Action.CHANGE, Action.RUN))
    return f"{change:d}{run:d}{may_use_beat(model_admin, request):d}"
