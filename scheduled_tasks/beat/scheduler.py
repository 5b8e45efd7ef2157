"""The scheduler that ``celery beat`` runs."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

from celery.utils.log import get_logger
from celery.utils.nodenames import host_format
from django.db import Error as DatabaseFailure
from django.db import InterfaceError, OperationalError, connections
from django_celery_beat.schedulers import DatabaseScheduler

from ..declarations.sync import sync_at_beat_start
from ..incidents.watcher import Watcher
from ..models import ProcessKind, ScheduledTask, database
from ..operations.publishing import ran_here
from ..reasons import Code, Reason
from ..recording import Sending
from ..recording.connection import is_outage
from ..upkeep.heartbeat import Heartbeat
from ..upkeep.reaper import Reaper
from .broker import OUTAGES, Broker, NotPublished, OutcomeUnknown
from .database_connection import ConnectionGuard
from .delayed_signals import delayed_signals
from .entries import Entry
from .leader import Leader
from .lease import POLL_EVERY, RENEW_EVERY, Clock, Fenced, LeaderLease
from .pending_runs import PendingRun
from .ping import Ping

HEARTBEAT_EVERY = 2 * RENEW_EVERY
"""Seconds between two heartbeats: with the renewals of the lease, one UPDATE every 5 seconds."""

CURRENT = 5.0
"""Seconds for which the last look counts as proof that the database answers."""

WORKS_WITHIN = 45.0
"""Seconds for which a completed turn and an answer of the broker, asked every 15, prove that beat works."""

RETRY_PAUSES = (1.0, 2.0, 5.0)
"""Seconds between two attempts to reach the database; the last one goes on."""

QUIET_FAILURES = 12
"""Every how many failures in a row the database's silence is logged: about once a minute."""

logger = get_logger(__name__)


