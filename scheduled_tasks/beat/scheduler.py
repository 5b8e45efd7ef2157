"""The scheduler that ``celery beat`` runs."""

from __future__ import annotations

import heapq
import time
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from celery.utils.log import get_logger
from celery.utils.nodenames import host_format
from django.db import Error as DatabaseFailure
from django.db import InterfaceError, OperationalError, connections
from django.utils.translation import gettext_noop
from django_celery_beat.schedulers import DatabaseScheduler

from ..models import ProcessKind, Status, TaskRun, database
from ..processes import Heartbeat
from ..reaper import Reaper
from ..sync import sync_at_beat_start
from . import held, records
from .broker import Broker
from .claims import Claimed, claim
from .entries import CLOCK_TOLERANCE, Entry
from .interrupts import undisturbed
from .lease import POLL_EVERY, RENEW_EVERY, Clock, Fenced, LeaderLease
from .loading import STATE_FIELDS, load
from .outbox import Message, Outbox
from .watch import Watch

LOOK_EVERY = timedelta(seconds=1)
"""How often a change of the tasks is looked for."""

RELOAD_EVERY = timedelta(minutes=5)
"""How often all tasks are read although no change shows."""

HEARTBEAT_EVERY = 2 * RENEW_EVERY
"""Seconds between two heartbeats: with the renewals of the lease, one UPDATE every 5 seconds."""

CURRENT = 5.0
"""Seconds for which a look counts as proof that the database answers."""

BATCH = 500
"""Tasks claimed in one transaction."""

DATABASE_PAUSES = (1.0, 2.0, 5.0)
"""Seconds between two attempts to reach the database; the last one goes on."""

QUIET_FAILURES = 12
"""Every how many failures in a row the database's silence is logged: about once a minute."""

NO_BEAT = gettext_noop("No beat was running.")
NO_DATABASE = gettext_noop("Beat could not reach the database.")
HELD_UP = gettext_noop("Beat was held up.")

logger = get_logger(__name__)


