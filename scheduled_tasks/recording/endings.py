"""How Celery's states, exceptions and signals read as the end of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from traceback import format_exception
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery import states
from celery.exceptions import Reject, Retry
from django.utils.translation import gettext_noop

from ..models import Status
from ..reasons import NOT_STORED
from ..values import capped, summary
from .runs import TOLD, Ending

REPLACED = "Replaced by new task"
"""What Celery's ``Task.replace()`` raises ``Ignore`` with."""

IGNORED = gettext_noop("The task asked for its result to be ignored.")
REJECTED = gettext_noop("The task rejected its message.")
PUT_BACK = gettext_noop("The task put its message back into the queue.")
CONTINUED = gettext_noop("The task handed its run on to another task.")
INTERRUPTED = gettext_noop("The worker stopped before the task ended.")
KILLED = gettext_noop("The worker process that ran the task died.")
SOFT_LIMIT = gettext_noop("The task exceeded its soft time limit.")
HARD_LIMIT = gettext_noop("The task exceeded its time limit and was stopped.")
REVOKED = gettext_noop("Cancelled before it started.")
TERMINATED = gettext_noop("Cancelled while it was running.")
EXPIRED = gettext_noop("No worker took it before it expired.")
UNKNOWN = "The worker does not know the task {name!r}. Deploy the task's code to it and restart it."


@dataclass(frozen=True)
class Failure:
    """An error as it is kept."""

    error_type: str = ""
    error: str = ""
    traceback: str = ""

    @classmethod
    def of(cls, exception: BaseException | None, einfo: Any = None) -> Failure:
        """From an exception and Celery's ``ExceptionInfo``, or what a result backend has kept of it.

        Without either the exception's own traceback is kept.
        """
        if exception is None:
            return cls()
        kind = type(exception)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        try:
            text = str(exception)
        except Exception:  # noqa: BLE001 - an exception may fail to say what it is
            text = ""
        return cls(name[:255], capped(text), capped(_traceback(einfo) or _own_traceback(exception)))


def of_attempt(state: str | None, retval: Any, failure: Failure | None, request: Any) -> Ending:
    """The end of an attempt as ``task_postrun`` reports it; an open status means that the run goes on."""
    retries = request.retries or 0
    if state == states.SUCCESS:
        return Ending(status=Status.SUCCEEDED, summary=summary(retval), retries=retries)
    if state == states.RETRY:
        return _with(_retry_failure(retval, failure), Status.RETRYING, retries=retries + 1)
    if state == states.IGNORED:
        if str(retval) == REPLACED:
            return Ending(status=Status.QUEUED, reason=CONTINUED, retries=retries)
        return Ending(status=Status.IGNORED, reason=IGNORED, retries=retries)
    if state == states.REJECTED:
        return _rejected(retval, retries)
    if state == states.FAILURE:
        return _failed(retval, failure or Failure.of(retval), retries)
    return Ending(status=Status.LOST, reason=INTERRUPTED, retries=retries)


def unstored(error: BaseException | None) -> tuple[str | None, BaseException | None]:
    """State and outcome of an attempt that was left with ``error`` and so has no state in ``task_postrun``.

    That is an attempt whose task raised while Celery's result backend could not be reached: ``error`` is then
    the backend's. (None, None) for an attempt that was interrupted.
    """
    if not isinstance(error, Exception):
        return None, None
    *_, raised = _as_far_as(error)
    return (states.RETRY if isinstance(raised, Retry) else states.FAILURE), raised


def not_stored(error: BaseException | None) -> str:
    """The reason to give when Celery fails with ``error`` after the end, and so will call the task failed."""
    if error is None:
        return ""
    failure = Failure.of(error)
    return NOT_STORED % {"error": f"{failure.error_type}: {failure.error}"}


