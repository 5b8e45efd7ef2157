# ruff: noqa: S608 - the statements are made of this module's own constants
"""Closing the runs that nobody else will end, so that none stays "Running" for ever.

A run is under suspicion when its worker no longer runs it, when its worker is silent, or when no worker took
its message before it expired. Celery's result backend is asked first how the task ended. What is concluded
from silence (``lost``, ``expired``) gives way to a true end that arrives later, and so does what the backend
knows of an attempt, which is neither its log nor its progress.

Any number of processes may do this at once: a conclusion is one conditional statement, and the first wins.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.db import connections
from django.utils.translation import gettext_noop

from .models import Status
from .processes import STALE_AFTER, Heartbeat
from .recording import endings, runs
from .recording.complaints import complaints
from .recording.handover import ask, record, under_test
from .recording.header import moment
from .recording.session import Session, Statement, ordinary_session
from .recording.writer import Unanswered
from .retention import HourlyPruning

TURN_EVERY = 10.0
"""Seconds between two looks."""

SLEPT = 30.0
"""Seconds between two looks that show that this process itself was stopped meanwhile."""

REPLACED_AFTER = timedelta(seconds=30)
"""A process silent for this long is taken for replaced when a living one has its node name."""

STRAY_AFTER = timedelta(hours=1)
"""A run this old whose process nobody knows is taken for lost."""

EXPIRY_MARGIN = timedelta(seconds=30)
"""How long after its expiry a message is given up: the word of a worker that drops it comes first."""

CANCELLED_LATELY = timedelta(days=1)
"""How long ago a run may have been cancelled whose message may still be about."""

BACKEND_PATIENCE = 300.0
"""Seconds for which a conclusion waits for a result backend that cannot be reached."""

ANSWER_WITHIN = 10.0
AT_ONCE = 200

NOT_RUN = gettext_noop("The worker no longer runs it and did not say how it ended.")
SILENT = gettext_noop("The worker that ran it has stopped or cannot be reached.")

RUNNING = f"""
SELECT "celery_id", "token", "status" FROM "run"
WHERE "open_since" IS NOT NULL AND "celery_id" IS NOT NULL AND "status" = '{Status.RUNNING}'
"""
MINE: Statement = f"""{RUNNING} AND "process_id" = %(boot_id)s"""
OF_SILENT: Statement = f"""{RUNNING} AND "process_id" IN (
    SELECT "boot_id" FROM "process" WHERE "stopped_at" IS NOT NULL OR "last_seen_at" < {{ago}}
) LIMIT {AT_ONCE}"""
OF_REPLACED: Statement = f"""{RUNNING} AND "process_id" IN (
    SELECT "boot_id" FROM "process"
    WHERE "node" = %(node)s AND "boot_id" <> %(boot_id)s AND "last_seen_at" < {{ago}}
) LIMIT {AT_ONCE}"""
STRAYS: Statement = f"""{RUNNING} AND "open_since" < {{ago}} AND "process_id" NOT IN (
    SELECT "boot_id" FROM "process"
) LIMIT {AT_ONCE}"""
EXPIRED: Statement = f"""
SELECT "celery_id", "token", "status" FROM "run"
WHERE "open_since" IS NOT NULL AND "celery_id" IS NOT NULL AND "expires_at" < {{ago}}
    AND "status" IN ('{Status.QUEUED}', '{Status.RETRYING}')
LIMIT {AT_ONCE}"""
CANCELLED: Statement = f"""
SELECT "celery_id" FROM "run"
WHERE "status" = '{Status.CANCELLED}' AND "celery_id" IS NOT NULL AND "finished_at" > {{ago}}
ORDER BY "id" DESC LIMIT {AT_ONCE}
"""
CONCLUDE: Statement = f"""
UPDATE "run" SET
    "status" = %(status)s, "finished_at" = {{ago}}, "open_since" = NULL, "summary" = %(summary)s,
    "error_type" = %(error_type)s, "error" = %(error)s, "traceback" = %(traceback)s, "reason" = {runs.REASON}
WHERE "celery_id" = %(celery_id)s AND "token" = %(token)s AND {runs.STATUS} = %(seen)s
"""
REVIVE: Statement = f"""
UPDATE "run" SET
    "status" = '{Status.RUNNING}', "open_since" = "started_at", "finished_at" = NULL, "reason" = ''
WHERE "celery_id" = %(celery_id)s AND "process_id" = %(boot_id)s AND {runs.STATUS} = '{Status.LOST}'
"""


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A run that seems to have nobody left to end it: as it was seen, and what its silence means."""

    celery_id: str
    token: str
    seen: str
    status: Status
    reason: str

    @property
    def ending(self) -> runs.Ending:
        """What is concluded when nobody says how the run ended."""
        return runs.Ending(status=self.status, reason=self.reason)


def suspects(session: Session, *, boot_id: str, node: str, watched_for: float) -> list[Suspect]:
    """The runs that a process which has written without a gap for ``watched_for`` seconds may suspect.

    After an outage of the database every process looks silent; whoever lives is heard within that time.
    """
    found: list[Suspect] = []
    if watched_for >= REPLACED_AFTER.total_seconds():
        found += _found(session, OF_REPLACED, REPLACED_AFTER, boot_id=boot_id, node=node)
    if watched_for >= STALE_AFTER.total_seconds():
        found += _found(session, OF_SILENT, STALE_AFTER)
        found += _found(session, STRAYS, STRAY_AFTER)
        expired = session.fetch(EXPIRED, {}, at=_before(EXPIRY_MARGIN))
        found += [_suspect(row, Status.EXPIRED, endings.EXPIRED) for row in expired]
    return list({suspect.celery_id: suspect for suspect in found}.values())


