# ruff: noqa: S608 - the statements are made of this module's own constants
"""The statements that open, start and end a run's row.

Each is one conditional statement in a transaction of its own; none reads before it writes. A run has one row,
found by its Celery task id. The attempt that owns the row is known by its token: a late word of an earlier
attempt matches nothing. An end is never undone, except those concluded from silence (``models.SOFT``), the
cancellation of a run that starts all the same, and what a result backend said of an attempt whose own word
was still under way.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import IntegrityError
from django.utils.translation import gettext_noop

from ..models import OPEN, SOFT, Status
from .header import Header
from .session import Frequent, Session

AGAIN = gettext_noop("An earlier attempt had not ended when this one started.")
TOO_LATE = gettext_noop("It was cancelled, but a worker had taken it already.")
REPEATED = gettext_noop("The message was delivered again after the end, and the task ran again.")
TOLD = gettext_noop("Its worker did not say how it ended. The result backend did.")


def _listed(statuses: frozenset[Status]) -> str:
    return ", ".join(f"'{status}'" for status in sorted(statuses))


STATUS = """COALESCE("status", '')"""
"""The status, for a condition beside a run's id: MariaDB would find few runs by the index of the status, and
lock first there what all others lock last, a deadlock. No index serves an expression."""

REPLACEABLE = f"""("open_since" IS NOT NULL OR "status" IN ({_listed(SOFT)}))"""
IS_OPEN = """("open_since" IS NOT NULL) = TRUE"""
"""Beside a run's id, for the same reason as :data:`STATUS`."""

ENDABLE = f"""({REPLACEABLE} OR "reason" = '{TOLD}' AND "token" IN (%(token)s, ''))"""
STARTABLE = f"""({REPLACEABLE} OR "status" = '{Status.CANCELLED}' AND "started_at" IS NULL)"""
REASON = f"""
    CASE WHEN %(status)s = '{Status.CANCELLED}' AND "cancellation" <> '' THEN "cancellation"
    ELSE %(reason)s END
"""

INSERT = f"""
INSERT INTO "run" (
    "celery_id", "task_id", "name", "status", "trigger", "actor", "tick_count", "scheduled_for", "queued_at",
    "expires_at", "started_at", "finished_at", "open_since", "attempts", "retries", "token", "process_id",
    "worker", "pid", "queue", "args", "kwargs", "summary", "error_type", "error", "traceback", "log",
    "progress", "retry_of_id", "reason", "redelivered"
) VALUES (
    %(celery_id)s, COALESCE(%(task)s, (SELECT "id" FROM "task" WHERE "name" = %(name)s)), %(name)s,
    %(status)s, %(trigger)s, %(actor)s, 1, %(scheduled_for)s, COALESCE(%(queued_at)s, {{ago}}),
    %(expires_at)s,
    CASE WHEN %(status)s = '{Status.RUNNING}' THEN {{ago}} END,
    CASE WHEN %(status)s IN ({_listed(OPEN)}) THEN NULL ELSE {{ago}} END,
    CASE WHEN %(status)s IN ({_listed(OPEN)}) THEN {{ago}} END,
    %(attempts)s, %(retries)s, %(token)s, %(process_id)s, %(worker)s, %(pid)s, %(queue)s, %(args)s,
    %(kwargs)s, '', %(error_type)s, %(error)s, %(traceback)s, '', '', %(retry_of)s, %(reason)s,
    %(redelivered)s
)
"""
NOT_RETRIED = """("retries" <= %(retries)s OR %(replaces)s OR %(redelivered)s)"""
"""False for an attempt whose start is written so late that its retry has been heard of before."""

OTHERS_ATTEMPT = f"""\
"status" = '{Status.RUNNING}' AND "token" <> %(token)s AND "retries" = %(retries)s AND NOT %(replaces)s"""


