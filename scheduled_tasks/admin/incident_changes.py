"""What a person does to an incident: acknowledge it, mute it, and try out who would be told."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from .. import operations
from ..access import Action
from ..alerts.channels import DEFAULT
from ..alerts.trial import send_test
from ..conf import settings
from ..operations import Refused
from .context import list_url
from .incident_story import incident_or_404, story_context, story_url
from .permissions import AccessAdmin, requires
from .responses import CHANGES, Toast, from_script, redirect_back

Change = Callable[[AccessAdmin, HttpRequest, int], str]
View = Callable[[AccessAdmin, HttpRequest, int], HttpResponse]


def incident_change(change: Change) -> View:
    """Make a view of a function that changes an incident and returns what to tell."""

    @requires(Action.CHANGE, method="POST")
    @wraps(change)
    def view(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
        incident_or_404(model_admin, request, pk)
        try:
            toast = Toast(change(model_admin, request, pk))
        except Refused as refusal:
            toast = Toast(str(refusal), is_error=True)
        if not from_script(request):
            return redirect_back(request, story_url(model_admin, pk), [toast])
        context = {**story_context(model_admin, request, pk), "toasts": [toast]}
        status = 409 if toast.is_error else 200
        return TemplateResponse(
            request, "admin/scheduled_tasks/_incident_changes.html", context, status=status
        )

    return view


@incident_change
def acknowledge_incident(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> str:
    """Say that somebody looks after it; ``note`` says how, ``seen`` is the note the person was looking at."""
    note, seen = request.POST.get("note", ""), request.POST.get("seen", "")
    operations.acknowledge(pk, actor=model_admin.actor(request), note=note, seen=seen)
    return _("The incident is acknowledged.")


@incident_change
def mute_incident(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> str:
    """Tell nobody of it for a while: ``span`` is ``hour``, ``tomorrow`` or ``resolved``."""
    operations.mute(pk, actor=model_admin.actor(request), span=request.POST.get("span", ""))
    return _("The incident is muted. Nobody is told of it.")


@incident_change
def unmute_incident(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> str:
    """Tell people of it again."""
    operations.unmute(pk, actor=model_admin.actor(request))
    return _("The incident is not muted any more.")


@non_atomic_requests
@requires(Action.CHANGE, method="POST")
def send_test_alert(model_admin: AccessAdmin, request: HttpRequest) -> HttpResponse:
    """Send a test message to each address of ``owner``, and say of each whether it took the message.

    Not atomic: an address may take seconds to answer, and no transaction waits for it.
    """
    owner = request.POST.get("owner", DEFAULT)
    toasts = _test_results(owner)
    if not from_script(request):
        return redirect_back(request, list_url(model_admin), toasts)
    status = 409 if any(toast.is_error for toast in toasts) else 200
    context = {"toasts": toasts, "page_url": list_url(model_admin)}
    return TemplateResponse(request, CHANGES, context, status=status)


def _test_results(owner: str) -> list[Toast]:
    """One message per address, which is called by its label."""
    if owner != DEFAULT and owner not in settings.ALERTS:
        text = _("The setting ALERTS names no owner “%(owner)s”. Choose another one.")
        return [Toast(text % {"owner": owner[:100]}, is_error=True)]
    trials = send_test(owner)
    if not trials:
        text = _("The setting ALERTS names no channel for “%(owner)s”: nobody is told of its incidents.")
        return [Toast(text % {"owner": owner}, is_error=True)]
    return [
        Toast(f"{trial.channel.label}: {trial.fault or _('sent')}", is_error=bool(trial.fault))
        for trial in trials
    ]
