"""Workers that keep no heartbeat here: of other code, of a release without this app, on another database.

Nobody records what they run. They answer through the broker, though, and so one process asks them what they
have. Without remote control they stay unknown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import timedelta
from hashlib import md5
from itertools import islice
from typing import Any

from celery import current_app
from django.db.models import Q

from ..masking import printable
from ..models import Process, ProcessKind, ScheduledTask, Status, Takers, UtcNow, database
from ..reasons import Code
from ..recording.connection import keepable
from ..validation import NAME_LENGTH
from .heartbeat import STALE_AFTER

ASK_EVERY = 30.0
"""Seconds between two questions."""

FORGOTTEN_AFTER = timedelta(minutes=5)
"""A worker that has not answered for so long is gone; one that is busy may not answer for a while."""

PATIENCE = 1.0
"""Seconds in which workers that nobody knows must answer."""

CONNECT_WITHIN = 3.0
"""Seconds that the broker may take to accept a connection, and known workers to answer."""

MOST_NAMES = 5_000
"""Of so many tasks, or queues, of one worker at most."""

Answers = dict[str, tuple[list[str], list[str]]]
"""The queues and the tasks of workers, by node name."""


class OtherWorkers:
    """Keeps the rows of the kind ``other``, for the one process that does."""

    def __init__(self) -> None:
        self._ask_at = 0.0

    def turn(self) -> None:
        """Ask, if it is time and some task may need it. Database errors are raised."""
        if time.monotonic() < self._ask_at:
            return
        self._ask_at = time.monotonic() + ASK_EVERY
        processes = Process.objects.using(database())
        # Also those that are silent: after an outage of the database all are.
        own = processes.filter(kind=ProcessKind.WORKER, stopped_at=None)
        known = {*own.values_list("node", flat=True)}
        # One that has just got this app may have answered before its first heartbeat was written.
        gone = Q(last_seen_at__lt=UtcNow() - FORGOTTEN_AFTER) | Q(node__in=sorted(known))
        processes.filter(gone, kind=ProcessKind.OTHER).delete()
        if _is_needed(own.filter(last_seen_at__gte=UtcNow() - STALE_AFTER)):
            _keep(ask(known))


def _is_needed(workers: Iterable[Process]) -> bool:
    """Whether an enabled task names a Celery task or a queue that these workers do not have."""
    names, queues = set[str](), set[str]()
    for worker in workers:
        names.update(worker.task_names)
        queues.update(worker.queues)
    unknown = ~Q(task__in=sorted(names)) | Q(queue__gt="") & ~Q(queue__in=sorted(queues))
    return ScheduledTask.objects.using(database()).filter(unknown, enabled=True).exists()


Target = tuple[str, str | None, str | None]
"""The Celery task, queue and exchange that a scheduled task names."""


def unreported(takers: Takers, target: Target) -> tuple[Status, Code]:
    """How a run ended of whose message no worker said anything before it expired."""
    if takers.others_may(*target):
        return Status.ELSEWHERE, Code.MAYBE_ELSEWHERE
    return Status.EXPIRED, Code.UNREPORTED


def ask(known: Collection[str]) -> Answers:
    """What the workers that answer have, without those whose node name is known.

    Nothing where the broker cannot be reached, or has no remote control.
    """
    options = {"socket_connect_timeout": CONNECT_WITHIN, "socket_timeout": CONNECT_WITHIN, "max_retries": 0}
    with (
        suppress(Exception),  # each transport raises its own
        current_app.connection_for_write(
            connect_timeout=CONNECT_WITHIN, transport_options=options
        ) as connection,
    ):
        return _answers(connection, known)
    return {}


def _answers(connection: Any, known: Collection[str]) -> Answers:
    found = current_app.control.ping(timeout=PATIENCE, connection=connection) or []
    others = sorted({node for answer in found for node in answer if node == printable(str(node))} - {*known})
    if not others:
        return {}
    inspect = current_app.control.inspect(
        destination=others, timeout=CONNECT_WITHIN, limit=len(others), connection=connection
    )
    queues, tasks = inspect.active_queues() or {}, inspect.registered() or {}
    built_in = [name for name in current_app.tasks if name.startswith("celery.")]  # which none tells
    answers: Answers = {}
    for node in others:
        with suppress(Exception):  # it answers in a way of its own, or not at all
            names = (str(task).partition(" [")[0] for task in tasks[node])
            answers[node] = (
                _texts(queue["name"] for queue in queues[node]),
                sorted({*built_in, *_texts(names)}),
            )
    return answers


def _texts(names: Iterable[object]) -> list[str]:
    """Names as the database can keep them, as many as any worker may have."""
    return sorted({keepable(printable(str(name)))[:NAME_LENGTH] for name in islice(names, MOST_NAMES)})


def _keep(answers: Answers) -> None:
    """Write what was answered: one row for each node, with a new id when it has something else."""
    processes = Process.objects.using(database())
    for node, (queues, tasks) in answers.items():
        text = json.dumps([node, queues, tasks])
        boot_id = md5(text.encode(), usedforsecurity=False).hexdigest()
        processes.filter(kind=ProcessKind.OTHER, node=node[:255]).exclude(pk=boot_id).delete()
        if processes.filter(pk=boot_id).update(last_seen_at=UtcNow()):
            continue
        columns = {"node": node[:255], "queues": queues, "task_names": tasks, "started_at": UtcNow()}
        row = Process(boot_id=boot_id, kind=ProcessKind.OTHER, last_seen_at=UtcNow(), **columns)
        processes.bulk_create([row], ignore_conflicts=True)
