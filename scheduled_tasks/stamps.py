# ruff: noqa: S608 - the statements are made of this module's own constants
"""What moves when anything that a list of tasks shows does, read from indexes instead of from its rows.

Ended runs do not change, save those whose end was concluded from silence. So a few ids and counts, the open
and the newest runs and the listed tasks' own rows tell whether anything is new, and mostly of which tasks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from hashlib import md5, sha1
from time import monotonic
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression, Model, TextField
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)

from .health import BROKER_STALE_AFTER, LOOP_STALE_AFTER
from .models import (
    LONG_AGO,
    MIN_LATE_AFTER,
    OPEN,
    SOFT,
    UNDER_WAY,
    CodeDefault,
    Lease,
    Process,
    TaskRun,
    TaskState,
    now_sql,
    told_by_clock,
)
from .processes import STALE_AFTER
from .recent import ALL_OF

ARRAY = {
    "sqlite": "json_array({})",
    "postgresql": "CAST(json_build_array({}) AS text)",
    "mysql": "CAST(JSON_ARRAY({}) AS CHAR)",
}
SHORTER = {"sqlite": "{}", "postgresql": "MD5({})", "mysql": "MD5({})"}
"""A fingerprint as a text that moves with it, which a server need not send. None has a line's end."""

JOINED = {
    "sqlite": "{} || CHAR(10) || {}",
    "postgresql": "{} || CHR(10) || {}",
    "mysql": "CONCAT({}, '\\n', {})",
}
LINES = {
    "sqlite": "GROUP_CONCAT(t.id || ' ' || {}, CHAR(10))",
    "postgresql": "STRING_AGG(t.id || ' ' || {}, CHR(10) ORDER BY t.id)",
    "mysql": "GROUP_CONCAT(CONCAT_WS(' ', t.id, {}) ORDER BY t.id SEPARATOR '\\n')",
}
"""All tasks as one text, a line each: where nothing has moved, it need not be taken apart."""

STATE = {"sqlite": "{} || ' ' || {}", "postgresql": "{} || ' ' || {}", "mysql": "{}, {}"}

NOT_SHOWN = {"last_run_at", "total_run_count", "date_changed", "accounted_until", "enabled_since"}
LIVE = ("t.enabled", "s.next_run_at", "s.broken_reason", "s.skip_next", "s.pause_note")
"""What changes without a note in :class:`PeriodicTasks`, of ``t`` also for beat's own sake."""

SOFT_SEEN = 1000
"""How many of the newest runs of each soft status are watched."""

SETTLES = 5.0
"""Seconds for which tasks are read at every look after an edit was noted: the note may be seen before it."""

LASTS = 60.0
"""Seconds after which they are read again, noted or not: the bound of an edit that is not noted, as by
``QuerySet.update()``, which beat does not see either."""

MOST = 200
"""Lists of which the edits are kept per process, of some 30 kB each."""

NEWEST = 50
"""How many of the newest runs are told one by one."""

LOOK_AGAIN = 15
"""Seconds between two full looks while something waits or is overdue: time alone may then make it late."""


def _columns(model: type[Model], alias: str) -> list[str]:
    fields = model._meta.concrete_fields
    shown = [field for field in fields if field.name not in NOT_SHOWN and not field.primary_key]
    columns = [f"{alias}.{field.column}" for field in shown]
    return [column for column in columns if column not in LIVE]


