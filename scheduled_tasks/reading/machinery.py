"""What runs the tasks at one moment: the database's clock, beats and workers, and who leads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

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
    Takers,
    UtcNow,
)
from ..models.clock import as_told
from ..upkeep.heartbeat import STALE_AFTER
from .signatures import readable


@dataclass(frozen=True)
class Machinery:
    """Read once per request and handed to whatever needs it."""

    now: datetime
    """The database's clock."""

    processes: tuple[Process, ...]
    """Beats and workers that have not said goodbye, silent ones included, newest heartbeat first."""

    others: tuple[Process, ...] = ()
    """Workers that only answer through the broker: they do not report here."""

    sync_error: str = ""
    """Why the last sync of code's declarations failed; empty when it did not."""

    last_beat: datetime | None = None
    """The last heartbeat of any beat, also of one that said goodbye; None where none is remembered."""

    last_worker: datetime | None = None
    """The same of any worker."""

    @classmethod
    def read(cls) -> Machinery:
        """The machinery as the database has it now: one statement, two where no process is."""
        last = {"last_beat": last_sign(ProcessKind.BEAT), "last_worker": last_sign(ProcessKind.WORKER)}
        living = living_processes().annotate(now=UtcNow(), sync_error=Subquery(sync_errors()[:1]), **last)
        found = tuple(living.order_by("-last_seen_at"))
        processes = tuple(each for each in found if each.kind != ProcessKind.OTHER)
        if not found:
            error = Max("error", filter=Q(name=SYNC_LEASE))
            of_none = {name: Coalesce(Max(sign), sign) for name, sign in last.items()}
            told = Lease.objects.aggregate(now=Coalesce(Max(UtcNow()), UtcNow()), error=error, **of_none)
            now = cast(datetime, as_told(told["now"], connections[Lease.objects.db]))
            signs = {name: told[name] for name in last}
            return cls(now=now, processes=(), sync_error=told["error"] or "", **signs)
        newest = found[0]
        signs = {name: getattr(newest, name) for name in last}
        others = tuple(each for each in found if each.kind == ProcessKind.OTHER)
        told_error = newest.sync_error or ""
        return cls(now=newest.now, processes=processes, others=others, sync_error=told_error, **signs)

    def leads(self, process: Process) -> bool:
        """Whether a beat is the one that starts the tasks; the others stand by."""
        return bool(getattr(process, "leads", False))

    def alive(self, kind: ProcessKind) -> list[Process]:
        """Processes of a kind whose heartbeat is recent and that were not started anew since."""
        of_kind = [process for process in self.processes if process.kind == kind]
        return [each for each in of_kind if not self.is_silent(each) and not self._is_replaced(each)]

    def is_silent(self, process: Process) -> bool:
        """Whether a process that has not said goodbye keeps no heartbeat any more."""
        return process.last_seen_at < self.now - STALE_AFTER

    def _is_replaced(self, process: Process) -> bool:
        """Whether another of its node started after its last heartbeat: it was killed and started again."""
        newest = self._newest[process.kind, process.node]
        return newest is not process and process.last_seen_at < newest.started_at

    @cached_property
    def _newest(self) -> dict[tuple[str, str], Process]:
        ascending = sorted(self.processes, key=lambda process: process.started_at)
        return {(process.kind, process.node): process for process in ascending}

    def last_of_queue(self, queue: str) -> datetime | None:
        """The last heartbeat of any worker that read from a queue; None where none is remembered."""
        return max((seen for queues, seen in self._readers if queue in queues), default=None)

    @cached_property
    def _readers(self) -> list[tuple[list[str], datetime]]:
        """Queues and last heartbeat of the workers remembered: one statement, for a queue without any."""
        workers = Process.objects.filter(kind=ProcessKind.WORKER)
        return list(workers.values_list("queues", "last_seen_at"))

    @cached_property
    def known_tasks(self) -> frozenset[str] | None:
        """Celery task names that living workers registered, also others; None when none is there to tell."""
        workers = [*self.alive(ProcessKind.WORKER), *self.others]
        if not workers:
            return None
        return frozenset(name for worker in workers for name in worker.task_names)

    def runs_elsewhere(self, task: ScheduledTask) -> bool:
        """Whether only workers that do not report here can run a task, so that no run of it is recorded."""
        return self._takers.only_others(task.task, task.queue, task.exchange)

    @cached_property
    def _takers(self) -> Takers:
        return Takers([each for each in self.processes if each.kind == ProcessKind.WORKER], self.others)

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

    def options_of(self, task: str) -> dict[str, Any] | None:
        """What the code of this Celery task says, see :attr:`.models.Process.task_options`; None if unknown.

        The worker that started last has the newest code.
        """
        newest = self._newest_workers.get(task)
        return None if newest is None else newest.task_options.get(task, {})

    def is_schedulable(self, task: str) -> bool:
        """Whether the newest code of this Celery task lets people schedule it; yes, if nobody knows."""
        return (self.options_of(task) or {}).get("schedulable", True) is not False

    def signature_of(self, task: str) -> dict[str, Any] | None:
        """The arguments of this Celery task, see :mod:`.worker.task_signatures`; None if unknown.

        One statement: only forms need what is large.
        """
        newest = self._newest_workers.get(task)
        return None if newest is None else self._signatures_of([newest.pk]).get(newest.pk, {}).get(task)

    def summaries(self) -> dict[str, str]:
        """What workers tell of each Celery task, if anything: its docstring's first line, and its module.

        The module is left out where the name begins with it. One statement.
        """
        newest = self._newest_workers
        signatures = self._signatures_of({worker.pk for worker in newest.values()})
        told = {name: signatures.get(worker.pk, {}).get(name, {}) for name, worker in newest.items()}
        return {name: _summary(name, signature) for name, signature in told.items()}

    @staticmethod
    def _signatures_of(workers: Collection[str]) -> dict[str, dict[str, Any]]:
        told = Process.objects.filter(pk__in=workers).values_list("pk", "task_signatures")
        return {pk: readable(signatures) for pk, signatures in told}

    @cached_property
    def _newest_workers(self) -> dict[str, Process]:
        """The living worker that started last, of each Celery task."""
        found: dict[str, Process] = {}
        for worker in sorted(self.alive(ProcessKind.WORKER), key=lambda worker: worker.started_at):
            found |= dict.fromkeys(worker.task_names, worker)
        return found

    def lost_contact(self, process_id: str) -> bool:
        """Whether the process that runs something is silent or gone; empty while none does."""
        if not process_id:
            return False
        process = next((each for each in self.processes if each.boot_id == process_id), None)
        return process is None or self.is_silent(process)


def sync_errors() -> QuerySet[Lease, str]:
    """Why the last sync failed: one text, or none before the first sync."""
    return Lease.objects.filter(name=SYNC_LEASE).values_list("error", flat=True)


def _summary(name: str, signature: dict[str, Any]) -> str:
    module = signature.get("module", "")
    told = (signature.get("doc", ""), "" if name.startswith(f"{module}.") else module)
    return " · ".join(filter(None, told))


def last_sign(kind: ProcessKind) -> Subquery:
    """The newest heartbeat of a kind of process, those that said goodbye included."""
    newest = Process.objects.filter(kind=kind).order_by("-last_seen_at")
    return Subquery(newest.values("last_seen_at")[:1])


def living_processes() -> QuerySet[Process]:
    """Processes that have not said goodbye, each with whether it leads; large signatures are left out."""
    lease = Lease.objects.filter(name="beat", holder=OuterRef("boot_id"), until__gt=UtcNow())
    living = Process.objects.filter(stopped_at__isnull=True).defer("task_signatures")
    return living.annotate(leads=Exists(lease))
