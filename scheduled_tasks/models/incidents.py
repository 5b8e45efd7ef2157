"""Troubles that last, and who is told of them."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask

from .runs import TaskRun
from .tasks import ScheduledTask

INCIDENTS_LEASE = "incidents"
"""Name of the lease of the one process that opens and closes incidents."""


class IncidentKind(models.TextChoices):
    """What is wrong: the first three with a task, the others with what runs the tasks."""

    FAILING = "failing", _("Failing")
    LATE = "late", _("Late or missed")
    SLOW = "slow", _("Running far too long")
    BEAT = "beat", _("Beat is down")
    QUEUE = "queue", _("No worker for a queue")
    BROKER = "broker", _("Broker unreachable")
    RECORDER = "recorder", _("Runs not recorded")


OF_TASKS = frozenset({IncidentKind.FAILING, IncidentKind.LATE, IncidentKind.SLOW})
"""Kinds of trouble that a task has."""


class Closing(models.TextChoices):
    """Why an incident was closed."""

    RECOVERED = "recovered", _("recovered")
    PAUSED = "paused", _("disabled")
    DELETED = "deleted", _("deleted")


class IncidentQuerySet(models.QuerySet["Incident"]):
    """Incidents, of which each trouble has at most one open one."""

    def open(self) -> IncidentQuerySet:
        """Those that have not been closed."""
        return self.filter(open_key__isnull=False)


class Incident(models.Model):
    """One trouble of a task or of the machinery, from the moment it was seen until it is over.

    One of the machinery begins when the trouble did, where that is known: at the last heartbeat, say.
    ``key`` says what has the trouble: the kind, and the task's id or the queue's name. ``open_key`` is the
    same while the incident is open and None afterwards, so that a trouble has one open incident whatever
    several processes do. ``run_count`` counts the runs in trouble: failures in a row, ticks that did not run,
    or the run that takes too long. ``good_count`` counts the good runs since, up to the task's
    ``recover_after``. All times come from the database's clock.
    """

    kind = models.CharField(_("kind"), max_length=8, choices=IncidentKind.choices)
    key = models.CharField(_("key"), max_length=300)
    open_key = models.CharField(_("key while open"), max_length=300, null=True, unique=True)  # noqa: DJ001
    task = models.ForeignKey(
        PeriodicTask,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        related_name="incidents",
        verbose_name=_("scheduled task"),
    )
    subject = models.CharField(_("subject"), max_length=255, blank=True)
    owner = models.CharField(_("owner"), max_length=100, blank=True)
    opened_at = models.DateTimeField(_("opened"), db_index=True)
    last_seen_at = models.DateTimeField(_("last seen"))
    closed_at = models.DateTimeField(_("closed"), null=True)
    closing = models.CharField(_("why closed"), max_length=9, choices=Closing.choices, blank=True)
    run_count = models.PositiveIntegerField(_("runs"), default=0)
    good_count = models.PositiveIntegerField(_("good runs since"), default=0)
    first_run = models.ForeignKey(
        TaskRun,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("first run"),
    )
    last_run = models.ForeignKey(
        TaskRun,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("last run"),
    )
    acknowledged_by = models.CharField(_("acknowledged by"), max_length=150, blank=True)
    acknowledged_at = models.DateTimeField(_("acknowledged"), null=True)
    note = models.CharField(_("note"), max_length=500, blank=True)
    muted_until = models.DateTimeField(_("muted until"), null=True)
    muted_for_good = models.BooleanField(_("muted until resolved"), default=False)
    muted_by = models.CharField(_("muted by"), max_length=150, blank=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        indexes = [models.Index(fields=["key", "-opened_at"], name="scheduled_tasks_incident_key")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.subject}" if self.subject else self.get_kind_display()

    @property
    def is_open(self) -> bool:
        """Whether the trouble goes on."""
        return self.open_key is not None

    @property
    def task_or_none(self) -> ScheduledTask | None:
        """The task that has the trouble; None for the machinery's, and when the task has been deleted."""
        return ScheduledTask.objects.filter(pk=self.task_id or 0).first()

    def is_muted(self, now: datetime) -> bool:
        """Whether nobody is to be told of it at ``now``."""
        return self.muted_for_good or (self.muted_until is not None and self.muted_until > now)


class NoticeEvent(models.TextChoices):
    """What a notice tells."""

    OPENED = "opened", _("opened")
    CLOSED = "closed", _("recovered")
    FLAPPING = "flapping", _("flapping")
    SUMMARY = "summary", _("hourly summary")
    TEST = "test", _("test")


class NoticeState(models.TextChoices):
    """Where a notice stands: ``claimed`` is being sent by a process."""

    WAITING = "waiting", _("waiting")
    CLAIMED = "claimed", _("being sent")
    SENT = "sent", _("sent")
    GIVEN_UP = "given_up", _("given up")


class Notice(models.Model):
    """One message to one channel: of one incident, or of several that opened or closed at once.

    ``channel`` is the fingerprint of the channel's address, which is found anew in the settings when it is
    sent; ``label`` is what may be shown of it. ``due_at`` is when it may be sent next, None once it is sent
    or given up. ``count`` is of what it tells in sum: for a summary, how often the trouble came.
    """

    event = models.CharField(_("event"), max_length=8, choices=NoticeEvent.choices)
    incidents = models.ManyToManyField(Incident, related_name="notices", verbose_name=_("incidents"))
    owner = models.CharField(_("owner"), max_length=100)
    channel = models.CharField(_("channel"), max_length=16)
    label = models.CharField(_("channel's label"), max_length=255)
    state = models.CharField(
        _("state"), max_length=8, choices=NoticeState.choices, default=NoticeState.WAITING
    )
    count = models.PositiveIntegerField(_("count"), default=1)
    created_at = models.DateTimeField(_("created"), db_index=True)
    due_at = models.DateTimeField(_("due"), null=True, db_index=True)
    claimed_by = models.CharField(_("claimed by"), max_length=32, blank=True)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    sent_at = models.DateTimeField(_("sent"), null=True)
    error = models.CharField(_("error"), max_length=500, blank=True)

    class Meta:
        default_permissions = ()
        verbose_name = _("notice")
        verbose_name_plural = _("notices")

    def __str__(self) -> str:
        return f"{self.get_event_display()} to {self.label}"
