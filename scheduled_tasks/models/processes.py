"""Beats and workers, and the rights of which only one of them holds each."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from .clock import UtcNow


class ProcessKind(models.TextChoices):
    """The two kinds of process that keep a heartbeat."""

    BEAT = "beat", _("beat")
    WORKER = "worker", _("worker")


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


def database_now() -> datetime:
    """The database server's clock, aware, in UTC."""
    found = Lease.objects.aggregate(now=Coalesce(models.Max(UtcNow()), UtcNow()))
    moment: datetime = found["now"]
    return moment
