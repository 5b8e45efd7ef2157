"""Whether the machinery itself works: beat, workers, broker and recorder, from their heartbeats."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

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

    ``code`` is ``"beat"``, ``"scheduler"``, ``"worker"``, ``"others"`` (there are workers, but none reports
    here), ``"queue"``, ``"broker"``, ``"recorder"`` or ``"sync"``; the health command adds ``"database"``.
    ``command`` is a shell command that helps, or empty.
    ``subject`` is the name of the queue, and ``"site"`` for a broker that only this process uses.
    ``since`` is when it began, by the database's clock; None where that is not known.
    """

    code: str
    cause: str
    consequence: str
    remedy: str
    command: str = ""
    subject: str = ""
    since: datetime | None = None


def problems(machinery: Machinery) -> list[Problem]:
    """What is wrong, gravest first; empty when all is well. Waits for no process and no broker."""
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
    last_loops = (beat.loop_at for beat in beats if beat.loop_at)
    since = max(last_loops, default=None) if beats else machinery.last_beat
    yield Problem(
        code="beat",
        cause=cause,
        consequence=_("No task will start on schedule. Run now still works."),
        remedy=_("Restart it:") if beats else _("Start it:"),
        command=_beat_command(machinery),
        since=since,
    )


def _other_scheduler(machinery: Machinery, beats: list[Process]) -> Iterator[Problem]:
    others = sorted((beat for beat in beats if beat.pool), key=lambda beat: beat.started_at)
    if not others:
        return
    yield Problem(
        code="scheduler",
        cause=_("Beat uses another scheduler: %(scheduler)s.") % {"scheduler": others[0].pool},
        consequence=_("Missed runs are not recorded, and a second beat would run every task twice."),
        remedy=_("Start it with this app's scheduler:"),
        command=_beat_command(machinery),
        since=others[0].started_at,
    )


def _beat_command(machinery: Machinery) -> str:
    return f"{celery_command(machinery)} beat -S scheduled_tasks"


def _workers(machinery: Machinery) -> Iterator[Problem]:
    if machinery.alive(ProcessKind.WORKER):
        return
    if machinery.others:
        yield _only_others(machinery)
        return
    yield Problem(
        code="worker",
        cause=_("No worker is running."),
        consequence=_("Runs wait in the queue and eventually expire."),
        remedy=_("Start one:"),
        command=f"{celery_command(machinery)} worker",
        since=machinery.last_worker,
    )


def _only_others(machinery: Machinery) -> Problem:
    return Problem(
        code="others",
        cause=_("No running worker reports here. Others answer through the broker: %(processes)s.")
        % {"processes": _names(machinery.others)},
        consequence=_("Tasks run, but their runs are not recorded."),
        remedy=_("Give these workers this app and this database, and restart them:"),
        command=f"{celery_command(machinery)} worker",
        since=machinery.last_worker,
    )


def _queues(machinery: Machinery) -> Iterator[Problem]:
    workers = [*machinery.alive(ProcessKind.WORKER), *machinery.others]
    if not workers:
        return
    served = {queue for worker in workers for queue in worker.queues}
    for queue in sorted(machinery.used_queues - served):
        yield Problem(
            code="queue",
            cause=_("No running worker listens to the queue “%(queue)s”.") % {"queue": queue},
            consequence=_("Tasks that use it wait in the queue."),
            remedy=_("Start a worker for it:"),
            command=f"{celery_command(machinery)} worker -Q {queue}",
            subject=queue,
            since=machinery.last_of_queue(queue),
        )


def _broker(machinery: Machinery) -> Iterator[Problem]:
    cut_off = [
        process
        for process in machinery.processes
        if not machinery.is_silent(process) and _broker_answered(process) < machinery.now - BROKER_STALE_AFTER
    ]
    yield from _other_broker(machinery)
    if cut_off:
        yield Problem(
            code="broker",
            cause=_("The broker does not answer %(processes)s.") % {"processes": _names(cut_off)},
            consequence=_("Tasks can be neither sent nor received."),
            remedy=_("Check that the broker is running and reachable."),
            since=min(map(_broker_answered, cut_off)),
        )


def _broker_answered(process: Process) -> datetime:
    """When the broker last answered a process; its start, while it never has."""
    return process.broker_ok_at or process.started_at


def _other_broker(machinery: Machinery) -> Iterator[Problem]:
    """Workers that read from none of the brokers that this process sends to."""
    ours = broker_addresses(current_app.connection_for_write)
    theirs = other_brokers(ours, machinery)
    if theirs:
        yield Problem(
            code="broker",
            cause=_("This site sends to the broker %(ours)s, but workers read from %(theirs)s.")
            % {"ours": ", ".join(ours), "theirs": ", ".join(theirs)},
            consequence=_("Run now has no effect. Tasks still start on schedule."),
            remedy=_("Give the site and the workers the same broker URL."),
            subject="site",
        )


def other_brokers(ours: Collection[str], machinery: Machinery) -> list[str]:
    """The brokers that workers read from; empty where `ours` has one of them, or none is known."""
    theirs = {address for worker in machinery.alive(ProcessKind.WORKER) for address in worker.brokers}
    return sorted(theirs) if ours and theirs.isdisjoint(ours) else []


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


def _names(processes: Collection[Process]) -> str:
    return ", ".join(process.node for process in processes)


def celery_command(machinery: Machinery) -> str:
    """The ``celery`` command with the app that the newest process was started with."""
    started = sorted(machinery.processes, key=lambda process: process.started_at, reverse=True)
    app = next((process.app for process in started if process.app), UNKNOWN_APP)
    return f"celery -A {app}"
