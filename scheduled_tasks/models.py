"""What the database knows: tasks, their state, their runs, and the processes that make them.

Schedules themselves live in django-celery-beat's tables. Rows that point at a task carry no database
constraint and no cascade: deleting a task touches no run, and code reads :attr:`TaskRun.task_or_none`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models, router
from django.db.models.functions import Coalesce
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask

from .conf import settings

MIN_LATE_AFTER = timedelta(seconds=60)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class UtcNow(models.Func):
    """The database server's clock, in UTC, at the start of the statement.

    Django's ``Now()`` is the server's local time on MariaDB and the transaction's start on PostgreSQL;
    a host's clock is not shared by the machines that compare these times.
    """

    template = "STATEMENT_TIMESTAMP()"
    output_field = models.DateTimeField()

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # Doubled twice: for the template and for the statement's own parameters.
        moment = "STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', 'now')"
        return self.as_sql(compiler, connection, template=moment, **context)


def database() -> str:
    """The alias of the database that the tasks and all of this app's rows live in, as the routers say."""
    return router.db_for_write(ScheduledTask)


def database_now() -> datetime:
    """The database server's clock, aware, in UTC."""
    found = Lease.objects.aggregate(now=Coalesce(models.Max(UtcNow()), UtcNow()))
    moment: datetime = found["now"]
    return moment


def late_after(grace: timedelta | None) -> timedelta:
    """How overdue a start must be to be called late: half the grace, at least a minute."""
    return max(MIN_LATE_AFTER, (settings.GRACE if grace is None else grace) / 2)


class Status(models.TextChoices):
    """Where a run stands. The value is stored, the label is shown."""

    QUEUED = "queued", _("Queued")
    WAITING = "waiting", _("Waiting")
    RUNNING = "running", _("Running")
    RETRYING = "retrying", _("Retrying")
    SUCCEEDED = "succeeded", _("Success")
    FAILED = "failed", _("Failed")
    TIMED_OUT = "timed_out", _("Timed out")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")
    IGNORED = "ignored", _("Ignored")
    SKIPPED = "skipped", _("Skipped")
    MISSED = "missed", _("Missed")
    LOST = "lost", _("Lost")


OPEN = frozenset({Status.QUEUED, Status.WAITING, Status.RUNNING, Status.RETRYING})
"""Statuses of a run that has not ended."""

UNDER_WAY = frozenset({Status.RUNNING, Status.RETRYING})
"""Statuses of a run whose task has started and not ended."""

SOFT = frozenset({Status.LOST, Status.MISSED, Status.EXPIRED})
"""Ends concluded from silence: a true start or end that arrives later replaces them."""

OUTCOMES = frozenset(
    {Status.SUCCEEDED, Status.FAILED, Status.TIMED_OUT, Status.LOST, Status.EXPIRED, Status.MISSED}
)
"""Ends that say how the task is doing; a cancelled, skipped or ignored run does not."""


class Trigger(models.TextChoices):
    """What made a run start."""

    SCHEDULE = "schedule", _("schedule")
    MANUAL = "manual", _("person")
    RETRY = "retry", _("retry")
    COMMAND = "command", _("command line")


class Overlap(models.TextChoices):
    """What happens when a tick comes while the task is still running."""

    SKIP = "skip", _("Skip the new run")
    ALLOW = "allow", _("Run both")
    QUEUE_ONE = "queue_one", _("Hold one run until the other ends")


class Misfire(models.TextChoices):
    """What happens to ticks that beat could not send at their time."""

    RUN_ONCE = "run_once", _("Run once, within the grace time")
    IGNORE = "ignore", _("Do not run them")


class PausedBy(models.TextChoices):
    """Who disabled a task: a person, or the sync because its code is gone."""

    OPERATOR = "operator", _("operator")
    SYNC = "sync", _("sync")


class Source(models.TextChoices):
    """Where code declares a task."""

    DECORATOR = "decorator", _("@scheduled_task")
    BEAT_SCHEDULE = "beat_schedule", _("CELERY_BEAT_SCHEDULE")


