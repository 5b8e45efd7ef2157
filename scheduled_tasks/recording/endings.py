"""How Celery's states, exceptions and signals read as the end of a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from traceback import format_exception, walk_tb
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery import states
from celery.exceptions import Reject, Retry

from ..models import OPEN, Status
from ..reasons import NO_REASON, Code, Reason
from ..values import capped, summary
from .complaints import or_nothing
from .statements import Ending

REPLACED = "Replaced by new task"
"""What Celery's ``Task.replace()`` raises ``Ignore`` with."""

HANDLERS = ("on_failure", "on_retry", "on_success", "after_return")
"""Methods by which a task's class may follow its end."""

STORING = frozenset({"mark_as_done", "mark_as_failure", "mark_as_retry", "store_result"})
"""Methods by which a result backend is told of the end."""

STORED = re.compile(r'celery[/\\]backends[/\\]base\.py", line \d+, in mark_as_(done|retry)')
"""In a traceback: the task had returned, or had sent its retry, when its result could not be stored."""

UNKNOWN = "The worker does not know the task {name!r}. Deploy the task's code to it and restart it."


def described(exception: BaseException | None, *, traceback: str = "") -> dict[str, Any]:
    """The columns of an error, with what is given as its ``traceback`` or else its own."""
    if exception is None:
        return {}
    kind = type(exception)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return {
        "error_type": name[:255],
        "error": capped(or_nothing(str, exception)),
        "traceback": capped(traceback or or_nothing(_own_traceback, exception)),
    }


def _in_a_line(error: BaseException) -> str:
    return "{error_type}: {error}".format(**described(error))


def of_attempt(state: str | None, retval: Any, request: Any) -> Ending:
    """The end of an attempt as ``task_postrun`` reports it; an open status means that the run goes on.

    ``retval`` is what the task returned or raised. It is what it was, whereas the exception that
    ``task_failure`` tells of is a stand-in where Celery cannot pickle it.
    """
    retries = request.retries or 0
    if state == states.SUCCESS:
        return Ending(status=Status.SUCCEEDED, summary=or_nothing(summary, retval), retries=retries)
    if state == states.RETRY:
        return _retry(retval, retries)
    if state == states.IGNORED:
        if str(retval) == REPLACED:
            return Ending(status=Status.RUNNING, reason=Reason(Code.CONTINUED), retries=retries)
        return Ending(status=Status.IGNORED, reason=Reason(Code.IGNORED), retries=retries)
    if state == states.REJECTED:
        return _rejected(retval, retries)
    if state == states.FAILURE:
        return _failed(retval, retries)
    return Ending(status=Status.LOST, reason=Reason(Code.INTERRUPTED), retries=retries)


def unstored(error: BaseException | None) -> tuple[str | None, BaseException | None]:
    """State and outcome of an attempt that was left with ``error`` and so has no state in ``task_postrun``.

    That is an attempt whose task raised while Celery's result backend could not be reached: ``error`` is then
    the backend's. (None, None) for an attempt that was interrupted.
    """
    if not isinstance(error, Exception):
        return None, None
    *_, raised = _as_far_as(error)
    return (states.RETRY if isinstance(raised, Retry) else states.FAILURE), raised


def after_end(error: BaseException | None, task: Any) -> Reason:
    """The reason to give when ``error`` is raised after the end of an attempt at Celery's ``task``.

    Celery then calls the task failed, whatever its own function did.
    """
    if error is None:
        return NO_REASON
    passed = {frame.f_code for frame, _ in walk_tb(error.__traceback__)}
    for handler in HANDLERS:
        code = getattr(getattr(type(task), handler, None), "__code__", None)
        if code in passed:
            return Reason.of(Code.HANDLER_FAILED, handler=handler, error=_in_a_line(error))
    stored = any(code.co_name in STORING for code in passed)
    return Reason.of(Code.NOT_STORED if stored else Code.FAILED_AFTER_END, error=_in_a_line(error))


def of_child(exception: BaseException, einfo: Any) -> Ending:
    """The end that the worker's main process reports of an attempt in a process that is gone."""
    if isinstance(exception, Reject):
        return _rejected(exception, 0)
    if unstored := _not_stored(exception, _traceback(einfo)):
        return unstored
    ending = _failed(exception, 0, traceback=_traceback(einfo))
    if isinstance(exception, TimeLimitExceeded):
        return replace(ending, status=Status.TIMED_OUT, reason=Reason(Code.HARD_LIMIT))
    # Celery 5.6 hands on what a process left with, 5.7 makes a WorkerLostError of it.
    if isinstance(exception, WorkerLostError | SystemExit | KeyboardInterrupt):
        return replace(ending, status=Status.LOST, reason=Reason(Code.KILLED))
    return ending


def retry_of_child(exception: BaseException, einfo: Any) -> Ending:
    """An attempt whose process died, and that Celery repeats (``retry_on_worker_lost``)."""
    columns = described(exception, traceback=_traceback(einfo))
    return Ending(status=Status.RETRYING, reason=Reason(Code.KILLED), **columns)


def of_revoked(*, terminated: bool, expired: bool) -> Ending:
    """The end of a run that was revoked, or whose message expired."""
    if expired:
        return Ending(status=Status.EXPIRED, reason=Reason(Code.EXPIRED))
    return Ending(status=Status.CANCELLED, reason=Reason(Code.TERMINATED if terminated else Code.REVOKED))


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
        ending = of_revoked(terminated=True, expired=str(result) == "expired")
    if ending is None or ending.status in OPEN:
        return None
    ending.at = at
    if ending.reason.code in ("", Code.SOFT_LIMIT):
        # The task's own process stored it, and may still say more itself.
        ending.reason = Reason(Code.TOLD_BY_BACKEND)
    return ending


def _not_stored(error: BaseException, traceback: str) -> Ending | None:
    """How the attempt ended whose result Celery could not store: it calls such an attempt failed."""
    found = STORED.search(traceback)
    if not found:
        return None
    reason = Reason.of(Code.NOT_STORED, error=_in_a_line(error))
    if found[1] == "done":
        return Ending(status=Status.SUCCEEDED, reason=reason)
    return Ending(status=Status.RETRYING, reason=reason)


def _failed(error: BaseException, retries: int, *, traceback: str = "") -> Ending:
    ending = Ending(status=Status.FAILED, retries=retries, **described(error, traceback=traceback))
    if isinstance(error, SoftTimeLimitExceeded):
        return replace(ending, status=Status.TIMED_OUT, reason=Reason(Code.SOFT_LIMIT))
    return ending


def _rejected(error: Any, retries: int) -> Ending:
    if isinstance(error, Reject) and error.requeue:
        return Ending(status=Status.QUEUED, reason=Reason(Code.PUT_BACK), retries=retries)
    reason = getattr(error, "reason", None)
    ending = Ending(status=Status.FAILED, reason=Reason(Code.REJECTED), retries=retries)
    if isinstance(reason, BaseException):
        return replace(ending, **described(reason))
    return replace(ending, error=capped(str(reason or "")))


def _retry(retry: Any, retries: int) -> Ending:
    """``Retry.exc`` is a stand-in as well; the exception itself is among the arguments."""
    given = retry.args[1] if isinstance(retry, Retry) and len(retry.args) > 1 else None
    columns = described(given if isinstance(given, BaseException) else retry)
    columns["traceback"] = columns["traceback"] or capped(or_nothing(_own_traceback, retry))
    return Ending(status=Status.RETRYING, retries=retries + 1, **columns)


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
