"""Sends the notices that are due, each channel's from a thread of its own.

A notice is claimed by a conditional UPDATE immediately before it is sent. A claim holds for 60 s, and after
that as long as its process lives: a channel that hangs is not called twice. What a channel has taken is noted
as sent; that write is tried again until the database takes it. What it has not taken is sent again later, for
an hour in all.

The delivery is at least once: a process that is killed after the channel took a message and before that is
noted sends it again, with the same key.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

from django.db import Error as DatabaseFailure
from django.db import connections
from django.db.models import F, QuerySet

from ..models import Notice, NoticeState, Process, UtcNow, database
from ..recording import forks
from ..recording.complaints import complaints
from ..recording.connection import is_outage, keepable, set_timeouts
from ..upkeep.heartbeat import STALE_AFTER
from .channels import find
from .faults import ChannelError, told
from .notification import notification_of

CLAIMED_FOR = timedelta(seconds=60)
"""After this time a claim lapses whose process is gone."""

DELAYS = (10, 30, 60, 120, 300, 600, 900, 900, 680)
"""Seconds until the next attempt, after each one that failed: an hour in all. Then the notice is given up."""

HANGS = "It has not answered for a minute."
"""What is told of a channel that takes longer than a claim holds. It is not called again meanwhile."""

AT_ONCE = 500
"""Most notices that one turn looks at."""

STOP_WITHIN = 5.0
"""Seconds that :meth:`Sender.stop` waits for messages that are under way."""

NOTE_EVERY = 2.0
"""Seconds between two attempts to write that a message was sent."""


class Sender:
    """Sends for one process. ``holder`` is its boot id, as in :class:`.models.Process`.

    Only the process that holds the lease of the incidents calls :meth:`turn`. What an earlier holder still
    sends stays its own.
    """

    def __init__(self, holder: str) -> None:
        self._holder = holder
        self._threads: dict[str, threading.Thread] = {}
        self._in_hand: set[int] = set()
        self._stopping = threading.Event()

    def turn(self) -> None:
        """Start to send what is due: one indexed statement when nothing is. Raises ``django.db.Error``."""
        self._threads = {channel: thread for channel, thread in self._threads.items() if thread.is_alive()}
        if self._stopping.is_set():
            return
        if self._in_hand:
            _lapsed([*self._in_hand]).update(error=HANGS)
        due: dict[str, list[int]] = defaultdict(list)
        for notice in self._free(_due().exclude(channel__in=[*self._threads])[:AT_ONCE]):
            due[notice.channel].append(notice.pk)
        for channel, notices in due.items():
            thread = threading.Thread(
                target=self._send_all, args=[notices], name=f"scheduled-tasks-alerts-{channel}", daemon=True
            )
            self._threads[channel] = thread
            thread.start()

    def stop(self) -> None:
        """Start nothing more, and wait a little for what is under way. Another process sends the rest."""
        self._stopping.set()
        ends_at = time.monotonic() + STOP_WITHIN
        for thread in [*self._threads.values()]:
            thread.join(max(0.0, ends_at - time.monotonic()))

    def _free(self, notices: Iterable[Notice]) -> list[Notice]:
        """Those that nobody is sending: unclaimed, or claimed by a process that is gone or by this one."""
        found = list(notices)
        others = {each.claimed_by for each in found if each.state == NoticeState.CLAIMED} - {self._holder}
        alive = set(_alive(others)) if others else set()
        return [
            each
            for each in found
            if each.pk not in self._in_hand
            and not (each.state == NoticeState.CLAIMED and each.claimed_by in alive)
        ]

    def _send_all(self, notices: list[int]) -> None:
        """The work of one channel's thread: one notice after another, in the order in which they arose."""
        set_timeouts(connections[database()])
        for pk in sorted(notices):
            if self._stopping.is_set():
                return
            self._in_hand.add(pk)
            try:
                self._send(pk)
            except Exception as error:  # noqa: BLE001 - it stays due, or its claim lapses
                complaints.log("A notice of an incident could not be sent.", error)
            finally:
                connections.close_all()  # what a function of the project has opened
                self._in_hand.discard(pk)

    def _send(self, pk: int) -> None:
        lapses_at = time.monotonic() + CLAIMED_FOR.total_seconds()
        with forks.connected():
            notice = _due().filter(pk=pk).first()
            if notice is None or _is_behind(notice) or not self._claim(notice):
                return
        died = notice.attempts > 1 + len(DELAYS)
        self._note(notice, "Whoever sends it dies." if died else _attempt(notice, lapses_at))

    def _claim(self, notice: Notice) -> bool:
        """Take the notice, unless another process has since it was read."""
        as_read = _due().filter(
            pk=notice.pk, state=notice.state, claimed_by=notice.claimed_by, attempts=notice.attempts
        )
        claimed = as_read.order_by().update(
            state=NoticeState.CLAIMED,
            claimed_by=self._holder,
            due_at=UtcNow() + CLAIMED_FOR,
            attempts=F("attempts") + 1,
        )
        notice.attempts += 1
        return claimed == 1

    def _note(self, notice: Notice, fault: str) -> None:
        """Write how it went; again and again while the database is away."""
        while True:
            try:
                with forks.connected():
                    self._write(notice, fault)
                return
            except Exception as error:
                if not is_outage(error):
                    raise
                complaints.log("It could not be noted how the sending of a notice went.", error)
            time.sleep(NOTE_EVERY)

    def _write(self, notice: Notice, fault: str) -> None:
        mine = _notices().filter(pk=notice.pk, state=NoticeState.CLAIMED, claimed_by=self._holder)
        if not fault:
            mine.update(state=NoticeState.SENT, sent_at=UtcNow(), due_at=None, error="")
        elif notice.attempts > len(DELAYS):
            mine.update(state=NoticeState.GIVEN_UP, due_at=None, error=keepable(fault)[:500])
        else:
            due_at = UtcNow() + timedelta(seconds=DELAYS[notice.attempts - 1])
            mine.update(state=NoticeState.WAITING, due_at=due_at, error=keepable(fault)[:500])