class ProcessKind(models.TextChoices):
    """The two kinds of process that keep a heartbeat."""

    BEAT = "beat", _("beat")
    WORKER = "worker", _("worker")


class ScheduledTaskQuerySet(models.QuerySet["ScheduledTask"]):
    """Tasks with what the page needs to know about them."""

    def with_schedules(self) -> ScheduledTaskQuerySet:
        """Join every schedule kind and this app's rows: one statement for any number of tasks."""
        return self.select_related(
            "crontab", "interval", "solar", "clocked", "scheduled_state", "scheduled_default"
        )


class ScheduledTask(PeriodicTask):
    """django-celery-beat's ``PeriodicTask`` as the page sees it."""

    objects = ScheduledTaskQuerySet.as_manager()  # type: ignore[assignment,misc]

    class Meta:
        proxy = True
        default_permissions = ("view", "change")
        permissions = [("run_scheduledtask", "Can run scheduled task now")]
        verbose_name = _("scheduled task")
        verbose_name_plural = _("scheduled tasks")

    @property
    def state(self) -> TaskState:
        """This task's :class:`TaskState`, or an unsaved one with the defaults."""
        try:
            return self.scheduled_state
        except TaskState.DoesNotExist:
            return TaskState(task_id=self.pk)

    @property
    def code_default(self) -> CodeDefault | None:
        """What code declares for this task, or None when it was made elsewhere."""
        try:
            return self.scheduled_default
        except CodeDefault.DoesNotExist:
            return None


class TaskState(models.Model):
    """What beat and operators know about one task beyond its schedule."""

    task = models.OneToOneField(
        PeriodicTask,
        models.DO_NOTHING,
        primary_key=True,
        db_constraint=False,
        related_name="scheduled_state",
        verbose_name=_("scheduled task"),
    )
    enabled_since = models.DateTimeField(_("enabled since"), null=True)
    accounted_until = models.DateTimeField(_("accounted until"), null=True)
    next_run_at = models.DateTimeField(_("next run"), null=True, db_index=True)
    skip_next = models.BooleanField(_("skip next run"), default=False)
    pause_note = models.CharField(_("pause note"), max_length=500, blank=True)
    paused_by = models.CharField(_("paused by"), max_length=8, choices=PausedBy.choices, blank=True)
    paused_by_name = models.CharField(_("paused by (name)"), max_length=150, blank=True)
    paused_at = models.DateTimeField(_("paused at"), null=True)
    broken_reason = models.TextField(_("why it cannot run"), blank=True)
    overlap = models.CharField(_("overlap"), max_length=9, choices=Overlap.choices, blank=True)
    misfire = models.CharField(_("misfire"), max_length=8, choices=Misfire.choices, blank=True)
    grace = models.DurationField(_("grace"), null=True)
    retention = models.DurationField(_("retention"), null=True)
    retention_count = models.PositiveIntegerField(_("runs kept"), null=True)

    class Meta:
        verbose_name = _("task state")
        verbose_name_plural = _("task states")

    def __str__(self) -> str:
        return f"state of task {self.task_id}"

    @property
    def effective_overlap(self) -> Overlap:
        """The task's own overlap policy, or the project's."""
        return Overlap(self.overlap or settings.OVERLAP)

    @property
    def effective_misfire(self) -> Misfire:
        """The task's own misfire policy, or the project's."""
        return Misfire(self.misfire or settings.MISFIRE)

    @property
    def effective_grace(self) -> timedelta:
        """The task's own grace, or the project's."""
        return settings.GRACE if self.grace is None else self.grace

    @property
    def late_after(self) -> timedelta:
        """How overdue a start must be to be called late."""
        return late_after(self.grace)


class TaskRunQuerySet(models.QuerySet["TaskRun"]):
    """Runs, newest first by ``(task_id, id DESC)``: the one order and page key."""

    def open(self) -> TaskRunQuerySet:
        """Runs that have not ended."""
        # A range, because SQLite does not use an index for IS NOT NULL.
        return self.filter(open_since__gt=LONG_AGO)

    def under_way(self) -> TaskRunQuerySet:
        """Runs whose task has started and not ended."""
        return self.open().filter(status__in=UNDER_WAY)

    def newest_first(self) -> TaskRunQuerySet:
        """In the order the page shows: last queued first."""
        return self.order_by("-id")