def _begin(where: str, more: str = "") -> str:
    # MariaDB evaluates assignments from left to right: what depends on an old value comes before it changes.
    return f"""
UPDATE "run" SET
    "reason" = CASE WHEN {OTHERS_ATTEMPT} THEN '{AGAIN}'
        WHEN "status" = '{Status.CANCELLED}' THEN '{TOO_LATE}' ELSE '' END,
    "attempts" = "attempts" + CASE WHEN "token" = %(token)s THEN 0 ELSE 1 END,
    "started_at" = COALESCE("started_at", {{ago}}), "finished_at" = NULL,
    "status" = '{Status.RUNNING}', "retries" = %(retries)s, "token" = %(token)s,
    "process_id" = %(process_id)s, "worker" = %(worker)s, "pid" = %(pid)s, "queue" = %(queue)s,
    "redelivered" = ("redelivered" OR %(redelivered)s){more}
WHERE "celery_id" = %(celery_id)s AND {where} AND {NOT_RETRIED}
"""


START = Frequent(_begin(IS_OPEN))
"""Leaves ``open_since`` alone: SQLite rewrites the index of what is assigned, be it to the same value."""
RESTART = Frequent(_begin(STARTABLE, more=""", "open_since" = COALESCE("open_since", {ago})"""))
"""The same for a run that may have been closed."""
REPEAT = f"""
UPDATE "run" SET "attempts" = "attempts" + 1,
    "reason" = CASE WHEN {NOT_RETRIED} THEN '{REPEATED}' ELSE "reason" END
WHERE "celery_id" = %(celery_id)s AND "token" <> %(token)s
"""
END = Frequent(f"""
UPDATE "run" SET
    "status" = %(status)s, "finished_at" = {{ago}}, "open_since" = NULL, "retries" = %(retries)s,
    "summary" = %(summary)s, "error_type" = %(error_type)s, "error" = %(error)s,
    "traceback" = %(traceback)s, "log" = %(log)s, "progress" = %(progress)s,
    "reason" = CASE WHEN %(reason)s = '' AND "reason" <> '{TOLD}' THEN "reason" ELSE %(reason)s END
WHERE "celery_id" = %(celery_id)s AND "token" = %(token)s AND {ENDABLE}
""")
START_AND_END = f"""
UPDATE "run" SET
    "reason" = CASE
        WHEN %(reason)s <> '' THEN %(reason)s
        WHEN {OTHERS_ATTEMPT} THEN '{AGAIN}'
        ELSE ''
    END,
    "attempts" = "attempts" + CASE WHEN "token" = %(token)s THEN 0 ELSE 1 END,
    "started_at" = COALESCE("started_at", {{ago lasted}}), "finished_at" = {{ago}}, "open_since" = NULL,
    "status" = %(status)s, "retries" = %(retries)s, "token" = %(token)s, "process_id" = %(process_id)s,
    "worker" = %(worker)s, "pid" = %(pid)s, "queue" = %(queue)s,
    "redelivered" = ("redelivered" OR %(redelivered)s), "summary" = %(summary)s,
    "error_type" = %(error_type)s, "error" = %(error)s, "traceback" = %(traceback)s, "log" = %(log)s,
    "progress" = %(progress)s
WHERE "celery_id" = %(celery_id)s AND {ENDABLE} AND {NOT_RETRIED}
"""
# The process that a cancellation stops says so before the worker's main process tells of the cancellation.
INTERRUPT = f"""
UPDATE "run" SET
    "status" = CASE WHEN "cancellation" <> '' THEN '{Status.CANCELLED}' ELSE '{Status.LOST}' END,
    "finished_at" = {{ago}}, "open_since" = NULL, "log" = %(log)s, "progress" = %(progress)s,
    "reason" = CASE WHEN "cancellation" <> '' THEN "cancellation" ELSE %(reason)s END
WHERE "celery_id" = %(celery_id)s AND "token" = %(token)s AND {STATUS} = '{Status.RUNNING}'
"""
PAUSE = f"""
UPDATE "run" SET
    "status" = %(status)s, "retries" = %(retries)s, "error_type" = %(error_type)s, "error" = %(error)s,
    "traceback" = %(traceback)s, "log" = %(log)s, "progress" = %(progress)s, "reason" = %(reason)s
WHERE "celery_id" = %(celery_id)s AND "token" = %(token)s AND {STATUS} = '{Status.RUNNING}'
"""
CLOSE = f"""
UPDATE "run" SET
    "status" = %(status)s, "finished_at" = {{ago}}, "open_since" = NULL, "error_type" = %(error_type)s,
    "error" = %(error)s, "traceback" = %(traceback)s, "reason" = {REASON}
WHERE "celery_id" = %(celery_id)s AND"""
CLOSE_UNSENT = f"""{CLOSE} {STATUS} = '{Status.QUEUED}' AND "attempts" = 0"""
CLOSE_UNDELIVERED = f"""{CLOSE} {REPLACEABLE}"""
CLOSE_OF_CHILD = f"""{CLOSE} "process_id" IN (%(process_id)s, '')
    AND ("open_since" IS NOT NULL OR "status" = '{Status.LOST}')
    AND NOT ("status" = '{Status.RETRYING}' AND "retries" > %(retries)s)
"""
RETRY_OF_CHILD = f"""
UPDATE "run" SET
    "status" = '{Status.RETRYING}', "finished_at" = NULL, "open_since" = COALESCE("open_since", {{ago}}),
    "error_type" = %(error_type)s, "error" = %(error)s, "traceback" = %(traceback)s, "reason" = %(reason)s
WHERE "celery_id" = %(celery_id)s AND "process_id" = %(process_id)s
    AND {STATUS} IN ('{Status.RUNNING}', '{Status.LOST}')
"""
SHOW = f"""
UPDATE "run" SET "log" = %(log)s, "progress" = %(progress)s
WHERE "celery_id" = %(celery_id)s AND "token" = %(token)s AND {STATUS} = '{Status.RUNNING}'
"""