def _attempt(notice: Notice, lapses_at: float) -> str:
    """Send it, and return why that failed; empty when the channel has taken it.

    Not once the claim has lapsed, by the monotonic clock: while this process stood still (SIGSTOP, a laptop's
    lid) another may have sent it.
    """
    channel = find(notice.channel)
    if channel is None:
        return "This channel is not in ALERTS any more."
    try:
        with forks.connected():  # a channel that hangs keeps no connection
            notification = notification_of(notice)
        if time.monotonic() > lapses_at:
            return "The process that sends it stood still."
        channel.send(notification)
    except ChannelError as error:
        return str(error) or "The channel did not say why."
    except DatabaseFailure:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the message was not taken
        return told(error)
    return ""


def _is_behind(notice: Notice) -> bool:
    """Whether an earlier notice of the same trouble still waits for the channel."""
    earlier = _notices().filter(channel=notice.channel, pk__lt=notice.pk, due_at__isnull=False)
    return earlier.filter(incidents__key__in=notice.incidents.using(database()).values("key")).exists()


def _lapsed(in_hand: list[int]) -> QuerySet[Notice]:
    """Those that have been sent for longer than a claim holds, and still are."""
    return _notices().filter(pk__in=in_hand, state=NoticeState.CLAIMED, due_at__lte=UtcNow(), error="")


def _due() -> QuerySet[Notice]:
    return _notices().filter(due_at__lte=UtcNow()).order_by("due_at")


def _notices() -> QuerySet[Notice]:
    return Notice.objects.using(database())


def _alive(boot_ids: Iterable[str]) -> QuerySet[Process, str]:
    heard = Process.objects.using(database()).filter(last_seen_at__gte=UtcNow() - STALE_AFTER)
    return heard.filter(pk__in=boot_ids, stopped_at=None).values_list("pk", flat=True)