class TaskRun(models.Model):
    """One execution of a task: one Celery task id, however many attempts.

    ``cancellation`` says who asked for the run to end, and becomes its ``reason`` once it does.
    ``skipped`` and ``missed`` rows stand for ticks that did not run; one row may cover several
    (``scheduled_for`` to ``scheduled_until``, ``tick_count``) and carries no Celery id.
    All times come from the database's clock.
    """

    celery_id = models.CharField(_("task id"), max_length=255, null=True)  # noqa: DJ001 - unique where known
    task = models.ForeignKey(
        PeriodicTask,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="scheduled_runs",
        verbose_name=_("scheduled task"),
    )
    name = models.CharField(_("name"), max_length=200)
    status = models.CharField(_("status"), max_length=9, choices=Status.choices, default=Status.QUEUED)
    trigger = models.CharField(_("trigger"), max_length=8, choices=Trigger.choices, default=Trigger.SCHEDULE)
    actor = models.CharField(_("by"), max_length=150, blank=True)
    tick = models.CharField(_("tick"), max_length=64, null=True)  # noqa: DJ001 - unique where known
    scheduled_for = models.DateTimeField(_("scheduled for"), null=True)
    scheduled_until = models.DateTimeField(_("scheduled until"), null=True)
    tick_count = models.PositiveIntegerField(_("ticks"), default=1)
    queued_at = models.DateTimeField(_("queued"))
    sent_at = models.DateTimeField(_("sent"), null=True)
    expires_at = models.DateTimeField(_("expires"), null=True)
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    open_since = models.DateTimeField(_("open since"), null=True)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    retries = models.PositiveIntegerField(_("retries"), default=0)
    token = models.CharField(_("attempt token"), max_length=32, blank=True)
    process_id = models.CharField(_("process"), max_length=32, blank=True)
    worker = models.CharField(_("worker"), max_length=255, blank=True)
    pid = models.PositiveIntegerField(_("process id"), null=True)
    queue = models.CharField(_("queue"), max_length=255, blank=True)
    args = models.TextField(_("arguments"), blank=True)
    kwargs = models.TextField(_("keyword arguments"), blank=True)
    summary = models.TextField(_("summary"), blank=True)
    error_type = models.CharField(_("error type"), max_length=255, blank=True)
    error = models.TextField(_("error"), blank=True)
    traceback = models.TextField(_("traceback"), blank=True)
    log = models.TextField(_("log"), blank=True)
    progress = models.TextField(_("progress"), blank=True)
    retry_of = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("retry of"),
    )
    blocked_by = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("blocked by"),
    )
    reason = models.TextField(_("reason"), blank=True)
    cancellation = models.CharField(_("cancellation"), max_length=255, blank=True, default="", db_default="")
    redelivered = models.BooleanField(_("redelivered"), default=False)

    objects = TaskRunQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        verbose_name = _("task run")
        verbose_name_plural = _("task runs")
        constraints = [
            models.UniqueConstraint(fields=["celery_id"], name="scheduled_tasks_run_celery_id"),
            models.UniqueConstraint(fields=["tick"], name="scheduled_tasks_run_tick"),
        ]
        indexes = [
            models.Index(fields=["task", "-id", "status"], name="scheduled_tasks_run_task"),
            models.Index(fields=["status", "-id"], name="scheduled_tasks_run_status"),
            models.Index(fields=["open_since"], name="scheduled_tasks_run_open"),
            models.Index(fields=["queued_at"], name="scheduled_tasks_run_queued"),
        ]

    def __str__(self) -> str:
        return f"{self.name} #{self.pk}"

    @property
    def task_or_none(self) -> ScheduledTask | None:
        """The task this run belongs to, or None when it has been deleted since."""
        return ScheduledTask.objects.filter(pk=self.task_id or 0).first()

    @property
    def is_open(self) -> bool:
        """Whether the run has not ended."""
        return self.open_since is not None

    @property
    def duration(self) -> timedelta | None:
        """From the first attempt's start to the end; None while running or when it never started."""
        return elapsed(self.started_at, self.finished_at)

    @property
    def queue_wait(self) -> timedelta | None:
        """From being queued to the first attempt's start; None when it never started."""
        return elapsed(self.queued_at, self.started_at)

    @property
    def lag(self) -> timedelta | None:
        """From the scheduled time to the first attempt's start; None for a run that has not both."""
        return elapsed(self.scheduled_for, self.started_at)

    @cached_property
    def summary_data(self) -> Any:
        """The stored summary, decoded: a dict of plain values, or a text."""
        return decoded(self.summary)

    @cached_property
    def progress_data(self) -> dict[str, Any] | None:
        """``{"done": number, "total": number | None, "text": str}`` as last reported, or None."""
        value = decoded(self.progress)
        return value if isinstance(value, dict) else None


