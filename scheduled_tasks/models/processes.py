"""Beats and workers, and the rights of which only one of them holds each."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import cast

from django.db import connections, models
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from .clock import UtcNow, as_told


class ProcessKind(models.TextChoices):
    """Beats and workers that keep a heartbeat, and workers that only answer through the broker."""

    BEAT = "beat", _("beat")
    WORKER = "worker", _("worker")
    OTHER = "other", _("worker that does not report here")


class Process(models.Model):
    """One boot of a beat or worker, kept alive by its heartbeat.

    One of the kind ``other`` runs without this app or on another database: :mod:`.upkeep.other_workers` keeps
    what it answers, ``node``, ``queues`` and ``task_names``, and deletes the row when it answers no more.

    ``pool`` is a worker's pool, and for a beat its scheduler unless that is this app's. ``app`` is the ``-A``
    that it was started with, and ``brokers`` the addresses it reads from or, for a beat, writes to.
    ``task_queues`` tells the queue that a worker's code and settings choose for each of its tasks, where that
    can be told. ``task_options`` tells what the code of each of them sets of ``expires`` and the time limits,
    in seconds or as a time in ISO format. ``task_signatures`` describes their arguments, see
    :mod:`.worker.task_signatures`.
    """

    boot_id = models.CharField(_("boot id"), max_length=32, primary_key=True)
    kind = models.CharField(_("kind"), max_length=6, choices=ProcessKind.choices)
    node = models.CharField(_("node name"), max_length=255)
    pool = models.CharField(_("pool"), max_length=100, blank=True)
    queues = models.JSONField(_("queues"), default=list)
    app = models.CharField(_("app"), max_length=255, blank=True)
    brokers = models.JSONField(_("brokers"), default=list)
    task_names = models.JSONField(_("registered tasks"), default=list)
    task_queues = models.JSONField(_("queues of the registered tasks"), default=dict)
    task_options = models.JSONField(_("options of the registered tasks"), default=dict)
    task_signatures = models.JSONField(_("arguments of the registered tasks"), default=dict)
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


class Takers:
    """Which workers may take the message of a task: those that report here, and others.

    ``own`` are all that have not said goodbye: one that is silent may have taken a message.
    """

    def __init__(self, own: Collection[Process], others: Collection[Process]) -> None:
        self._own, self._others = own, others

    @classmethod
    def read(cls, using: str | None = None) -> Takers:
        """The workers as the database has them: one statement where all report here, else two."""
        workers = (
            Process.objects.using(using).filter(stopped_at=None).defer("task_signatures", "task_options")
        )
        others = [*workers.filter(kind=ProcessKind.OTHER)]
        return cls([*workers.filter(kind=ProcessKind.WORKER)] if others else [], others)

    def __bool__(self) -> bool:
        return bool(self._others)

    def others_may(self, task: str, queue: str | None, exchange: str | None) -> bool:
        """Whether a worker that does not report here may take what names this Celery task and queue."""
        return self._any(self._others, task, queue, exchange)

    def only_others(self, task: str, queue: str | None, exchange: str | None) -> bool:
        """Whether no worker that reports here may take it."""
        return self.others_may(task, queue, exchange) and not self._any(self._own, task, queue, exchange)

    def _any(self, workers: Collection[Process], task: str, queue: str | None, exchange: str | None) -> bool:
        if not queue and not exchange:
            queue = next((chosen for each in self._own if (chosen := each.task_queues.get(task))), "")
        return any(task in each.task_names and (not queue or queue in each.queues) for each in workers)


SYNC_LEASE = "sync"
"""Name of the lease of the sync of code's declarations."""


class Lease(models.Model):
    """A right only one process holds at a time, by name: ``"beat"``, ``"sync"`` and ``"prune"``.

    ``epoch`` grows with every takeover and fences off a holder that slept through it. ``error`` tells why
    the last work under this right failed; empty when it succeeded.
    """

    name = models.CharField(_("name"), max_length=16, primary_key=True)
    holder = models.CharField(_("holder"), max_length=32, blank=True)
    epoch = models.BigIntegerField(_("epoch"), default=0)
    until = models.DateTimeField(_("until"), null=True)
    error = models.CharField(_("error"), max_length=500, blank=True)

    class Meta:
        default_permissions = ()
        verbose_name = _("lease")
        verbose_name_plural = _("leases")

    def __str__(self) -> str:
        return self.name


def database_now() -> datetime:
    """The database server's clock, aware, in UTC."""
    leases = Lease.objects.all()
    found = leases.aggregate(now=Coalesce(models.Max(UtcNow()), UtcNow()))
    return cast(datetime, as_told(found["now"], connections[leases.db]))
