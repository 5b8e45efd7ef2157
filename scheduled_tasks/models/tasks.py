"""Tasks: django-celery-beat's rows, what beat and people add to them, and what code declares."""

from __future__ import annotations

from datetime import timedelta

from django.db import models, router
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask

from ..conf import settings

MIN_LATE_AFTER = timedelta(seconds=60)


def late_after(grace: timedelta | None) -> timedelta:
    """How overdue a start must be to be called late: half the grace, at least a minute."""
    return max(MIN_LATE_AFTER, (settings.GRACE if grace is None else grace) / 2)


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

    def __str__(self) -> str:
        return str(self.name)

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


def database() -> str:
    """The alias of the database that the tasks and all of this app's rows live in, as the routers say."""
    return router.db_for_write(ScheduledTask)


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
