"""Why a run ended as it did, or a task cannot run: kept in English, said in the reader's language.

What writes a reason (a worker, beat, a person's request) does not know who will read it.
"""

from __future__ import annotations

import re

from django.utils.translation import gettext, gettext_noop

NOT_SENT = gettext_noop("It could not be sent: %(error)s")
NO_BROKER = gettext_noop("The broker could not be reached: %(error)s")
NOT_SENDABLE = gettext_noop("The message cannot be sent as it is: %(error)s")
UNKNOWN_TASK = gettext_noop("No running worker knows the task “%(task)s”.")
CANCELLED_BY = gettext_noop("Cancelled by %(name)s.")
NOT_STORED = gettext_noop("Celery could not store how it ended: %(error)s")
NO_SCHEDULE = gettext_noop("It has no schedule. Give it one.")
NOT_SCHEDULABLE = gettext_noop("It cannot be scheduled: %(error)s.")
UNREADABLE_ROW = gettext_noop("Its schedule cannot be read: %(error)s")
UNREADABLE_CRON = gettext_noop("Beat cannot read its schedule “%(text)s”: %(error)s.")
UNUSABLE_INTERVAL = gettext_noop("Its interval “%(text)s” is not usable.")
UNUSABLE_SOLAR = gettext_noop("Its solar event cannot be computed: %(error)s")
UNFIT_ARGUMENTS = gettext_noop("The arguments do not fit the task: %(error)s.")
NOT_JSON = gettext_noop("The %(what)s of this task are not JSON: %(error)s.")
WRONG_JSON = gettext_noop("The %(what)s of this task must be %(shape)s in JSON.")

WHAT = {
    "args": gettext_noop("arguments"),
    "kwargs": gettext_noop("keyword arguments"),
    "headers": gettext_noop("headers"),
}
SHAPE: dict[type, str] = {list: gettext_noop("a list"), dict: gettext_noop("an object")}


def _pattern(sentence: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.*)", re.escape(sentence)), re.DOTALL)


WITH_DETAILS = (
    NOT_SENT, NO_BROKER, NOT_SENDABLE, UNKNOWN_TASK, CANCELLED_BY, NOT_STORED, NOT_SCHEDULABLE,
    UNREADABLE_ROW, UNREADABLE_CRON, UNUSABLE_INTERVAL, UNUSABLE_SOLAR, UNFIT_ARGUMENTS, NOT_JSON, WRONG_JSON,
)  # fmt: skip
_PATTERNS = [(sentence, _pattern(sentence)) for sentence in WITH_DETAILS]


def said(reason: str) -> str:
    """A kept reason in the active language; a text that is not this app's comes back as it is."""
    for sentence, pattern in _PATTERNS:
        if found := pattern.fullmatch(reason):
            details: dict[str, str] = found.groupdict()
            for name in details.keys() & {"what", "shape"}:
                details[name] = gettext(details[name])
            return gettext(sentence) % details
    return gettext(reason) if reason else ""
