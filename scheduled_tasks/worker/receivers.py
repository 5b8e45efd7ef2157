"""Celery's signals inside a worker, told as the start and the end of attempts.

A pool's process tells of the attempts it makes itself. What befalls that process is told by the worker's
main process, whose handlers run on its event loop and so never wait. The order and the gaps of the signals
are those of Celery 5.6 and 5.7 (``celery/app/trace.py``, ``celery/worker/request.py``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import uuid4

from billiard.exceptions import SoftTimeLimitExceeded
from celery import current_task, signals
from celery.exceptions import Retry

from .. import recording
from ..incidents.watcher import Watcher
from ..models import OPEN, ProcessKind, Status
from ..private import active_ids, replacements_before, revoke_here, under_test
from ..recording import endings, replaced, statements
from ..recording.complaints import or_nothing, quiet
from ..recording.header import NAME, Header, header_of, moment
from ..recording.recorder import record
from ..upkeep.heartbeat import Heartbeat
from ..upkeep.reaper import Reaper
from ..values import stored
from . import replacements
from .logs import capture_logs
from .output import Output
from .task_options import task_options
from .task_queues import task_queues
from .task_signatures import task_signatures

WORK = "scheduled_tasks_work"
"""Attribute of a task's request by which the attempt is found; a request is one execution."""


class Worker:
    """This worker: ``boot_id`` is made before the pool forks, so that its processes share it."""

    boot_id = ""
    upkeep: tuple[Watcher | Reaper | Heartbeat, ...] = ()


@dataclass(kw_only=True)
class Work:
    """An attempt under way in this process; with ``inline`` it is recorded on the task's own connection.

    ``handed_on`` tells that a replacement of its task leaves, ``goes_on`` that a task of it will end the run.
    """

    attempt: statements.Attempt
    output: Output
    inline: bool
    retry_sent: bool = False
    handed_on: bool = False
    goes_on: bool = False


@quiet
def on_prerun(task_id: str, task: Any, args: Any, kwargs: Any, **_: Any) -> None:
    request = task.request
    header = header_of(request)
    is_member = replacements.start(request, process_id=Worker.boot_id)
    continues = header is None and not is_member and replacements.continues(request)
    if header is None and not continues:
        return
    if request.is_eager and not vars(request).get(NAME) and NAME not in (request.headers or {}):
        return
    if header is not None and request.headers and NAME not in request.headers:
        # Of a sender without this app. Whoever passes the headers on must not start another run.
        request.headers[NAME] = header.as_json()
    attempt = statements.Attempt(
        message=_message(request, task_id, header or Header(name=""), args, kwargs),
        worker=str(request.hostname or "")[:255],
        process_id=Worker.boot_id,
        pid=os.getpid(),
    )
    output = Output(attempt, keeps_log=getattr(task, "capture_logs", True))
    if not request.is_eager:
        capture_logs()
    output.enter()
    work = Work(attempt=attempt, output=output, inline=bool(request.is_eager))
    setattr(request, WORK, work)
    record(partial(statements.start, attempt=attempt), inline=work.inline)


@quiet
def on_postrun(task: Any, retval: Any, state: str | None, **_: Any) -> None:
    error = sys.exception()
    try:
        _end(task, retval, state, error)
    except SoftTimeLimitExceeded:  # too late for the task, and it strikes once
        _end(task, retval, state, error)


def _end(task: Any, retval: Any, state: str | None, error: BaseException | None) -> None:
    work = _work(task.request)
    if work is None:
        replacements.end(task.request, state, retval, process_id=Worker.boot_id)
        return
    work.output.leave()
    if work.inline:  # then it may be the caller's, who is dealing with another one
        error = None
    if state is None:
        state, retval = endings.unstored(error)
    ending = endings.of_attempt(state, retval, task.request)
    if work.retry_sent and ending.status not in OPEN:
        # retry(throw=False): this attempt is over, the run is not.
        ending = replace(ending, status=Status.RETRYING, retries=ending.retries + 1)
    if ending.status == Status.RUNNING:
        if work.goes_on or not work.handed_on:
            _hand_on(work)
            return
        ending = replace(ending, status=Status.IGNORED)
    ending.reason = ending.reason or endings.after_end(error, task)
    ending.log, ending.progress = or_nothing(lambda: work.output.log), work.output.progress
    record(partial(statements.end, attempt=work.attempt, ending=ending), inline=work.inline, size=ending.size)


def _hand_on(work: Work) -> None:
    """Before the replacement leaves; and once more after it, only with what the task has logged meanwhile."""
    log, progress = or_nothing(lambda: work.output.log), work.output.progress
    write = statements.show if work.handed_on else replaced.hand_on
    work.handed_on = True
    record(partial(write, attempt=work.attempt, log=log, progress=progress), inline=work.inline)


@quiet
def on_failure(sender: Any, task_id: str, exception: BaseException, einfo: Any = None, **_: Any) -> None:
    """In the main process, write the end. Where the attempt was made, :func:`on_postrun` does."""
    work = _work(sender.request)
    if work is not None and work.attempt.message.celery_id == task_id:
        return
    request = sender.request
    ending = endings.of_child(exception, einfo)
    ending.retries = request.retries or 0
    if request.id == task_id and header_of(request) is None and not replacements.continues(request):
        replacements.end_of_child(request, ending)
        return
    _end_of_child(task_id, ending)