STATE_TABLES = f"{PeriodicTask._meta.db_table} t LEFT JOIN {TaskState._meta.db_table} s ON s.task_id = t.id"
STATE_COLUMNS = ", ".join(LIVE)
EDIT_COLUMNS = ", ".join(
    [
        *_columns(PeriodicTask, "t"),
        *_columns(TaskState, "s"),
        *_columns(CodeDefault, "d"),
        *_columns(CrontabSchedule, "c"),
        *_columns(IntervalSchedule, "i"),
        *_columns(SolarSchedule, "o"),
        *_columns(ClockedSchedule, "k"),
    ]
)
EDIT_TABLES = f"""{STATE_TABLES}
    LEFT JOIN {CodeDefault._meta.db_table} d ON d.task_id = t.id
    LEFT JOIN {CrontabSchedule._meta.db_table} c ON c.id = t.crontab_id
    LEFT JOIN {IntervalSchedule._meta.db_table} i ON i.id = t.interval_id
    LEFT JOIN {SolarSchedule._meta.db_table} o ON o.id = t.solar_id
    LEFT JOIN {ClockedSchedule._meta.db_table} k ON k.id = t.clocked_id"""


class Fingerprint(Expression):
    """All that is stored about a task, as one text; an annotation of tasks."""

    output_field = TextField()

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, tuple[()]]:
        task = connection.ops.quote_name(PeriodicTask._meta.db_table)
        edits, state = (
            f"(SELECT {ARRAY[connection.vendor].format(columns)} FROM {tables} WHERE t.id = {task}.id)"
            for columns, tables in ((EDIT_COLUMNS, EDIT_TABLES), (STATE_COLUMNS, STATE_TABLES))
        )
        return JOINED[connection.vendor].format(edits, state), ()


Run = tuple[int | None, str]
"""The task of a run, and what may change of the run."""


@dataclass(frozen=True)
class Stamp:
    """What a list of tasks was made of at one moment."""

    common: str
    """Moves with what may change any row, or which rows there are."""

    at: datetime
    """The database's clock."""

    edits: tuple[object, ...]
    """Moves with an edit of any task or schedule: the note of it, or the listed tasks themselves."""

    stored: Mapping[int, int]
    """The :func:`mark` of each listed task."""

    due: frozenset[int]
    """The listed tasks whose next run is due."""

    opened: Mapping[int, Run]
    """The open runs of all tasks."""

    newest: Mapping[int, Run]
    """The newest runs of all tasks, open or not."""

    def touched(self, before: Stamp) -> frozenset[int] | None:
        """The tasks, listed or not, of which something has changed since; None when it may be any."""
        first = min(self.newest, default=0)
        if self.common != before.common or first > max(before.newest, default=0) + 1:
            return None
        stored = {pk for pk, _mark in self.stored.items() ^ before.stored.items()} | (self.due ^ before.due)
        opened = {task for _pk, (task, _text) in self.opened.items() ^ before.opened.items()}
        newest = self.newest.items() ^ before.newest.items()
        ran = {task for pk, (task, _status) in newest if pk >= first}
        return frozenset(pk for pk in stored | opened | ran if pk is not None)


def digest(*shown: object) -> str:
    """A short text that changes with what is shown."""
    return sha1("\n".join(map(str, shown)).encode(), usedforsecurity=False).hexdigest()[:24]


def mark(fingerprint: str) -> int:
    """A number, in this process, that moves with a task's fingerprint."""
    parts = fingerprint.split("\n")
    if connections[TaskRun.objects.db].vendor == "sqlite":
        return hash((*parts,))
    return hash((*(md5(part.encode(), usedforsecurity=False).hexdigest() for part in parts),))


@dataclass(frozen=True)
class Edits:
    """What listed tasks are but for their state, as this process has read it."""

    note: str | None
    """When django-celery-beat noted the last edit of any task or schedule."""

    noted_at: float
    """Since when this process has seen that note."""

    read_at: float
    _text: str

    @property
    def lasting(self) -> bool:
        """Whether they need not be read again as long as the note is the same."""
        return self.read_at >= self.noted_at + SETTLES and monotonic() < self.read_at + LASTS

    @cached_property
    def version(self) -> str:
        """Moves with them."""
        return digest(self._text)

    @cached_property
    def by_task(self) -> Mapping[int, str]:
        """The edited part of each task's fingerprint, shortened."""
        return {int(pk): text for pk, text in _lines(self._text)}


