"""Tasks: django-celery-beat's rows, what beat and people add to them, and what code declares."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import models, router
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask

from ..conf import is_chosen, settings
from ..cron import known_zone
from ..links import has_user, is_web_address
from ..reasons import Reason

if TYPE_CHECKING:
    from .flags import Flag, KnownTasks, Now

ROUTING = ("queue", "exchange", "routing_key", "priority")
"""What a task's row, or its code, may say about where its messages go."""


RELATED = ("crontab", "interval", "solar", "clocked", "scheduled_state", "scheduled_default")
"""The relations from a task to the rows that belong to it."""


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
        """Join every schedule kind and this app's rows: one statement for any number of tasks.

        A crontab's time zone comes as text: its own field raises for a name that it does not know, and one
        such row would take all others down.
        """
        joined = self.select_related(*RELATED)
        zone = Cast("crontab__timezone", models.CharField(max_length=63))
        return joined.defer("crontab__timezone").annotate(crontab_zone=zone)  # type: ignore[no-redef]

    def with_flags(
        self, now: Now, known_tasks: KnownTasks, only: Collection[Flag] = ()
    ) -> ScheduledTaskQuerySet:
        """Annotate flags of :mod:`.flags` as ``is_late``, …: ``only`` some, or all and ``outcome_status``."""
        from . import flags

        columns = {f"is_{flag}": flags.annotation(flag, now, known_tasks) for flag in only or flags.Flag}
        if only:
            return self.annotate(**columns)
        return self.annotate(outcome_status=flags.outcome_status(), **columns)

    def flagged(self, flag: Flag, now: Now, known_tasks: KnownTasks) -> ScheduledTaskQuerySet:
        """Only the tasks that have the flag."""
        from . import flags

        return self.filter(flags.condition(flag, now, known_tasks))

    def tagged(self, tag: str) -> ScheduledTaskQuerySet:
        """Only the tasks that have the tag, in upper or lower case."""
        comma = models.Value(",")
        tags = self.alias(tags=Concat(comma, "scheduled_state__tags", comma))
        return tags.filter(tags__icontains=f",{tag},")

    def countable(self) -> ScheduledTaskQuerySet:
        """The same tasks in no order, to be counted and grouped: of whatever an admin's queryset is."""
        if not self.query.distinct and self.query.group_by is None:
            return self.order_by()
        return ScheduledTask.objects.using(self.db).filter(pk__in=self.order_by().values("pk"))

    def not_stopped(self) -> ScheduledTaskQuerySet:
        """Those that are enabled, or ran once: as :attr:`ScheduledTask.is_stopped` says."""
        runs_once = models.Q(one_off=True) | models.Q(clocked__isnull=False)
        by_beat = runs_once & ~models.Q(scheduled_state__paused_by=PausedBy.OPERATOR)
        return self.filter(models.Q(enabled=True) | by_beat)

    def flag_counts(
        self, now: Now, known_tasks: KnownTasks, **more: models.Aggregate | models.Func
    ) -> dict[str, int]:
        """How many tasks there are (``total``), how many have each flag, and ``more``: one statement.

        What ``more`` calls like a flag takes that one's place.
        """
        from . import flags

        counts = {
            flag.value: models.Count("pk", filter=flags.condition(flag, now, known_tasks))
            for flag in flags.Flag
        }
        return self.countable().aggregate(total=models.Count("pk"), **{**counts, **more})


class ScheduledTask(PeriodicTask):
    """django-celery-beat's ``PeriodicTask`` as the page sees it."""

    objects = ScheduledTaskQuerySet.as_manager()  # type: ignore[assignment,misc]

    class Meta:
        proxy = True
        permissions = [("run_scheduledtask", "Can run scheduled task now")]
        verbose_name = _("scheduled task")
        verbose_name_plural = _("scheduled tasks")

    def __str__(self) -> str:
        return str(self.name)

    @property
    def routing(self) -> dict[str, Any]:
        """Its own options of where its messages go, by name of Celery's option; what is empty is left out."""
        return {name: value for name in ROUTING if (value := getattr(self, name)) not in (None, "")}

    @property
    def crontab_zone(self) -> str:
        """The name of its crontab's time zone, known or not; empty without a crontab."""
        return "" if self.crontab is None else str(self.crontab.timezone)

    @crontab_zone.setter
    def crontab_zone(self, name: str | None) -> None:
        """What :meth:`ScheduledTaskQuerySet.with_schedules` has read stands in for the field."""
        if self.crontab is not None:
            vars(self.crontab)["timezone"] = known_zone(name or "") or name  # its own setter raises

    @property
    def state(self) -> TaskState:
        """This task's :class:`TaskState`, or an unsaved one with the defaults."""
        try:
            return self.scheduled_state
        except TaskState.DoesNotExist:
            return TaskState(task_id=self.pk)

    @property
    def is_stopped(self) -> bool:
        """Whether it is disabled, unless beat did that: to one that runs once, as soon as it was due."""
        runs_once = self.one_off or self.clocked_id is not None
        return not (self.enabled or (runs_once and self.state.paused_by != PausedBy.OPERATOR))

    def is_over(self, now: datetime) -> bool:
        """Whether it was to run once, at a time that is past, and beat has disabled it: nobody paused it."""
        is_past = self.clocked is not None and self.clocked.clocked_time <= now
        return is_past and not self.enabled and not self.state.paused_by

    @property
    def code_default(self) -> CodeDefault | None:
        """What code declares for this task, or None when it was made elsewhere."""
        try:
            return self.scheduled_default
        except CodeDefault.DoesNotExist:
            return None

    @property
    def is_in_code(self) -> bool:
        """Whether code declares this task, as of the last sync."""
        default = self.code_default
        return default is not None and default.gone_since is None


