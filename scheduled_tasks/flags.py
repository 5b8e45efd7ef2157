"""What may be true of a task, in SQL: header counts and filters over any number of tasks."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models
from django.db.models import Case, Count, OuterRef, Q, Subquery, When
from django.db.models.lookups import In
from django.utils.translation import gettext_lazy as _

from .facts import Facts
from .models import (
    OPEN,
    OUTCOMES,
    UNDER_WAY,
    ScheduledTask,
    ScheduledTaskQuerySet,
    Status,
    TaskRun,
    late_after,
)

FAILURES = OUTCOMES - {Status.SUCCEEDED}
"""Outcomes of a task that is failing."""


class Flag(models.TextChoices):
    """What may be true of a task, each independent of the others."""

    RUNNING = "running", _("running")
    FAILING = "failing", _("failing")
    LATE = "late", _("late")
    PAUSED = "paused", _("paused")
    BROKEN = "broken", _("broken")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many tasks there are, and how many have each flag."""

    total: int
    running: int
    failing: int
    late: int
    paused: int
    broken: int


def counts(facts: Facts) -> Counts:
    """Count all tasks and flags in one statement."""
    conditions = _conditions(facts)
    found = ScheduledTask.objects.annotate(outcome_status=_outcome_status()).aggregate(
        total=Count("pk"),
        **{flag.value: Count("pk", filter=condition) for flag, condition in conditions.items()},
    )
    return Counts(**found)


def flagged(queryset: ScheduledTaskQuerySet, flag: Flag, facts: Facts) -> ScheduledTaskQuerySet:
    """Only the tasks that have ``flag``."""
    return queryset.annotate(outcome_status=_outcome_status()).filter(_conditions(facts)[flag])


def urgency(facts: Facts) -> Case:
    """A number to sort by: tasks that fail first, then broken, late and running ones, then all others."""
    conditions = {**_conditions(facts), Flag.FAILING: In(_outcome_status(), FAILURES)}
    order = (Flag.FAILING, Flag.BROKEN, Flag.LATE, Flag.RUNNING)
    return Case(*(When(conditions[flag], then=n) for n, flag in enumerate(order)), default=len(order))


def _outcome_status() -> Subquery:
    outcomes = TaskRun.objects.filter(task_id=OuterRef("pk"), status__in=OUTCOMES)
    return Subquery(outcomes.newest_first().values("status")[:1])


def _conditions(facts: Facts) -> dict[Flag, Q]:
    broken = Q(scheduled_state__broken_reason__gt="")
    if facts.known_tasks is not None:
        broken |= Q(enabled=True) & ~Q(task__in=facts.known_tasks)
    return {
        Flag.RUNNING: Q(pk__in=TaskRun.objects.under_way().values("task_id")),
        Flag.FAILING: Q(outcome_status__in=FAILURES),
        Flag.LATE: _late(facts),
        Flag.PAUSED: Q(enabled=False),
        Flag.BROKEN: broken,
    }


def _late(facts: Facts) -> Q:
    """Overdue, or queued, for longer than half the grace: one comparison per grace time in use."""
    queued = TaskRun.objects.open().filter(status__in=OPEN - UNDER_WAY)
    late = Q()
    for grace in facts.graces:
        moment = facts.now - late_after(grace)
        late |= Q(enabled=True, scheduled_state__grace=grace, scheduled_state__next_run_at__lt=moment)
        late |= Q(scheduled_state__grace=grace, pk__in=queued.filter(open_since__lt=moment).values("task_id"))
    return late
