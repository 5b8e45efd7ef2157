"""The form that changes a task's details: in the drawer or on a page of its own."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from ..access import Action
from .context import task_or_404, visible_tasks
from .detail_form import DetailForm
from .owners_and_tags import OwnersAndTags
from .permissions import AccessAdmin, requires
from .task_form import edit


@requires(Action.CHANGE)
def edit_details(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """The form of a task's owner, tags, priority, start and end."""
    task = task_or_404(model_admin, request, pk)
    labels = OwnersAndTags.of(visible_tasks(model_admin, request))
    typed = request.POST if request.method == "POST" else None
    return edit(model_admin, request, DetailForm(task.task, task.now, labels, typed))
