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
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import IntegrityError

from ..models import OPEN, SOFT, Status
from ..reasons import NO_REASON, Code, Reason
from . import attempt_log
from .connection import execute
from .ended import ended
from .header import Header


def _set(columns: str) -> str:
    return ", ".join(f'"{column}" = %({column})s' for column in columns.split())


def _listed(statuses: Iterable[Status]) -> str:
    return ", ".join(f"'{status}'" for status in sorted(statuses))


ITS_ROW = """
    "celery_id" = %(celery_id)s AND (%(name)s = '' OR "name" = %(name)s AND "trigger" = %(trigger)s)
"""
"""A message that names the id of another task's run, or of one that another source started, changes nothing.
Only a replacement (``self.replace()``) does not know the name."""

STATUS = """COALESCE("status", '')"""
"""The status, for a condition beside a run's id: MariaDB would find few runs by the index of the status, and
lock first there what all others lock last, a deadlock. No index serves an expression."""

ITS_ATTEMPT = f""""celery_id" = %(celery_id)s AND "token" = %(token)s AND {STATUS} = '{Status.RUNNING}'"""
CLOSABLE = f"""("open_since" IS NOT NULL OR "status" IN ({_listed(SOFT)}))"""
STARTABLE = f"""(
    {CLOSABLE}
    OR "status" = '{Status.CANCELLED}' AND "started_at" IS NULL
    OR "reason" = '{Code.TOLD_BY_BACKEND}' AND "token" = ''
)"""
NOT_RETRIED = """("retries" <= %(retries)s OR %(replaces)s OR %(redelivered)s)"""
"""False for an attempt whose start is written so late that its retry has been heard of before."""

ENDED = """"status" = %(status)s, "finished_at" = {ago}, "open_since" = NULL"""
ERROR = _set("error_type error traceback")
OUTPUT = _set("log progress")
WORKER = _set("process_id worker pid")
CANCELLED_BY = f"""%(status)s = '{Status.CANCELLED}' AND "cancellation" <> ''"""
NOTE_START = attempt_log.noting("%(token)s", "{ago_text}")
NOTE_END = attempt_log.noting('"token"', "%(attempt_end)s")
REASON = f"""
    "reason_params" = CASE WHEN {CANCELLED_BY} THEN "cancellation" ELSE %(reason_params)s END,
    "reason" = CASE WHEN {CANCELLED_BY} THEN '{Code.CANCELLED_BY}' ELSE %(reason)s END
"""

