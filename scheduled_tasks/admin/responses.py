"""How a change answers: fragments for the script, a message and a redirect for a plain form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from ..access import Action
from ..operations import Refused
from ..reading.version import digest
from ..schedules import current_zone
from .context import admin_url, fragment_context, list_url, page_context, run_link, task_rows, visible_tasks
from .permissions import AccessAdmin, logged_changes

CHANGES = "admin/scheduled_tasks/_changes.html"


@dataclass(frozen=True)
class Toast:
    """One message at the bottom of the screen; ``link`` is ``(address, text)``."""

    text: str
    link: tuple[str, str] | None = None
    is_error: bool = False
    about: int | str | None = None
    """Whose state it tells, a task's id or another name: it takes the place of an earlier one about it."""
    undo: tuple[str, str] | None = None
    """The address that undoes the change, and what it is sent as ``entry``."""
    id: str = ""
    """The element's id: an answer with another text for it changes the message in its place."""
    url: str = ""
    """Where the page's script asks for that text, with ``version`` as the one it has; empty at the end."""
    version: str = ""

    @property
    def html(self) -> SafeString:
        """The text, escaped, with its link and its button. The button's form is on every page."""
        parts = [format_html("{}", self.text)]
        if self.link is not None:
            parts.append(format_html('<a class="st-link" href="{}">{}</a>', *self.link))
        if self.undo is not None:
            button = (
                '<button class="st-link" form="st-act" formaction="{}" name="entry" value="{}">{}</button>'
            )
            parts.append(format_html(button, *self.undo, _("Undo")))
        return SafeString(" ".join(parts))


def with_undo(model_admin: AccessAdmin, request: HttpRequest, toast: Toast) -> Toast:
    """The message with a button that undoes all that this request has changed."""
    entries = logged_changes(request)
    if toast.is_error or not entries or not model_admin.may(request, Action.CHANGE):
        return toast
    address = admin_url(model_admin, "scheduled_tasks_scheduledtask_restore")
    return replace(toast, undo=(address, ",".join(map(str, entries))))


def from_script(request: HttpRequest) -> bool:
    """Whether the page's script asks, and wants fragments."""
    return "ST-Request" in request.headers


def version_of(shared: Mapping[str, Any], *shown: object) -> str:
    """The version of a part of a page: moves with all that is ``shown``, and with whom it is shown to."""
    who = get_language(), current_zone(), shared["rights"], shared["tasks_url"]
    return f'"{digest(*who, *shown)}"'


def live(request: HttpRequest, page: str, fragment: str, context: Mapping[str, Any]) -> HttpResponse:
    """A page, or for the script its fragment alone; 304 when the script has this ``version`` of it."""
    if not from_script(request):
        return TemplateResponse(request, page, {**context})
    if request.headers.get("If-None-Match") == context["version"]:
        return HttpResponseNotModified(headers={"ETag": context["version"]})
    return TemplateResponse(request, fragment, {**context})


def form_page(
    model_admin: AccessAdmin,
    request: HttpRequest,
    title: str,
    template: str,
    *,
    toasts: Sequence[Toast] = (),
    status: int = 200,
    **shown: Any,
) -> HttpResponse:
    """A form, or something else to read: in the drawer for the script, a page of its own without it.

    ``template`` is the name of its file, which finds what is ``shown``.
    """
    context = {
        **page_context(model_admin, request),
        "title": title,
        "form_template": f"admin/scheduled_tasks/{template}",
        "toasts": toasts,
        **shown,
    }
    frame = "_drawer_form.html" if from_script(request) else "form.html"
    return TemplateResponse(request, f"admin/scheduled_tasks/{frame}", context, status=status)


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
    toast = with_undo(model_admin, request, toast)
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
    rows = task_rows(model_admin, request, tasks)
    context = {
        **fragment_context(model_admin, request),
        "toasts": toasts,
        "rows": rows,
        "gone": [str(pk) for pk in set(pks) - {row.pk for row in rows}],
        **more,
    }
    return TemplateResponse(request, CHANGES, context, status=status)
