"""The rows of one page of the list: which these are, which have changed, and what is read of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.functional import cached_property

from .. import overview
from ..facts import Facts
from ..models import ScheduledTask, ScheduledTaskQuerySet
from .row import TaskRow
from .seen import Look, memory


@dataclass(frozen=True)
class Refresh:
    """Rows of a page that have changed, those that are new with the id of the row before, and who is gone."""

    changed: list[TaskRow]
    added: list[tuple[int, TaskRow]]
    gone: list[str]


class Rows:
    """A page of the list: ``look`` is what is known of it, ``page`` its tasks, read where they are not."""

    def __init__(self, facts: Facts, look: Look | None, page: ScheduledTaskQuerySet) -> None:
        self.facts = facts
        self._look = look
        self._page = page

    @cached_property
    def keys(self) -> dict[int, str]:
        """The keys of the rows, in their order; empty where only the row can tell."""
        known = self._look.known if self._look else None
        if known and known.complete:
            return dict(known.keys)
        if known is None:
            return overview.keys(overview.stored(self._page), self.facts)
        return {pk: known.keys.get(pk, "") for pk in self._page.values_list("pk", flat=True)}

    def all(self) -> list[TaskRow]:
        """Every row, in order."""
        rows = self._made(self._page)
        self.keys = {task.pk: task.row.lasting_key for task in rows}
        return rows

    def read(self, task_ids: Sequence[int]) -> list[TaskRow]:
        """The rows of these tasks of the page, in any order."""
        if not task_ids:
            return []
        known = memory.tasks(task_ids, self._look.stamp) if self._look else []
        others = [*{*task_ids} - {task.pk for task in known}]
        rows = self._made([*known, *(overview.tasks().filter(pk__in=others) if others else ())])
        self.keys |= {task.pk: task.row.lasting_key for task in rows}
        return rows

    def _made(self, tasks: Iterable[ScheduledTask]) -> list[TaskRow]:
        rows = overview.rows(tasks, self.facts)
        memory.keep_tasks(rows)
        return [TaskRow(row) for row in rows]

    def refresh(self, shown: Mapping[int, str]) -> Refresh:
        """What has changed since the rows had the keys of ``shown``."""
        keys = self.keys
        stale = [pk for pk, key in keys.items() if not key or shown.get(pk) != key]
        made = {row.pk: row for row in self.read(stale)}
        before = dict(zip(keys, [0, *keys], strict=False))
        return Refresh(
            changed=[made[pk] for pk in stale if pk in made and pk in shown and shown[pk] != made[pk].key],
            added=[(before[pk], made[pk]) for pk in stale if pk in made and pk not in shown],
            gone=[str(pk) for pk in shown.keys() - keys.keys()],
        )
