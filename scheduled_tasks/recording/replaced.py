# ruff: noqa: S608 - the statements are made of this module's own constants
"""The statements for a run whose task has replaced itself (``self.replace()``).

The run stays running until the last task of the replacement, which has its id, starts as an attempt of it.
Until then it has the process of a task that runs for it, and none while such a task waits in a queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models import Status
from ..reasons import Code
from .connection import execute
from .ended import ended
from .statements import CLOSE, ITS_ATTEMPT, OUTPUT, STATUS, WORKER, Attempt, Ending, start

HANDED_ON = f"""{STATUS} = '{Status.RUNNING}' AND "reason" = '{Code.CONTINUED}'"""
HAND_ON = f"""
UPDATE "run" SET
    "process_id" = '', "reason" = '{Code.CONTINUED}', "reason_params" = '', {OUTPUT}
WHERE {ITS_ATTEMPT}
"""
JOIN = f"""
UPDATE "run" SET {WORKER}
WHERE "celery_id" = %(celery_id)s AND "process_id" = '' AND {HANDED_ON}
"""
LEAVE = f"""
UPDATE "run" SET "process_id" = ''
WHERE "celery_id" = %(celery_id)s AND "process_id" = %(process_id)s AND {HANDED_ON}
"""
END = f"""{CLOSE} {HANDED_ON}"""


def hand_on(attempt: Attempt, *, log: str, progress: str) -> None:
    """Write that ``attempt`` is about to send what replaces its task (``self.replace()``)."""
    if not attempt.started:
        start(attempt)
    execute(HAND_ON, attempt.params | {"log": log, "progress": progress})


def join(params: Mapping[str, Any]) -> None:
    """Write which process runs a task of a replacement."""
    execute(JOIN, params)


def leave(celery_id: str, *, process_id: str) -> None:
    """Write that this process runs no task of a replacement any more."""
    execute(LEAVE, {"celery_id": celery_id, "process_id": process_id})


def end(celery_id: str, ending: Ending) -> None:
    """Write the end of a run that a task of its replacement has brought about."""
    if execute(END, ending.params | {"celery_id": celery_id}, at=ending.at):
        ended(celery_id=celery_id)
