# ruff: noqa: S608 - the statements are made of this module's own constants
"""Closing the runs that nobody else will end, so that none stays "Running" or "Queued" for ever.

Five kinds of open runs are suspected: its worker does not run it any more; its worker is silent; no worker
reported that it took the message before it expired; only workers that do not report here can take it; the
process that started it never sent its message.
Celery's result backend is asked first how the task ended. What is concluded from silence (lost, expired,
missed, recorded elsewhere) gives way to a true start or end that arrives later, and so does what the backend
says of an attempt: it knows neither its log nor its progress.

Any number of processes may do this at once: a conclusion is one conditional statement, and the first wins.
Only a process whose own heartbeats were written for a whole minute judges others: while the database takes
no writes, every process looks silent.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet

from ..models import Process, Status, Takers, TaskRun, UtcNow, database
from ..private import under_test
from ..reasons import Code, Reason
from ..recording import forks, statements
from ..recording.complaints import complaints
from ..recording.connection import execute
from ..recording.ended import ended
from ..recording.recorder import Unanswered, ask, record
from .heartbeat import STALE_AFTER, Heartbeat
from .other_workers import Target, unreported
from .result_backend import told_by_backend
from .retention import HourlyPruning

TURN_EVERY = 10.0
"""Seconds between two looks."""

REPLACED_AFTER = timedelta(seconds=30)
"""A process silent for this long is taken for replaced when a living one has its node name."""

STRAY_AFTER = timedelta(hours=1)
"""A run this old whose process nobody knows is taken for lost."""

FORGOTTEN_AFTER = timedelta(days=1)
"""A run this old that was handed on to other tasks (``self.replace()``), none of which is known to run, is
taken for lost. Until then only the result backend is asked."""

EXPIRY_MARGIN = timedelta(seconds=30)
"""How long after its expiry a message is given up: the word of a worker that drops it comes first."""

UNSENT_AFTER = timedelta(minutes=2)
"""How long after its start a run is given up whose message was not sent: sending takes seconds."""

FRESH = 30.0
"""Seconds after which a conclusion is void that the database has not taken: an outage may have been why."""

NEVER_TAKEN_AFTER = timedelta(days=1)
"""How long a run waits for a first or next attempt whose message never expires."""

CANCELLED_LATELY = timedelta(days=1)
"""How long ago a run may have been cancelled whose message may still be about."""

BACKEND_PATIENCE = 300.0
"""Seconds for which a conclusion waits for a result backend that cannot be reached."""

END_EXPECTED = 600.0
"""Seconds for which the result backend is asked how a run ended that is recorded elsewhere."""

MOST_ELSEWHERE = 100
"""Of so many of them at most, the newest ones."""

ANSWER_WITHIN = 10.0
AT_ONCE = 1_000
"""Most runs that one look finds of a kind."""

CONCLUDE = f"""
UPDATE "run" SET
    {statements.ENDED}, "summary" = %(summary)s, {statements.ERROR}, {statements.REASON}
WHERE "celery_id" = %(celery_id)s AND "token" = %(token)s AND {statements.STATUS} = %(seen)s
"""
REVIVE = f"""
UPDATE "run" SET
    "status" = '{Status.RUNNING}', "open_since" = "started_at", "finished_at" = NULL,
    "reason" = '', "reason_params" = ''
