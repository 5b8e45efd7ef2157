"""What is wrong now: with tasks, by the flags' one definition, and with what runs them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import connections
from django.db.models import BooleanField, Count, ExpressionWrapper, Max, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import In
from django_celery_beat.models import PeriodicTasks

from ..conf import settings
from ..models import (
    FAILURES,
    OUTCOMES,
    Flag,
    Incident,
    IncidentKind,
    MaintenanceWindow,
    Notice,
    ScheduledTask,
    ScheduledTaskQuerySet,
    Status,
    TaskRun,
    TaskRunQuerySet,
    UtcNow,
    database,
)
from ..models.flags import Now, annotation, condition, outcome_of, outcome_status
from ..models.maintenance import covered
from ..reading.health import problems
from ..reading.machinery import Machinery
from ..reading.recent_runs import RECENT_RUNS, RecentRun, recent_runs
from ..reading.version import NEWEST, part, processes_part

DID_NOT_RUN = frozenset({Status.MISSED, Status.EXPIRED})
"""Last outcomes of a task that is late or missed."""

FAILED = FAILURES - DID_NOT_RUN
"""Last outcomes of a task that is failing."""

MEASURED_AFTER = timedelta(seconds=30)
"""After this time of a run it is worked out how long a run of its task usually takes."""

UNSENT = "notice"
"""Kind of the rows of a signature that name notices that are not sent."""

KINDS = {
    "beat": IncidentKind.BEAT,
    "worker": IncidentKind.QUEUE,
    "queue": IncidentKind.QUEUE,
    "broker": IncidentKind.BROKER,
    "recorder": IncidentKind.RECORDER,
}
"""Problems of the machinery that are incidents once they last."""


@dataclass(frozen=True)
class Fault:
    """Something wrong with what runs the tasks; ``subject`` is a queue's name, or empty.

    ``since`` is :attr:`.reading.health.Problem.since`. The same fault may be told with another one later.
    """

    kind: IncidentKind
    subject: str
    since: datetime | None = field(default=None, compare=False)

    @property
    def key(self) -> str:
        """The key of its incidents."""
        return key_of(self.kind, self.subject)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything that one look has read, at ``now``, about tasks in trouble or with an open incident."""

    now: datetime
    tasks: Mapping[int, ScheduledTask]
    """Annotated with ``is_late``, ``is_slow``, ``in_maintenance``, ``outcome_status`` and ``outcome_id``."""

    incidents: Mapping[str, Incident]
    """The open ones, by key."""

    last_runs: Mapping[str, int]
    """The last run of any incident there was, by key: what it told is not told again."""

    outcomes: Mapping[int, list[RecentRun]]
    """The newest outcomes, newest first, of those tasks of which they may tell something new."""

    since: datetime
    """From when on a failure counts that is over already."""

    faults: Collection[Fault] | None = None
    """What has been wrong with the machinery for long enough; None while this process cannot judge that."""

    punctual: bool = True
    """Whether a task may be blamed that it is late."""

    unserved: Collection[int] = field(default=frozenset())
    """Tasks whose queue has no worker."""


def key_of(kind: str, subject: int | str) -> str:
    """What has the trouble, in one text."""
    return f"{kind}:{subject}"


def machinery_faults(machinery: Machinery) -> list[Fault]:
    """What is wrong with the machinery now, however long it has been so."""
    found = [each for each in problems(machinery) if each.code in KINDS and each.subject != "site"]
    return [Fault(KINDS[each.code], each.subject, each.since) for each in found]


def blames_nobody(faults: Iterable[Fault]) -> bool:
    """Whether no task can be blamed that it is late: beat, all workers or the broker are down."""
    return any(fault.kind != IncidentKind.RECORDER and not fault.subject for fault in faults)


def in_trouble(now: Now, *, by_outcome: bool = True) -> ScheduledTaskQuerySet:
    """Tasks that are late, slow or failing, or have an open incident, with what their flags say.

    Without ``by_outcome`` failing ones only if they have an open incident: the last outcome of each task
    costs a descent of an index.
    """
    tasks = ScheduledTask.objects.using(database()).order_by()
    open_ones = open_incidents().filter(task__isnull=False).values("task_id")
    bad = condition(Flag.LATE, now, None) | Q(condition(Flag.SLOW, now, None))
    if by_outcome:
        bad |= Q(In(outcome_status(), sorted(FAILURES)))
    return with_outcomes(tasks.not_stopped().filter(bad) | tasks.filter(pk__in=open_ones), now)


def with_outcomes(tasks: ScheduledTaskQuerySet, now: Now) -> ScheduledTaskQuerySet:
    """The tasks with the two flags, whether they are in a maintenance, and their last outcome."""
    flags = {f"is_{flag}": annotation(flag, now, None) for flag in (Flag.LATE, Flag.SLOW)}
    flags["in_maintenance"] = ExpressionWrapper(covered(now), output_field=BooleanField())
    return tasks.annotate(outcome_status=outcome_status(), outcome_id=outcome_of("pk"), **flags)


def open_incidents() -> QuerySet[Incident]:
    """The incidents that have not been closed."""
    return Incident.objects.using(database()).open()


def newest_failures() -> TaskRunQuerySet:
    """Runs that failed or did not run, among the newest ones: by the index on ``(status, -id)``."""
    runs = TaskRun.objects.using(database())
    newest = Coalesce(Subquery(runs.order_by("-pk").values("pk")[:1]), 0)
    return runs.filter(status__in=sorted(FAILURES), pk__gt=newest - NEWEST)


