"""Which of several beats leads, and by which clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from ..upkeep.fenced_lease import Fenced, FencedLease

__all__ = ["NAME", "POLL_EVERY", "RENEW_EVERY", "TTL", "Clock", "Fenced", "LeaderLease"]

NAME = "beat"

TTL = timedelta(seconds=15)
"""How long a leader that falls silent keeps the lead. A standby notices within :data:`POLL_EVERY`; that
leaves it half of 30 seconds for reading all tasks on a busy machine."""

RENEW_EVERY = TTL.total_seconds() / 2
"""Seconds between two renewals: half of the lease is left for one that is held up."""

POLL_EVERY = 1.0
"""Seconds between two looks of a standby at the lease."""


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

    def set(self, moment: datetime) -> None:
        """Go by ``moment``, which the database has just told.

        How long its answer was under way is not known. So this clock may be that much behind, for one look,
        but it is never ahead of the database's, which would fire ticks early.
        """
        self._moment, self._at = moment, time.monotonic()


class LeaderLease(FencedLease):
    """One beat's side of the lease of the lead; ``clock`` goes by what the database tells meanwhile.

    A claim renews it, too.
    """

    def __init__(self, holder: str, clock: Clock) -> None:
        super().__init__(NAME, holder, TTL)
        self.clock = clock

    def told(self, now: datetime) -> None:
        """The database has just told its time."""
        self.clock.set(now)
