"""Maintenance as Django's admin registers it: its windows, a form for another one, and how one is ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import wraps
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils.translation import gettext as _

from .. import operations
from ..access import Action
from ..models import MaintenanceTask, MaintenanceWindow, ScheduledTask
from ..operations import MuteSpan, Refused
from ..reading.maintenance import still_paused
from .context import fragment_context, list_url, machinery_of, only_visible_tasks, page_context
from .maintenance_form import MaintenanceForm, PauseForm, forecast_text
from .permissions import LONGEST_KEY, AccessAdmin, Views, requires
from .responses import Toast, from_script, live, redirect_back, version_of
from .window_row import WindowRow, end_to_minute

TEMPLATE = "admin/scheduled_tasks/maintenance.html"
FRAGMENT = "admin/scheduled_tasks/_maintenance.html"
CHANGED = "admin/scheduled_tasks/_window_changes.html"

MOST_PAST = 20
"""Windows that are over and still listed."""

MOST_BANNERS = 3
"""Windows that the list of tasks tells of above its rows."""

MOST_NAMES = 50
"""Tasks of one window that are named."""

Change = Callable[[AccessAdmin, HttpRequest, MaintenanceWindow], str]
View = Callable[[AccessAdmin, HttpRequest, int], HttpResponse]


@requires(Action.VIEW)
def show_windows(
    model_admin: AccessAdmin, request: HttpRequest, extra_context: dict[str, Any] | None = None
) -> HttpResponse:
    """What goes on and what is planned, then what is over, the newest first."""
    now = machinery_of(request).now
    windows = visible_windows(model_admin, request)
    found = [*windows.not_over_at(now).order_by("starts_at", "pk")]
    past = windows.filter(ends_at__lte=now).order_by("-ends_at", "-pk")[:MOST_PAST]
    return _listed(model_admin, request, [*found, *past], _("Maintenance"), **(extra_context or {}))


@requires(Action.VIEW)
def show_window(
    model_admin: AccessAdmin,
    request: HttpRequest,
    object_id: str,
    form_url: str = "",
    extra_context: dict[str, Any] | None = None,
) -> HttpResponse:
    """One window with the names of its tasks."""
    window = window_or_404(model_admin, request, unquote(object_id))
    names = task_names([window], only_visible_tasks(model_admin, request))[window.pk]
    parent = {"parent_url": list_url(model_admin), "parent_title": _("Maintenance")}
    return _listed(
        model_admin, request, [window], str(window), names=names[:MOST_NAMES], is_one=True, **parent
    )


def _listed(
    model_admin: AccessAdmin,
    request: HttpRequest,
    windows: Sequence[MaintenanceWindow],
    title: str,
    **more: Any,
) -> HttpResponse:
    shared = page_context(model_admin, request)
    rows = window_rows(model_admin, request, windows)
    context = {
        **shared,
        "title": title,
        "rows": rows,
        "version": version_of(shared, *(row.key for row in rows)),
        **more,
    }
    return live(request, TEMPLATE, FRAGMENT, context)


def window_rows(
    model_admin: AccessAdmin, request: HttpRequest, windows: Sequence[MaintenanceWindow]
) -> list[WindowRow]:
    """These windows as rows; one of a single task names it."""
    if not windows:
        return []
    own = cast(AccessAdmin, model_admin.admin_site.get_model_admin(MaintenanceWindow))
    single = [each for each in windows if getattr(each, "task_count", 0) == 1]
    names = task_names(single, only_visible_tasks(model_admin, request)) if single else {}
    return [
        WindowRow(
            each,
            machinery_of(request).now,
            names.get(each.pk, ()),
            can_change=own.may_with(request, Action.CHANGE, each.pk),
        )
        for each in windows
    ]


def task_names(windows: Sequence[MaintenanceWindow], visible: Any) -> dict[int, list[str]]:
    """The names of the tasks of each window, by its key: of those that may be seen."""
    members = MaintenanceTask.objects.filter(window__in=[each.pk for each in windows])
    if visible is not None:
        members = members.filter(task__in=visible)
    names: dict[int, list[str]] = defaultdict(list)
    for pk, name in members.order_by("task__name").values_list("window_id", "task__name"):
        if name is not None:  # of a task that was deleted since
            names[pk].append(name)
    return names


def visible_windows(model_admin: AccessAdmin, request: HttpRequest) -> Any:
    """The windows that this request may see: none, where their admin is not on the site."""
    site = model_admin.admin_site
    if not site.is_registered(MaintenanceWindow):
        return MaintenanceWindow.objects.none()
    windows: Any = site.get_model_admin(MaintenanceWindow).get_queryset(request)
    return windows.with_task_count()


def banners(model_admin: AccessAdmin, request: HttpRequest) -> list[WindowRow]:
    """The windows that go on now and are of more than one task: of one its own row tells."""
    now = machinery_of(request).now
    active = visible_windows(model_admin, request).active_at(now)
    several = active.filter(Q(covers_all=True) | Q(task_count__gt=1)).order_by("starts_at", "pk")
    return window_rows(model_admin, request, several[:MOST_BANNERS])


def window_or_404(model_admin: AccessAdmin, request: HttpRequest, pk: object) -> MaintenanceWindow:
    """The window. Raises Http404 when this request may see no such."""
    found: MaintenanceWindow | None = None
    if str(pk).isdecimal() and len(str(pk)) <= LONGEST_KEY:
        found = visible_windows(model_admin, request).filter(pk=int(str(pk))).first()
    if found is None:
        raise Http404(_("This maintenance no longer exists."))
    return found


@requires(Action.CHANGE)
def plan(
    model_admin: AccessAdmin,
    request: HttpRequest,
    form_url: str = "",
    extra_context: dict[str, Any] | None = None,
) -> HttpResponse:
    """The form of a new window; it tells what will be skipped before it saves."""
    is_sent = request.method == "POST"
    form = MaintenanceForm(model_admin, request, request.POST if is_sent else QueryDict("scope=all"))
    text = ""
    if is_sent:
        try:
            if "save" in request.POST:
                starts = form.cleaned_data.get("starts")
                form.save(model_admin.actor(request), form.task_ids, starts_at=starts)
                toast = Toast(_("The maintenance is saved."))
                return redirect_back(request, list_url(model_admin), [toast])
            text = _told(form)
        except Refused as refusal:
            form.refuse(refusal)
    context = {
        **page_context(model_admin, request),
        "title": _("Plan maintenance"),
        "form": form,
        "forecast": text,
        "form_template": "admin/scheduled_tasks/_maintenance_form.html",
        "parent_url": list_url(model_admin),
        "parent_title": _("Maintenance"),
    }
    template, status = "admin/scheduled_tasks/form.html", 422 if is_sent and form.errors else 200
    return TemplateResponse(request, template, context, status=status)


def _told(form: MaintenanceForm) -> str:
    """What would be skipped. Raises :class:`..operations.Refused` for what could not be saved."""
    if not form.is_valid():
        raise Refused("invalid", form.error)
    operations.check_plan(form.cleaned_data["starts"], form.end_now(), form.task_ids)
    return forecast_text(form.forecast(), once=form.cleaned_data["once"])


def window_change(change: Change) -> View:
    """Make a view of a function that changes a window and returns what to tell."""

    @requires(Action.CHANGE, method="POST")
    @wraps(change)
    def view(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
        window, about = window_or_404(model_admin, request, pk), f"maintenance-{pk}"
        more: dict[str, str] = {"page_url": list_url(model_admin)}
        try:
            toast = Toast(change(model_admin, request, window), about=about)
        except Refused as refusal:
            toast = Toast(str(refusal), is_error=True, about=about)
            if refusal.code in ("past", "order", "invalid"):
                more |= {"refused": str(refusal), "typed": request.POST.get("until", "")}
        status = 409 if toast.is_error else 200
        window.refresh_from_db()
        if from_script(request):
            row = WindowRow(window, machinery_of(request).now)
            context = {**fragment_context(model_admin, request), "toasts": [toast], "row": row, **more}
            return TemplateResponse(request, CHANGED, context, status=status)
        if "refused" not in more:
            return redirect_back(request, list_url(model_admin), [toast])
        response = _listed(model_admin, request, [window], str(window), is_one=True, **more)
        response.status_code = status
        return response

    return view


@window_change
def end_window(model_admin: AccessAdmin, request: HttpRequest, window: MaintenanceWindow) -> str:
    """End it now; one that has not begun is cancelled."""
    seen = request.POST.get("seen") or None
    ended = operations.end_maintenance(window.pk, actor=model_admin.actor(request), seen=seen)
    if ended.ends_at is not None and ended.ends_at <= ended.starts_at:
        return _("The maintenance is cancelled.")
    if still_paused(ended, ended.ends_at or machinery_of(request).now):
        return _("The maintenance has ended. Some of its tasks stay paused: the list says why.")
    return _("The maintenance has ended. Tasks start on schedule again.")


@window_change
def extend_window(model_admin: AccessAdmin, request: HttpRequest, window: MaintenanceWindow) -> str:
    """Move its end by an hour (``span`` is ``hour``) or as a pause says; without a time, the end is open."""
    form = PauseForm(request.POST, initial={"until": end_to_minute(window)})
    if not form.is_valid():
        raise Refused("invalid", form.error)
    if form.cleaned_data["span"] == MuteSpan.HOUR:
        until = window.ends_at and window.ends_at + timedelta(hours=1)
    else:
        until = form.end_now()
    seen = request.POST.get("seen") or None
    actor = model_admin.actor(request)
    moved = operations.move_maintenance_end(window.pk, actor=actor, until=until, seen=seen)
    row = WindowRow(moved, machinery_of(request).now)
    return _("The maintenance ends at %(time)s.") % {"time": row.ends} if row.ends else _("The end is open.")


@admin.register(MaintenanceWindow)
class MaintenanceAdmin(AccessAdmin):
    """Stretches of time in which beat starts nothing: whoever may change tasks may plan and end them."""

    changelist_view = show_windows
    change_view = show_window
    add_view = plan

    def get_urls(self) -> list[URLPattern]:
        views: Views = {
            "<int:pk>/end/": ("end", end_window),
            "<int:pk>/extend/": ("extend", extend_window),
        }
        return self.own_urls(views) + super().get_urls()

    def may(self, request: HttpRequest, action: Action) -> bool:
        """As the tasks' own admin says."""
        site = self.admin_site
        found = site.get_model_admin(ScheduledTask) if site.is_registered(ScheduledTask) else None
        return found.may(request, action) if isinstance(found, AccessAdmin) else super().may(request, action)

    def get_queryset(self, request: HttpRequest) -> QuerySet[MaintenanceWindow]:
        """All; for who sees only some tasks, those that cover nothing else that still exists."""
        windows: QuerySet[MaintenanceWindow] = super().get_queryset(request)
        visible = only_visible_tasks(self, request)
        return windows if visible is None else windows.filter(self.about(visible))

    def about(self, tasks: Any) -> Q:
        members = MaintenanceTask.objects.filter(task__in=ScheduledTask.objects.values("pk"))
        own = members.filter(task__in=tasks).values("window")
        others = members.exclude(task__in=tasks).values("window")
        return Q(pk__in=own) & ~(Q(covers_all=True) | Q(pk__in=others))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
