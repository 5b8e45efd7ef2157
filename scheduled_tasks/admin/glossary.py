"""What the words and marks on the pages mean: in the drawer, or on a page of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..access import Action
from ..models import Flag, Status
from ..schedules import text_label
from .badges import FLAG_ICONS, GLYPHS
from .permissions import AccessAdmin, requires
from .responses import form_page

FLAGS: Mapping[Flag, object] = {
    Flag.RUNNING: gettext_lazy("A worker is at one of its runs."),
    Flag.FAILING: gettext_lazy("Its last run was no success."),
    Flag.LATE: gettext_lazy("Its run was due some time ago and has not started."),
    Flag.SLOW: gettext_lazy("Its run takes far longer than usual, or than it may."),
    Flag.BROKEN: gettext_lazy("It cannot be scheduled, or no worker knows it."),
    Flag.PAUSED: gettext_lazy("It is disabled, or in a maintenance. Run now still works."),
    Flag.INCIDENT: gettext_lazy("It has a trouble that lasts. Whoever is named for it is told."),
}
"""What may be true of a task."""

STATUSES: Mapping[Status, object] = {
    Status.QUEUED: gettext_lazy("It was sent and waits for a worker."),
    Status.WAITING: gettext_lazy("It is sent when the run before it has ended."),
    Status.RUNNING: gettext_lazy("A worker is at it."),
    Status.RETRYING: gettext_lazy("An attempt went wrong. The next one follows."),
    Status.SUCCEEDED: gettext_lazy("It ended without an error."),
    Status.FAILED: gettext_lazy("It ended with an error."),
    Status.TIMED_OUT: gettext_lazy("It was stopped, because it took longer than its time limit."),
    Status.CANCELLED: gettext_lazy("A person stopped it."),
    Status.EXPIRED: gettext_lazy("No worker received it in time."),
    Status.IGNORED: gettext_lazy("The task asked for it, or other tasks took its place."),
    Status.SKIPPED: gettext_lazy("It was due and was left out on purpose."),
    Status.MISSED: gettext_lazy("It was due and could not start."),
    Status.LOST: gettext_lazy("Its worker stopped before it finished."),
    Status.ELSEWHERE: gettext_lazy("A worker took it that does not report here. Its end is not known."),
}
"""How a run stands, or how it ended."""

BADGES = {
    gettext_lazy("Edited"): gettext_lazy("It differs from what its code declares."),
    gettext_lazy("Not in code"): gettext_lazy("The code no longer declares this task."),
    gettext_lazy("Unknown to workers"): gettext_lazy("No running worker has it in its code."),
    gettext_lazy("Recorded elsewhere"): gettext_lazy("Only workers that do not report here have it."),
    gettext_lazy("Never runs"): gettext_lazy("Its schedule has no next run or cannot be read."),
}

SCHEDULES = ("30 9 * * 1-5", "*/15 8-17 * * *", "0 6 1-7 * 1", "0 12 1,15 * *", "0 * * * *")
"""Whose labels are examples of what the schedule field takes."""

KEYS = {
    "/": gettext_lazy("Search tasks"),
    "?": gettext_lazy("What the words mean"),
    "Esc": gettext_lazy("Close what is open"),
}


class Meaning(NamedTuple):
    """A word with what it means, and the shape and tone it is shown with."""

    word: str
    text: object
    glyph: str = ""
    tone: str = ""


@requires(Action.VIEW, method="GET")
def show_words(model_admin: AccessAdmin, request: HttpRequest) -> HttpResponse:
    """Every status, badge and key with what it means."""
    never = Meaning(_("Never run"), _("It has not run yet."), "never", "off")
    return form_page(
        model_admin,
        request,
        _("What the words mean"),
        "_words.html",
        tasks=[*_meanings(FLAGS, FLAG_ICONS), never],
        runs=[*_meanings(STATUSES, GLYPHS)],
        badges=[Meaning(str(word), text) for word, text in BADGES.items()],
        schedules=[(text_label(cron), cron) for cron in SCHEDULES],
        keys=KEYS,
    )


def _meanings(
    texts: Mapping[Flag, object] | Mapping[Status, object], icons: Mapping[str, tuple[str, str]]
) -> Iterator[Meaning]:
    for each, text in texts.items():
        yield Meaning(capfirst(str(each.label)), text, *icons[each])
