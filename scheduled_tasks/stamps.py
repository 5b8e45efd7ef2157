"""What moves when anything that a list of tasks shows does, read from indexes instead of from its rows.

Ended runs do not change, save those whose end was concluded from silence. So a few ids and counts, the open
and the newest runs and the listed tasks' own rows tell whether anything is new, and mostly of which tasks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import md5, sha1
from time import monotonic
from typing import Any, NamedTuple

from django.db import connections

from .health import BROKER_STALE_AFTER, LOOP_STALE_AFTER
from .models import (
    LONG_AGO,
    MIN_LATE_AFTER,
    OPEN,
    UNDER_WAY,
    TaskRun,
    now_sql,
    told_by_clock,
)
from .processes import STALE_AFTER
from .stamp_sql import PARTS, statement

SETTLES = 5.0
"""Seconds for which tasks are read at every look after an edit was noted: the note may be seen before it."""

LASTS = 60.0
"""Seconds after which they are read again, noted or not: the bound of an edit that is not noted, as by
``QuerySet.update()``, which beat does not see either."""

MOST = 200
"""Lists of which the edits are kept per process, of some 15 kB each."""

NEWEST = 50
"""How many of the newest runs are told one by one."""

LOOK_AGAIN = 15
"""Seconds between two full looks while something waits or is overdue: time alone may then make it late."""


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
    """Moves with an edit of any task or schedule that is noted, and of the listed ones in any case."""

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
    edits, state = fingerprint.split("\n")
    if connections[TaskRun.objects.db].vendor != "sqlite":
        edits, state = (md5(part.encode(), usedforsecurity=False).hexdigest() for part in (edits, state))
    return hash((hash(edits), state))


@dataclass(frozen=True)
class Edits:
    """What listed tasks are but for their state, as this process has read it."""

    note: str | None
    """When django-celery-beat noted the last edit of any task or schedule."""

    noted_at: float
    """Since when this process has seen that note."""

    read_at: float
    version: str
    """Moves with them."""

    by_task: Mapping[int, int]
    """A number for each task that moves with it."""

    @property
    def lasting(self) -> bool:
        """Whether they need not be read again as long as the note is the same."""
        return self.read_at >= self.noted_at + SETTLES and monotonic() < self.read_at + LASTS


_edits: dict[tuple[int, ...], Edits] = {}


def _keep(listed: tuple[int, ...], note: str | None, text: str, read_at: float) -> Edits:
    before = _edits.pop(listed, None)
    noted_at = before.noted_at if before and before.note == note else monotonic()
    by_task = {int(pk): hash(edits) for pk, edits in _lines(text)}
    _edits[listed] = found = Edits(note, noted_at, read_at, digest(text), by_task)
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
        return Stamp(
            common=digest(*self._common),
            at=self.at,
            edits=(self._edits.note, self._edits.version),
            stored={pk: hash((edits, states.get(pk, "")[2:])) for pk, edits in self._edits.by_task.items()},
            due=frozenset(pk for pk, text in states.items() if text[0] == "1"),
            opened={pk: (task, repr(rest)) for pk, task, *rest in self._opened},
            newest={pk: (task, status) for pk, task, status in zip(*newest, strict=True)},
        )


def read(task_ids: Iterable[int]) -> Reading:
    """What the stamp of a list of these tasks is made of: one statement, or two after an edit."""
    listed = tuple(task_ids)
    edits = _edits.get(listed)
    if edits and edits.lasting:
        texts = _texts(listed, PARTS - {"edits"})
        world = _world(texts)
        if world.note == edits.note:
            return _reading(texts, world, edits)
    begun_at = monotonic()
    texts = _texts(listed, PARTS)
    world = _world(texts)
    return _reading(texts, world, _keep(listed, world.note, texts["edits"][0], begun_at))


Texts = Mapping[str, Sequence[str]]
"""What the statement found, by the kind of the row."""


def _texts(listed: tuple[int, ...], parts: frozenset[str]) -> Texts:
    connection = connections[TaskRun.objects.db]
    long_ago = str(connection.ops.adapt_datetimefield_value(LONG_AGO))
    with connection.cursor() as cursor:
        cursor.execute(statement(connection.vendor, now_sql(connection), long_ago, NEWEST, listed, parts))
        found = cursor.fetchall()
    texts: dict[str, list[str]] = {kind: [] for kind in parts}
    for kind, text in found:
        texts[kind].append(text or "")
    return texts


class World(NamedTuple):
    """See :func:`.stamp_sql.world`."""

    clock: str
    due: str | None
    note: str | None
    broken: int
    ids: Sequence[int | None]


def _world(texts: Texts) -> World:
    clock, due, note, broken, *ids = json.loads(texts["world"][0])
    return World(clock, due, note, broken, ids)


def _reading(texts: Texts, world: World, edits: Edits) -> Reading:
    now = datetime.fromisoformat(world.clock)
    opened = [json.loads(text) for text in texts["open"]]
    processes = sorted(_as_seen(json.loads(text), now) for text in texts["process"])
    common = (world.ids, processes, _turn(world.due, opened, now))
    (newest,), (states,) = texts["newest"], texts["states"]
    moving = (*common, world.note, world.broken, newest, *sorted(texts["open"]), edits.version, states)
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