WHERE "celery_id" = %(celery_id)s AND "process_id" = %(boot_id)s AND {statements.STATUS} = '{Status.LOST}'
"""


class Suspect(NamedTuple):
    """A run that seems to have nobody left to end it, as it was seen."""

    celery_id: str
    token: str
    seen: str


Conclusion = tuple[Status, Code]
"""How a run ended of which nobody says it."""


def suspects(*, boot_id: str, node: str, written_for: float) -> dict[Suspect, Conclusion | None]:
    """The runs that a process may suspect whose own heartbeats were written for ``written_for`` seconds.

    None stands for a run of which only the result backend may know that it ended. After an outage of the
    database every process looks silent; whoever lives is heard within that time.
    """
    running, awaited = _open(Status.RUNNING), _open(Status.QUEUED, Status.RETRYING)
    processes = Process.objects.using(database())
    silent = processes.filter(Q(stopped_at__isnull=False) | Q(last_seen_at__lt=UtcNow() - STALE_AFTER))
    namesakes = processes.filter(node=node, last_seen_at__lt=UtcNow() - REPLACED_AFTER).exclude(pk=boot_id)
    handed_on = Q(process_id="", reason=Code.CONTINUED)
    stray = ~Q(process_id__in=processes.all()) & ~handed_on
    lost = Q(process_id__in=silent) | stray & _before(STRAY_AFTER) | handed_on & _before(FORGOTTEN_AFTER)
    # Beat sends the runs that have a tick, again and again while that makes sense, and closes them itself.
    unsent = Q(sent_at=None, attempts=0, tick=None) & _before(UNSENT_AFTER)
    never_taken = Q(expires_at=None) & _before(NEVER_TAKEN_AFTER)
    expired = Q(expires_at__lt=UtcNow() - EXPIRY_MARGIN) | never_taken

    found: dict[Suspect, Conclusion | None] = dict.fromkeys(_seen(running.filter(handed_on)))
    takers = Takers.read(database())
    if takers:
        found |= _taken_elsewhere(takers)
    if written_for >= STALE_AFTER.total_seconds():
        for suspect, target in _with_targets(awaited.filter(expired)):
            found.setdefault(suspect, unreported(takers, target))
        found |= dict.fromkeys(_seen(awaited.filter(unsent)), (Status.MISSED, Code.NEVER_SENT))
        found |= dict.fromkeys(_seen(running.filter(lost)), (Status.LOST, Code.WORKER_SILENT))
    if written_for >= REPLACED_AFTER.total_seconds():
        replaced = running.filter(process_id__in=namesakes)
        found |= dict.fromkeys(_seen(replaced), (Status.LOST, Code.WORKER_SILENT))
    return found


def _taken_elsewhere(takers: Takers) -> dict[Suspect, Conclusion]:
    """Runs that only workers that do not report here can take, and those of which one has taken what others
    have not: a later run of the task has started.
    """
    sent = _open(Status.QUEUED).filter(sent_at__isnull=False, attempts=0)
    later = TaskRun.objects.using(database()).of_task(OuterRef("task_id")).filter(pk__gt=OuterRef("pk"))
    overtaken = sent.filter(Exists(later.filter(started_at__isnull=False)))
    found: dict[Suspect, Conclusion] = {
        suspect: (Status.ELSEWHERE, Code.MAYBE_ELSEWHERE)
        for suspect, target in _with_targets(overtaken)
        if takers.others_may(*target)
    }
    for suspect, target in _with_targets(sent):
        if takers.only_others(*target):
            found[suspect] = Status.ELSEWHERE, Code.RUN_ELSEWHERE
    return found


def _with_targets(runs: QuerySet[TaskRun]) -> list[tuple[Suspect, Target]]:
    columns = ("celery_id", "token", "status", "task__task", "task__queue", "task__exchange")
    rows: Iterable[tuple[Any, ...]] = runs.values_list(*columns)[:AT_ONCE]
    return [(Suspect(*row[:3]), (row[3] or "", *row[4:])) for row in rows]


def _seen(runs: QuerySet[TaskRun]) -> list[Suspect]:
    rows: Iterable[tuple[Any, ...]] = runs.values_list("celery_id", "token", "status")[:AT_ONCE]
    return [Suspect(celery_id, token, seen) for celery_id, token, seen in rows]


def _open(*statuses: Status) -> QuerySet[TaskRun]:
    runs = TaskRun.objects.using(database()).open()
    return runs.filter(status__in=statuses, celery_id__isnull=False)


def _before(span: timedelta) -> Q:
    return Q(open_since__lt=UtcNow() - span)


def close_abandoned(app: Any, *, wait: float = 20.0) -> int:
    """Look once, for a process that keeps no heartbeat, and return how many runs were closed.

    Looks again after ``wait`` seconds, in which every living process beats, and closes what is still under
    suspicion. ``app`` is the Celery app whose result backend is asked first; what that raises is raised, and
    so are database errors, at once where the database takes no writes.
    """
    Process.objects.using(database()).filter(pk="").update(node="")  # fails where it takes none
    everyone = partial(suspects, boot_id="", node="", written_for=math.inf)
    first = everyone()
    if not first:
        return 0
    time.sleep(wait)
    closed = 0
    for suspect, conclusion in everyone().items():
        ending = told_by_backend(app, suspect.celery_id) or _concluded(conclusion)
        if suspect in first and ending is not None:
            conclude(suspect, ending)
            closed += 1
    return closed


def _concluded(conclusion: Conclusion | None) -> statements.Ending | None:
    return conclusion and statements.Ending(status=conclusion[0], reason=Reason(conclusion[1]))


def conclude(suspect: Suspect, ending: statements.Ending) -> bool:
    """End a suspected run, if it still stands as it was seen. Returns whether it did."""
    seen = {"celery_id": suspect.celery_id, "token": suspect.token, "seen": suspect.seen}
    written = bool(execute(CONCLUDE, ending.params | seen, at=ending.at))
    if written:
        ended(celery_id=suspect.celery_id)
    return written


class Reaper:
    """Looks after open runs, and prunes old ones, from a thread of its own beside a heartbeat.

    ``app`` is the Celery app whose result backend is asked. ``active`` gives the Celery ids of the tasks this
    process is running; a worker's own runs are compared with it. ``on_cancelled`` is told the Celery ids of
    runs that were lately cancelled: a worker that was starting or cut off from the broker has not heard of
    it. ``idle`` tells, without asking the database, that it answers and that no run is open.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        app: Any,
        *,
        idle: Callable[[], bool] = lambda: False,
        active: Callable[[], Collection[str]] | None = None,
        on_cancelled: Callable[[Collection[str]], object] | None = None,
    ) -> None:
        self._heartbeat = heartbeat
        self._app = app
        self._idle = idle
        self._active = active
        self._on_cancelled = on_cancelled
        self._stopping = threading.Event()
        self._revived_for: float | None = None
        self._missing: set[Suspect] = set()
        self._unasked: dict[str, float] = {}
        self._elsewhere: dict[Suspect, float] = {}
        self._pruning = HourlyPruning(heartbeat.boot_id)

    def start(self) -> None:
        """Look every :data:`TURN_EVERY` seconds until :meth:`stop`; not under a test runner."""
        if not under_test():
            threading.Thread(target=self._run, name="scheduled-tasks-reaper", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def turn(self) -> None:
        """Look once, and end what has nobody left to end it."""
        written_for = self._heartbeat.written_for()
        if not written_for or (self._idle() and not self._elsewhere):
            return
        self._revive()
        try:
            mine, found, cancelled = ask(partial(self._look, written_for=written_for), ANSWER_WITHIN)
        except Unanswered:
            return
        if self._on_cancelled is not None:
            self._on_cancelled(cancelled)
        # An end may be under way: a run of this worker is suspected when it was missing twice in a row.
        gone, self._missing = mine & self._missing, mine
        if written_for >= REPLACED_AFTER.total_seconds():
            found |= dict.fromkeys(gone, (Status.LOST, Code.NOT_REPORTED))
        self._end(found | dict.fromkeys(self._recorded_elsewhere()))

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = TURN_EVERY
            try:
                with forks.connected():  # a result backend may use a connection of this thread
                    self.turn()
                    self._pruning.go_on()
            except Exception as error:  # noqa: BLE001 - the next turn may find the trouble gone
                complaints.log("Open or old runs could not be looked after.", error)

    def _look(self, written_for: float) -> tuple[set[Suspect], dict[Suspect, Conclusion | None], list[str]]:
        """This worker's runs that it does not run, the suspected runs of others, and the cancelled runs.

        An answer may come when nobody waits for it any more, so nothing is kept here.
        """
        boot_id, node = self._heartbeat.boot_id, self._heartbeat.node
        mine: set[Suspect] = set()
        if self._active is not None:
            found, active = _seen(_open(Status.RUNNING).filter(process_id=boot_id)), self._active()
            mine = {suspect for suspect in found if suspect.celery_id not in active}
        cancelled = _lately_cancelled() if self._on_cancelled is not None else []
        return mine, suspects(boot_id=boot_id, node=node, written_for=written_for), cancelled

    def _revive(self) -> None:
        """What others took for lost while this process was stopped or cut off, it knows to be running."""
        since = self._heartbeat.writing_since
        if self._active is None or since == self._revived_for:
            return
        self._revived_for = since
        for celery_id in self._active():
            params = {"celery_id": celery_id, "boot_id": self._heartbeat.boot_id}
            record(partial(execute, REVIVE, params), wait=False)

    def _end(self, found: Mapping[Suspect, Conclusion | None]) -> None:
        known = {suspect.celery_id for suspect in found}
        self._unasked = {key: since for key, since in self._unasked.items() if key in known}
        reachable = True
        for suspect, conclusion in found.items():
            ending = None
            if reachable:
                try:
                    ending = told_by_backend(self._app, suspect.celery_id)
                except Exception as error:  # noqa: BLE001 - each backend raises its own
                    complaints.log("The result backend could not be asked how a task ended.", error)
                    reachable = False
            if not reachable and self._may_still_answer(suspect.celery_id):
                continue
            ending = ending or _concluded(conclusion)
            if ending is None:
                continue
            write = partial(self._conclude, suspect, ending, decided_at=time.monotonic())
            record(write, wait=False, size=ending.size)

    def _conclude(self, suspect: Suspect, ending: statements.Ending, decided_at: float) -> None:
        self._elsewhere.pop(suspect, None)
        is_fresh = time.monotonic() - decided_at <= FRESH
        if is_fresh and conclude(suspect, ending) and ending.status == Status.ELSEWHERE:
            self._elsewhere[suspect._replace(seen=Status.ELSEWHERE)] = time.monotonic()

    def _recorded_elsewhere(self) -> list[Suspect]:
        """The runs that this process has concluded to be so, while the result backend may still tell more."""
        newest = [*self._elsewhere.items()][-MOST_ELSEWHERE:]
        earliest = time.monotonic() - END_EXPECTED
        self._elsewhere = {suspect: since for suspect, since in newest if since >= earliest}
        return [*self._elsewhere]

    def _may_still_answer(self, celery_id: str) -> bool:
        since = self._unasked.setdefault(celery_id, time.monotonic())
        return time.monotonic() - since < BACKEND_PATIENCE


def _lately_cancelled() -> list[str]:
    runs = TaskRun.objects.using(database()).filter(
        status=Status.CANCELLED, celery_id__isnull=False, finished_at__gt=UtcNow() - CANCELLED_LATELY
    )
    return [each for each in runs.newest_first().values_list("celery_id", flat=True)[:AT_ONCE] if each]