def close_abandoned(app: Any, *, wait: float = 20.0) -> int:
    """Look once, for a process that does not watch all the time, and return how many runs were closed.

    Looks again after ``wait`` seconds, in which every living process beats, and closes what is still under
    suspicion. ``app`` is the Celery app whose result backend is asked first; what that raises is raised.
    """
    session = ordinary_session()
    watching = float("inf")
    first = set(suspects(session, boot_id="", node="", watched_for=watching))
    if not first:
        return 0
    time.sleep(wait)
    still = [each for each in suspects(session, boot_id="", node="", watched_for=watching) if each in first]
    for suspect in still:
        conclude(session, suspect, told_by_backend(app, suspect.celery_id) or suspect.ending)
    return len(still)


def conclude(session: Session, suspect: Suspect, ending: runs.Ending) -> None:
    """End a suspected run, if it still stands as it was seen."""
    seen = {"celery_id": suspect.celery_id, "token": suspect.token, "seen": suspect.seen}
    session.execute(CONCLUDE, ending.params | seen, at=ending.at)


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
        self._turned_at = time.monotonic()
        self._watching_since: float | None = None
        self._missing: set[str] = set()
        self._unasked: dict[str, float] = {}
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
        now = time.monotonic()
        if now - self._turned_at > SLEPT:
            self._watching_since = None
        self._turned_at = now
        if self._idle():
            self._watching_since = self._watching_since or now
            return
        try:
            found = ask(self._look, ANSWER_WITHIN)
        except Unanswered:
            self._watching_since = None
            return
        self._judge(found)

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = TURN_EVERY
            try:
                self.turn()
                self._pruning.go_on()
            except Exception as error:  # noqa: BLE001 - the next turn may find the trouble gone
                complaints.log("Open or old runs could not be looked after.", error)
            finally:
                # A result backend may have used one.
                connections.close_all()

    def _look(self, session: Session) -> list[Suspect]:
        if self._watching_since is None:
            self._watching_since = time.monotonic()
            self._revive(session)
        if self._on_cancelled is not None:
            self._on_cancelled([row[0] for row in session.fetch(CANCELLED, {}, at=_before(CANCELLED_LATELY))])
        boot_id, node = self._heartbeat.boot_id, self._heartbeat.node
        watched_for = time.monotonic() - self._watching_since
        of_others = suspects(session, boot_id=boot_id, node=node, watched_for=watched_for)
        return self._gone(session) + of_others

    def _gone(self, session: Session) -> list[Suspect]:
        """This worker's runs that it no longer runs, seen so twice in a row: an end may be under way."""
        if self._active is None:
            return []
        rows = session.fetch(MINE, {"boot_id": self._heartbeat.boot_id})
        active = self._active()
        missing = [row for row in rows if row[0] not in active]
        gone = [row for row in missing if row[0] in self._missing]
        self._missing = {row[0] for row in missing}
        return [_suspect(row, Status.LOST, NOT_RUN) for row in gone]

    def _revive(self, session: Session) -> None:
        """What others took for lost while this process was stopped or cut off, it knows to be running."""
        for celery_id in self._active() if self._active is not None else ():
            session.execute(REVIVE, {"celery_id": celery_id, "boot_id": self._heartbeat.boot_id})

    def _judge(self, found: list[Suspect]) -> None:
        known = {suspect.celery_id for suspect in found}
        self._unasked = {key: since for key, since in self._unasked.items() if key in known}
        reachable = True
        for suspect in found:
            ending = None
            if reachable:
                try:
                    ending = told_by_backend(self._app, suspect.celery_id)
                except Exception as error:  # noqa: BLE001 - each backend raises its own
                    complaints.log("The result backend could not be asked how a task ended.", error)
                    reachable = False
            if not reachable and self._may_still_answer(suspect.celery_id):
                continue
            ending = ending or suspect.ending
            record(partial(conclude, suspect=suspect, ending=ending), wait=False, size=ending.size)

    def _may_still_answer(self, celery_id: str) -> bool:
        since = self._unasked.setdefault(celery_id, time.monotonic())
        return time.monotonic() - since < BACKEND_PATIENCE


def told_by_backend(app: Any, celery_id: str) -> runs.Ending | None:
    """How the task ended according to Celery's result backend; None when that does not know.

    Raises whatever the backend does when it cannot be reached.
    """
    backend = app.backend
    # A backend that keeps no results cannot be asked; asking rpc:// would declare a queue.
    if backend.as_uri().startswith(("disabled", "rpc")):
        return None
    meta = backend.get_task_meta(celery_id, cache=False)
    return endings.of_result(meta, at=_when_done(meta))


def _when_done(meta: Mapping[str, Any]) -> float:
    done = moment(meta.get("date_done"))
    age = 0.0 if done is None else (datetime.now(UTC) - done).total_seconds()
    return time.monotonic() - max(0.0, age)


def _found(session: Session, statement: Statement, after: timedelta, **params: str) -> list[Suspect]:
    rows = session.fetch(statement, params, at=_before(after))
    return [_suspect(row, Status.LOST, SILENT) for row in rows]


def _suspect(row: tuple[Any, ...], status: Status, reason: str) -> Suspect:
    celery_id, token, seen = row
    return Suspect(celery_id=celery_id, token=token, seen=seen, status=status, reason=reason)


def _before(span: timedelta) -> float:
    return time.monotonic() - span.total_seconds()
