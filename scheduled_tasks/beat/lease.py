"""Which of several beats leads: a lease on the database's clock, fenced by an epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Q, QuerySet

from ..models import Lease, UtcNow, database

NAME = "beat"

TTL = timedelta(seconds=15)
"""How long a leader that falls silent keeps the lead. A standby notices within :data:`POLL_EVERY`; that
leaves it half of 30 seconds for reading all tasks on a busy machine."""

RENEW_EVERY = TTL.total_seconds() / 2
"""Seconds between two renewals: half of the lease is left for one that is held up."""

POLL_EVERY = 1.0
"""Seconds between two looks of a standby at the lease."""

SILENCE = 10
"""Seconds after which the server ends a transaction of a leader that says nothing more: it holds the lease's
row, and the server may not notice for hours that the leader's host is gone. Less than :data:`TTL`, so that
the next leader need not wait for it."""


class Fenced(Exception):
    """Another beat has taken the lead since: nothing may be claimed or sent any more."""


class Clock:
    """The database server's time, carried forward by this host's monotonic clock between two looks.

    Beats on several hosts, the pages and the workers' records so agree on what is due and what is late,
    and a jump of this host's clock changes nothing.
    """

    def __init__(self) -> None:
        self._moment = datetime.now(UTC)
        self._at = time.monotonic()

    def now(self) -> datetime:
        """The database's time, aware, in UTC."""
        return self._moment + timedelta(seconds=time.monotonic() - self._at)

    @property
    def age(self) -> float:
        """Seconds since the database was last asked."""
        return time.monotonic() - self._at

    def set(self, moment: datetime, since: float) -> None:
        """Go by ``moment``, which the database has given since ``since`` on this host's monotonic clock."""
        self._moment, self._at = moment, (since + time.monotonic()) / 2


class LeaderLease:
    """One beat's side of the lease. ``holder`` is the boot id of its process."""

    def __init__(self, holder: str, clock: Clock) -> None:
        self.holder = holder
        self.clock = clock
        self.epoch: int | None = None
        self._renewed = 0.0

    @property
    def held(self) -> bool:
        """Whether this beat leads, as far as it knows."""
        return self.epoch is not None

    @property
    def renewal_in(self) -> float:
        """Seconds until the lease is to be renewed; negative when it is overdue. A claim renews it, too."""
        return self._renewed + RENEW_EVERY - time.monotonic()

    @property
    def certain(self) -> bool:
        """Whether no other beat can have taken the lead, nor will while a message is sent."""
        return self.held and self.renewal_in > 0

    def take(self) -> bool:
        """Take the lead when nobody has it; one SELECT while somebody does."""
        if not self._free():
            return False
        over = Q(until__lt=UtcNow()) | Q(until__gt=UtcNow() + 2 * TTL)  # ahead of a clock set back
        free = Lease.objects.filter(Q(until__isnull=True) | over, name=NAME)
        begun = time.monotonic()
        if not free.update(holder=self.holder, epoch=F("epoch") + 1, until=UtcNow() + TTL):
            return False
        self.epoch = Lease.objects.values_list("epoch", flat=True).get(name=NAME, holder=self.holder)
        self._renewed = begun
        return True

    def _free(self) -> bool:
        begun = time.monotonic()
        found = Lease.objects.filter(name=NAME).values_list("until", UtcNow()).first()
        if found is None:
            Lease.objects.bulk_create([Lease(name=NAME)], ignore_conflicts=True)
            return True
        until, now = found
        self.clock.set(now, begun)
        return until is None or not now <= until <= now + 2 * TTL

    def renew(self) -> None:
        """Prolong the lease. Raises :class:`Fenced`."""
        begun = time.monotonic()
        if not self._mine().update(until=UtcNow() + TTL):
            raise Fenced
        self._renewed = begun

    @contextmanager
    def leading(self) -> Iterator[None]:
        """A transaction that holds off every other beat until its end. Raises :class:`Fenced`."""
        connection = connections[database()]
        outermost = not connection.in_atomic_block
        with transaction.atomic(using=connection.alias):
            if outermost:
                _bound_silence(connection)
            self.renew()  # being a write, it also makes a transaction of SQLite wait its turn
            yield

    def release(self) -> None:
        """Give the lead up, so that a standby takes it at once."""
        self._mine().update(until=None)
        self.epoch = None

    def _mine(self) -> QuerySet[Lease]:
        """The lease while it is this beat's; no row once another has taken it."""
        return Lease.objects.filter(name=NAME, holder=self.holder, epoch=self.epoch or 0)


def _bound_silence(connection: BaseDatabaseWrapper) -> None:
    """Have the server end the open transaction of ``connection`` when its client falls silent."""
    if connection.vendor == "postgresql":
        statement = f"SET LOCAL idle_in_transaction_session_timeout = '{SILENCE}s'"
    elif getattr(connection, "mysql_is_mariadb", False):
        statement = f"SET SESSION idle_transaction_timeout = {SILENCE}"
    else:
        return
    with connection.cursor() as cursor:
        cursor.execute(statement)
