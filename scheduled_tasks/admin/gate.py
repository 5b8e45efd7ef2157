"""Access in the admin: one gate before every handler, and the page a refused person sees."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from ..access import Action, allowed
from ..models import ScheduledTask, TaskRun
from ..operations import Actor

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)
View = Callable[Concatenate[Any, HttpRequest, P], R]


def needs(action: Action, *, method: str = "") -> Callable[[View[P, R]], View[P, R]]:
    """Decorate a view of a :class:`GatedAdmin`: who may not do ``action``, or not even view, gets its 403.

    A request by another ``method`` than this one gets a 405.
    """
    needed = dict.fromkeys((Action.VIEW, action))

    def decorate(view: View[P, R]) -> View[P, R]:
        @wraps(view)
        def gated(self: GatedAdmin, request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> Any:
            if method and request.method != method:
                return HttpResponseNotAllowed([method])
            if not all(self.may(request, each) for each in needed):
                return self.forbidden(request)
            try:
                return view(self, request, *args, **kwargs)
            except PermissionDenied:
                return self.forbidden(request)

        return cast(View[P, R], gated)

    return decorate


if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class GatedAdmin(ModelAdmin):
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

    def forbidden(self, request: HttpRequest) -> HttpResponse:
        """The 403 page, in the admin's look."""
        context = {**self.admin_site.each_context(request), "title": _("Forbidden"), "opts": self.opts}
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.forbidden_template, context, status=403)

    def run_link(self, run: TaskRun | None) -> tuple[str, str] | None:
        """The address of a run's page on this admin site, and its words."""
        if run is None:
            return None
        name = "admin:scheduled_tasks_taskrun_change"
        return reverse(name, args=[run.pk], current_app=self.admin_site.name), _("View run")

    def actor(self, request: HttpRequest) -> Actor:
        """The request's user, with Django's own history as the log."""

        def log(task: ScheduledTask, text: str) -> None:
            self.log_change(request, task, text)

        return Actor(name=request.user.get_username(), log=log)

    @needs(Action.VIEW)
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().history_view(request, object_id, extra_context)

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.forbidden(request)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.forbidden(request)