class Scheduler(DatabaseScheduler):
    """Fires each tick once, at its time, and explains every tick it did not fire.

    Start it with ``CELERY_BEAT_SCHEDULER = "scheduled_tasks.beat:Scheduler"``. Any number of them may run:
    one leads, the others stand by. No database error ends the process; without the database nothing is sent.
    """

    sync_every = 60

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.clock = Clock()
        self.lease = LeaderLease(uuid4().hex, self.clock)
        self.heartbeat: Heartbeat | None = None
        self.reaper: Reaper | None = None
        self.watch: Watch | None = None
        self.outbox = Outbox(self.publish)
        self.entries: dict[int, Entry] = {}
        self._due: list[tuple[datetime, int]] = []
        self._stands_by = False
        self._prepared = False
        self._holding = False
        self._runs_open = True
        self._in_turn = False
        self._stamp: tuple[Any, ...] | None = None
        self._seen_at: datetime | None = None
        self._loaded_at: datetime | None = None
        self._gap: tuple[datetime, str] | None = None
        self._failures = 0
        self._fired: dict[int, tuple[datetime, int]] = {}
        self._unconfirmed: list[Message] = []
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self.broker = Broker(self.app)

    def setup_schedule(self) -> None:
        """Nothing: a database that is down must not stop the start. The first turn reads the tasks."""

    @property
    def schedule(self) -> dict[str, Entry]:
        """The tasks this beat fires, by name; empty while it stands by."""
        return {entry.name: entry for entry in self.entries.values()}

    def now(self) -> datetime:
        """The time that decides what is due: the database's, aware, in UTC."""
        return self.clock.now()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One turn: send what is due. Returns the seconds that beat may sleep."""
        self._in_turn = True
        try:
            if self.heartbeat is None:
                self.heartbeat = self.start_heartbeat()
            pause = self._turn()
            self.heartbeat.looped()
        except Fenced:
            self._step_down()
            pause = 0.0
        except DatabaseFailure as error:
            pause = self._without_database(error)
        finally:
            self._in_turn = False
            self._rest()
        return min(pause, float(self.max_interval or pause))

    def start_heartbeat(self) -> Heartbeat:
        """Show this process, whether it leads or stands by."""
        watch = self.watch = Watch(connections[database()])

        def look_around() -> None:
            watch.look()
            self._ask_broker(heartbeat)

        heartbeat = Heartbeat(
            ProcessKind.BEAT,
            host_format("celerybeat@%h"),
            boot_id=self.lease.holder,
            every=HEARTBEAT_EVERY,
            on_beat=look_around,
        )
        heartbeat.start()
        self.reaper = Reaper(heartbeat, self.app, idle=self._nothing_open)
        self.reaper.start()
        return heartbeat

    def _nothing_open(self) -> bool:
        """Whether no run is open, by the last look. A beat that stands by leaves the runs to the leader."""
        return self.clock.age < CURRENT and not (self.lease.held and self._runs_open)

    def _rest(self) -> None:
        if self.watch is not None:
            self.watch.rest()

    def _ask_broker(self, heartbeat: Heartbeat) -> None:
        """Note whether the broker answers although nothing is due."""
        if self.broker.answers():
            heartbeat.broker_ok()

    def _turn(self) -> float:
        if not self._lead():
            return POLL_EVERY
        self._recovered()
        if not self._prepared:
            self._prepare()
        self._note_sent()
        if self._changed():
            self._reload()
        if self._holding:
            self._release_held()
        self._fire()
        return self._pause()

    def _lead(self) -> bool:
        if not self.lease.held:
            if not self.lease.take():
                if not self._stands_by:
                    logger.info("Another beat leads; this one stands by.")
                self._stands_by = True
                return False
            self._stands_by = False
            logger.info("This beat leads now (epoch %s).", self.lease.epoch)
        elif self._failures:
            self.lease.renew()
            self._look()
        elif self.lease.renewal_in <= 0:
            self.lease.renew()
        return True

    def _step_down(self) -> None:
        logger.warning("Another beat has taken the lead.")
        self.lease.epoch = None
        self.entries, self._due, self.outbox = {}, [], Outbox(self.publish)
        self._prepared, self._seen_at, self._stamp = False, None, None
        self._unconfirmed = []

    def _prepare(self) -> None:
        """What a new leader does first; done again when the database fails meanwhile."""
        self.sync_definitions()
        self._gap = (self.now(), NO_BEAT)
        with self.lease.leading():
            records.close(records.unsent(), Status.MISSED, records.UNNOTED, self.now())
        self._holding = TaskRun.objects.filter(status=Status.WAITING).exists()
        self._prepared = True

    def sync_definitions(self) -> None:
        """Take over what code declares; no declaration, however wrong, keeps beat from leading."""
        try:
            sync_at_beat_start(self.app)
        except (OperationalError, InterfaceError):  # the database is down, whatever is declared
            raise
        except Exception:
            logger.exception("The tasks declared in code could not be taken over.")

    def _note_sent(self) -> None:
        """Settle what an earlier turn left: unsure claims, unsent messages, sent ones not yet noted."""
        if self._unconfirmed:
            ids = [message.celery_id for message in self._unconfirmed]
            kept = set(records.unsent().filter(celery_id__in=ids).values_list("celery_id", flat=True))
            self.outbox.unsent.extend(m for m in self._unconfirmed if m.celery_id in kept)
            self._unconfirmed = []
        self._post([])

    def _post(self, messages: list[Message]) -> None:
        if not self.lease.certain:
            self.lease.renew()
        self.outbox.post(messages, self.now())
        self.outbox.note(self.now())

    def _changed(self) -> bool:
        now = self.now()
        if self._seen_at is not None and now < self._seen_at - CLOCK_TOLERANCE:
            self._start_over()
        due = bool(self._due) and self._due[0][0] <= now
        looked = self._seen_at is not None and now - self._seen_at < LOOK_EVERY
        if looked and not due and self._loaded_at is not None:
            return False
        seen, before = self._look(), self._stamp
        self._stamp = seen.stamp
        if seen.stamp != before or self._loaded_at is None or now - self._loaded_at >= RELOAD_EVERY:
            return True
        self._seen_at = now
        return False

    def _look(self) -> records.Look:
        begun = time.monotonic()
        seen = records.look()
        self.clock.set(seen.now, begun)
        self._runs_open = seen.runs_open
        return seen

    def _start_over(self) -> None:
        """The clock was set back: forget what was planned by it. What was claimed is not claimed again."""
        logger.warning("The database's clock was set back to %s.", self.now())
        self.entries, self._due = {}, []
        self._seen_at = self._loaded_at = None
        self.outbox.hurry()

    def _reload(self) -> None:
        """Read every task again, and write what that shows about them."""
        now = self.now()
        loaded = load(self.entries, now=now, seen_at=self._seen_at)
        if loaded.states or loaded.expired:
            with self.lease.leading():
                records.write_states(loaded.states, STATE_FIELDS)
                records.retire(loaded.expired, now)
        self.entries = loaded.entries
        wakes = ((entry.due or entry.timetable.expires, pk) for pk, entry in self.entries.items())
        self._due = [(moment, pk) for moment, pk in wakes if moment is not None]
        heapq.heapify(self._due)
        self._seen_at = self._loaded_at = now

    def _release_held(self) -> None:
        messages, self._holding = held.release(self.entries, lease=self.lease, now=self.now())
        self._post(messages)

    def _fire(self) -> None:
        while entries := self._take_due(self.now()):
            with undisturbed():
                claimed = self._claim(entries)
                self._move(claimed)
                self._post(claimed.messages)

    def _take_due(self, now: datetime) -> list[Entry]:
        """The entries that are due, at most :data:`BATCH`; one that expired makes all be read again."""
        taken: list[Entry] = []
        while self._due and self._due[0][0] <= now and len(taken) < BATCH:
            moment, task_id = heapq.heappop(self._due)
            entry = self.entries.get(task_id)
            if entry is not None and entry.due == moment:
                taken.append(entry)
            elif entry is not None and entry.due is None:
                self._loaded_at = None
        return taken

    def _claim(self, entries: list[Entry]) -> Claimed:
        claimed = Claimed()
        try:
            claim(entries, lease=self.lease, now=self.now(), why_missed=self._why_missed, into=claimed)
        except DatabaseFailure:
            self._unconfirmed.extend(claimed.messages)  # the commit may have arrived all the same
            raise
        return claimed

    def _why_missed(self, tick: datetime) -> str:
        """Why a tick is too late to run."""
        return self._gap[1] if self._gap is not None and tick <= self._gap[0] else HELD_UP

    def _move(self, claimed: Claimed) -> None:
        """Go on to the next ticks, now that the claim is kept."""
        for entry, accounted_until, following in claimed.moved:
            entry.accounted_until, entry.due = accounted_until, following
            moment = following or entry.timetable.expires
            if moment is not None:
                heapq.heappush(self._due, (moment, entry.task_id))
        for message in claimed.messages:
            _tick, count = self._fired.get(message.entry.task_id, (None, 0))
            self._fired[message.entry.task_id] = message.scheduled_for, count + 1
        for task_id in claimed.over:
            self.entries.pop(task_id, None)
        self._holding = self._holding or claimed.holding
        if claimed.stale:
            self._loaded_at = None

    def _pause(self) -> float:
        """Seconds until something is to be done."""
        now = self.now()
        if self._loaded_at is None or self._seen_at is None:
            return 0.0
        waits = [(self._seen_at + LOOK_EVERY - now).total_seconds(), self.lease.renewal_in]
        if self._due:
            waits.append((self._due[0][0] - now).total_seconds())
        if (retry := self.outbox.wait(now)) is not None:
            waits.append(retry)
        return max(min(waits), 0.0)

    def publish(self, message: Message) -> None:
        """Send one message, or raise what the broker or the message makes of it."""
        self._rest()
        self.broker.send(message)
        if self.heartbeat is not None:
            self.heartbeat.broker_ok()

    def _without_database(self, error: Exception) -> float:
        """Wait for the database; nothing is sent meanwhile. Returns the seconds to the next attempt."""
        pause = DATABASE_PAUSES[min(self._failures, len(DATABASE_PAUSES) - 1)]
        if self._failures % QUIET_FAILURES == 0:
            logger.error("Beat waits for the database, nothing is sent meanwhile: %s", error)
        self._failures += 1
        self._drop_database()
        return pause

    def _recovered(self) -> None:
        if not self._failures:
            return
        logger.info("The database answers again.")
        self._failures = 0
        self._gap = self.now(), NO_DATABASE
        self._loaded_at = None

    def sync(self) -> None:
        """Write what ran to django-celery-beat's own columns; kept for the next time when that fails."""
        if self._in_turn or not self._fired:
            return
        try:
            records.write_back(self._fired)
        except DatabaseFailure as error:
            self._without_database(error)
        else:
            self._fired = {}

    def close(self) -> None:
        """Give the lead up and write back. A signal may call this inside a turn: then the turn ends first."""
        if self._in_turn:
            return
        if self.lease.held:
            self._hand_over()
        if self.heartbeat is not None:
            self.heartbeat.stop()
            self.heartbeat = None
        self.broker.close()
        if self.reaper is not None:
            self.reaper.stop()
        super().close()

    def _hand_over(self) -> None:
        """Let a standby lead at once; a connection that a signal interrupted is replaced first."""
        for message in self.outbox.unsent:
            self._fired.pop(message.entry.task_id, None)
        for _attempt in range(2):
            try:
                self.lease.renew()
                self.outbox.leave(self.now())
                self.lease.release()
            except Fenced:
                return
            except DatabaseFailure as error:
                logger.warning("Beat could not give up the lead: %r", error)
                self._drop_database()
            else:
                return

    def _drop_database(self) -> None:
        with suppress(Exception):  # it is broken anyway
            connections[database()].close()
