"""Ticks that do not start, cut where maintenance windows begin and end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime

from ..models import MaintenanceWindow, Status, TaskRun, Windows
from ..reading.recent_runs import recent_runs
from ..reasons import Code
from ..ticks import INSTANT, Span, span_between
from .entries import Entry
from .pending_runs import ON_TIME

Stretch = tuple[Span, list[MaintenanceWindow]]
"""Ticks, and the windows that cover them all."""

RowsByTick = Mapping[tuple[int | None, datetime | None], TaskRun]

NEWEST = 5
"""Newest runs of a task among which the row of the skipped tick before is looked for."""

CODES = frozenset({Code.MAINTENANCE, Code.PAUSED_BY, Code.PAUSED_BY_SETTING})


def stopping(windows: Windows, task_id: int, tick: datetime, now: datetime) -> list[MaintenanceWindow]:
    """The windows that keep a tick from starting: those in which it lies, for a late one those of now."""
    return windows.covering(task_id, tick) or (windows.covering(task_id, now) if now - tick > ON_TIME else [])


def stretches(
    entry: Entry, span: Span, windows: Windows, last: list[MaintenanceWindow] | None
) -> list[Stretch]:
    """The ticks of ``span``, which follow on what the entry is accounted for, as few stretches as possible.

    ``last`` are the windows that stop the last tick; None where it starts, which leaves it out.
    """
    rest = span.without_last()
    found = list(_cut(entry, rest, windows)) if rest else []
    if last is not None:
        found.append((Span(span.last, span.last), last))
    return list(_merged(found))


def _cut(entry: Entry, span: Span, windows: Windows) -> Iterator[Stretch]:
    task_id, after = entry.task.pk, entry.accounted_until
    ends = {moment for each in windows.of(task_id) for moment in (each.starts_at, each.ends_at) if moment}
    cuts = sorted(moment - INSTANT for moment in ends if span.first < moment <= span.last)
    if not cuts:
        yield span, windows.covering(task_id, span.last)
        return
    for until in (*cuts, span.last):
        part = span_between(entry.task, after, until)
        if part is not None:
            yield part, windows.covering(task_id, part.last)
            after = part.last


def _merged(found: Iterable[Stretch]) -> Iterator[Stretch]:
    before: Stretch | None = None
    for span, windows in found:
        if before is not None and before[1] == windows:
            earlier = before[0]
            span = Span(earlier.first, span.last, earlier.count + span.count, span.but_last or earlier.last)
        elif before is not None:
            yield before
        before = span, windows
    if before is not None:
        yield before


def skipped_rows(task_ids: Collection[int], most: int) -> RowsByTick:
    """The rows of ticks that a maintenance has skipped, by task and last tick, of fewer than ``most`` ticks.

    Only what is among a task's newest runs is found: its next tick begins another row otherwise.
    """
    ids = [
        run.id
        for runs in recent_runs([*task_ids], NEWEST).values()
        for run in runs
        if run.status == Status.SKIPPED and run.reason in CODES
    ]
    # One that somebody has run later, whose name it has then, is complete.
    rows = TaskRun.objects.filter(pk__in=ids, tick_count__lt=most, actor="")
    columns = ("task_id", "scheduled_until", "reason", "reason_params")
    return {(row.task_id, row.scheduled_until): row for row in rows.only(*columns)}