@dataclass(kw_only=True)
class Message:
    """What a message tells about its run: enough to open the row if nobody has.

    ``replaces`` is True for a task that continues the run of another (``self.replace()``): it counts its
    ``retries`` anew.
    """

    celery_id: str
    header: Header
    queue: str = ""
    args: str = ""
    kwargs: str = ""
    expires_at: datetime | None = None
    retries: int = 0
    redelivered: bool = False
    replaces: bool = False

    @property
    def params(self) -> dict[str, Any]:
        header = self.header
        return {
            "celery_id": self.celery_id,
            "task": header.task,
            "name": header.name,
            "trigger": header.trigger,
            "actor": header.actor,
            "scheduled_for": header.scheduled_for,
            "retry_of": header.retry_of,
            "queued_at": header.queued_at,
            "queue": self.queue,
            "args": self.args,
            "kwargs": self.kwargs,
            "expires_at": self.expires_at,
            "retries": self.retries,
            "redelivered": self.redelivered,
            "replaces": self.replaces,
        }


@dataclass(kw_only=True)
class Attempt:
    """One attempt at a run, as the worker process that makes it knows it.

    ``own_row`` is False for the replacement of a task (``self.replace()``), whose message does not say which
    run it continues: it joins the row with its id if there is one, and is not recorded otherwise.
    """

    message: Message
    worker: str
    process_id: str
    pid: int
    own_row: bool = True
    token: str = field(default_factory=lambda: os.urandom(16).hex())
    at: float = field(default_factory=time.monotonic)
    started: bool = False

    @cached_property
    def params(self) -> dict[str, Any]:
        return self.message.params | {
            "token": self.token,
            "process_id": self.process_id,
            "worker": self.worker,
            "pid": self.pid,
        }


