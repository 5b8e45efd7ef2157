"""What is known of each attempt at a run, and the other runs that it came of or led to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from django.utils.translation import gettext as _

from ..models import Status, TaskRun, word_of
from ..models.clock import elapsed
from ..reasons import Code
from ..recording.attempt_log import PastAttempt, past_attempts
from . import formats

Clock = Callable[[datetime], str]

OF_LAST = frozenset({Status.FAILED, Status.TIMED_OUT})
"""Statuses of a run whose own error is that of its last attempt."""

NEWER_READ = 200
"""Newer runs of the task among which retries of a run are looked for: no index leads to them."""


def attempts(run: TaskRun, clock: Clock) -> list[tuple[str, str]]:
    """Each attempt by its number with its start, how long it waited for it, and its error or the run's end.

    Empty for a run of a single attempt.
    """
    if run.attempts < 2 and run.status != Status.RETRYING:
        return []
    past = past_attempts(run)
    waits = [run.queue_wait, *(elapsed(before.ended_at, one.started_at) for before, one in pairwise(past))]
    known = {
        number: [_started(one, wait, clock), formats.error_line(one.error_type, one.error)]
        for number, (one, wait) in enumerate(zip(past, waits, strict=True), start=1)
    }
    last = known.setdefault(run.attempts + (run.status == Status.RETRYING), [])
    if run.status in OF_LAST or (run.status == Status.LOST and run.reason == Code.KILLED):
        last.append(formats.error_line(run.error_type, run.error.partition("\n")[0]))
    last.append(_ended(run, clock))
    return _lines({number: " · ".join(filter(None, texts)) for number, texts in known.items()})


def _started(attempt: PastAttempt, waited: timedelta | None, clock: Clock) -> str:
    if attempt.started_at is None:
        return ""
    if waited is None:
        return _("started %(time)s") % {"time": clock(attempt.started_at)}
    text = _("started %(time)s, waited %(length)s")
    return text % {"time": clock(attempt.started_at), "length": formats.duration(waited)}


def _ended(run: TaskRun, clock: Clock) -> str:
    return f"{word_of(Status, run.status)} {clock(run.finished_at) if run.finished_at else ''}".rstrip()


def _lines(known: dict[int, str]) -> list[tuple[str, str]]:
    """By number, with one line for those between of which nothing is kept."""
    lines, before = [], 0
    for number, text in sorted(known.items()):
        if number - before > 1:
            first, last = before + 1, number - 1
            lines.append((str(first) if first == last else f"{first}–{last}", _("not kept")))
        lines.append((str(number), text))
        before = number
    return lines


class RelatedRun(NamedTuple):
    """Another run of the same task: how it is related, and its status in words."""

    how: str
    pk: int
    status: str


def related_runs(run: TaskRun) -> list[RelatedRun]:
    """The run that this one retries, the one it had to wait for, and those that retry it."""
    blocked = _("Blocked by") if run.started_at is None else _("Waited for")
    others = {run.retry_of_id: _("Retry of"), run.blocked_by_id: blocked}
    retried = []
    if run.task_id and not run.is_open:
        of_task = TaskRun.objects.of_task(run.task_id)
        newer = of_task.filter(pk__gt=run.pk).order_by("-task_id", "id")  # the index, backwards
        ids = newer.values_list("pk", "retry_of_id")[:NEWER_READ]
        retried = [pk for pk, retry_of in ids if retry_of == run.pk]
    hows = {**{pk: how for pk, how in others.items() if pk}, **dict.fromkeys(retried, _("Retried as"))}
    if not hows:
        return []
    found = TaskRun.objects.filter(pk__in=hows).order_by("pk").values_list("pk", "status")
    return [RelatedRun(hows[pk], pk, word_of(Status, status)) for pk, status in found]
