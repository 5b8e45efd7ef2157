"""Whether the machinery itself works: beat, workers, broker and recorder, from their heartbeats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from celery import current_app
from django.utils.translation import gettext as _

from ..models import Process, ProcessKind
from ..upkeep.startup import broker_addresses
from .machinery import Machinery

LOOP_STALE_AFTER = timedelta(seconds=60)
"""A beat whose loop has not completed for this long does not tick, however alive its heartbeat."""

UNKNOWN_APP = "<your app>"
"""Stands for the ``-A`` of a command when no known process was started with one."""

BROKER_STALE_AFTER = timedelta(seconds=60)
"""A process that has not reached the broker for this long is cut off from it."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with the machinery: what, what follows from it, and what to do.

    ``code`` is ``"beat"``, ``"scheduler"``, ``"worker"``, ``"queue"``, ``"broker"``, ``"recorder"`` or
    ``"sync"``; the health command adds ``"database"``. ``command`` is a shell command that helps, or empty.
    ``subject`` is the name of the queue, and ``"site"`` for a broker that only this process uses.
    """

    code: str
    cause: str
    consequence: str
    remedy: str
    command: str = ""
    subject: str = ""


def problems(machinery: Machinery) -> list[Problem]:
    """What is wrong, gravest first; empty when all is well. Reads nothing and waits for nothing."""
    return [
        *_beat(machinery),
        *_workers(machinery),
        *_queues(machinery),
        *_broker(machinery),
        *_recorders(machinery),
        *_sync(machinery),
    ]


def _beat(machinery: Machinery) -> Iterator[Problem]:
    beats = machinery.alive(ProcessKind.BEAT)
    ticking = [
        beat for beat in beats if beat.loop_at is None or beat.loop_at >= machinery.now - LOOP_STALE_AFTER
    ]
    if ticking:
        yield from _other_scheduler(machinery, ticking)
        return
    cause = _("Beat is alive but does not tick.") if beats else _("Beat is not running.")
    yield Problem(
        code="beat",
        cause=cause,
        consequence=_("No task will start on schedule. Run now still works."),
        remedy=_("Restart it:") if beats else _("Start it:"),
        command=_beat_command(machinery),
    )


def _other_scheduler(machinery: Machinery, beats: list[Process]) -> Iterator[Problem]:
    other = next((beat for beat in beats if beat.pool), None)
    if other is None:
        return
    yield Problem(
        code="scheduler",
        cause=_("Beat uses another scheduler: %(scheduler)s.") % {"scheduler": other.pool},
        consequence=_("Missed runs are not recorded, and a second beat would run every task twice."),
        remedy=_("Start it with this app's scheduler:"),
        command=_beat_command(machinery),
    )


def _beat_command(machinery: Machinery) -> str:
    return f"{_celery(machinery)} beat -S scheduled_tasks"


def _workers(machinery: Machinery) -> Iterator[Problem]:
    if machinery.alive(ProcessKind.WORKER):
        return
    yield Problem(
        code="worker",
        cause=_("No worker is running."),
        consequence=_("Runs wait in the queue and eventually expire."),
        remedy=_("Start one:"),
        command=f"{_celery(machinery)} worker",
    )


def _queues(machinery: Machinery) -> Iterator[Problem]:
    workers = machinery.alive(ProcessKind.WORKER)
    if not workers:
        return
    served = {queue for worker in workers for queue in worker.queues}
    for queue in sorted(machinery.used_queues - served):
        yield Problem(
            code="queue",
            cause=_("No running worker listens to the queue “%(queue)s”.") % {"queue": queue},
            consequence=_("Tasks that use it wait in the queue."),
            remedy=_("Start a worker for it:"),
            command=f"{_celery(machinery)} worker -Q {queue}",
            subject=queue,
        )


def _broker(machinery: Machinery) -> Iterator[Problem]:
    cut_off = [
        process
        for process in machinery.processes
        if not machinery.is_silent(process)
        and (process.broker_ok_at or process.started_at) < machinery.now - BROKER_STALE_AFTER
    ]
    yield from _other_broker(machinery)
    if cut_off:
        yield Problem(
            code="broker",
            cause=_("The broker does not answer %(processes)s.") % {"processes": _names(cut_off)},
            consequence=_("Tasks can be neither sent nor received."),
            remedy=_("Check that the broker is running and reachable."),
        )


def _other_broker(machinery: Machinery) -> Iterator[Problem]:
    """Workers that read from none of the brokers that this process sends to."""
    ours = broker_addresses(current_app.connection_for_write)
    theirs = {address for worker in machinery.alive(ProcessKind.WORKER) for address in worker.brokers}
    if ours and theirs and theirs.isdisjoint(ours):
        yield Problem(
            code="broker",
            cause=_("This site sends to the broker %(ours)s, but workers read from %(theirs)s.")
            % {"ours": ", ".join(ours), "theirs": ", ".join(sorted(theirs))},
            consequence=_("Run now has no effect. Tasks still start on schedule."),
            remedy=_("Give the site and the workers the same broker URL."),
            subject="site",
        )


def _recorders(machinery: Machinery) -> Iterator[Problem]:
    failing = [
        process
        for process in machinery.processes
        if process.recorder_error and not machinery.is_silent(process)
    ]
    if failing:
        yield Problem(
            code="recorder",
            cause=_("%(processes)s could not record runs: %(error)s")
            % {"processes": _names(failing), "error": failing[0].recorder_error},
            consequence=_("Tasks still run, but this page may be out of date."),
            remedy=_("Check the database connection of these processes."),
        )


def _sync(machinery: Machinery) -> Iterator[Problem]:
    if machinery.sync_error:
        yield Problem(
            code="sync",
            cause=_("The tasks declared in code could not be synced: %(error)s")
            % {"error": machinery.sync_error},
            consequence=_("Tasks run as stored. Changes in code have no effect."),
            remedy=_("Fix the error and sync again:"),
            command="manage.py sync_scheduled_tasks",
        )


def _names(processes: list[Process]) -> str:
    return ", ".join(process.node for process in processes)


def _celery(machinery: Machinery) -> str:
    """The ``celery`` command with the app that the newest process was started with."""
    started = sorted(machinery.processes, key=lambda process: process.started_at, reverse=True)
    app = next((process.app for process in started if process.app), UNKNOWN_APP)
    return f"celery -A {app}"
