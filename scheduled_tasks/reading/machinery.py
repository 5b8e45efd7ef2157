"""What runs the tasks at one moment: the database's clock, beats and workers, and who leads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from django.db import connections
from django.db.models import CharField, Exists, Max, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils.functional import cached_property

from ..models import (
    SYNC_LEASE,
    Lease,
    Process,
    ProcessKind,
    ScheduledTask,
    UtcNow,
)
from ..models.clock import as_told
from ..upkeep.heartbeat import STALE_AFTER


@dataclass(frozen=True)
class Machinery:
    """Read once per request and handed to whatever needs it."""

    now: datetime
    """The database's clock."""

    processes: tuple[Process, ...]
    """Beats and workers that have not said goodbye, silent ones included, newest heartbeat first."""

    sync_error: str = ""
    """Why the last sync of code's declarations failed; empty when it did not."""

    @classmethod
    def read(cls) -> Machinery:
        """The machinery as the database has it now: one statement, two where no process is."""
        living = living_processes().annotate(now=UtcNow(), sync_error=Subquery(sync_errors()[:1]))
        processes = tuple(living.order_by("-last_seen_at"))
        if not processes:
            error = Max("error", filter=Q(name=SYNC_LEASE))
            told = Lease.objects.aggregate(now=Coalesce(Max(UtcNow()), UtcNow()), error=error)
            now = cast(datetime, as_told(told["now"], connections[Lease.objects.db]))
            return cls(now=now, processes=(), sync_error=told["error"] or "")
        newest = processes[0]
        return cls(now=newest.now, processes=processes, sync_error=newest.sync_error or "")

    def leads(self, process: Process) -> bool:
        """Whether a beat is the one that starts the tasks; the others stand by."""
        return bool(getattr(process, "leads", False))

    def alive(self, kind: ProcessKind) -> list[Process]:
        """Processes of a kind whose heartbeat is recent."""
        return [process for process in self.processes if process.kind == kind and not self.is_silent(process)]

    def is_silent(self, process: Process) -> bool:
        """Whether a process that has not said goodbye keeps no heartbeat any more."""
        return process.last_seen_at < self.now - STALE_AFTER

    @cached_property
    def known_tasks(self) -> frozenset[str] | None:
        """Celery task names that living workers registered; None when no worker is alive to tell."""
        workers = self.alive(ProcessKind.WORKER)
        if not workers:
            return None
        return frozenset(name for worker in workers for name in worker.task_names)

    @cached_property
    def used_queues(self) -> frozenset[str]:
        """Queues of enabled tasks: those they name, else those that workers would choose. One statement."""
        columns = [Coalesce(name, Value(""), output_field=CharField()) for name in ("queue", "exchange")]
        enabled = ScheduledTask.objects.order_by().filter(enabled=True)
        uses = enabled.values_list("task", *columns).distinct()
        return frozenset(filter(None, (self.queue_of(*use) for use in uses)))

    def queue_of(self, task: str, queue: str, exchange: str) -> str:
        """The queue of a scheduled task that names this Celery task, queue and exchange; empty if unknown."""
        return queue or ("" if exchange else self._chosen_queues.get(task, ""))

    @cached_property
    def _chosen_queues(self) -> dict[str, str]:
        """The queues that living workers would choose, by Celery task name."""
        chosen: dict[str, str] = {}
        for worker in self.alive(ProcessKind.WORKER):
            chosen |= worker.task_queues
        return chosen

    def lost_contact(self, process_id: str) -> bool:
        """Whether the process that runs something is silent or gone; empty while none does."""
        if not process_id:
            return False
        process = next((each for each in self.processes if each.boot_id == process_id), None)
        return process is None or self.is_silent(process)


def sync_errors() -> QuerySet[Lease, str]:
    """Why the last sync failed: one text, or none before the first sync."""
    return Lease.objects.filter(name=SYNC_LEASE).values_list("error", flat=True)


def living_processes() -> QuerySet[Process]:
    """Processes that have not said goodbye, each with whether it leads."""
    lease = Lease.objects.filter(name="beat", holder=OuterRef("boot_id"), until__gt=UtcNow())
    return Process.objects.filter(stopped_at__isnull=True).annotate(leads=Exists(lease))
