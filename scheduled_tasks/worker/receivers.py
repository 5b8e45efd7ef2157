"""Celery's signals inside a worker, told as the start and the end of attempts.

A pool's process tells of the attempts it makes itself. What befalls that process is told by the worker's
main process, whose handlers run on its event loop and so never wait. The order and the gaps of the signals
are those of Celery 5.7 (``celery/app/trace.py``, ``celery/worker/request.py``).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from billiard.exceptions import SoftTimeLimitExceeded
from billiard.pool import SIG_SOFT_TIMEOUT
from celery import signals
from celery.exceptions import Retry
from celery.worker.state import active_requests, revoked

from .. import recording
from ..models import ProcessKind
from ..processes import Heartbeat
from ..reaper import Reaper
from ..recording import endings, runs
from ..recording.handover import record, under_test
from ..recording.header import NAME, Header, moment
from ..recording.orders import Order
from ..recording.publish import header_of, quiet
from ..values import stored
from .output import SHOWN_AS, Output, capture_logs

LIMIT_AGAIN = 0.1
"""Seconds after which a soft time limit that struck too early strikes again."""

WORK = "scheduled_tasks_work"
"""Attribute of a task's request by which the attempt is found; a request is one execution."""


@dataclass(kw_only=True)
class Work:
    """An attempt under way in this process."""

    attempt: runs.Attempt
    output: Output
    inline: bool
    order: Order | None = None
    failure: endings.Failure | None = None


class Worker:
    """This worker: ``boot_id`` is made before the pool forks, so that its processes share it."""

    boot_id = ""
    heartbeat: Heartbeat | None = None
    reaper: Reaper | None = None


@quiet
def on_prerun(task_id: str, task: Any, args: Any, kwargs: Any, **_: Any) -> None:
    """A soft time limit that strikes in here is meant for the task, and so comes again."""
    try:
        _start(task_id, task, args, kwargs)
    except SoftTimeLimitExceeded:
        again = threading.Timer(LIMIT_AGAIN, os.kill, (os.getpid(), SIG_SOFT_TIMEOUT))
        again.daemon = True
        again.start()


def _start(task_id: str, task: Any, args: Any, kwargs: Any) -> None:
    request = task.request
    header = header_of(request)
    continues = header is None and bool(getattr(request, "replaced_task_nesting", 0))
    if header is None and not continues:
        return
    if request.is_eager and not _is_ours(request):
        return
    attempt = runs.Attempt(
        message=_message(request, task_id, header or Header(name=task.name), args, kwargs),
        worker=str(request.hostname or "")[:255],
        process_id=Worker.boot_id,
        pid=os.getpid(),
        own_row=not continues,
    )
    output = Output(attempt, keeps_log=getattr(task, "capture_logs", True))
    work = Work(attempt=attempt, output=output, inline=bool(request.is_eager))
    setattr(request, WORK, work)
    setattr(request, SHOWN_AS, work.output)
    work.order = record(partial(runs.start, attempt=attempt), inline=work.inline)


@quiet
def on_postrun(sender: Any, task_id: str, task: Any, retval: Any, state: str | None, **_: Any) -> None:
    work = _work(task.request)
    if work is None:
        return
    # Of a task run eagerly it may be the caller's, who is dealing with another one.
    error = None if work.inline else sys.exception()
    if state is None:
        state, retval = endings.unstored(error)
    ending = endings.of_attempt(state, retval, work.failure, task.request)
    ending.reason = ending.reason or endings.not_stored(error)
    ending.log, ending.progress = work.output.log, work.output.progress
    if work.order is not None:
        work.order.withdraw()
    record(partial(runs.end, attempt=work.attempt, ending=ending), inline=work.inline, size=ending.size)


@quiet
def on_failure(sender: Any, task_id: str, exception: BaseException, einfo: Any = None, **_: Any) -> None:
    """Where the attempt was made, keep the error for its end; in the main process, write the end."""
    work = _work(sender.request)
    if work is not None and work.attempt.message.celery_id == task_id:
        work.failure = endings.Failure.of(exception, einfo)
        return
    request = sender.request
    if request.id == task_id and header_of(request) is None and not request.replaced_task_nesting:
        return
    ending = endings.of_child(exception, einfo)
    ending.retries = request.retries or 0
    _end_of_child(task_id, ending)


@quiet
def on_retry(sender: Any, request: Any, reason: Any, einfo: Any = None, **_: Any) -> None:
    """As :func:`on_failure`. A worker that shuts down sends this without an error, and no retry follows."""
    work = _work(request)
    error = reason.exc if isinstance(reason, Retry) and reason.exc is not None else reason
    if work is not None:
        work.failure = endings.Failure.of(error, einfo)
    elif einfo is not None and header_of(request) is not None:
        _end_of_child(request.id, endings.retry_of_child(error, einfo))


