"""Runs: one row per execution of a task, or per stretch of ticks that did not run."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from django.db import models
from django.db.models import F
from django.db.models.lookups import Exact
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask

from ..reasons import Reason
from .clock import LONG_AGO, elapsed
from .tasks import ScheduledTask


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
    ELSEWHERE = "elsewhere", _("Recorded elsewhere")


OPEN = frozenset({Status.QUEUED, Status.WAITING, Status.RUNNING, Status.RETRYING})
"""Statuses of a run that has not ended."""

UNDER_WAY = frozenset({Status.RUNNING, Status.RETRYING})
"""Statuses of a run whose task has started and not ended."""

SOFT = frozenset({Status.LOST, Status.MISSED, Status.EXPIRED, Status.ELSEWHERE})
"""Ends concluded from silence: a true start or end that arrives later replaces them."""

FAILURES = frozenset({Status.FAILED, Status.TIMED_OUT, Status.LOST, Status.EXPIRED, Status.MISSED})
"""Outcomes of a task that is failing."""

OUTCOMES = FAILURES | {Status.SUCCEEDED, Status.ELSEWHERE}
"""Ends that say how the task is doing; a cancelled, skipped or ignored run does not."""


class Trigger(models.TextChoices):
    """What made a run start."""

    SCHEDULE = "schedule", _("schedule")
    MANUAL = "manual", _("person")
    RETRY = "retry", _("retry")
    COMMAND = "command", _("command line")
    IMPORTED = "imported", _("imported")


def word_of(choices: type[models.TextChoices], value: str) -> str:
    """The label of a stored value; of one that another version of this app wrote, the value itself."""
    try:
        return str(choices(value).label)
    except ValueError:
        return value.replace("_", " ")


class OfTask(Exact):
    """That a run is of one task, in a form that lets no database miss the index on ``(task, -id, status)``.

    PostgreSQL leaves out of an order what equals one value. It may then walk through all runs by their id, to
    the end for a task that has few. A range prevents that; MariaDB would use no index for one.
    """

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        lhs, lhs_params = self.process_lhs(compiler, connection)
        rhs, rhs_params = self.process_rhs(compiler, connection)
        return f"{lhs} BETWEEN {rhs} AND {rhs}", (*lhs_params, *rhs_params, *rhs_params)


class TaskRunQuerySet(models.QuerySet["TaskRun"]):
    """Runs, newest first by ``(task_id, id DESC)``: the one order and page key."""

    def open(self) -> TaskRunQuerySet:
        """Runs that have not ended."""
        # A range, because SQLite does not use an index for IS NOT NULL.
        return self.filter(open_since__gt=LONG_AGO)

    def under_way(self) -> TaskRunQuerySet:
        """Runs whose task has started and not ended."""
        return self.open().filter(status__in=UNDER_WAY)

    def of_task(self, task_id: int | models.OuterRef) -> TaskRunQuerySet:
        """The runs of one task, newest first, by the index on ``(task, -id, status)``.

        See :class:`OfTask`.
        """
        return self.filter(OfTask(F("task_id"), task_id)).order_by("task_id", "-id")

    def newest_first(self) -> TaskRunQuerySet:
        """In the order the page shows: last queued first."""
        return self.order_by("-id")


class TaskRun(models.Model):
    """One execution of a task: one Celery task id, however many attempts.

    ``reason`` is a code of :mod:`..reasons`, ``reason_params`` its parameters. ``cancellation`` holds the
    parameters of ``cancelled_by``, which becomes the reason once the run ends.
    ``attempt_log`` has the starts of later attempts and the ends of earlier ones, one in a line:
    :mod:`..recording.attempt_log` writes and reads it.
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
    spread = models.DurationField(_("spread"), null=True)
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
    attempt_log = models.TextField(_("earlier attempts"), blank=True)
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
    reason = models.CharField(_("reason"), max_length=32, blank=True)
    reason_params = models.TextField(_("parameters of the reason"), blank=True)
    cancellation = models.CharField(_("cancellation"), max_length=2000, blank=True, default="", db_default="")
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
    def reason_text(self) -> str:
        """Why it did not start or how it ended, as a sentence in the active language; empty without one."""
        return str(Reason(self.reason, self.reason_params))

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
        return elapsed(self.due_at, self.started_at)

    @property
    def due_at(self) -> datetime | None:
        """When it was to be started: its scheduled time, and by how much that task is spread."""
        return self.scheduled_for and self.scheduled_for + (self.spread or timedelta(0))

    @cached_property
    def summary_data(self) -> Any:
        """The stored summary, decoded: a dict of plain values, or a text."""
        return decoded(self.summary)

    @cached_property
    def progress_data(self) -> dict[str, Any] | None:
        """``{"done": number, "total": number | None, "text": str}`` as last reported, or None."""
        value = decoded(self.progress)
        return value if isinstance(value, dict) else None


def decoded(text: str) -> Any:
    """The value of a JSON text: None for an empty one, the text itself when it is not JSON.

    NaN and infinity, which JSON does not have, are None; halves of a surrogate pair are question marks.
    """
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite) if text else None
        if "\\ud" in text.lower():
            value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    except (ValueError, RecursionError):
        return text
    return value


def _no_number(constant: str) -> None:
    return None


def _finite(number: str) -> float | None:
    value = float(number)
    return value if isfinite(value) else None
