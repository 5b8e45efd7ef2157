"""Beats and workers, and the rights of which only one of them holds each."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from django.db import connections, models
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from .clock import UtcNow, as_told


class ProcessKind(models.TextChoices):
    """The two kinds of process that keep a heartbeat."""

    BEAT = "beat", _("beat")
    WORKER = "worker", _("worker")


class Process(models.Model):
    """One boot of a beat or worker, kept alive by its heartbeat.

    ``pool`` is a worker's pool, and for a beat its scheduler unless that is this app's. ``app`` is the ``-A``
    that it was started with, and ``brokers`` the addresses it reads from or, for a beat, writes to.
    ``task_queues`` tells the queue that a worker's code and settings choose for each of its tasks, where that
    can be told.
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
