"""What a person does to several selected tasks at once: Django's admin actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy

from .. import operations
from ..models import ScheduledTask
from ..operations import Actor, Refused
from .context import LONGEST_KEY
from .permissions import AccessAdmin
from .responses import Toast, row_fragments

Tasks = QuerySet[ScheduledTask]

MOST_TASKS = 200
"""Tasks of one action: each is locked and perhaps sent while the person waits."""

REFUSALS_TOLD = 3
"""Refusals of an action that are told one by one."""


@admin.action(description=gettext_lazy("Run now"), permissions=["run"])
def run_selected(model_admin: AccessAdmin, request: HttpRequest, queryset: Tasks) -> None:
    def run(pk: int, actor: Actor) -> None:
        operations.run_now(pk, actor=actor, celery_id=str(uuid4()))

    told = ngettext_lazy("%(n)s task is queued.", "%(n)s tasks are queued.", "n")
    _each(model_admin, request, queryset, run, told)


@admin.action(description=gettext_lazy("Enable"), permissions=["change"])
def enable_selected(model_admin: AccessAdmin, request: HttpRequest, queryset: Tasks) -> None:
    told = ngettext_lazy("%(n)s task is enabled.", "%(n)s tasks are enabled.", "n")
    _each(model_admin, request, queryset, operations.enable, told)


@admin.action(description=gettext_lazy("Disable"), permissions=["change"])
def disable_selected(model_admin: AccessAdmin, request: HttpRequest, queryset: Tasks) -> None:
    told = ngettext_lazy("%(n)s task is disabled.", "%(n)s tasks are disabled.", "n")
    _each(model_admin, request, queryset, operations.disable, told)


def check_selection(request: HttpRequest) -> None:
    """Raise BadRequest where a selected key is none."""
    selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
    if not all(pk.isdecimal() and len(pk) <= LONGEST_KEY for pk in selected):
        raise BadRequest


def selected_rows(model_admin: AccessAdmin, request: HttpRequest) -> HttpResponse:
    """The selected tasks' rows as they are now, with the messages an action left: as fragments."""
    selected = [int(pk) for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)[: model_admin.list_per_page]]
    toasts = [
        Toast(str(message), is_error=message.level >= messages.WARNING)
        for message in messages.get_messages(request)
    ]
    return row_fragments(model_admin, request, selected, toasts)


def _each(
    model_admin: AccessAdmin, request: HttpRequest, tasks: Tasks, do: Callable[..., Any], told: Promise
) -> None:
    """Do something to each task and tell of how many; one refusal stops no other.

    Only a broker that cannot be reached stops all: each task would wait for it anew.
    """
    pks = list(tasks.values_list("pk", flat=True)[: MOST_TASKS + 1])
    if len(pks) > MOST_TASKS:
        text = _("Nothing was changed: select at most %(n)s tasks.") % {"n": MOST_TASKS}
        messages.error(request, text)
        return
    done, refused, unreachable = 0, [], ""
    for pk in pks:
        try:
            do(pk, actor=model_admin.actor(request))
        except Refused as refusal:
            if refusal.code == "broker":
                unreachable = str(refusal)
                break
            refused.append(str(refusal))
        else:
            done += 1
    _tell_refused(request, refused)
    if unreachable:
        left = len(pks) - done - len(refused)
        text = ngettext("%(n)s task was not queued. %(why)s", "%(n)s tasks were not queued. %(why)s", left)
        messages.error(request, text % {"n": left, "why": unreachable})
    if done:
        messages.success(request, told % {"n": done})


def _tell_refused(request: HttpRequest, refused: list[str]) -> None:
    for text in refused[:REFUSALS_TOLD]:
        messages.error(request, text)
    if more := len(refused[REFUSALS_TOLD:]):
        text = ngettext("%(n)s more task was refused.", "%(n)s more tasks were refused.", more)
        messages.error(request, text % {"n": more})
