# ruff: noqa: S608 - the statements are made of this module's own constants
"""What may be true of a task, in SQL: header counts and filters over any number of tasks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, OuterRef, Q, Subquery, When
from django.db.models.lookups import In
from django.utils.translation import gettext_lazy as _

from .facts import Facts
from .models import (
    LONG_AGO,
    OPEN,
    OUTCOMES,
    UNDER_WAY,
    ScheduledTask,
    ScheduledTaskQuerySet,
    Status,
    TaskRun,
    TaskState,
    late_after,
)
from .recent import ALL_OF, ARRAY

FAILURES = OUTCOMES - {Status.SUCCEEDED}
"""Outcomes of a task that is failing."""

TASK, STATE, RUN = (model._meta.db_table for model in (ScheduledTask, TaskState, TaskRun))


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
    failing_ids: frozenset[int]


def _in(values: Iterable[str]) -> str:
    return "({})".format(", ".join(f"'{value}'" for value in sorted(values)))


NEWEST = 5_000
"""Ids among which PostgreSQL first looks for the last outcomes."""


@dataclass(frozen=True)
class Failing:
    """The tasks that fail, but for ``doubtful`` ones, which are to be looked at."""

    ids: frozenset[int]
    doubtful: frozenset[int]


def counts(facts: Facts, known: Failing | None = None) -> Counts:
    """Count all tasks and flags in one statement, as :func:`flagged` selects them.

    To find who fails is most of it, so what is ``known`` of that is not asked again.
    """
    connection = connections[TaskRun.objects.db]
    late, params = _late_sql(facts, connection)
    unknown, names = _unknown_sql(facts)
    ids = ARRAY[connection.vendor].format(ALL_OF[connection.vendor].format("t.id"))
    failing = f"SELECT {ids} FROM {TASK} t WHERE {_fails(known, connection)}"
    flags = {
        Flag.RUNNING: f"t.id IN (SELECT r.task_id FROM {RUN} r WHERE {_open(UNDER_WAY, connection)})",
        Flag.LATE: late,
        Flag.PAUSED: "NOT t.enabled",
        Flag.BROKEN: f"s.broken_reason > '' OR t.enabled AND {unknown}",
    }
    counted = ", ".join(f"COUNT(CASE WHEN {condition} THEN 1 END)" for condition in flags.values())
    joined = f"{TASK} t LEFT JOIN {STATE} s ON s.task_id = t.id"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ({failing}), COUNT(*), {counted} FROM {joined}", [*params, *names])
        found, total, *numbers = cursor.fetchone()
    failing_ids = frozenset(json.loads(found)[0] or ()) | (known.ids if known else frozenset())
    by_flag = {flag.value: number for flag, number in zip(flags, numbers, strict=True)}
    return Counts(total=total, failing=len(failing_ids), failing_ids=failing_ids, **by_flag)


def _fails(known: Failing | None, connection: BaseDatabaseWrapper) -> str:
    fails = f"{_outcome_sql(connection)} IN {_in(FAILURES)}"
    if known is None:
        return fails
    return f"t.id IN ({', '.join(map(str, known.doubtful))}) AND {fails}" if known.doubtful else "1 = 0"


def _outcome_sql(connection: BaseDatabaseWrapper) -> str:
    """The status of a task's last outcome, by the index.

    PostgreSQL takes all entries of the task off a page of the index before it looks at the first one. Among
    the newest ids these are few; an outcome that is not there is looked for anywhere.
    """
    # PostgreSQL sorts the list of an IN each time.
    found = f"r.task_id = t.id AND r.status NOT IN {_in({*Status} - OUTCOMES)}"
    outcome = f"(SELECT r.status FROM {RUN} r WHERE {found}{{}} ORDER BY r.id DESC LIMIT 1)"
    if connection.vendor != "postgresql":
        return outcome.format("")
    bound = f" AND r.id > (SELECT MAX(id) - {NEWEST} FROM {RUN})"
    return f"COALESCE({outcome.format(bound)}, {outcome.format('')})"


def _open(statuses: Iterable[str], connection: BaseDatabaseWrapper) -> str:
    """Open runs ``r`` of these statuses, by their index: SQLite does not use one for IS NOT NULL."""
    long_ago = connection.ops.adapt_datetimefield_value(LONG_AGO)
    return f"r.open_since > '{long_ago}' AND r.status IN {_in(statuses)}"


def _late_sql(facts: Facts, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    """:func:`_late` as SQL and its parameters."""
    queued = (
        f"SELECT r.task_id FROM {RUN} r WHERE {_open(OPEN - UNDER_WAY, connection)} AND r.open_since < %s"
    )
    late = f"(t.enabled AND s.next_run_at < %s OR t.id IN ({queued}))"
    parts: list[str] = []
    params: list[Any] = []
    for grace in facts.graces:
        limit = connection.ops.adapt_datetimefield_value(facts.now - late_after(grace))
        parts.append(f"s.grace IS NULL AND {late}" if grace is None else f"s.grace = %s AND {late}")
        stored = TaskState._meta.get_field("grace").get_db_prep_value(grace, connection)
        params += [limit, limit] if grace is None else [stored, limit, limit]
    return " OR ".join(parts), params


def _unknown_sql(facts: Facts) -> tuple[str, list[str]]:
    """Whether no living worker knows the task."""
    known = sorted(facts.known_tasks or ())
    if not known:
        return ("1 = 0" if facts.known_tasks is None else "1 = 1"), []
    return f"t.task NOT IN ({', '.join(['%s'] * len(known))})", known


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
