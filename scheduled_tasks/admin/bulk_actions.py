"""What a person does to several selected tasks at once: Django's admin actions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
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
from ..access import Action, grants
from ..models import ScheduledTask
from ..operations import Actor, Refused
from .context import list_url
from .permissions import LONGEST_KEY, AccessAdmin
from .responses import Toast, form_page, redirect_back, row_fragments, with_undo

Tasks = QuerySet[ScheduledTask]

MOST_TASKS = 200
"""Tasks of one action: each is locked and perhaps sent while the person waits."""

REFUSALS_TOLD = 3
"""Refusals of an action that are told one by one."""


@admin.action(description=gettext_lazy("Run now"), permissions=["run"])
def run_selected(model_admin: AccessAdmin, request: HttpRequest, queryset: Tasks) -> HttpResponse | None:
    if "confirmed" not in request.POST:
        return _question(model_admin, request, queryset)

    def run(pk: int, actor: Actor) -> None:
        operations.run_now(pk, actor=actor, celery_id=str(uuid4()))

    told = ngettext_lazy("%(n)s task is queued.", "%(n)s tasks are queued.", "n")
    _each(model_admin, request, queryset, Action.RUN, run, told)
    return redirect_back(request, list_url(model_admin), [])


@admin.action(description=gettext_lazy("Enable"), permissions=["change"])
def enable_selected(model_admin: AccessAdmin, request: HttpRequest, queryset: Tasks) -> None:
    told = ngettext_lazy("%(n)s task is enabled.", "%(n)s tasks are enabled.", "n")
    _each(model_admin, request, queryset, Action.CHANGE, operations.enable, told)


@admin.action(description=gettext_lazy("Disable"), permissions=["change"])
def disable_selected(model_admin: AccessAdmin, request: HttpRequest, queryset: Tasks) -> None:
    told = ngettext_lazy("%(n)s task is disabled.", "%(n)s tasks are disabled.", "n")
    _each(model_admin, request, queryset, Action.CHANGE, operations.disable, told)


def check_selection(request: HttpRequest) -> None:
    """Raise BadRequest where a selected key is none."""
    selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
    if not all(pk.isdecimal() and len(pk) <= LONGEST_KEY for pk in selected):
        raise BadRequest


def selected_rows(model_admin: AccessAdmin, request: HttpRequest) -> HttpResponse:
    """The selected tasks' rows as they are now, with the messages an action left: as fragments."""
    selected = [int(pk) for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)[: model_admin.list_per_page]]
    toasts = [
        Toast(message.message, is_error=message.level >= messages.WARNING)
        for message in messages.get_messages(request)
    ]
    return row_fragments(model_admin, request, selected, toasts)


def _question(model_admin: AccessAdmin, request: HttpRequest, tasks: Tasks) -> HttpResponse | None:
    """Ask whether to run them. The form leads to the whole list, where no task can leave its filter."""
    chosen, left_out = chosen_tasks(model_admin, request, tasks, Action.RUN)
    if not chosen:
        return None
    return form_page(
        model_admin,
        request,
        ngettext("Run %(n)s task now?", "Run %(n)s tasks now?", len(chosen)) % {"n": len(chosen)},
        "_run_selected.html",
        tasks=ScheduledTask.objects.filter(pk__in=chosen).order_by("name"),
        checkbox=ACTION_CHECKBOX_NAME,
        left_out=left_out,
    )


def chosen_tasks(
    model_admin: AccessAdmin, request: HttpRequest, tasks: Tasks, action: Action
) -> tuple[list[int], str]:
    """Keys of the selected tasks for which ``action`` is granted, and what to tell of the others.

    No keys, with a message, for more tasks than one action may change, and where it is granted for none.
    """
    pks = list(tasks.values_list("pk", flat=True)[: MOST_TASKS + 1])
    if len(pks) > MOST_TASKS:
        messages.error(request, _("Nothing was changed: select at most %(n)s tasks.") % {"n": MOST_TASKS})
        return [], ""
    found = grants(request)
    chosen = pks if found is None else [pk for pk in pks if pk in found.tasks[action]]
    left_out = _left_out(len(pks) - len(chosen))
    if left_out and not chosen:
        messages.error(request, left_out)
    return chosen, left_out


def _left_out(number: int) -> str:
    text = ngettext(
        "%(n)s task is left out: you may not do this to it.",
        "%(n)s tasks are left out: you may not do this to them.",
        number,
    )
    return text % {"n": number} if number else ""


def _each(
    model_admin: AccessAdmin,
    request: HttpRequest,
    tasks: Tasks,
    action: Action,
    do: Callable[..., Any],
    told: Promise,
) -> None:
    pks, left_out = chosen_tasks(model_admin, request, tasks, action)
    if pks and left_out:
        messages.warning(request, left_out)
    for toast in do_each(model_admin, request, pks, do, told):
        messages.add_message(request, messages.ERROR if toast.is_error else messages.SUCCESS, toast.html)


def do_each(
    model_admin: AccessAdmin, request: HttpRequest, pks: Sequence[int], do: Callable[..., Any], told: Promise
) -> list[Toast]:
    """Do something to each task or run and tell of how many; one refusal stops no other.

    Only a broker that cannot be reached stops all: each would wait for it anew.
    """
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
    texts = _refusals(refused)
    if unreachable:
        left = len(pks) - done - len(refused)
        text = ngettext("%(n)s was not queued. %(why)s", "%(n)s were not queued. %(why)s", left)
        texts.append(text % {"n": left, "why": unreachable})
    toasts = [Toast(text, is_error=True) for text in texts]
    if done:
        toasts.append(with_undo(model_admin, request, Toast(str(told % {"n": done}))))
    return toasts


def _refusals(refused: list[str]) -> list[str]:
    """The first few sentences, each once and how often it holds, and how many refusals have others."""
    counted = [*Counter(refused).items()]
    told = [text if number == 1 else f"{text} ×{number}" for text, number in counted[:REFUSALS_TOLD]]
    more = sum(number for _text, number in counted[REFUSALS_TOLD:])
    text = ngettext("%(n)s more was refused.", "%(n)s more were refused.", more)
    return [*told, *([text % {"n": more}] if more else [])]
