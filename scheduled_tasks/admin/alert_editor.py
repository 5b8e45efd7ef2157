"""The form that changes who is told of a task's troubles, and when: in the drawer or on a page of its own."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from ..access import Action
from .alert_form import AlertForm
from .context import task_or_404
from .permissions import AccessAdmin, requires
from .task_form import edit


@requires(Action.CHANGE)
def edit_alerts(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """The form of a task's alerts."""
    typed = request.POST if request.method == "POST" else None
    return edit(model_admin, request, AlertForm(task_or_404(model_admin, request, pk).task, typed))