@quiet
def on_retry(sender: Any, request: Any, reason: Any = None, einfo: Any = None, **_: Any) -> None:
    """As :func:`on_failure`. A worker that shuts down sends this without an error, and no retry follows."""
    work = _work(request)
    header = header_of(request)
    if work is None and einfo is not None and header is not None:
        error = reason.exc if isinstance(reason, Retry) and reason.exc is not None else reason
        _end_of_child(request.id, endings.retry_of_child(error, einfo), header)


@quiet
def on_replacement(sender: Any, headers: dict[str, Any], body: Any, **_: Any) -> None:
    """Celery's ``before_task_publish``: a task under way may send what replaces it."""
    nesting = replacements_before(headers)
    if not nesting or not current_task:
        return
    request = current_task.request
    work = _work(request)
    if work is None or nesting <= replacements_before(request):
        return
    work.goes_on = work.goes_on or replacements.goes_on(work.attempt.message.celery_id, headers, body)
    if not work.handed_on:
        _hand_on(work)


@quiet
def on_retry_sent(sender: Any, headers: dict[str, Any], **_: Any) -> None:
    """Celery's ``after_task_publish``: a task may send its own retry and go on."""
    if not headers.get("retries") or not current_task:
        return
    work = _work(current_task.request)
    if work is not None and work.attempt.message.celery_id == headers.get("id"):
        work.retry_sent = True


@quiet
def on_revoked(sender: Any, request: Any, terminated: bool = False, expired: bool = False, **_: Any) -> None:
    header = header_of(request)
    if header is None:
        return
    message = _message(request, request.id, header, request.args, request.kwargs)
    ending = endings.of_revoked(terminated=terminated, expired=expired)
    record(partial(statements.close_undelivered, message=message, ending=ending), wait=False)


@quiet
def on_unknown(sender: Any, name: str, id: str, message: Any, **_: Any) -> None:
    header = Header.of(message.headers, id)
    if header is None:
        return
    told = statements.Message(celery_id=id, header=header, expires_at=moment(message.headers.get("expires")))
    record(partial(statements.close_undelivered, message=told, ending=endings.of_unknown(name)), wait=False)


@quiet
def on_worker_init(sender: Any, **_: Any) -> None:
    Worker.boot_id = uuid4().hex
    # Celery's Django fixup closes all connections around a task. Coming after it at the end of a task, the
    # record is not held up by a transaction that the task left open.
    connect(TASK_RECEIVERS)


@quiet
def on_worker_ready(sender: Any, **_: Any) -> None:
    if under_test():
        return

    def look_at_broker() -> None:
        if sender.connection is not None and sender.connection.connected:
            heartbeat.broker_ok()

    heartbeat = Heartbeat(
        ProcessKind.WORKER,
        sender.hostname,
        boot_id=Worker.boot_id,
        pool=type(sender.pool).__module__.rpartition(".")[2],
        queues=sender.app.amqp.queues.consume_from,
        task_names=sender.app.tasks,
        task_queues=task_queues(sender.app),
        task_options=task_options(sender.app),
        task_signatures=task_signatures(sender.app),
        on_beat=look_at_broker,
    )
    reaper = Reaper(heartbeat, sender.app, active=active_ids, on_cancelled=revoke_here)
    watcher = Watcher(heartbeat)
    Worker.upkeep = watcher, reaper, heartbeat
    heartbeat.start()
    reaper.start()
    watcher.start()


@quiet
def on_worker_shutdown(sender: Any, **_: Any) -> None:
    for each in Worker.upkeep:
        each.stop()
    recording.close()


@quiet
def on_process_shutdown(**_: Any) -> None:
    recording.close()


TASK_RECEIVERS = {
    "task_prerun": on_prerun,
    "task_postrun": on_postrun,
    "task_failure": on_failure,
    "task_retry": on_retry,
}
RECEIVERS = TASK_RECEIVERS | {
    "before_task_publish": on_replacement,
    "after_task_publish": on_retry_sent,
    "task_revoked": on_revoked,
    "task_unknown": on_unknown,
    "worker_init": on_worker_init,
    "worker_ready": on_worker_ready,
    "worker_shutdown": on_worker_shutdown,
    "worker_process_shutdown": on_process_shutdown,
}


def connect(receivers: Mapping[str, Callable[..., None]] = RECEIVERS) -> None:
    """Connect ``receivers`` (by the name of the signal), each once and behind all that are connected now."""
    for name, receiver in receivers.items():
        signal, uid = getattr(signals, name), f"scheduled_tasks.{name}"
        signal.disconnect(receiver, dispatch_uid=uid)
        signal.connect(receiver, weak=False, dispatch_uid=uid)


def _work(request: Any) -> Work | None:
    found: Work | None = vars(request).get(WORK)
    return found


def _message(request: Any, celery_id: str, header: Header, args: Any, kwargs: Any) -> statements.Message:
    delivery = request.delivery_info or {}
    return statements.Message(
        celery_id=celery_id,
        header=header,
        queue=str(delivery.get("routing_key") or "")[:255],
        args="" if header.recorded else or_nothing(stored, args or ()),
        kwargs="" if header.recorded else or_nothing(stored, kwargs or {}),
        expires_at=moment(request.expires),
        retries=request.retries or 0,
        redelivered=bool(delivery.get("redelivered")),
        replaces=replacements.continues(request),
    )


def _end_of_child(celery_id: str, ending: statements.Ending, header: Header | None = None) -> None:
    message = statements.Message(celery_id=celery_id, header=header or Header(name=""))
    write = partial(statements.end_of_child, message=message, ending=ending, process_id=Worker.boot_id)
    record(write, wait=False, size=ending.size)