def database() -> str:
    """The alias of the database that the tasks and all of this app's rows live in, as the routers say."""
    return router.db_for_write(ScheduledTask)


class TaskState(models.Model):
    """What beat and operators know about one task beyond its schedule.

    ``alert_on`` is kinds of trouble with commas between them, ``"none"`` for none; ``tags`` are written like
    this, too. ``slow_after`` is worked
    out from the task's last successes: a run that takes longer takes far too long. ``run_after_maintenance``
    is true while a run is due as soon as no maintenance window covers the task. ``runs_as_before`` is true of
    a task that was there before this app, or that ``CELERY_BEAT_SCHEDULE`` declares, until someone
    chooses the project's policies.
    """

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
    run_after_maintenance = models.BooleanField(_("runs after the maintenance"), default=False)
    skip_next = models.BooleanField(_("skip next run"), default=False)
    pause_note = models.CharField(_("pause note"), max_length=500, blank=True)
    paused_by = models.CharField(_("paused by"), max_length=8, choices=PausedBy.choices, blank=True)
    paused_by_name = models.CharField(_("paused by (name)"), max_length=150, blank=True)
    paused_at = models.DateTimeField(_("paused at"), null=True)
    broken_reason = models.CharField(_("why it cannot run"), max_length=32, blank=True)
    broken_params = models.TextField(_("parameters of why it cannot run"), blank=True)
    overlap = models.CharField(_("overlap"), max_length=9, choices=Overlap.choices, blank=True)
    runs_as_before = models.BooleanField(_("runs as before"), default=False)
    misfire = models.CharField(_("misfire"), max_length=8, choices=Misfire.choices, blank=True)
    grace = models.DurationField(_("grace"), null=True)
    spread = models.DurationField(_("spread"), null=True)
    retention = models.DurationField(_("retention"), null=True)
    retention_count = models.PositiveIntegerField(_("runs kept"), null=True)
    alert_after = models.PositiveIntegerField(_("alert after failures in a row"), null=True)
    recover_after = models.PositiveIntegerField(_("recovered after successes in a row"), null=True)
    max_runtime = models.DurationField(_("longest run time"), null=True)
    alert_on = models.CharField(_("alert on"), max_length=40, blank=True)
    owner = models.CharField(_("owner"), max_length=100, blank=True)
    runbook = models.CharField(_("runbook"), max_length=500, blank=True)
    tags = models.CharField(_("tags"), max_length=200, blank=True)
    slow_after = models.DurationField(_("far too long after"), null=True)

    class Meta:
        verbose_name = _("task state")
        verbose_name_plural = _("task states")

    def __str__(self) -> str:
        return f"state of task {self.task_id}"

    @property
    def problem(self) -> Reason:
        """Why beat cannot schedule the task; false when it can."""
        return Reason(self.broken_reason, self.broken_params)

    @property
    def effective_overlap(self) -> Overlap:
        """The task's own overlap policy, or the project's."""
        if self.overlap in Overlap.values:
            return Overlap(self.overlap)
        return Overlap.ALLOW if self.is_as_before else Overlap(settings.OVERLAP)

    @property
    def is_as_before(self) -> bool:
        """Whether its runs may overlap and never expire by default, as django-celery-beat has it: neither the
        task nor the project has chosen otherwise.
        """
        return self.runs_as_before and self.overlap not in Overlap.values and not is_chosen("OVERLAP")

    @property
    def effective_misfire(self) -> Misfire:
        """The task's own misfire policy, or the project's."""
        return Misfire(self.misfire if self.misfire in Misfire.values else settings.MISFIRE)

    @property
    def effective_grace(self) -> timedelta:
        """The task's own grace, or the project's."""
        return settings.GRACE if self.grace is None else self.grace

    @property
    def effective_alert_after(self) -> int:
        """How many failures in a row somebody is told of: the task's own number, or the project's."""
        return _at_least_one(self.alert_after, settings.ALERT_AFTER)

    @property
    def effective_recover_after(self) -> int:
        """How many successes in a row end its trouble: the task's own number, or the project's."""
        return _at_least_one(self.recover_after, settings.RECOVER_AFTER)

    @property
    def effective_max_runtime(self) -> timedelta | None:
        """How long a run may take at most: the task's own time, or the project's; None for no such limit."""
        return settings.MAX_RUNTIME if self.max_runtime is None else self.max_runtime

    @property
    def effective_alert_on(self) -> frozenset[str]:
        """The kinds of trouble that somebody is told of (``"failing"``, ``"late"``, ``"slow"``)."""
        return frozenset(self.alert_on.split(",") if self.alert_on else settings.ALERT_ON)

    @property
    def tag_list(self) -> list[str]:
        """Its tags."""
        return self.tags.split(",") if self.tags else []

    @property
    def runbook_url(self) -> str:
        """The runbook, if it is an http or https address without a password: the row may hold anything."""
        return self.runbook if is_web_address(self.runbook) and not has_user(self.runbook) else ""


def _at_least_one(*chosen: object) -> int:
    """The first of these that is a whole number from 1, else 1: a row or a setting may hold anything."""
    return next((int(each) for each in chosen if isinstance(each, int) and each >= 1), 1)


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
