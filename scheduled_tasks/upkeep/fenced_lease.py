"""A right that one process holds at a time, on the database's clock, fenced by an epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db.models import QuerySet

from ..models import Lease, UtcNow, database
from ..recording.connection import own_transaction


class Fenced(Exception):
    """Another process holds the right since: nothing may be done by it any more."""


class FencedLease:
    """One process's side of the lease ``name``. ``holder`` is the boot id of the process.

    A holder that falls silent keeps the lease for ``ttl``; one that works renews it every half of that.
    """

    def __init__(self, name: str, holder: str, ttl: timedelta) -> None:
        self.name = name
        self.holder = holder
        self.ttl = ttl
        self.epoch: int | None = None
        self._renewed = 0.0

    @property
    def held(self) -> bool:
        """Whether this process holds the lease, as far as it knows."""
        return self.epoch is not None

    @property
    def is_valid(self) -> bool:
        """Whether it holds the lease for certain: no other can have taken one that was renewed in time."""
        return self.held and time.monotonic() - self._renewed < self.ttl.total_seconds()

    @property
    def renewal_in(self) -> float:
        """Seconds until the lease is to be renewed; negative when it is overdue."""
        return self._renewed + self.ttl.total_seconds() / 2 - time.monotonic()

    def take(self) -> bool:
        """Take the lease when nobody has it; one SELECT while somebody does."""
        rows = Lease.objects.filter(name=self.name).values_list("epoch", "until", UtcNow())
        while (found := rows.first()) is None:
            Lease.objects.bulk_create([Lease(name=self.name)], ignore_conflicts=True)
        epoch, until, now = found
        self.told(now)
        if until is not None and now <= until <= now + 2 * self.ttl:  # further ahead: the clock was set back
            return False
        begun = time.monotonic()
        unchanged = Lease.objects.filter(name=self.name, epoch=epoch)
        if not unchanged.update(holder=self.holder, epoch=epoch + 1, until=UtcNow() + self.ttl):
            return False
        self.epoch, self._renewed = epoch + 1, begun
        return True

    def told(self, now: datetime) -> None:
        """The database has just told its time."""

    def renew(self) -> None:
        """Prolong the lease. Raises :class:`Fenced`."""
        begun = time.monotonic()
        if not self._mine().update(until=UtcNow() + self.ttl):
            raise Fenced
        self._renewed = begun

    def ensure(self) -> None:
        """See that no other process can take the lease for a while. Raises :class:`Fenced`."""
        if self.renewal_in <= 0:
            self.renew()

    @contextmanager
    def leading(self) -> Iterator[None]:
        """A transaction that holds off every other process until its end. Raises :class:`Fenced`."""
        renewed = self._renewed
        try:
            with own_transaction(database()):
                self.renew()  # being a write, it also makes a transaction of SQLite wait its turn
                yield
        except BaseException:
            self._renewed = renewed  # what is rolled back prolongs nothing
            raise

    def release(self) -> None:
        """Give the lease up, so that another process takes it at once."""
        self._mine().update(until=None)
        self.epoch = None

    def _mine(self) -> QuerySet[Lease]:
        """The lease while it is this process's; no row once another has taken it."""
        return Lease.objects.filter(name=self.name, holder=self.holder, epoch=self.epoch or 0)
