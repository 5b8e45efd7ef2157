"""Maintenance windows: stretches of time in which beat starts no run of some tasks, or of any."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import models
from django.db.models import Exists, Q
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask

from ..conf import settings
from ..reasons import Code, Reason
from .clock import LONG_AGO, UtcNow


class MaintenanceQuerySet(models.QuerySet["MaintenanceWindow"]):
    """Windows by whether a moment lies in them."""

    def not_over_at(self, moment: datetime | UtcNow) -> MaintenanceQuerySet:
        """Those that end later, or whenever somebody ends them; planned ones too."""
        return self.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=moment))

    def active_at(self, moment: datetime | UtcNow) -> MaintenanceQuerySet:
        """Those in which the moment lies."""
        return self.not_over_at(moment).filter(starts_at__lte=moment)

    def with_task_count(self) -> MaintenanceQuerySet:
        """With ``task_count``: how many tasks that still exist each one names."""
        return self.annotate(task_count=models.Count("members__task__name"))

    def of_task_alone(self, task_id: int) -> MaintenanceQuerySet:
        """Those of this task and of no other that still exists."""
        own = MaintenanceTask.objects.filter(task=task_id).values("window")
        return self.with_task_count().filter(Q(task_count=1), covers_all=False, pk__in=own)


class MaintenanceWindow(models.Model):
    """A stretch of time whose ticks beat skips: from ``starts_at`` on and before ``ends_at``.

    Without ``ends_at`` it lasts until somebody ends it. One that was cancelled before it began ends before it
    begins. ``by`` made it (``by_command``: from the command line), ``changed_by`` ended it or moved its end.
    It covers all tasks, or those of ``members``. With ``run_once_after`` a task that was due meanwhile runs
    once when it is over. Tasks stay enabled, so its end resumes nothing that a person disabled. All times are
    those of the database's clock.
    """

    starts_at = models.DateTimeField(_("begins"))
    ends_at = models.DateTimeField(_("ends"), null=True, db_index=True)
    note = models.CharField(_("note"), max_length=500, blank=True)
    by = models.CharField(_("by"), max_length=150, blank=True)
    changed_by = models.CharField(_("changed by"), max_length=150, blank=True)
    run_once_after = models.BooleanField(_("run once afterwards"), default=False)
    by_command = models.BooleanField(_("from the command line"), default=False)
    covers_all = models.BooleanField(_("all tasks"), default=False)

    objects = MaintenanceQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name = _("maintenance window")
        verbose_name_plural = _("maintenance windows")

    def __str__(self) -> str:
        return self.note or str(_("Maintenance"))

    def covers(self, moment: datetime) -> bool:
        """Whether the moment lies in it."""
        return self.starts_at <= moment and (self.ends_at is None or moment < self.ends_at)

    @property
    def reason(self) -> Reason:
        """Why a tick in it did not run."""
        if self.pk is None:
            return Reason(Code.PAUSED_BY_SETTING)
        if self.note:
            return Reason.of(Code.MAINTENANCE, note=self.note, by=self.by)
        return Reason.of(Code.PAUSED_BY, by=self.by)


class MaintenanceTask(models.Model):
    """One task of a window that does not cover all."""

    window = models.ForeignKey(
        MaintenanceWindow, models.CASCADE, related_name="members", verbose_name=_("maintenance window")
    )
    task = models.ForeignKey(
        PeriodicTask,
        models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
        verbose_name=_("scheduled task"),
    )

    class Meta:
        default_permissions = ()
        verbose_name = _("task of a maintenance window")
        verbose_name_plural = _("tasks of maintenance windows")
        constraints = [
            models.UniqueConstraint(fields=["window", "task"], name="scheduled_tasks_maintenance_task")
        ]

    def __str__(self) -> str:
        return f"task {self.task_id} of window {self.window_id}"


@dataclass(frozen=True)
class Windows:
    """The windows that cover some tasks, in the order in which they begin.

    Each has the number of its tasks as ``task_count``. While the setting ``PAUSED`` holds, there is only one,
    without an id, over everything.
    """

    all: Sequence[MaintenanceWindow] = ()
    members: Mapping[int, Collection[int]] = field(default_factory=dict)
    """Ids of tasks by that of their window, of those that do not cover all."""

    @classmethod
    def read(cls, task_ids: Collection[int], since: datetime) -> Windows:
        """Those of these tasks that were not over at ``since``: one statement, two where one names tasks."""
        if settings.PAUSED:
            return cls([MaintenanceWindow(starts_at=LONG_AGO, covers_all=True)])
        windows = MaintenanceWindow.objects.not_over_at(since).order_by("starts_at", "pk")
        found = list(windows.with_task_count())
        some = [window.pk for window in found if not window.covers_all]
        members: dict[int, set[int]] = defaultdict(set)
        if some:
            rows = MaintenanceTask.objects.filter(window__in=some, task__in=task_ids)
            for window_id, task_id in rows.values_list("window_id", "task_id"):
                members[window_id].add(task_id)
        return cls(found, members)

    def of(self, task_id: int) -> list[MaintenanceWindow]:
        """Those that cover the task at some time."""
        return [each for each in self.all if each.covers_all or task_id in self.members.get(each.pk, ())]

    def covering(self, task_id: int, moment: datetime) -> list[MaintenanceWindow]:
        """Those that keep the task from starting at this moment."""
        return [window for window in self.of(task_id) if window.covers(moment)] if self.all else []

    def clear_from(self, task_id: int, moment: datetime) -> datetime | None:
        """The first moment from this one on that lies in none; None where nobody knows it yet."""
        while covering := self.covering(task_id, moment):
            ends = [window.ends_at for window in covering]
            if None in ends:
                return None
            moment = max(end for end in ends if end is not None)
        return moment

    def ended_at(self, task_id: int, since: datetime, now: datetime) -> datetime:
        """When the last one that was not over at ``since`` and is now ended; ``now`` where there is none."""
        ends = [each.ends_at for each in self.of(task_id) if each.ends_at and each.starts_at < each.ends_at]
        return max((end for end in ends if since < end <= now), default=now)


def covered(now: datetime | UtcNow) -> Q:
    """That a window, or the setting ``PAUSED``, keeps beat from starting a task now: a condition of tasks."""
    if settings.PAUSED:
        return Q(pk__isnull=False)
    return _in_any(MaintenanceWindow.objects.active_at(now))


def covered_later(now: datetime | UtcNow) -> Q:
    """That a window which is not over covers a task, now or later: a condition of tasks."""
    return Q(pk__isnull=False) if settings.PAUSED else _in_any(MaintenanceWindow.objects.not_over_at(now))


def _in_any(windows: MaintenanceQuerySet) -> Q:
    members = MaintenanceTask.objects.filter(window__in=windows)
    return Q(Exists(windows.filter(covers_all=True))) | Q(pk__in=members.values("task_id"))
