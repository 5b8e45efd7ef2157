"""What a request for a list is answered with, and what this process knows of it already."""

from __future__ import annotations

from django.http import HttpRequest

from .. import flags
from ..facts import Facts
from .seen import Known, Look
from .summary import Summary


def look_of(request: HttpRequest) -> Look | None:
    """What this process knows of the list that is asked for."""
    return getattr(request, "scheduled_tasks_look", None)


def known_of(request: HttpRequest) -> Known | None:
    """What of that still holds."""
    look = look_of(request)
    return look.known if look else None


def facts_of(request: HttpRequest) -> Facts:
    """What holds for all tasks, read once per request."""
    if not hasattr(request, "scheduled_tasks_facts"):
        known = known_of(request)
        request.scheduled_tasks_facts = Facts.read(known.uses if known else None)  # type: ignore[attr-defined]
    facts: Facts = request.scheduled_tasks_facts  # type: ignore[attr-defined]
    return facts


def summary_of(request: HttpRequest) -> Summary:
    """The header of the list that is asked for."""
    known, facts = known_of(request), facts_of(request)
    return Summary(facts, flags.counts(facts, known.failing if known else None), request.GET)
