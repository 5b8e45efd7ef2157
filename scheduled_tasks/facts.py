# ruff: noqa: S608 - the statements are made of this module's own constants
"""What holds for all tasks at one moment: the clock, the living processes, what the tasks use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connections
from django.db.models.query import RawQuerySet
from django.utils.functional import cached_property

from .models import (
    Lease,
    Process,
    ProcessKind,
    ScheduledTask,
    TaskState,
    database_now,
    now_sql,
    told_by_clock,
)
from .processes import STALE_AFTER


class Use(NamedTuple):
    """What some tasks have in common: when that was read, the queue that they name, the Celery task that
    decides where they name none, and the grace time."""

    now: datetime
    enabled: bool
    queue: str | None
    unrouted: str
    grace: timedelta | None


@dataclass(frozen=True)
class Facts:
    """Read once per request, in one statement, and handed to whatever needs them."""

    now: datetime
    """The database's clock."""

    processes: tuple[Process, ...]
    """Beats and workers that have not said goodbye, silent ones included, newest heartbeat first."""

    @classmethod
    def read(cls, uses: set[Use] | None = None) -> Facts:
        """The facts as the database has them now, save what tasks use if that is known."""
        processes = tuple(_processes())
        if processes:
            facts = cls(now=told_by_clock(processes[0].now), processes=processes)  # type: ignore[attr-defined]
            if uses is not None:
                vars(facts)["uses"] = uses
            return facts
        uses = _uses()
        facts = cls(now=max((use.now for use in uses), default=None) or database_now(), processes=())
        vars(facts)["uses"] = uses
        return facts

    @cached_property
    def uses(self) -> set[Use]:
        """What tasks use: one statement more, for the whole list only."""
        return _uses()

    @property
    def queues(self) -> frozenset[str]:
        """Queues that enabled tasks name."""
        return frozenset(use.queue for use in self.uses if use.enabled and use.queue)

    @property
    def unrouted(self) -> frozenset[str]:
        """Celery tasks of enabled tasks that say nothing about where their messages go."""
        return frozenset(use.unrouted for use in self.uses if use.enabled and use.unrouted)

    @property
    def graces(self) -> frozenset[timedelta | None]:
        """Grace times in use; None stands for the project's."""
        return frozenset(use.grace for use in self.uses) | {None}

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


PROCESS, LEASE, TASK, STATE = (model._meta.db_table for model in (Process, Lease, ScheduledTask, TaskState))


def _processes() -> RawQuerySet[Process]:
    """By hand, like :func:`_uses`: Django took longer to make the statements than the database to answer."""
    now = now_sql(connections[Process.objects.db])
    leads = f"SELECT 1 FROM {LEASE} l WHERE l.name = 'beat' AND l.holder = p.boot_id AND l.until > {now}"
    living = f"SELECT p.*, EXISTS({leads}) AS leads, {now} AS now FROM {PROCESS} p WHERE p.stopped_at IS NULL"
    return Process.objects.raw(f"{living} ORDER BY p.last_seen_at DESC", None)


def _uses() -> set[Use]:
    """As many as there are differences."""
    connection = connections[TaskState.objects.db]
    unnamed = "COALESCE(t.queue, '') = '' AND COALESCE(t.exchange, '') = ''"
    columns = f"t.enabled, t.queue, CASE WHEN {unnamed} THEN t.task ELSE '' END AS unrouted, s.grace"
    uses = f"SELECT DISTINCT {columns} FROM {TASK} t LEFT JOIN {STATE} s ON s.task_id = t.id"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {now_sql(connection)}, uses.* FROM ({uses}) AS uses")
        found = cursor.fetchall()
    return {Use._make((told_by_clock(now), *use, _duration(grace))) for now, *use, grace in found}


def _duration(stored: Any) -> timedelta | None:
    return timedelta(microseconds=stored) if isinstance(stored, int) else stored
