"""What may be true of a task: the one definition of each flag, as a condition of a queryset.

Rows, filters, counts, commands, the timeline and the list's version all ask the database by these.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Case, ExpressionWrapper, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.db.models.lookups import In, LessThan
from django.utils.translation import gettext_lazy as _

from ..conf import settings
from .clock import UtcNow
from .incidents import Incident
from .maintenance import covered
from .runs import FAILURES, OPEN, OUTCOMES, UNDER_WAY, TaskRun
from .tasks import TaskState

MIN_LATE_AFTER = timedelta(seconds=60)

Now = datetime | UtcNow
KnownTasks = Collection[str] | None
Condition = Q | In


class Flag(models.TextChoices):
    """What may be true of a task, each independent of the others."""

    RUNNING = "running", _("running")
    FAILING = "failing", _("failing")
    LATE = "late", _("late")
    SLOW = "slow", _("slow")
    PAUSED = "paused", _("paused")
    BROKEN = "broken", _("broken")
    INCIDENT = "incident", _("with an incident")


def running(now: Now, known_tasks: KnownTasks) -> Condition:
    """A run is under way."""
    return Q(pk__in=TaskRun.objects.under_way().filter(task__isnull=False).values("task_id"))


def failing(now: Now, known_tasks: KnownTasks) -> Condition:
    """The last outcome was a failure."""
    return In(outcome_status(), sorted(FAILURES))


def late(now: Now, known_tasks: KnownTasks) -> Condition:
    """The next run is overdue, or a run has waited for a worker, for too long; not in a maintenance."""
    overdue = TaskState.objects.filter(_overdue("next_run_at", "", now), task__enabled=True)
    waiting = TaskRun.objects.open().filter(
        _overdue("open_since", "task__scheduled_state__", now),
        status__in=sorted(OPEN - UNDER_WAY),
        task__isnull=False,
    )
    is_late = Q(pk__in=overdue.values("task_id")) | Q(pk__in=waiting.values("task_id"))
    return is_late & ~covered(now)


def slow(now: Now, known_tasks: KnownTasks) -> Condition:
    """A run has been under way for longer than its task's limit, or far longer than is usual for it."""
    state = "task__scheduled_state__"
    current: Any = Value(now) if isinstance(now, datetime) else now
    elapsed = ExpressionWrapper(current - F("started_at"), output_field=models.DurationField())
    longest: Any = F(f"{state}max_runtime")
    if settings.MAX_RUNTIME is not None:
        longest = Coalesce(longest, Value(settings.MAX_RUNTIME))
    # As annotations, whose outer joins make every database begin with the few open runs.
    runs = TaskRun.objects.under_way().filter(task__isnull=False)
    limited = runs.annotate(usual=F(f"{state}slow_after"), longest=longest)
    runs = limited.filter(Q(usual__lt=elapsed) | Q(longest__lt=elapsed))
    return Q(pk__in=runs.values("task_id"))


def paused(now: Now, known_tasks: KnownTasks) -> Condition:
    """The task is disabled, or a maintenance window covers it; not one that was to run once and is over."""
    is_to_come = Q(clocked=None) | Q(clocked__clocked_time__gt=now) | Q(scheduled_state__paused_by__gt="")
    return Q(enabled=False) & is_to_come | covered(now)


def broken(now: Now, known_tasks: KnownTasks) -> Condition:
    """Beat cannot schedule it, or it is enabled and no living worker, with or without this app, knows its
    Celery task.
    """
    unschedulable = Q(scheduled_state__broken_reason__gt="")
    if known_tasks is None:
        return unschedulable
    return unschedulable | (Q(enabled=True) & ~Q(task__in=sorted(known_tasks)))


def incident(now: Now, known_tasks: KnownTasks) -> Condition:
    """The task has an open incident."""
    return Q(pk__in=Incident.objects.open().filter(task__isnull=False).values("task_id"))


CONDITIONS: dict[Flag, Callable[[Now, KnownTasks], Condition]] = {
    Flag.RUNNING: running,
    Flag.FAILING: failing,
    Flag.LATE: late,
    Flag.SLOW: slow,
    Flag.PAUSED: paused,
    Flag.BROKEN: broken,
    Flag.INCIDENT: incident,
}


def condition(flag: Flag, now: Now, known_tasks: KnownTasks) -> Condition:
    """When a task has the flag at ``now``; ``known_tasks`` is None where no living worker can tell."""
    return CONDITIONS[flag](now, known_tasks)


def annotation(flag: Flag, now: Now, known_tasks: KnownTasks) -> ExpressionWrapper[Condition]:
    """The same as a column."""
    return ExpressionWrapper(condition(flag, now, known_tasks), output_field=models.BooleanField())


def outcome_of(column: str) -> Subquery:
    """A column of a task's last outcome, by one descent of the index on ``(task, -id, status)``."""
    outcomes = TaskRun.objects.of_task(OuterRef("pk")).filter(status__in=sorted(OUTCOMES))
    return Subquery(outcomes.values(column)[:1])


def outcome_status() -> Subquery:
    """The status of a task's last outcome."""
    return outcome_of("status")


def urgency(now: Now, known_tasks: KnownTasks) -> Case:
    """A number to sort by: tasks that fail first, then broken, late, slow and running ones, then others."""
    order = (Flag.FAILING, Flag.BROKEN, Flag.LATE, Flag.SLOW, Flag.RUNNING)
    return Case(
        *(When(condition(flag, now, known_tasks), then=Value(n)) for n, flag in enumerate(order)),
        default=Value(len(order)),
    )


def _overdue(moment: str, state: str, now: Now) -> Q:
    """Whether ``moment`` passed longer ago than a start may be delayed: half the grace time or the time
    between two ticks, whichever is shorter, but a minute at least.

    ``state`` leads to the task's state. Beat accounts for ticks up to the last one, so the time between two
    ticks is that from there to the next run.
    """
    current: Any = Value(now) if isinstance(now, datetime) else now
    delay = ExpressionWrapper(current - F(moment), output_field=models.DurationField())
    grace, last, following = f"{state}grace", f"{state}accounted_until", f"{state}next_run_at"
    between_ticks = ExpressionWrapper(F(following) - F(last), output_field=models.DurationField())
    by_own_grace = Q(**{f"{grace}__lt": delay + delay})
    by_default_grace = Q(**{f"{grace}__isnull": True, f"{moment}__lt": now - settings.GRACE / 2})
    by_ticks = Q(LessThan(between_ticks, delay), **{f"{following}__gt": F(last)})
    return Q(**{f"{moment}__lt": now - MIN_LATE_AFTER}) & (by_own_grace | by_default_grace | by_ticks)