def elapsed(start: datetime | None, end: datetime | None) -> timedelta | None:
    """From one moment to another, never negative; None when either is not known."""
    return None if start is None or end is None else max(end - start, timedelta(0))


def decoded(text: str) -> Any:
    """The value of a JSON text: None for an empty one, the text itself when it is not JSON."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


class CodeDefault(models.Model):
    """What code declared for a task at the last sync, field by field.

    ``declared`` maps a field's name to its JSON value. ``chosen`` names the fields to which an operator gave
    the declared value before code did: they stay the operator's. The row outlives its task, so that a task
    deleted by an operator stays deleted.
    """

    task = models.OneToOneField(
        PeriodicTask,
        models.DO_NOTHING,
        primary_key=True,
        db_constraint=False,
        related_name="scheduled_default",
        verbose_name=_("scheduled task"),
    )
    name = models.CharField(_("name"), max_length=200, unique=True)
    source = models.CharField(_("source"), max_length=13, choices=Source.choices)
    declared = models.JSONField(_("declared"), default=dict)
    chosen = models.JSONField(_("chosen by operators"), default=list)
    gone_since = models.DateTimeField(_("gone from code since"), null=True)

    class Meta:
        verbose_name = _("code default")
        verbose_name_plural = _("code defaults")

    def __str__(self) -> str:
        return self.name


class Process(models.Model):
    """One boot of a beat or worker, kept alive by its heartbeat.

    ``pool`` is a worker's pool, and for a beat its scheduler unless that is this app's.
    """

    boot_id = models.CharField(_("boot id"), max_length=32, primary_key=True)
    kind = models.CharField(_("kind"), max_length=6, choices=ProcessKind.choices)
    node = models.CharField(_("node name"), max_length=255)
    host = models.CharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("process id"))
    pool = models.CharField(_("pool"), max_length=100, blank=True)
    queues = models.JSONField(_("queues"), default=list)
    task_names = models.JSONField(_("registered tasks"), default=list)
    started_at = models.DateTimeField(_("started"))
    last_seen_at = models.DateTimeField(_("last seen"))
    loop_at = models.DateTimeField(_("last completed loop"), null=True)
    broker_ok_at = models.DateTimeField(_("broker last answered"), null=True)
    recorder_error = models.TextField(_("recorder error"), blank=True)
    stopped_at = models.DateTimeField(_("stopped"), null=True)

    class Meta:
        default_permissions = ()
        verbose_name = _("process")
        verbose_name_plural = _("processes")

    def __str__(self) -> str:
        return f"{self.kind} {self.node}"


class Lease(models.Model):
    """A right only one process holds at a time, by name: ``"beat"`` to fire, ``"sync"`` to sync.

    ``epoch`` grows with every takeover and fences off a holder that slept through it.
    """

    name = models.CharField(_("name"), max_length=16, primary_key=True)
    holder = models.CharField(_("holder"), max_length=32, blank=True)
    epoch = models.BigIntegerField(_("epoch"), default=0)
    until = models.DateTimeField(_("until"), null=True)

    class Meta:
        default_permissions = ()
        verbose_name = _("lease")
        verbose_name_plural = _("leases")

    def __str__(self) -> str:
        return self.name
