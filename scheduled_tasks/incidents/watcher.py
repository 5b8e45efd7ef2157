"""Looks every ten seconds for what is wrong, in one of all beats and workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import connections

from ..alerts.sender import Sender
from ..models import INCIDENTS_LEASE, Incident, TaskState, database
from ..private import under_test
from ..reading.machinery import Machinery
from ..recording import forks
from ..recording.complaints import complaints
from ..recording.connection import set_timeouts
from ..recording.recorder import Unanswered, ask, record
from ..signals import incident_closed, incident_opened
from ..upkeep.fenced_lease import Fenced, FencedLease
from ..upkeep.heartbeat import STALE_AFTER, Heartbeat
from ..upkeep.other_workers import OtherWorkers
from . import finding, ledger, notices
from .finding import Fault, Findings
from .ledger import Changes
from .slowness import Limits

LOOK_EVERY = 10.0
"""Seconds between two looks."""

TTL = timedelta(seconds=40)
"""How long a holder that falls silent keeps the lease."""

LASTS_AFTER = 30.0
"""Seconds for which something must be wrong with the machinery until that is an incident."""

GAP = 30.0
"""Seconds between two looks after which nothing is known to have lasted."""

FULL_LOOK_EVERY = 60.0
"""Seconds after which a look reads everything while an incident is open."""

LOOKED_BACK = timedelta(minutes=2)
"""From how long before the last look on a failure counts that is over already."""

LOOKED_BACK_AT_FIRST = timedelta(hours=1)
"""The same for a process that has just taken the lease. What an incident tells of is never told again."""

ANSWER_WITHIN = 10.0
STOP_WITHIN = 2.0


class Endurance:
    """Since when each fault of the machinery has been seen, by this process's monotonic clock."""

    def __init__(self) -> None:
        self._since: dict[Fault, float] = {}
        self._seen_at = float("-inf")
        self._steady_since = float("inf")

    def note(self, faults: Collection[Fault]) -> None:
        """These faults are there now."""
        now = time.monotonic()
        if now - self._seen_at > GAP:
            self._since, self._steady_since = {}, now
        self._since = {fault: self._since.get(fault, now) for fault in faults}
        if finding.blames_nobody(faults):
            self._steady_since = now
        self._seen_at = now

    def note_nothing_new(self) -> None:
        """The faults are those of the last time: no look was needed to see that."""
        self.note(tuple(self._since))

    def unsettle(self) -> None:
        """What is new may be the first sign of a fault: no task is blamed until it is known to be none."""
        self._steady_since = time.monotonic()

    @property
    def lasting(self) -> set[Fault]:
        """Those that have lasted long enough."""
        return {fault for fault, since in self._since.items() if self._seen_at - since >= LASTS_AFTER}

    @property
    def is_waiting(self) -> bool:
        """Whether time alone may change what is found."""
        return len(self.lasting) < len(self._since) or not self.is_steady

    @property
    def is_steady(self) -> bool:
        """Whether nothing has been wrong for long enough that tasks may be blamed that they are late."""
        return self._seen_at - self._steady_since >= LASTS_AFTER