class Scheduler(DatabaseScheduler):
    """Fires each tick once, at its time, and explains every tick it did not fire.

    Start it with ``CELERY_BEAT_SCHEDULER = "scheduled_tasks.beat:Scheduler"``. Any number of them may run:
    one leads, the others stand by. No error of the database ends the process; without it nothing is sent.

    It is meant to be subclassed (docs/operating.md). As with Celery's and django-celery-beat's schedulers,
    every run is sent through :meth:`apply_entry` and :meth:`apply_async`, and :meth:`schedule_changed`
    decides when a change counts. :meth:`read_task` sees every task that is read.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.clock = Clock()
        self.lease = LeaderLease(uuid4().hex, self.clock)
        self.leader: Leader | None = None
        self.heartbeat: Heartbeat | None = None
        self.reaper: Reaper | None = None
        self.watcher: Watcher | None = None
        self.guard: ConnectionGuard | None = None
        self.ping = Ping(self.works)
        self._stands_by = False
        self._failures = 0
        self._outage = False
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self.broker = Broker(self.app)

    def setup_schedule(self) -> None:
        """Nothing: a database that is down must not stop the start. The first turn reads the tasks."""

    def sync(self) -> None:
        """Nothing: every claim writes django-celery-beat's own columns."""

    @property
    def schedule(self) -> dict[str, Entry]:
        """The tasks this beat fires, by name; empty while it stands by."""
        return {entry.task.name: entry for entry in self.leader.entries.values()} if self.leader else {}

    def now(self) -> datetime:
        """The time that decides what is due: the database's, aware, in UTC."""
        return self.clock.now()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One turn: send what is due. Returns the seconds that beat may sleep."""
        with delayed_signals():
            try:
                if self.heartbeat is None:
                    self.heartbeat = self.start_heartbeat()
                pause = self._turn()
                self.heartbeat.looped()
            except Fenced:
                logger.warning("Another beat has taken the lead.")
                self.lease.epoch = self.leader = None
                pause = 0.0
            except Exception as error:  # noqa: BLE001 - whatever happens, beat goes on
                pause = self.turn_failed(error)
            self._rest()
        return min(pause, float(self.max_interval or pause))

    def _turn(self) -> float:
        leads = self._lead()
        if leads and self.leader is None:
            self.sync_definitions()
            leader = Leader(self.lease, self)
            leader.begin()
            self.leader = leader
        elif self.leader is not None and self._failures:
            self.leader.resume(Code.NO_DATABASE if self._outage else None)
        if self._outage:
            logger.info("The database answers again.")
        self._failures, self._outage = 0, False
        return POLL_EVERY if self.leader is None else self.leader.turn()

    def _lead(self) -> bool:
        """Whether this beat leads; asks the database after a failure, too."""
        if self.lease.held:
            if self._failures or self.lease.renewal_in <= 0:
                self.lease.renew()
        elif self.lease.take():
            self._stands_by = False
            logger.info("This beat leads now (epoch %s).", self.lease.epoch)
        elif not self._stands_by:
            self._stands_by = True
            logger.info("Another beat leads; this one stands by.")
        return self.lease.held

    def turn_failed(self, error: Exception) -> float:
        """Make ready for another attempt. Returns the seconds until then; nothing is sent meanwhile."""
        pause = RETRY_PAUSES[min(self._failures, len(RETRY_PAUSES) - 1)]
        if not is_outage(error):
            logger.exception("Beat could not finish its turn.", exc_info=error)
        else:
            self._outage = True
            if self._failures % QUIET_FAILURES == 0:
                logger.error("Beat waits for the database, nothing is sent meanwhile: %s", error)
        self._failures += 1
        self._drop_connection()
        return pause

    def read_task(self, task: ScheduledTask) -> None:
        """Hook: beat has read this enabled task, and goes by what it says after this call.

        A subclass may change its columns and its schedule here, not in the database: give it another row, as
        in ``task.crontab = CrontabSchedule(…)``. The same task must come out alike each time. What this
        raises marks the task as broken; others run.
        """

    def schedule_changed(self) -> bool:
        """Hook: somebody changed a task. Whether to read all tasks now; else beat asks again in a second.

        Meanwhile it goes by what it has read, but starts no task that was disabled or that the page
        rescheduled.
        """
        return True

    def sync_definitions(self) -> None:
        """Take over what code declares; no declaration, however wrong, keeps beat from leading."""
        try:
            sync_at_beat_start(self.app)
        except (OperationalError, InterfaceError):  # the database is down, whatever is declared
            raise
        except Exception:
            logger.exception("The tasks declared in code could not be taken over.")

    def start_heartbeat(self) -> Heartbeat:
        """Show this process, whether it leads or stands by."""
        guard = self.guard = ConnectionGuard(connections[database()])

        def on_beat() -> None:
            guard.check()
            if self.broker.answers():  # although nothing may be due
                heartbeat.broker_ok()

        heartbeat = Heartbeat(
            ProcessKind.BEAT,
            host_format("celerybeat@%h"),
            boot_id=self.lease.holder,
            every=HEARTBEAT_EVERY,
            on_beat=on_beat,
        )
        heartbeat.start()
        self.reaper = Reaper(heartbeat, self.app, idle=self._no_run_open)
        self.reaper.start()
        self.watcher = Watcher(heartbeat)
        self.watcher.start()
        self.ping.start()
        return heartbeat

    def works(self) -> bool:
        """Whether this beat leads, ticks and sends, as far as it knows; asks nobody."""
        leader, heartbeat = self.leader, self.heartbeat
        if leader is None or heartbeat is None or not self.lease.is_valid:
            return False
        return heartbeat.noted_within(WORKS_WITHIN) and not leader.outbox.is_held_up

    def _no_run_open(self) -> bool:
        """Whether no run was open a moment ago. A beat that stands by leaves the runs to the leader."""
        leader = self.leader
        return self.clock.age < CURRENT and not (leader is not None and leader.runs_open)

    def _rest(self) -> None:
        if self.guard is not None:
            self.guard.rest()

    def publish(self, run: PendingRun) -> None:
        """Send one run through :meth:`apply_entry`. Raises one of :mod:`.broker`'s exceptions."""
        self._rest()
        producer = self.broker.producer()
        self.lease.ensure()  # connecting may have taken longer than the lease lasts
        self._rest()
        run.error = None
        with Sending(run.header) as sending:
            try:
                self.apply_entry(run, producer=producer)
            except Exception as error:  # noqa: BLE001 - of a subclass, or of what hooks into Celery's scheduler
                run.error = run.error or error
        if sending.left or run.is_eager:
            if self.heartbeat is not None:
                self.heartbeat.broker_ok()
            return
        if isinstance(run.error, OUTAGES):
            self.broker.close()
            raise OutcomeUnknown(str(run.error)) from run.error
        if run.error is not None:
            self.broker.close()
            raise NotPublished(Reason.of(Code.NOT_SENT, error=repr(run.error))) from run.error
        raise NotPublished(Reason(Code.OWN_WAY))

    def apply_async(
        self, entry: PendingRun, producer: Any = None, advance: bool = True, **kwargs: Any
    ) -> Any:
        """Send one run as Celery's own scheduler does.

        What that raises is kept as ``entry.error``: Celery would log each attempt of an outage with a stack.
        """
        try:
            result = super().apply_async(entry, producer=producer, advance=False, **kwargs)
        except Exception as error:  # noqa: BLE001 - the caller raises it again
            entry.error = error.__context__ if isinstance(error.__context__, Exception) else error
            return None
        entry.is_eager = ran_here(result, entry.celery_id)
        return result

    def close(self) -> None:
        """Give the lead up. A second signal, which calls this again, waits until it is done."""
        self.ping.stop()
        with delayed_signals():
            if self.lease.held:
                self._hand_over()
            if self.watcher is not None:
                self.watcher.stop()
                self.watcher = None
            if self.heartbeat is not None:
                self.heartbeat.stop()
                self.heartbeat = None
            self.broker.close()
            if self.reaper is not None:
                self.reaper.stop()
            super().close()

    def _hand_over(self) -> None:
        """Let a standby lead at once."""
        try:
            self.lease.renew()
            if self.leader is not None:
                self.leader.outbox.give_back()
            self.lease.release()
            self.leader = None
        except (Fenced, DatabaseFailure) as error:
            logger.warning("Beat could not give up the lead: %r", error)
            self._drop_connection()

    def _drop_connection(self) -> None:
        with suppress(Exception):  # it is broken anyway
            connections[database()].close()