def lasting_runs(now: Now) -> TaskRunQuerySet:
    """Runs under way for so long that it matters how long they usually take."""
    runs = TaskRun.objects.using(database()).under_way()
    return runs.filter(started_at__lt=now - MEASURED_AFTER, task__isnull=False)


def signature() -> list[tuple[str, str]]:
    """Rows that stay the same as long as nothing new is to be found: one statement.

    A task that begins to fail, or is enabled while it fails, shows by the newest failures or the last edit.
    """
    kept = settings.GRACE, settings.MAX_RUNTIME, settings.PAUSED
    statement, params = _compiled_signature(database(), *kept)
    with connections[database()].cursor() as cursor:
        cursor.execute(statement, params)
        return sorted((str(kind), str(text)) for kind, text in cursor.fetchall())


@lru_cache(maxsize=10)
def _compiled_signature(
    alias: str, grace: timedelta, longest: timedelta | None, paused: bool
) -> tuple[str, Sequence[Any]]:
    """The statement, kept because Django takes far longer to write it than a database to answer it."""
    now = UtcNow()
    policy = ("alert_after", "recover_after", "alert_on", "owner")
    state = [f"scheduled_state__{name}" for name in policy]
    muted = ExpressionWrapper(Q(muted_for_good=True) | Q(muted_until__gt=now), output_field=BooleanField())
    failed = Count("pk", filter=Q(status__in=sorted(FAILED)))
    failures = newest_failures().order_by().values(kind=Value("failures"))
    edited = Subquery(PeriodicTasks.objects.values("last_update")[:1])
    shown = ("enabled", "is_late", "is_slow", "outcome_id", "outcome_status", *state)
    parts = (
        part(in_trouble(now, by_outcome=False), "task", "pk", *shown),
        part(open_incidents(), "incident", "pk", "task_id", muted),
        part(failures, "failures", Count("pk"), Max("pk"), failed),
        part(lasting_runs(now), "run", "pk"),
        part(MaintenanceWindow.objects.active_at(now), "window", "pk"),
        processes_part(),
        part(Notice.objects.filter(due_at__isnull=False), UNSENT, "pk"),
        part(PeriodicTasks.objects.all(), "edited", edited),
    )
    statement = parts[0].using(alias).union(*parts[1:], all=True)
    sql, params = statement.query.get_compiler(alias).as_sql()
    return sql, params


def has_unsent(rows: Collection[tuple[str, str]]) -> bool:
    """Whether a signature tells of notices that are not sent."""
    return any(kind == UNSENT for kind, _text in rows)


def read_tasks(now: datetime, since: datetime) -> dict[int, ScheduledTask]:
    """The tasks of :func:`in_trouble`, and those that have failed since a moment: by their ids."""
    found = list(in_trouble(now).select_related("scheduled_state"))
    failed = newest_failures().filter(status__in=sorted(FAILED), finished_at__gt=since).order_by()
    seen = {task.pk for task in found}
    ids = failed.exclude(task=None).values_list("task_id", flat=True).distinct()
    more = [pk for pk in ids if pk not in seen]
    if more:
        tasks = ScheduledTask.objects.using(database()).not_stopped().filter(pk__in=more)
        found += with_outcomes(tasks, now).select_related("scheduled_state")
    return {task.pk: task for task in found}


def read(
    now: datetime, since: datetime, *, faults: Collection[Fault] | None = None, **machinery: Any
) -> Findings:
    """Read everything about the tasks that a look needs; ``machinery`` is as in :class:`Findings`."""
    incidents = {incident.key: incident for incident in open_incidents()}
    tasks = read_tasks(now, since)
    last_runs = _last_runs(tasks)
    news = [pk for pk, task in tasks.items() if _has_news(task, last_runs)]
    return Findings(
        now=now,
        tasks=tasks,
        incidents=incidents,
        last_runs=last_runs,
        outcomes=recent_runs(news, RECENT_RUNS, OUTCOMES),
        since=since,
        faults=faults,
        **machinery,
    )


def _last_runs(task_ids: Iterable[int]) -> dict[str, int]:
    kinds = (IncidentKind.FAILING, IncidentKind.LATE)
    of_tasks = Incident.objects.using(database()).filter(task__in=[*task_ids], kind__in=kinds)
    rows = of_tasks.order_by().values_list("key").annotate(last=Max("last_run_id"))
    return {key: last for key, last in rows if last is not None}


def _has_news(task: Any, last_runs: Mapping[str, int]) -> bool:
    """Whether its outcomes must be read: no incident of their kind knows the last one.

    The same run may be another kind of outcome by now: what was lost or missed gives way to a true end.
    """
    if task.outcome_id is None:
        return False
    kind = IncidentKind.LATE if task.outcome_status in DID_NOT_RUN else IncidentKind.FAILING
    known: bool = task.outcome_id == last_runs.get(key_of(kind, task.pk))
    return not known or task.outcome_status == Status.SUCCEEDED


def slow_runs(task_ids: Collection[int]) -> dict[int, int]:
    """The oldest run under way of each of these tasks."""
    if not task_ids:
        return {}
    runs = TaskRun.objects.using(database()).under_way().filter(task__in=task_ids)
    return {task_id: pk for pk, task_id in runs.order_by("-pk").values_list("pk", "task_id") if task_id}


def tasks_of_queues(machinery: Machinery, queues: Collection[str]) -> frozenset[int]:
    """Ids of the enabled tasks that use one of these queues."""
    columns = [Coalesce(name, Value("")) for name in ("queue", "exchange")]
    uses = ScheduledTask.objects.using(database()).filter(enabled=True).values_list("pk", "task", *columns)
    return frozenset(pk for pk, *use in uses if machinery.queue_of(*use) in queues)
