"""What beat will start in a stretch of time: a task's planned runs.

The first run of a task is beat's own answer; those after it follow from there as beat steps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..models import ScheduledTask
from ..schedules import Unschedulable
from ..ticks import INSTANT, Ticks, ticks_between

MICROSECONDS = 1_000_000
"""In a second."""


@dataclass(frozen=True)
class Plan:
    """One task's planned runs: how many there are, and when they start.

    ``starts`` ascend: ``(seconds after the stretch begins, runs)``. Runs that start within one ``step`` of
    the first of them are told as one.
    """

    starts: Sequence[tuple[float, int]] = ()

    @property
    def count(self) -> int:
        """How many runs there are."""
        return sum(runs for _second, runs in self.starts)


def plan(
    task: ScheduledTask, first: datetime, now: datetime, begin: datetime, until: datetime, step: float
) -> Plan:
    """The runs that ``task``, which runs next at ``first``, starts from ``begin`` on and before ``until``.

    An overdue run starts now. ``step`` is in seconds.
    """
    start = max(first, now)
    if task.expires is not None:
        until = min(until, task.expires)
    if start >= until:
        return Plan()
    try:
        blocks = [part for block in _blocks(task, start, begin, until) if (part := _from(block, begin))]
    except Unschedulable:  # beat has a next run for it, and will find out then
        blocks = [Ticks(start, (0,))] if start >= begin else []
    return Plan([start for block in blocks for start in _starts(block, begin, step)])


def _blocks(task: ScheduledTask, start: datetime, begin: datetime, until: datetime) -> Iterator[Ticks]:
    """The runs from ``start`` on; of an interval, which counts on from there, all of them."""
    yield Ticks(start, (0,))
    if task.one_off:
        return
    after = start if task.interval is not None else max(start, begin - INSTANT)
    yield from ticks_between(task, after, until - INSTANT)


def _from(block: Ticks, begin: datetime) -> Ticks | None:
    """The ticks from ``begin`` on."""
    offsets = block.offsets[bisect_left(block.offsets, (begin - block.start) // INSTANT) :]
    return Ticks(block.start, offsets) if offsets else None


def _starts(block: Ticks, begin: datetime, step: float) -> Iterator[tuple[float, int]]:
    """The ticks as :attr:`Plan.starts`; a dense interval has millions, of which not all are looked at."""
    ahead, within = (block.start - begin).total_seconds(), int(step * MICROSECONDS)
    offsets, each = block.offsets, 1
    if isinstance(offsets, range) and len(offsets) > 1:
        each = max(1, within // offsets.step)
    first, runs = offsets[0], 0
    for index in range(0, len(offsets), each):
        if offsets[index] - first >= within and runs:
            yield ahead + first / MICROSECONDS, runs
            first, runs = offsets[index], 0
        runs += min(each, len(offsets) - index)
    yield ahead + first / MICROSECONDS, runs
