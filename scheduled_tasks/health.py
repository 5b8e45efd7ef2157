"""Whether the machinery itself works: beat, workers, broker and recorder, from their heartbeats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from celery import current_app
from django.utils.translation import gettext as _

from . import publishing
from .facts import Facts
from .models import Process, ProcessKind

LOOP_STALE_AFTER = timedelta(seconds=60)
"""A beat whose loop has not completed for this long does not tick, however alive its heartbeat."""

NO_APP = "default"
"""Name of the app that Celery makes up in a process that has not imported the project's."""

BROKER_STALE_AFTER = timedelta(seconds=60)
"""A process that has not reached the broker for this long is cut off from it."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with the machinery: what, what follows from it, and what to do.

    ``code`` is ``"beat"``, ``"scheduler"``, ``"worker"``, ``"queue"``, ``"broker"`` or ``"recorder"``; the
    health command adds ``"database"``. ``command`` is a shell command that helps, or empty.
    """

    code: str
    cause: str
    consequence: str
    remedy: str
    command: str = ""


def problems(facts: Facts) -> list[Problem]:
    """What is wrong, gravest first; empty when all is well. Reads nothing and waits for nothing."""
    return [*_beat(facts), *_workers(facts), *_queues(facts), *_broker(facts), *_recorders(facts)]


def _beat(facts: Facts) -> Iterator[Problem]:
    beats = facts.alive(ProcessKind.BEAT)
    ticking = [beat for beat in beats if beat.loop_at is None or beat.loop_at >= facts.now - LOOP_STALE_AFTER]
    if ticking:
        yield from _other_scheduler(ticking)
        return
    cause = _("Beat is alive but does not tick.") if beats else _("Beat is not running.")
    yield Problem(
        code="beat",
        cause=cause,
        consequence=_("No task will start on schedule. Run now still works."),
        remedy=_("Restart it:") if beats else _("Start it:"),
        command=_beat_command(),
    )


def _other_scheduler(beats: list[Process]) -> Iterator[Problem]:
    other = next((beat for beat in beats if beat.pool), None)
    if other is None:
        return
    yield Problem(
        code="scheduler",
        cause=_("Beat runs with another scheduler: %(scheduler)s.") % {"scheduler": other.pool},
        consequence=_("Tasks start, but what did not start is not explained, and two beats start it twice."),
        remedy=_("Start it with the scheduler of this app:"),
        command=_beat_command(),
    )


def _beat_command() -> str:
    return f"celery -A {_project()} beat -S scheduled_tasks"


def _workers(facts: Facts) -> Iterator[Problem]:
    if facts.alive(ProcessKind.WORKER):
        return
    yield Problem(
        code="worker",
        cause=_("No worker is running."),
        consequence=_("Runs stay queued until one starts, and expire in time."),
        remedy=_("Start one:"),
        command=f"celery -A {_project()} worker",
    )


def _queues(facts: Facts) -> Iterator[Problem]:
    workers = facts.alive(ProcessKind.WORKER)
    if not workers:
        return
    served = {queue for worker in workers for queue in worker.queues}
    by_default = {queue for name in facts.unrouted if (queue := publishing.queue_of(name))}
    for queue in sorted((facts.queues | by_default) - served):
        yield Problem(
            code="queue",
            cause=_("No running worker listens to the queue “%(queue)s”.") % {"queue": queue},
            consequence=_("Tasks that use it stay queued."),
            remedy=_("Start a worker for it:"),
            command=f"celery -A {_project()} worker -Q {queue}",
        )


def _broker(facts: Facts) -> Iterator[Problem]:
    cut_off = [
        process
        for process in facts.processes
        if not facts.is_silent(process)
        and (process.broker_ok_at or process.started_at) < facts.now - BROKER_STALE_AFTER
    ]
    if cut_off:
        yield Problem(
            code="broker",
            cause=_("The broker does not answer %(processes)s.") % {"processes": _names(cut_off)},
            consequence=_("Nothing can be started or taken from a queue."),
            remedy=_("Check that the broker runs and can be reached."),
        )


def _recorders(facts: Facts) -> Iterator[Problem]:
    failing = [
        process for process in facts.processes if process.recorder_error and not facts.is_silent(process)
    ]
    if failing:
        yield Problem(
            code="recorder",
            cause=_("Runs could not be recorded by %(processes)s: %(error)s")
            % {"processes": _names(failing), "error": failing[0].recorder_error},
            consequence=_("Tasks run, but what is shown here may be late."),
            remedy=_("Check the database connection of these processes."),
        )


def _names(processes: list[Process]) -> str:
    return ", ".join(process.node for process in processes)


def _project() -> str:
    main = current_app.main
    return "proj" if main in (None, "__main__", NO_APP) else str(main)
