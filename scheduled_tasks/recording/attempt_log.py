"""The attempts at a run before its last: when each began, how long it took, and its error.

A run has one row however often it is tried, and each attempt writes its error over that of the one before.
What would be lost is noted in a column of the row, a line each, with the attempt's token: the end of an
attempt that is not the last as JSON, the start of every attempt but the first as a time in UTC. A retry
without a delay may start before the end of the attempt before it is written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..models import TaskRun

LONGEST = 20_000
"""Characters of the log from which on nothing is added: a task may retry for ever."""

LINE = 200
"""Characters kept of an error."""


@dataclass
class PastAttempt:
    """What is known of an attempt: its start, how long it took, and the beginning of its error."""

    started_at: datetime | None
    took: timedelta | None = None
    error_type: str = ""
    error: str = ""

    @property
    def ended_at(self) -> datetime | None:
        """When it ended, if both its start and its length are known."""
        return None if self.started_at is None or self.took is None else self.started_at + self.took


def noting(token: str, text: str) -> str:
    """The SQL of the log with one more line, of ``token`` and ``text``, which are SQL as well."""
    longer = f"""CONCAT("attempt_log", {token}, ' ', {text}, '\n')"""
    return f"""CASE WHEN LENGTH("attempt_log") < {LONGEST} THEN {longer} ELSE "attempt_log" END"""


def of_end(error_type: str, error: str, took: float | None) -> str:
    """The text about an attempt that ended after ``took`` seconds, None if nobody knows."""
    return json.dumps([error_type, error.partition("\n")[0][:LINE], took and round(took, 3)])


def past_attempts(run: TaskRun) -> list[PastAttempt]:
    """The attempts in the order they began, from the first; the last may be one that goes on or has ended."""
    first, first_token = PastAttempt(run.started_at), ""
    later: dict[str, PastAttempt] = {}
    for line in run.attempt_log.splitlines():
        token, _, text = line.partition(" ")
        if not text.startswith("["):
            later[token] = PastAttempt(datetime.fromisoformat(text).replace(tzinfo=UTC))
            continue
        if (
            token not in later
        ):  # the first attempt's, whose start is no line, or one whose start came too late
            first_token = first_token or token
            later.setdefault(token, first if token == first_token else PastAttempt(None))
        attempt = later[token]
        attempt.error_type, attempt.error, took = json.loads(text)
        attempt.took = None if took is None else timedelta(seconds=took)
    return [first, *(attempt for attempt in later.values() if attempt is not first)]