def of_child(exception: BaseException, einfo: Any) -> Ending:
    """The end that the worker's main process reports of an attempt in a process that is gone."""
    failure = Failure.of(exception, einfo)
    if isinstance(exception, TimeLimitExceeded):
        return _with(failure, Status.TIMED_OUT, reason=HARD_LIMIT)
    if isinstance(exception, WorkerLostError):
        return _with(failure, Status.LOST, reason=KILLED)
    if isinstance(exception, Reject):
        return _rejected(exception, 0)
    return _failed(exception, failure, 0)


def retry_of_child(exception: BaseException, einfo: Any) -> Ending:
    """An attempt whose process died, and that Celery repeats (``retry_on_worker_lost``)."""
    return _with(Failure.of(exception, einfo), Status.RETRYING, reason=KILLED)


def of_revoked(*, terminated: bool, expired: bool) -> Ending:
    """The end of a run that was revoked, or whose message expired."""
    if expired:
        return Ending(status=Status.EXPIRED, reason=EXPIRED)
    return Ending(status=Status.CANCELLED, reason=TERMINATED if terminated else REVOKED)


def of_unknown(name: str) -> Ending:
    """The end of a run whose task no worker that took the message knows."""
    text = UNKNOWN.format(name=name)
    return Ending(status=Status.FAILED, error_type="celery.exceptions.NotRegistered", error=text)


def of_result(meta: Mapping[str, Any], *, at: float) -> Ending | None:
    """The end that a result backend has kept; None for a state that is no end.

    Not even RETRY is one: a worker that shuts down stores it although no retry follows.
    """
    state, result = meta.get("status"), meta.get("result")
    ending = None
    if state == states.SUCCESS:
        ending = Ending(status=Status.SUCCEEDED, summary=summary(result))
    elif state == states.FAILURE and isinstance(result, BaseException):
        ending = of_child(result, meta)
    elif state == states.REVOKED:
        ending = of_revoked(terminated=True, expired=False)
    if ending is not None:
        ending.at = at
        if ending.reason in ("", SOFT_LIMIT):
            ending.reason = TOLD  # what the task's own process stored; it may still say more itself
    return ending


def _failed(error: Any, failure: Failure, retries: int) -> Ending:
    if isinstance(error, SoftTimeLimitExceeded):
        return _with(failure, Status.TIMED_OUT, reason=SOFT_LIMIT, retries=retries)
    return _with(failure, Status.FAILED, retries=retries)


def _rejected(error: Any, retries: int) -> Ending:
    if isinstance(error, Reject) and error.requeue:
        return Ending(status=Status.QUEUED, reason=PUT_BACK, retries=retries)
    reason = getattr(error, "reason", None)
    failure = (
        Failure.of(reason) if isinstance(reason, BaseException) else Failure("", capped(str(reason or "")))
    )
    return _with(failure, Status.FAILED, reason=REJECTED, retries=retries)


def _retry_failure(retval: Any, failure: Failure | None) -> Failure:
    if failure is not None:
        return failure
    return Failure.of(retval.exc if isinstance(retval, Retry) and retval.exc else retval)


def _as_far_as(error: BaseException) -> Iterator[BaseException]:
    """``error`` and those during whose handling it was raised, where they came out of the same frame."""
    outermost = error.__traceback__ and error.__traceback__.tb_frame
    found: BaseException | None = error
    while found is not None:
        if found is error or (found.__traceback__ and found.__traceback__.tb_frame is outermost):
            yield found
        found = found.__context__


def _own_traceback(exception: BaseException) -> str:
    return "".join(format_exception(exception)) if exception.__traceback__ else ""


def _traceback(einfo: Any) -> str:
    found = einfo.get("traceback") if isinstance(einfo, Mapping) else getattr(einfo, "traceback", None)
    return str(found or "")


def _with(failure: Failure, status: Status, *, reason: str = "", retries: int = 0) -> Ending:
    return Ending(
        status=status,
        reason=reason,
        retries=retries,
        error_type=failure.error_type,
        error=failure.error,
        traceback=failure.traceback,
    )