INSERT = f"""
INSERT INTO "run" (
    "celery_id", "task_id", "name", "status", "trigger", "actor", "tick_count", "scheduled_for", "queued_at",
    "expires_at", "started_at", "finished_at", "open_since", "attempts", "retries", "token", "process_id",
    "worker", "pid", "queue", "args", "kwargs", "summary", "error_type", "error", "traceback", "log",
    "progress", "retry_of_id", "reason", "reason_params", "redelivered", "attempt_log"
) VALUES (
    %(celery_id)s, COALESCE(%(task)s, (SELECT "id" FROM "task" WHERE "name" = %(name)s)), %(name)s,
    %(status)s, %(trigger)s, %(actor)s, 1, %(scheduled_for)s, COALESCE(%(queued_at)s, {{ago}}),
    %(expires_at)s,
    CASE WHEN %(status)s = '{Status.RUNNING}' THEN {{ago}} END,
    CASE WHEN %(status)s IN ({_listed(OPEN)}) THEN NULL ELSE {{ago}} END,
    CASE WHEN %(status)s IN ({_listed(OPEN)}) THEN {{ago}} END,
    %(attempts)s, %(retries)s, %(token)s, %(process_id)s, %(worker)s, %(pid)s, %(queue)s, %(args)s,
    %(kwargs)s, '', %(error_type)s, %(error)s, %(traceback)s, '', '', %(retry_of)s, %(reason)s,
    %(reason_params)s, %(redelivered)s, ''
)
"""
# MariaDB evaluates assignments from left to right: what depends on an old value comes before it changes.
START = f"""
UPDATE "run" SET
    "reason_params" = '', "reason" = CASE
        WHEN "status" = '{Status.RUNNING}' AND "token" <> %(token)s AND "retries" = %(retries)s
            AND NOT %(replaces)s THEN '{Code.ATTEMPTS_OVERLAP}'
        WHEN "status" = '{Status.CANCELLED}' THEN '{Code.CANCELLED_TOO_LATE}'
        ELSE ''
    END,
    "attempt_log" = CASE
        WHEN "token" = %(token)s OR "attempts" = 0 THEN "attempt_log" ELSE {NOTE_START} END,
    "attempts" = "attempts" + CASE WHEN "token" = %(token)s THEN 0 ELSE 1 END,
    "started_at" = COALESCE("started_at", {{ago}}), "finished_at" = NULL,
    "open_since" = COALESCE("open_since", {{ago}}), "status" = '{Status.RUNNING}',
    {_set("retries token queue")}, {WORKER}, "redelivered" = ("redelivered" OR %(redelivered)s)
WHERE {ITS_ROW} AND {STARTABLE} AND {NOT_RETRIED}
"""
REPEAT = f"""
UPDATE "run" SET "attempts" = "attempts" + 1,
    "reason_params" = CASE WHEN {NOT_RETRIED} THEN '' ELSE "reason_params" END,
    "reason" = CASE WHEN {NOT_RETRIED} THEN '{Code.REPEATED}' ELSE "reason" END
WHERE {ITS_ROW} AND "token" <> %(token)s
"""
NO_OTHER_REASON = f"""%(reason)s = '' AND "reason" <> '{Code.TOLD_BY_BACKEND}'"""
END = f"""
UPDATE "run" SET {ENDED}, {_set("retries summary")}, {ERROR}, {OUTPUT},
    "reason_params" = CASE WHEN {NO_OTHER_REASON} THEN "reason_params" ELSE %(reason_params)s END,
    "reason" = CASE WHEN {NO_OTHER_REASON} THEN "reason" ELSE %(reason)s END
WHERE "celery_id" = %(celery_id)s AND "token" = %(token)s
    AND ({CLOSABLE} OR "reason" = '{Code.TOLD_BY_BACKEND}')
"""
# The process that a cancellation stops says so before the worker's main process tells of the cancellation.
INTERRUPT = f"""
UPDATE "run" SET
    "status" = CASE WHEN "cancellation" <> '' THEN '{Status.CANCELLED}' ELSE '{Status.LOST}' END,
    "finished_at" = {{ago}}, "open_since" = NULL, {OUTPUT},
    "reason_params" = CASE WHEN "cancellation" <> '' THEN "cancellation" ELSE %(reason_params)s END,
    "reason" = CASE WHEN "cancellation" <> '' THEN '{Code.CANCELLED_BY}' ELSE %(reason)s END
WHERE {ITS_ATTEMPT}
"""
PAUSE = f"""
UPDATE "run" SET {_set("status retries reason reason_params")}, {ERROR}, {OUTPUT},
    "attempt_log" = {NOTE_END}, "expires_at" = CASE
        WHEN %(default_expiry)s AND %(status)s <> '{Status.QUEUED}' THEN NULL ELSE "expires_at" END
WHERE {ITS_ATTEMPT}
"""
CLOSE = f"""UPDATE "run" SET {ENDED}, {ERROR}, {REASON} WHERE "celery_id" = %(celery_id)s AND"""
MARK_SENT = """UPDATE "run" SET "sent_at" = {ago} WHERE "celery_id" = %(celery_id)s AND "sent_at" IS NULL"""
CLOSE_UNDELIVERED = f"""{CLOSE} {ITS_ROW} AND {CLOSABLE}
    AND ({STATUS} <> '{Status.RUNNING}' OR %(status)s = '{Status.CANCELLED}')
"""
"""A copy of a message may expire, or meet a worker without the task, while another worker runs the first."""

CLOSE_OF_CHILD = f"""{CLOSE} "process_id" IN (%(process_id)s, '')
    AND ("open_since" IS NOT NULL OR "status" = '{Status.LOST}')
    AND NOT ("status" = '{Status.RETRYING}' AND "retries" > %(retries)s)
"""
RETRY_OF_CHILD = f"""
UPDATE "run" SET
    "status" = '{Status.RETRYING}', "finished_at" = NULL, "open_since" = COALESCE("open_since", {{ago}}),
    {ERROR}, {_set("reason reason_params")}, "attempt_log" = {NOTE_END},
    "expires_at" = CASE WHEN %(default_expiry)s THEN NULL ELSE "expires_at" END
WHERE "celery_id" = %(celery_id)s AND "process_id" = %(process_id)s
    AND {STATUS} IN ('{Status.RUNNING}', '{Status.LOST}')
"""
NOTE_LATE_END = f"""
UPDATE "run" SET "attempt_log" = {attempt_log.noting("%(token)s", "%(attempt_end)s")}
WHERE "celery_id" = %(celery_id)s AND "token" <> %(token)s AND "attempts" > 1
"""
SHOW = f"""UPDATE "run" SET {OUTPUT} WHERE {ITS_ATTEMPT}"""


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
        return vars(self.header) | vars(self)