_edits: dict[tuple[int, ...], Edits] = {}


def _keep(listed: tuple[int, ...], note: str | None, text: str) -> Edits:
    now, before = monotonic(), _edits.pop(listed, None)
    noted_at = before.noted_at if before and before.note == note else now
    _edits[listed] = found = Edits(note, noted_at, now, text)
    for oldest in [*_edits][:-MOST]:
        _edits.pop(oldest, None)
    return found


def forget() -> None:
    """Read all tasks again."""
    _edits.clear()


def _lines(text: str) -> Iterator[list[str]]:
    return (line.split(" ", 1) for line in text.split("\n") if line)


@dataclass(frozen=True)
class Reading:
    """What the statement found, of which most is taken apart only when the browser has another version."""

    text: str
    """Moves with everything visible on the list, its header included."""

    at: datetime
    _common: tuple[object, ...]
    _opened: Sequence[Sequence[Any]]
    _newest: str
    _edits: Edits
    _states: str

    def stamp(self) -> Stamp:
        """The same as a stamp."""
        newest = (column or [] for column in json.loads(self._newest))
        states = {int(pk): text for pk, text in _lines(self._states)}
        edits = self._edits.by_task
        return Stamp(
            common=digest(*self._common),
            at=self.at,
            edits=(self._edits.note, self._edits.version),
            stored={pk: hash((edits.get(pk), text[2:])) for pk, text in states.items()},
            due=frozenset(pk for pk, text in states.items() if text[0] == "1"),
            opened={pk: (task, repr(rest)) for pk, task, *rest in self._opened},
            newest={pk: (task, status) for pk, task, status in zip(*newest, strict=True)},
        )


def read(task_ids: Iterable[int]) -> Reading:
    """What the stamp of a list of these tasks is made of: one statement."""
    connection = connections[TaskRun.objects.db]
    long_ago = str(connection.ops.adapt_datetimefield_value(LONG_AGO))
    listed = tuple(task_ids)
    known = _edits.get(listed)
    note = known.note if known and known.lasting else None
    statement = _statement(connection.vendor, now_sql(connection), long_ago, NEWEST, listed, note)
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchall()
    texts: dict[str, list[str]] = {
        kind: [] for kind in ("world", "process", "open", "newest", "edits", "states")
    }
    for kind, text in found:
        texts[kind].append(text or "")
    clock, due, updated, broken, *ids = json.loads(texts["world"][0])
    edits = known if known and note and updated == note else _keep(listed, updated, texts["edits"][0])
    now = datetime.fromisoformat(clock)
    opened = [json.loads(text) for text in texts["open"]]
    processes = sorted(_as_seen(json.loads(text), now) for text in texts["process"])
    common = (ids, processes, _turn(due, opened, now))
    (newest,), (states,) = texts["newest"], texts["states"]
    moving = (*common, updated, broken, newest, *sorted(texts["open"]), edits.version, states)
    return Reading(digest(*moving), told_by_clock(now), common, opened, newest, edits, states)


