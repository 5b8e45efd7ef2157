"""What lists of tasks were when this process last answered them, so that only what has moved is read.

A list that it does not know, or not any more, has all its rows compared by their keys.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from .. import stamps
from ..facts import Use
from ..flags import Failing
from ..models import ScheduledTask
from ..overview import Row
from ..stamps import Stamp
from .summary import Summary

MOST = 200
"""Lists kept per process, of some 20 kB each."""

LASTS = timedelta(minutes=1)
"""How long a list goes without its rows being compared: the bound of what no stamp tells."""

MOST_TASKS = 1000
"""Tasks kept, of some 10 kB each."""


@dataclass(frozen=True)
class Known:
    """What still holds of a list: its rows' keys but those in doubt, and who fails."""

    keys: Mapping[int, str]
    complete: bool
    """Whether these are its rows, in their order."""

    failing: Failing
    uses: set[Use] | None
    compared_at: datetime


@dataclass(frozen=True)
class Seen:
    """A list of tasks as it was answered."""

    stamp: Stamp
    """Read before all else, so that what changes meanwhile moves the next one."""

    keys: Mapping[int, str]
    """Its rows'; empty where only the row can tell."""

    failing: frozenset[int]
    """All tasks that fail, listed or not."""

    uses: set[Use]
    """What all tasks use."""

    by_edits: bool
    """Whether only an edit changes which rows it has and their order."""

    compared_at: datetime
    """When all its rows were last compared."""

    def known(self, stamp: Stamp) -> Known | None:
        """What still holds at a later stamp; None when nothing is known to."""
        touched = stamp.touched(self.stamp)
        if touched is None or stamp.at >= self.compared_at + LASTS:
            return None
        still = stamp.stored.keys() - touched
        keys = {pk: key if pk in still else "" for pk, key in self.keys.items()}
        unedited = stamp.edits == self.stamp.edits
        return Known(
            keys=keys,
            complete=unedited and self.by_edits,
            failing=Failing(self.failing - touched, touched),
            uses=self.uses if unedited else None,
            compared_at=self.compared_at,
        )


@dataclass(frozen=True)
class Look:
    """A look at a list: its stamp, and what still holds of an earlier look."""

    name: Hashable
    stamp: Stamp
    known: Known | None

    def keep(self, keys: Mapping[int, str], summary: Summary, *, by_edits: bool) -> None:
        """Remember what was found; ``by_edits`` as in :class:`Seen`."""
        seen = Seen(
            stamp=self.stamp,
            keys=keys,
            failing=summary.counts.failing_ids,
            uses=summary.facts.uses,
            by_edits=by_edits,
            compared_at=self.known.compared_at if self.known else self.stamp.at,
        )
        memory.keep(self.name, seen)


class Memory:
    """What was last seen of each list. Threads may lose each other's, no more."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, Seen] = {}
        self._tasks: dict[int, ScheduledTask] = {}

    def look(self, name: Hashable) -> Look | None:
        """A look at a list that was seen: one statement."""
        seen = self._seen.get(name)
        return self.look_at(name, stamps.read(seen.keys).stamp()) if seen else None

    def look_at(self, name: Hashable, stamp: Stamp) -> Look:
        """A look at a list of which the stamp has been read."""
        seen = self._seen.get(name)
        return Look(name, stamp, seen.known(stamp) if seen else None)

    def keep(self, name: Hashable, seen: Seen) -> None:
        """Keep what was seen of this list, and forget the one that was seen least lately."""
        kept = {key: value for key, value in self._seen.items() if key != name} | {name: seen}
        self._seen = dict([*kept.items()][-MOST:]) if len(kept) > MOST else kept

    def tasks(self, task_ids: Iterable[int], stamp: Stamp) -> list[ScheduledTask]:
        """Those of these tasks that are known as they are stored at that stamp."""
        found = [task for pk in task_ids if (task := self._tasks.get(pk))]
        return [task for task in found if stamps.mark(task.fingerprint) == stamp.stored.get(task.pk)]  # type: ignore[attr-defined]

    def keep_tasks(self, rows: Iterable[Row]) -> None:
        """Keep the tasks of these rows, save where the next run depends on more than a stamp tells."""
        kept = {**self._tasks, **{row.task.pk: row.task for row in rows if row.lasting_key}}
        self._tasks = dict([*kept.items()][-MOST_TASKS:]) if len(kept) > MOST_TASKS else kept

    def clear(self) -> None:
        """Forget all."""
        self._seen, self._tasks = {}, {}


memory = Memory()
