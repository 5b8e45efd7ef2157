"""How a change answers: fragments for the script, a message and a redirect for a plain form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString

from ..operations import Refused
from ..reading.tasks import listed_tasks
from .context import fragment_context, list_url, machinery_of, run_link, visible_tasks
from .permissions import AccessAdmin
from .row import TaskRow

CHANGES = "admin/scheduled_tasks/_changes.html"


@dataclass(frozen=True)
class Toast:
    """One message at the bottom of the screen; ``link`` is ``(address, text)``."""

    text: str
    link: tuple[str, str] | None = None
    is_error: bool = False
    about: int | None = None
    """The task whose state it tells: it takes the place of an earlier one about it."""

    @property
    def html(self) -> SafeString:
        """The text, escaped, with its link."""
        if self.link is None:
            return format_html("{}", self.text)
        return format_html('{} <a class="st-link" href="{}">{}</a>', self.text, *self.link)


def from_script(request: HttpRequest) -> bool:
    """Whether the page's script asks, and wants fragments."""
    return "ST-Request" in request.headers


def redirect_back(request: HttpRequest, fallback: str, toasts: Sequence[Toast]) -> HttpResponse:
    """Lead a plain form back to the page it was on, with its messages. Only to this site."""
    for toast in toasts:
        messages.add_message(request, messages.ERROR if toast.is_error else messages.SUCCESS, toast.html)
    target = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return HttpResponseRedirect(target if safe else fallback, status=303)


def changed(
    model_admin: AccessAdmin, request: HttpRequest, pk: int, toast: Toast, *, status: int = 200, **more: Any
) -> HttpResponse:
    """The task's row as it is now, with a message: as fragments, or on the page the form came from."""
    if not from_script(request):
        return redirect_back(request, list_url(model_admin), [toast])
    return row_fragments(model_admin, request, [pk], [toast], status=status, **more)


def refused(model_admin: AccessAdmin, request: HttpRequest, pk: int, refusal: Refused) -> HttpResponse:
    """Say why an operation was not carried out, with a link to the run concerned."""
    toast = Toast(str(refusal), run_link(model_admin, refusal.run), is_error=True)
    return changed(model_admin, request, pk, toast, status=409)


def row_fragments(
    model_admin: AccessAdmin,
    request: HttpRequest,
    pks: Sequence[int],
    toasts: Sequence[Toast],
    *,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    """Rows of tasks as they are now, or their removal, and messages."""
    tasks = visible_tasks(model_admin, request).filter(pk__in=pks)
    rows = [TaskRow(task) for task in listed_tasks(tasks, machinery_of(request))]
    context = {
        **fragment_context(model_admin, request),
        "toasts": toasts,
        "rows": rows,
        "gone": [str(pk) for pk in set(pks) - {row.pk for row in rows}],
        **more,
    }
    return TemplateResponse(request, CHANGES, context, status=status)