class Watcher:
    """Opens and closes incidents, and has them told, from a thread of its own beside a heartbeat.

    One process of all does it, the one that holds the lease. Any other asks for the lease, by one statement
    on the recorder's connection.
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        self.lease = FencedLease(INCIDENTS_LEASE, heartbeat.boot_id, TTL)
        self._heartbeat = heartbeat
        self._sender = Sender(heartbeat.boot_id)
        self._others = OtherWorkers()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._rows: list[tuple[str, str]] = []
        self._since: datetime | None = None
        self._forget()

    def start(self) -> None:
        """Look every :data:`LOOK_EVERY` seconds until :meth:`stop`; not under a test runner."""
        if not under_test():
            self._thread = threading.Thread(target=self._run, name="scheduled-tasks-incidents", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more, and let another process go on at once."""
        self._stopping.set()
        self._sender.stop()
        if self._thread is not None:
            self._thread.join(STOP_WITHIN)
        if self.lease.held:
            record(self.lease.release, wait=True)

    def turn(self) -> None:
        """Look once, if this is the process that does."""
        if not self._hold():
            return
        try:
            rows = finding.signature()
            if self._is_new(rows):
                if rows != self._rows and time.monotonic() - self._looked_at > GAP:
                    self._endurance.unsettle()
                self.look()
                self._rows = rows  # of before the look: what came meanwhile is new at the next turn
                rows = finding.signature()
            else:
                self._endurance.note_nothing_new()
            if finding.has_unsent(rows):
                self._sender.turn()
        except Fenced:
            self.lease.epoch = None

    def look(self) -> Changes:
        """Read everything, and write what has changed. Raises :class:`Fenced`."""
        machinery = Machinery.read()
        now, judges = machinery.now, self._heartbeat.written_for() >= STALE_AFTER.total_seconds()
        self._endurance.note(found := finding.machinery_faults(machinery) if judges else [])
        self._limits.keep_up(now)
        open_keys = set(finding.open_incidents().filter(task=None).values_list("key", flat=True))
        lasting = self._endurance.lasting | {fault for fault in found if fault.key in open_keys}
        findings = finding.read(
            now,
            self._since or now - LOOKED_BACK_AT_FIRST,
            faults=lasting if judges else None,
            punctual=judges and self._endurance.is_steady,
            unserved=_unserved(machinery, found),
        )
        changes = ledger.compare(findings)
        self._waits = self._write(changes, findings) or self._endurance.is_waiting or not judges
        self._since, self._looked_at = now - LOOKED_BACK, time.monotonic()
        self._has_open = bool(changes.standing or changes.opened)
        announce(changes)
        return changes

    def _write(self, changes: Changes, findings: Findings) -> bool:
        """Write incidents and notices; whether something is to be told later."""

        def state_of(incident: Incident) -> TaskState:
            task = findings.tasks.get(incident.task_id or 0)
            return TaskState() if task is None else task.state

        touched = [*changes.opened, *changes.standing, *changes.closed]
        past = notices.Past.read([each.key for each in touched], changes.now)
        if not (touched or past.flapping):
            return False
        told = notices.told_of_open()
        notices.carry_mutes(changes.opened, past, changes.now)
        with self.lease.leading():
            ledger.write(changes)
            made = notices.Notices(changes, past, told, state_of)
            made.make()
        return made.waits

    def _hold(self) -> bool:
        if self.lease.held:
            try:
                self.lease.ensure()
            except Fenced:
                self.lease.epoch = None
            return self.lease.held
        with suppress(Unanswered):
            if ask(self.lease.take, ANSWER_WITHIN):
                self._forget()
                set_timeouts(connections[database()])
                if self.lease.epoch == 1:  # nobody has looked before: what is over is over
                    self._since = Machinery.read().now
        return self.lease.held

    def _forget(self) -> None:
        """Begin anew, as another process may have looked meanwhile."""
        self._endurance, self._limits = Endurance(), Limits()
        self._rows, self._since = [], None
        self._looked_at = float("-inf")
        self._waits, self._has_open = True, True

    def _is_new(self, rows: list[tuple[str, str]]) -> bool:
        age = time.monotonic() - self._looked_at
        return self._waits or rows != self._rows or (self._has_open and age >= FULL_LOOK_EVERY)

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = LOOK_EVERY
            try:
                with forks.connected():
                    if self.lease.held:
                        self._others.turn()
                    self.turn()
            except Exception as error:  # noqa: BLE001 - the next turn may find the trouble gone
                complaints.log("Incidents could not be looked for.", error)
                self._rows = []


def _unserved(machinery: Machinery, faults: Collection[Fault]) -> Collection[int]:
    """Ids of tasks whose queue has no worker."""
    queues = {fault.subject for fault in faults if fault.kind == "queue" and fault.subject}
    return finding.tasks_of_queues(machinery, queues) if queues else frozenset()


def announce(changes: Changes) -> None:
    """Send the signals; what a receiver raises is logged."""
    for signal, incidents in ((incident_opened, changes.opened), (incident_closed, changes.closed)):
        for incident in incidents:
            for receiver, error in signal.send_robust(sender=Incident, incident=incident):
                if isinstance(error, Exception):
                    complaints.log(f"A receiver of an incident's signal failed: {receiver!r}.", error)