@quiet
def on_revoked(sender: Any, request: Any, terminated: bool = False, expired: bool = False, **_: Any) -> None:
    header = header_of(request)
    if header is None:
        return
    message = _message(request, request.id, header, request.args, request.kwargs)
    ending = endings.of_revoked(terminated=terminated, expired=expired)
    record(partial(runs.close_undelivered, message=message, ending=ending), wait=False)


@quiet
def on_unknown(sender: Any, name: str, id: str, message: Any, **_: Any) -> None:
    header = Header.of(message.headers)
    if header is None:
        return
    told = runs.Message(celery_id=id, header=header, expires_at=moment(message.headers.get("expires")))
    record(partial(runs.close_undelivered, message=told, ending=endings.of_unknown(name)), wait=False)


@quiet
def on_worker_init(sender: Any, **_: Any) -> None:
    Worker.boot_id = uuid4().hex
    capture_logs()
    # Celery's Django fixup closes all connections around a task. Coming after it at the end of a task, the
    # record is not held up by a transaction that the task left open.
    _connect_tasks()


@quiet
def on_worker_ready(sender: Any, **_: Any) -> None:
    if under_test():
        return
    Worker.heartbeat = Heartbeat(
        ProcessKind.WORKER,
        sender.hostname,
        boot_id=Worker.boot_id,
        pool=type(sender.pool).__module__.rpartition(".")[2],
        queues=sender.app.amqp.queues.consume_from,
        task_names=(name for name in sender.app.tasks if not name.startswith("celery.")),
        on_beat=partial(_look_at_broker, sender),
    )
    Worker.heartbeat.start()
    Worker.reaper = Reaper(Worker.heartbeat, sender.app, active=_active, on_cancelled=_revoke)
    Worker.reaper.start()


@quiet
def on_worker_shutdown(sender: Any, **_: Any) -> None:
    if Worker.reaper is not None:
        Worker.reaper.stop()
    if Worker.heartbeat is not None:
        Worker.heartbeat.stop()
    recording.close()


@quiet
def on_process_shutdown(**_: Any) -> None:
    recording.close()


def connect() -> None:
    """Connect every receiver of this module, once."""
    _connect_tasks()
    for name, receiver in {
        "task_revoked": on_revoked,
        "task_unknown": on_unknown,
        "worker_init": on_worker_init,
        "worker_ready": on_worker_ready,
        "worker_shutdown": on_worker_shutdown,
        "worker_process_shutdown": on_process_shutdown,
    }.items():
        getattr(signals, name).connect(receiver, weak=False, dispatch_uid=f"scheduled_tasks.{name}")


def _connect_tasks() -> None:
    for name, receiver in {
        "task_prerun": on_prerun,
        "task_postrun": on_postrun,
        "task_failure": on_failure,
        "task_retry": on_retry,
    }.items():
        signal, uid = getattr(signals, name), f"scheduled_tasks.{name}"
        signal.disconnect(receiver, dispatch_uid=uid)
        signal.connect(receiver, weak=False, dispatch_uid=uid)


def _look_at_broker(consumer: Any) -> None:
    heartbeat = Worker.heartbeat
    if heartbeat is not None and consumer.connection is not None and consumer.connection.connected:
        heartbeat.broker_ok()


def _active() -> set[str]:
    """Celery ids of the tasks that this worker is running, whatever its pool."""
    while True:
        try:
            return {request.id for request in active_requests}
        except RuntimeError:  # the set changed meanwhile
            continue


def _revoke(celery_ids: Collection[str]) -> None:
    """As if this worker had heard that the runs were cancelled."""
    for celery_id in celery_ids:
        if celery_id not in revoked:
            revoked.add(celery_id)


def _work(request: Any) -> Work | None:
    found: Work | None = vars(request).get(WORK)
    return found


def _is_ours(request: Any) -> bool:
    return bool(vars(request).get(NAME) or (request.headers or {}).get(NAME))


def _message(request: Any, celery_id: str, header: Header, args: Any, kwargs: Any) -> runs.Message:
    delivery = request.delivery_info or {}
    return runs.Message(
        celery_id=celery_id,
        header=header,
        queue=str(delivery.get("routing_key") or "")[:255],
        args="" if header.recorded else stored(args or ()),
        kwargs="" if header.recorded else stored(kwargs or {}),
        expires_at=moment(request.expires),
        retries=request.retries or 0,
        redelivered=bool(delivery.get("redelivered")),
        replaces=bool(getattr(request, "replaced_task_nesting", 0)),
    )


def _end_of_child(celery_id: str, ending: runs.Ending) -> None:
    message = runs.Message(celery_id=celery_id, header=Header(name=""))
    write = partial(runs.end_of_child, message=message, ending=ending, process_id=Worker.boot_id)
    record(write, wait=False, size=ending.size)