def _turn(due: str | None, opened: Iterable[Sequence[Any]], now: datetime) -> int:
    """Moves every few seconds while a task waits or is overdue, and may become late by time alone.

    Times are the database's own, with or without a zone, all alike.
    """
    limit = now - MIN_LATE_AFTER
    waits = any(
        status in OPEN - UNDER_WAY and datetime.fromisoformat(at) < limit
        for _pk, _task, status, at, *_ in opened
    )
    overdue = due is not None and datetime.fromisoformat(due) < limit
    return int(now.timestamp() // LOOK_AGAIN) if waits or overdue else 0


def _as_seen(values: Sequence[Any], now: datetime) -> tuple[object, ...]:
    """A process without its times: only whether they are too long ago."""
    boot_id, seen, looped, reached, started, error, leads_until = values

    def stale(text: str | None, limit: timedelta) -> bool:
        return text is not None and datetime.fromisoformat(text) < now - limit

    return (
        boot_id,
        stale(seen, STALE_AFTER),
        stale(looped, LOOP_STALE_AFTER),
        stale(reached or started, BROKER_STALE_AFTER),
        error,
        leads_until is not None and datetime.fromisoformat(leads_until) > now,
    )


@lru_cache(maxsize=100)  # a browser asks for the same tasks again and again
def _statement(
    vendor: str, now: str, long_ago: str, newest: int, task_ids: tuple[int, ...], note: str | None
) -> str:
    array = ARRAY[vendor]
    run, process, lease = (model._meta.db_table for model in (TaskRun, Process, Lease))
    leads = f"LEFT JOIN {lease} l ON l.name = 'beat' AND l.holder = p.boot_id"
    living = f"{process} p {leads} WHERE p.stopped_at IS NULL"
    runs = f"(SELECT id, task_id, status FROM {run} ORDER BY id DESC LIMIT {newest}) AS newest"
    listed = ", ".join(map(str, sorted(task_ids))) or "NULL"
    columns = ", ".join(map(ALL_OF[vendor].format, ("id", "task_id", "status")))
    edits = LINES[vendor].format(SHORTER[vendor].format(array.format(EDIT_COLUMNS)))
    due = f"CASE WHEN s.next_run_at <= {now} THEN 1 ELSE 0 END"
    state = SHORTER[vendor].format(array.format(STATE_COLUMNS))
    states = LINES[vendor].format(STATE[vendor].format(due, state))
    edited = f"NOT EXISTS (SELECT 1 FROM {PeriodicTasks._meta.db_table} WHERE last_update = {_text(note)})"
    parts = [
        f"SELECT 'world' AS kind, {array.format(_world(now))} AS shown",
        f"SELECT 'process', {array.format(PROCESS)} FROM {living}",
        f"SELECT 'open', {array.format(OPEN_RUN)} FROM {run} WHERE open_since > '{long_ago}'",
        f"SELECT 'newest', {array.format(columns)} FROM {runs}",
        f"SELECT 'edits', {edits} FROM {EDIT_TABLES} WHERE t.id IN ({listed}) AND {edited}",
        f"SELECT 'states', {states} FROM {STATE_TABLES} WHERE t.id IN ({listed})",
    ]
    return " UNION ALL ".join(parts)


def _text(value: str | None) -> str:
    return "NULL" if value is None else "'{}'".format(value.replace("'", "''"))


PROCESS = "p.boot_id, p.last_seen_at, p.loop_at, p.broker_ok_at, p.started_at, p.recorder_error, l.until"
OPEN_RUN = "id, task_id, status, queued_at, progress, process_id, reason"


def _world(now: str) -> str:
    """The clock, since when a task is due, what moves the header, then what there is of tasks and runs."""
    run, task, state = (model._meta.db_table for model in (TaskRun, PeriodicTask, TaskState))
    soft = [
        f"(SELECT {what} FROM (SELECT id FROM {run} WHERE status = '{status}'"
        f" ORDER BY id DESC LIMIT {SOFT_SEEN}) AS newest)"
        for status in sorted(SOFT)
        for what in ("COUNT(*)", "MIN(id)")
    ]
    due = f"FROM {state} s JOIN {task} t ON t.id = s.task_id WHERE t.enabled AND s.next_run_at <= {now}"
    return ", ".join(
        [
            now,
            f"(SELECT MIN(s.next_run_at) {due})",
            f"(SELECT MAX(last_update) FROM {PeriodicTasks._meta.db_table})",
            f"(SELECT COUNT(*) FROM {state} WHERE next_run_at IS NULL AND broken_reason > '')",
            f"(SELECT COUNT(*) FROM {task})",
            f"(SELECT MAX(id) FROM {task})",
            f"(SELECT MIN(id) FROM {run})",
            *soft,
        ]
    )
