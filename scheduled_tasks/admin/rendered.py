"""Rows of the list as HTML, kept in memory while they say the same.

A row's key covers what it shows, save two things: what its viewer is and may do, by which rows are kept
apart, and what changes with the time or with each rendering, which is filled in last. So a second look at the
list, and another viewer's, makes only the rows that have changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.template import Template
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from . import words
from .holes import Traits, partly_filled
from .row import TaskRow, run_key
from .rows import Rows
from .signs import Moment

MOST = 2000
"""Rows kept per process, of some 5 kB each."""

LASTS = timedelta(minutes=1)
"""How long: an ended run may get a late word of its end, which its row's key does not tell."""

LATE = frozenset({"run_key", "next_relative", "last_relative"})
"""Texts filled in last."""


@dataclass(frozen=True)
class Rendered:
    """A row's HTML but for the texts that are filled in last, which stand by name between its pieces."""

    key: str
    """Its row's, empty while a run of it is open: what that says of itself changes under the same key."""

    pieces: Sequence[str]
    next_at: Moment | None
    last_at: Moment | None
    made_at: datetime

    def html(self, now: datetime) -> str:
        """The row as it is at that moment, for one rendering."""
        texts = {
            "run_key": run_key(),
            "next_relative": words.relative(self.next_at.at, now, overdue="late") if self.next_at else "",
            "last_relative": words.relative(self.last_at.at, now) if self.last_at else "",
        }
        return "".join([texts[piece] if n % 2 else piece for n, piece in enumerate(self.pieces)])


class Memory:
    """Rows by the ids of their tasks, for each kind of viewer. Threads may lose each other's, no more."""

    def __init__(self) -> None:
        self._kept: dict[object, dict[int, Rendered]] = {}

    def rows(self, viewer: object, now: datetime) -> dict[int, Rendered]:
        """What is kept for these viewers and not too old."""
        kept = self._kept.get(viewer, {})
        return {pk: row for pk, row in kept.items() if now - row.made_at < LASTS}

    def keep(self, viewer: object, rows: dict[int, Rendered]) -> None:
        """Keep these rows for these viewers, in place of what was; too many, and all others are forgotten."""
        kept = {**self._kept, viewer: rows}
        if sum(map(len, kept.values())) > MOST:
            kept = {viewer: dict([*rows.items()][-MOST:])}
        self._kept = kept

    def clear(self) -> None:
        """Forget all."""
        self._kept = {}


memory = Memory()


def rows_html(template: Template, shared: Traits, rows: Rows) -> SafeString:
    """The rows of a page of tasks; ``shared`` is what they have in common for this viewer."""
    viewer = (template, shared, get_language(), timezone.get_current_timezone_name())
    known = memory.rows(viewer, rows.facts.now)
    if not known:
        shown = made = _made(template, shared, rows.all())
    else:
        found = {
            pk: known[pk] for pk, key in rows.keys.items() if key and pk in known and known[pk].key == key
        }
        made = _made(template, shared, rows.read([pk for pk in rows.keys if pk not in found]))
        shown = {pk: row for pk in rows.keys if (row := found.get(pk) or made.get(pk))}
    memory.keep(viewer, {**known, **made})
    return mark_safe("\n".join([row.html(rows.facts.now) for row in shown.values()]))  # noqa: S308 - of templates


def _made(template: Template, shared: Traits, tasks: Iterable[TaskRow]) -> dict[int, Rendered]:
    return {task.pk: _rendered(template, shared, task) for task in tasks}


def _rendered(template: Template, shared: Traits, task: TaskRow) -> Rendered:
    pieces = partly_filled(template, task.row_texts, (*shared, *task.row_traits), LATE)
    key = "" if task.is_open else task.key
    return Rendered(key, pieces, task.next_at, task.last_at, task.now)