@dataclass(kw_only=True)
class Attempt:
    """One attempt at a run, as the worker process that makes it knows it."""

    message: Message
    worker: str
    process_id: str
    pid: int
    token: str = field(default_factory=lambda: os.urandom(16).hex())
    at: float = field(default_factory=time.monotonic)
    started: bool = False

    @property
    def params(self) -> dict[str, Any]:
        return self.message.params | vars(self)


@dataclass(kw_only=True)
class Ending:
    """How an attempt or a run ended: ``error_type``, ``error`` and ``traceback`` where it raised."""

    status: Status
    reason: Reason = NO_REASON
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
        return vars(self) | self.reason.columns

    def attempt_end(self, began: float | None = None) -> dict[str, str]:
        """The parameter for the log of attempts; ``began`` is when the attempt did (``time.monotonic()``)."""
        took = None if began is None else self.at - began
        return {"attempt_end": attempt_log.of_end(self.error_type, self.error, took)}

    @property
    def size(self) -> int:
        """About how many bytes the ending holds."""
        texts = self.summary, self.error, self.traceback, self.log, self.progress
        return 1_000 + sum(map(len, texts))


def queue(message: Message, *, at: float) -> None:
    """Open the row of a run whose message is about to leave. A row that is there already stays as it is."""
    _insert(message.params | {"status": Status.QUEUED, "queued_at": None}, at)


def start(attempt: Attempt) -> None:
    """Make ``attempt`` the owner of its run's row, opened if nobody has; repeating it does no harm.

    The replacement of a task (``self.replace()``) may not know the name of what it continues. It joins the
    row with its id if there is one, and is not recorded otherwise.
    """
    params, at = attempt.params, attempt.at
    if not execute(START, params, at=at) and params["name"]:
        opened = _insert(params | {"status": Status.RUNNING, "attempts": 1}, at)
        # Either the sender was faster by now, or the row is closed for good: then this attempt owns nothing.
        if not opened and not execute(START, params, at=at):
            execute(REPEAT, params)
    attempt.started = True


def end(attempt: Attempt, ending: Ending) -> None:
    """Write how ``attempt`` ended, after its start if that was not written."""
    if not attempt.started:
        start(attempt)
    statement = PAUSE if ending.status in OPEN else INTERRUPT if ending.status == Status.LOST else END
    params = attempt.params | ending.params | ending.attempt_end(attempt.at)
    written = execute(statement, params, at=ending.at)
    if not written and ending.status == Status.RETRYING:
        execute(NOTE_LATE_END, params)
    if written and ending.status not in OPEN:
        ended(celery_id=attempt.message.celery_id)


def end_of_child(message: Message, ending: Ending, *, process_id: str) -> None:
    """Write what the worker's main process saw of an attempt whose own process could not say it.

    ``ending.retries`` tells which attempt: one that has said that it will be retried is past its end.
    """
    statement = RETRY_OF_CHILD if ending.status == Status.RETRYING else CLOSE_OF_CHILD
    params = message.params | ending.params | ending.attempt_end() | {"process_id": process_id}
    if execute(statement, params, at=ending.at) and ending.status not in OPEN:
        ended(celery_id=message.celery_id)


def close_undelivered(message: Message, ending: Ending) -> None:
    """Write the end of a run whose task never started, opening the row if nobody has."""
    params = message.params | ending.params
    if execute(CLOSE_UNDELIVERED, params, at=ending.at) or _insert(params, ending.at):
        ended(celery_id=message.celery_id)


def mark_sent(celery_id: str, *, at: float) -> None:
    """Write that the broker has taken a run's message."""
    execute(MARK_SENT, {"celery_id": celery_id}, at=at)


def show(attempt: Attempt, *, log: str, progress: str) -> None:
    """Write what a running task has logged and how far it is."""
    execute(SHOW, attempt.params | {"log": log, "progress": progress})


def _insert(params: dict[str, Any], at: float) -> bool:
    nobody = {"attempts": 0, "token": "", "process_id": "", "worker": "", "pid": None}
    no_error = {"error_type": "", "error": "", "traceback": "", **NO_REASON.columns}
    try:
        execute(INSERT, nobody | no_error | params, at=at)
    except IntegrityError:
        return False
    return True
