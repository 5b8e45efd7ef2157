"""Why a run did not start or how it ended, and why a task is broken: a code with parameters.

Whoever writes a reason (a worker, beat, a person's request) does not know who will read it. So two columns
keep a code and JSON parameters, and the sentence is made in the reader's language when it is shown.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import TextChoices
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_noop, override
from django.utils.translation import gettext_lazy as _

from .values import capped

MAX_PARAMETER = 2_000
"""Characters kept of one parameter."""


class Code(TextChoices):
    """Every reason: the code that is stored (32 characters), and its sentence."""

    # The message was not sent, or no worker took it.
    NOT_SENT = "not_sent", _("The message could not be sent: %(error)s")
    UNREACHABLE = "unreachable", _("The broker could not be reached: %(error)s")
    NO_BROKER = "no_broker", _("This process has no broker configured.")
    NOT_SENDABLE = "not_sendable", _("The message cannot be sent as it is: %(error)s")
    OWN_WAY = "own_way", _("The task's own apply_async did not send a message with the ID of this run.")
    UNKNOWN_TASK = "unknown_task", _("No running worker knows the task “%(task)s”.")
    NEVER_SENT = (
        "never_sent",
        _("The message was not sent: its sender stopped or could not reach the broker."),
    )
    UNREPORTED = (
        "unreported",
        _("No worker reported it: it expired, was lost, or a worker without this app received it."),
    )
    EXPIRED = "expired", _("It expired before a worker received it.")
    RUN_ELSEWHERE = (
        "run_elsewhere",
        _("Only workers that do not report here have this task. How it ended is not known."),
    )
    MAYBE_ELSEWHERE = (
        "maybe_elsewhere",
        _("No worker reported it. One that does not report here may have received it."),
    )

    # Beat did not start a run for the tick.
    NO_BEAT = "no_beat", _("No beat was running.")
    NO_DATABASE = "no_database", _("Beat could not reach the database.")
    BEAT_HELD_UP = "beat_held_up", _("Beat was delayed.")
    BROKER_DOWN = "broker_down", _("The broker could not be reached.")
    MAYBE_SENT = "maybe_sent", _("The broker did not confirm the message. It may have been sent.")
    SENT_UNNOTED = "sent_unnoted", _("Beat stopped before it recorded that this run was sent.")
    SKIP_REQUESTED = "skip_requested", _("Skipped once at an operator's request.")
    MAINTENANCE = "maintenance", _("Maintenance: %(note)s (%(by)s).")
    PAUSED_BY = "paused_by", _("Paused by %(by)s.")
    PAUSED_BY_SETTING = "paused_by_setting", _("The setting PAUSED keeps beat from starting anything.")
    OVERLAP = "overlap", _("The previous run had not ended.")
    ONE_WAITING = "one_waiting", _("The previous run had not ended, and another run was already held.")
    DISABLED_MEANWHILE = "disabled_meanwhile", _("The task was disabled while this run was held.")

    # How the run ended.
    IGNORED = "ignored", _("The task asked for its result to be ignored.")
    REJECTED = "rejected", _("The task rejected its message.")
    PUT_BACK = "put_back", _("The task put its message back into the queue.")
    CONTINUED = "continued", _("The task replaced itself with another task.")
    INTERRUPTED = "interrupted", _("The worker stopped before the task ended.")
    KILLED = "killed", _("The worker process that ran the task died.")
    SOFT_LIMIT = "soft_limit", _("The task exceeded its soft time limit.")
    HARD_LIMIT = "hard_limit", _("The task exceeded its time limit and was stopped.")
    NOT_STORED = "not_stored", _("Celery could not store the result: %(error)s")
    HANDLER_FAILED = "handler_failed", _("%(handler)s failed after the task had ended: %(error)s")
    FAILED_AFTER_END = "failed_after_end", _("Celery failed after the task had ended: %(error)s")
    CANCELLED_BY = "cancelled_by", _("Cancelled by %(name)s.")
    REVOKED = "revoked", _("Cancelled before it started.")
    TERMINATED = "terminated", _("Cancelled while it was running.")
    CANCELLED_TOO_LATE = "cancelled_too_late", _("It was cancelled, but a worker had already received it.")
    ATTEMPTS_OVERLAP = "attempts_overlap", _("This attempt started before an earlier one had ended.")
    REPEATED = "repeated", _("The message was redelivered after the run had ended, and the task ran again.")
    TOLD_BY_BACKEND = "told_by_backend", _("The worker did not report the result. The result backend had it.")
    NOT_REPORTED = "not_reported", _("The worker no longer runs it and did not report a result.")
    IMPORTED = "imported", _("Imported from django-celery-results. This app did not record it.")
    WORKER_SILENT = "worker_silent", _("The worker that ran it has stopped or cannot be reached.")

    # The task is broken: beat cannot schedule it, or its message cannot be made.
    NO_SCHEDULE = "no_schedule", _("It has no schedule. Give it one.")
    NOT_SCHEDULABLE = "not_schedulable", _("It cannot be scheduled: %(error)s.")
    UNREADABLE_ROW = "unreadable_row", _("Its schedule cannot be read: %(error)s")
    UNREADABLE_CRON = "unreadable_cron", _("Beat cannot read its schedule “%(text)s”: %(error)s.")
    UNUSABLE_INTERVAL = "unusable_interval", _("Its interval “%(text)s” is not valid.")
    UNUSABLE_SOLAR = "unusable_solar", _("Its solar event cannot be computed: %(error)s")
    UNFIT_ARGUMENTS = "unfit_arguments", _("The arguments do not match the task: %(error)s.")
    NOT_JSON = "not_json", _("The %(what)s of this task are not valid JSON: %(error)s.")
    TOO_DEEP = "too_deep", _("The %(what)s of this task are nested too deeply.")
    WRONG_JSON = "wrong_json", _("The %(what)s of this task must be %(shape)s in JSON.")


WORDS = {
    "what": {
        "args": gettext_noop("arguments"),
        "kwargs": gettext_noop("keyword arguments"),
        "headers": gettext_noop("headers"),
    },
    "shape": {"list": gettext_noop("a list"), "dict": gettext_noop("an object")},
}
"""Parameters that are codes themselves, and their words."""


@dataclass(frozen=True)
class Reason:
    """A reason as two columns keep it; ``str()`` is its sentence in the active language.

    ``params`` is a JSON object, or empty. Without a code there is no reason: then it is false, and its
    sentence empty.
    """

    code: str = ""
    params: str = ""

    @classmethod
    def of(cls, code: Code, **params: object) -> Reason:
        """The reason with these parameters; of other objects than numbers their text is kept."""
        return cls(code, json.dumps({name: _plain(value) for name, value in params.items()}))

    def __bool__(self) -> bool:
        return bool(self.code)

    def __str__(self) -> str:
        try:
            text = Code(self.code).label
        except ValueError:  # none, or written by another version
            return self.code.replace("_", " ")
        return sentence(text, {name: _word(name, value) for name, value in decoded(self.params).items()})

    @property
    def english(self) -> str:
        """Its sentence for logs and exports, whatever the active language."""
        with override(None):
            return str(self)

    @property
    def columns(self) -> dict[str, str]:
        """What is written of it to a :class:`.models.TaskRun`."""
        return {"reason": self.code, "reason_params": self.params}


NO_REASON = Reason()


class ReasonedError(Exception):
    """An error that carries a :class:`Reason`; its text is the reason's sentence in the active language."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def sentence(text: str | Promise, params: Mapping[str, object]) -> str:
    """``text`` in the active language with ``params``; one that is missing shows as an ellipsis."""
    return str(text) % defaultdict(lambda: "…", params)


def decoded(params: str) -> dict[str, Any]:
    """Stored parameters; none where the text is no JSON object."""
    try:
        found = json.loads(params or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _plain(value: object) -> int | str:
    if isinstance(value, int):
        return value
    try:
        return capped(str(value), MAX_PARAMETER)
    except Exception:  # noqa: BLE001 - an exception may fail to say what it is
        return type(value).__name__


def _word(name: str, value: object) -> object:
    word = WORDS.get(name, {}).get(str(value))
    return value if word is None else gettext(word)