@dataclass(kw_only=True)
class Ending:
    """How an attempt or a run ended: ``error_type``, ``error`` and ``traceback`` where it raised."""

    status: Status
    reason: str = ""
    summary: str = ""
    error_type: str = ""
    error: str = ""
    traceback: str = ""
    log: str = ""
    progress: str = ""
    retries: int = 0
    at: float = field(default_factory=time.monotonic)

    @property
    def params(self) -> dict[str, Any]:
        return vars(self)

    @property
    def size(self) -> int:
        """About how many bytes the ending holds."""
        texts = self.summary, self.error, self.traceback, self.log, self.progress
        return 1_000 + sum(map(len, texts))


NOBODY = {"token": "", "process_id": "", "worker": "", "pid": None}
NO_ERROR = {"error_type": "", "error": "", "traceback": "", "reason": ""}


def queue(session: Session, message: Message, *, at: float) -> None:
    """Open the row of a run whose message is about to leave. A row that is there already stays as it is."""
    params = message.params | NOBODY | NO_ERROR | {"status": Status.QUEUED, "attempts": 0, "queued_at": None}
    _insert(session, params, at)


def start(session: Session, attempt: Attempt) -> None:
    """Make ``attempt`` the owner of its run's row, opened if nobody has; repeating it does no harm."""
    params = attempt.params
    at = attempt.at
    found = session.execute(START, params, at=at) or session.execute(RESTART, params, at=at)
    if not found and attempt.own_row:
        _open_started(session, params, at)
    attempt.started = True


def _open_started(session: Session, params: dict[str, Any], at: float) -> None:
    if _insert(session, params | NO_ERROR | {"status": Status.RUNNING, "attempts": 1}, at):
        return
    # Either the sender was faster by now, or the row is closed for good: then this attempt owns nothing.
    if not session.execute(RESTART, params, at=at):
        session.execute(REPEAT, params)


def end(session: Session, attempt: Attempt, ending: Ending) -> None:
    """Write how ``attempt`` ended, together with its start if that is not yet written."""
    statement = PAUSE if ending.status in OPEN else INTERRUPT if ending.status == Status.LOST else END
    if not attempt.started:
        if statement is END and _end_unstarted(session, attempt, ending):
            return
        start(session, attempt)
    session.execute(statement, attempt.params | ending.params, at=ending.at)


def _end_unstarted(session: Session, attempt: Attempt, ending: Ending) -> bool:
    lasted = max(0, int((ending.at - attempt.at) * 1_000_000))
    params = attempt.params | ending.params | {"lasted": lasted}
    return bool(session.execute(START_AND_END, params, at=ending.at))


def end_of_child(session: Session, message: Message, ending: Ending, *, process_id: str) -> None:
    """Write what the worker's main process saw of an attempt whose own process could not say it.

    ``ending.retries`` tells which attempt: one that has said that it will be retried is past its end.
    """
    params = message.params | NOBODY | ending.params | {"process_id": process_id}
    statement = RETRY_OF_CHILD if ending.status == Status.RETRYING else CLOSE_OF_CHILD
    session.execute(statement, params, at=ending.at)


def close_undelivered(session: Session, message: Message, ending: Ending) -> None:
    """Write the end of a run whose task never started, opening the row if nobody has."""
    params = message.params | NOBODY | ending.params | {"attempts": 0}
    if not session.execute(CLOSE_UNDELIVERED, params, at=ending.at):
        _insert(session, params, ending.at)


def close_unsent(session: Session, celery_id: str, reason: str, *, at: float) -> None:
    """Write that a run's message did not leave: ``missed``, until a true start says otherwise."""
    params = NO_ERROR | {"celery_id": celery_id, "status": Status.MISSED, "reason": reason}
    session.execute(CLOSE_UNSENT, params, at=at)


def show(session: Session, attempt: Attempt, *, log: str, progress: str) -> None:
    """Write what a running task has logged and how far it is."""
    session.execute(SHOW, attempt.params | {"log": log, "progress": progress})


def _insert(session: Session, params: dict[str, Any], at: float) -> bool:
    try:
        session.execute(INSERT, params, at=at)
    except IntegrityError:
        return False
    return True
