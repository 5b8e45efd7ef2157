"""What a person does to an incident: acknowledge it, mute it, and try out who would be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from ..models import Incident
from ..operations import AuditEntry, Event, Refused
from .conflicts import newest_entry
from .context import list_url
from .incident_story import TEMPLATE, incident_or_404, story_context, story_url
from .permissions import AccessAdmin, requires
from .responses import CHANGES, Toast, from_script, redirect_back

CHANGED = "admin/scheduled_tasks/_incident_changes.html"

ACKNOWLEDGING = (Event.ACKNOWLEDGED, Event.ACKNOWLEDGED_WITH_NOTE, Event.UNACKNOWLEDGED)
MUTING = (Event.MUTED, Event.MUTED_FOR_GOOD, Event.UNMUTED)

Change = Callable[[AccessAdmin, HttpRequest, int], str]
View = Callable[[AccessAdmin, HttpRequest, int], HttpResponse]


def incident_change(*events: Event) -> Callable[[Change], View]:
    """Make a view of a function that changes an incident and returns what to tell.

    When somebody else changed it meanwhile, their newest of these ``events`` is told.
    """

    def decorate(change: Change) -> View:
        @requires(Action.CHANGE, method="POST")
        @wraps(change)
        def view(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> HttpResponse:
            incident = incident_or_404(model_admin, request, pk)
            try:
                toast = Toast(change(model_admin, request, pk), about=_about(pk))
            except Refused as refusal:
                if refusal.code == "conflict":
                    return _conflict(model_admin, request, pk, _conflict_text(incident, events, refusal))
                toast = Toast(str(refusal), is_error=True, about=_about(pk))
            if not from_script(request):
                return redirect_back(request, story_url(model_admin, pk), [toast])
            context = {**story_context(model_admin, request, pk), "toasts": [toast]}
            return TemplateResponse(request, CHANGED, context, status=409 if toast.is_error else 200)

        return view

    return decorate


def _conflict(model_admin: AccessAdmin, request: HttpRequest, pk: int, text: str) -> HttpResponse:
    """Say what somebody else did, and ask. What was typed stays: the script leaves it, a page shows it."""
    context = {
        **story_context(model_admin, request, pk),
        "toasts": [Toast(text, is_error=True, about=_about(pk))],
        "conflict": text,
        "conflict_span": request.POST.get("span", ""),
        "typed_note": None if from_script(request) else request.POST.get("note"),
    }
    return TemplateResponse(request, CHANGED if from_script(request) else TEMPLATE, context, status=409)


def _conflict_text(incident: Incident, events: Sequence[Event], refusal: Refused) -> str:
    """What a conflict says, by name where Django's history knows who made the change."""

    def is_it(entry: AuditEntry) -> bool:
        return entry.event in events and entry.params.get("id") == incident.pk

    person, entry = newest_entry(incident.task_or_none or incident, is_it)
    if not person:
        return str(refusal)
    text = _("%(person)s changed this incident meanwhile. %(changes)s")
    return text % {"person": person, "changes": entry}


def _about(pk: int) -> str:
    return f"incident-{pk}"


def _seen(request: HttpRequest) -> str | None:
    """What the person was looking at; None for a form that does not say."""
    return request.POST.get("seen") or None


@incident_change(*ACKNOWLEDGING)
def acknowledge_incident(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> str:
    """Say that somebody looks after it; ``note`` says how."""
    note = request.POST.get("note", "")
    is_note = bool(incident_or_404(model_admin, request, pk).acknowledged_at)
    operations.acknowledge(pk, actor=model_admin.actor(request), note=note, seen=_seen(request))
    if is_note:
        return _("The note is saved.")
    return _("The incident is acknowledged.")


@incident_change(*ACKNOWLEDGING)
def unacknowledge_incident(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> str:
    """Take that back."""
    operations.unacknowledge(pk, actor=model_admin.actor(request), seen=_seen(request))
    return _("The incident is not acknowledged any more.")


@incident_change(*MUTING)
def mute_incident(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> str:
    """Tell nobody of it for a while: ``span`` is ``hour``, ``tomorrow`` or ``resolved``."""
    span = request.POST.get("span", "")
    operations.mute(pk, actor=model_admin.actor(request), span=span, seen=_seen(request))
    return _("The incident is muted. Nobody is told of it.")


@incident_change(*MUTING)
def unmute_incident(model_admin: AccessAdmin, request: HttpRequest, pk: int) -> str:
    """Tell people of it again."""
    operations.unmute(pk, actor=model_admin.actor(request), seen=_seen(request))
    return _("The incident is not muted any more.")


@non_atomic_requests
@requires(Action.CHANGE, method="POST")
def send_test_alert(model_admin: AccessAdmin, request: HttpRequest) -> HttpResponse:
    """Send a test message to each address of ``owner``, and say of each whether it took the message.

    Not atomic: an address may take seconds to answer, and no transaction waits for it.
    """
    owner = request.POST.get("owner", DEFAULT)
    toasts = _test_results(owner, request.get_host(), model_admin.actor(request).name)
    if not from_script(request):
        return redirect_back(request, list_url(model_admin), toasts)
    status = 409 if any(toast.is_error for toast in toasts) else 200
    context = {"toasts": toasts, "page_url": list_url(model_admin)}
    return TemplateResponse(request, CHANGES, context, status=status)


def _test_results(owner: str, site: str, sent_by: str) -> list[Toast]:
    """One message per address, which is called by its label."""
    if owner != DEFAULT and owner not in settings.ALERTS:
        text = _("The setting ALERTS names no owner “%(owner)s”. Choose another one.")
        return [Toast(text % {"owner": owner[:100]}, is_error=True)]
    trials = send_test(owner, site=site, sent_by=sent_by)
    if not trials:
        text = _("The setting ALERTS names no channel for “%(owner)s”: nobody is told of its incidents.")
        return [Toast(text % {"owner": owner}, is_error=True)]
    return [
        Toast(f"{trial.channel.label}: {trial.fault or _('sent')}", is_error=bool(trial.fault))
        for trial in trials
    ]
