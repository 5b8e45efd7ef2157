"""What holds for all tasks at one moment: the clock, the living processes, what the tasks use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, QuerySet
from django.utils.functional import cached_property

from .models import Lease, Process, ProcessKind, ScheduledTask, UtcNow, database_now
from .processes import STALE_AFTER


@dataclass(frozen=True)
class Facts:
    """Read once per request, in one statement, and handed to whatever needs them."""

    now: datetime
    """The database's clock."""

    processes: tuple[Process, ...]
    """Beats and workers that have not said goodbye, silent ones included, newest heartbeat first."""

    @classmethod
    def read(cls) -> Facts:
        """The facts as the database has them now."""
        processes = tuple(cls._processes())
        if processes:
            return cls(now=processes[0].now, processes=processes)  # type: ignore[attr-defined]
        uses = _uses()
        facts = cls(now=max((now for now, *_rest in uses), default=None) or database_now(), processes=())
        vars(facts)["uses"] = uses
        return facts

    @cached_property
    def uses(self) -> set[tuple[datetime, bool, str | None, timedelta | None]]:
        """What tasks use: one statement more, for the whole list only."""
        return _uses()

    @property
    def queues(self) -> frozenset[str]:
        """Queues that enabled tasks name."""
        return frozenset(queue for _now, enabled, queue, _grace in self.uses if enabled and queue)

    @property
    def graces(self) -> frozenset[timedelta | None]:
        """Grace times in use; None stands for the project's."""
        return frozenset(grace for *_rest, grace in self.uses) | {None}

    @staticmethod
    def _processes() -> QuerySet[Process]:
        leader = Lease.objects.filter(name="beat", holder=OuterRef("boot_id"), until__gt=UtcNow())
        living = Process.objects.filter(stopped_at=None).annotate(leads=Exists(leader), now=UtcNow())
        return living.order_by("-last_seen_at")

    def leads(self, process: Process) -> bool:
        """Whether a beat is the one that starts the tasks; the others stand by."""
        return bool(getattr(process, "leads", False))

    def alive(self, kind: ProcessKind) -> list[Process]:
        """Processes of a kind whose heartbeat is recent."""
        return [process for process in self.processes if process.kind == kind and not self.is_silent(process)]

    def is_silent(self, process: Process) -> bool:
        """Whether a process that has not said goodbye stopped giving signs of life."""
        return process.last_seen_at < self.now - STALE_AFTER

    @cached_property
    def known_tasks(self) -> frozenset[str] | None:
        """Celery task names that living workers registered; None when no worker is alive to tell."""
        workers = self.alive(ProcessKind.WORKER)
        if not workers:
            return None
        return frozenset(name for worker in workers for name in worker.task_names)

    def lost_contact(self, process_id: str) -> bool:
        """Whether the process that runs something is silent or gone."""
        process = next((each for each in self.processes if each.boot_id == process_id), None)
        return process is None or self.is_silent(process)


def _uses() -> set[tuple[datetime, bool, str | None, timedelta | None]]:
    """When that was read, whether enabled, queue and grace time: as many rows as there are differences."""
    return set(
        ScheduledTask.objects.order_by()
        .annotate(now=UtcNow())
        .values_list("now", "enabled", "queue", "scheduled_state__grace")
        .distinct()
    )
