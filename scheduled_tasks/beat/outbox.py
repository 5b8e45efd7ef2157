"""Sending what was claimed, under the id it was claimed with: again while it has not left, never twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from celery.utils.log import get_logger
from django.db import transaction
from django.db.models import F
from django_celery_beat.models import PeriodicTask

from ..models import Status, TaskRun, TaskState, database
from ..reasons import Code, Reason
from ..recording.connection import own_transaction
from .broker import BrokerUnreachable, NotPublished, OutcomeUnknown
from .lease import Clock
from .pending_runs import PendingRun, close_runs, unsent_runs

PAUSES = (1.0, 2.0, 5.0, 10.0)
"""Seconds between two attempts while the broker does not answer; the last one goes on."""

logger = get_logger(__name__)


class Outbox:
    """The claimed runs that have not left, and what became of the others until that is written down.

    ``publish`` sends one run or raises one of :mod:`.broker`'s exceptions. When the broker fails, everything
    waits for the next attempt: beat asks it once per pause and not once per run.
    """

    def __init__(self, publish: Callable[[PendingRun], object], clock: Clock) -> None:
        self._publish = publish
        self._clock = clock
        self._unsent: deque[PendingRun] = deque()
        self._unsure: list[PendingRun] = []
        self._sent: list[str] = []
        self._missed: dict[str, Reason] = {}
        self._expiries: dict[str, datetime | None] = {}
        self._failures = 0
        self._error = ""
        self._try_at: datetime | None = None

    @property
    def try_at(self) -> datetime | None:
        """When the next attempt is to be made; None when nothing waits."""
        return (self._try_at or self._clock.now()) if self._unsent else None

    @property
    def is_held_up(self) -> bool:
        """Whether runs wait because the last attempt did not reach the broker."""
        return self._failures > 0

    def doubt(self, runs: Sequence[PendingRun]) -> None:
        """The transaction that claimed ``runs`` failed, and may have been committed all the same."""
        self._unsure.extend(runs)

    def post(self, runs: Sequence[PendingRun] = ()) -> None:
        """Send ``runs``, and what could not be sent before when its time has come; note what became of them.

        Raises database errors and then keeps what is not sent and noted.
        """
        self._unsent.extend(runs)
        self._confirm()
        now = self._clock.now()
        # A moment further ahead than any pause is from before the clock was set back.
        if self._try_at is None or not now < self._try_at <= now + timedelta(seconds=PAUSES[-1]):
            self._send_all()
        self._note()

    def give_back(self) -> None:
        """Settle everything before a clean stop: what has not left is given back to the next leader.

        Raises database errors and then keeps what is not settled.
        """
        self._confirm()
        while self._unsent:
            run = self._unsent[-1]
            if not give_back(run):
                self._missed[run.celery_id] = Reason.of(Code.NOT_SENT, error=self._error)
            self._unsent.pop()
        self._note()

    def _confirm(self) -> None:
        """Find out which of the runs in doubt were claimed."""
        if self._unsure:
            ids = [run.celery_id for run in self._unsure]
            claimed = set(unsent_runs().filter(celery_id__in=ids).values_list("celery_id", flat=True))
            self._unsent.extend(run for run in self._unsure if run.celery_id in claimed)
            self._unsure = []

    def _send_all(self) -> None:
        while self._unsent:
            run = self._unsent[0]
            if run.is_too_late(self._clock.now()):
                failed = Reason.of(Code.NOT_SENT, error=self._error)
                self._missed[run.celery_id] = failed if run.is_postponed else Reason(Code.EXPIRED)
            elif not self._send(run):
                return
            self._unsent.popleft()
        self._failures, self._try_at = 0, None

    def _send(self, run: PendingRun) -> bool:
        """Whether the run is dealt with; it is not while the broker cannot be reached."""
        if run.is_postponed:
            run.resume(self._clock.now())
            self._expiries[run.celery_id] = run.expires_at
        try:
            self._publish(run)
        except BrokerUnreachable as error:
            self._pause(error)
            return False
        except OutcomeUnknown as error:
            # Sent again it might run twice. If the broker has it, the start of the run corrects this.
            logger.error("Beat does not know whether %s was sent: %s", run.name, error)
            self._missed[run.celery_id] = Reason(Code.MAYBE_SENT)
        except NotPublished as error:
            logger.error("Beat did not send %s: %s", run.name, error.reason.english)
            self._missed[run.celery_id] = error.reason
        else:
            logger.info("Sent %s for %s", run.name, run.scheduled_for)
            self._sent.append(run.celery_id)
        return True

    def _pause(self, error: Exception) -> None:
        pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
        logger.error(
            "Beat cannot reach the broker to send %s, next attempt in %g s: %s",
            self._unsent[0].name,
            pause,
            error,
        )
        self._failures, self._error = self._failures + 1, str(error)
        self._try_at = self._clock.now() + timedelta(seconds=pause)
        for run in self._unsent:
            if not run.is_postponed:
                run.postpone()
                self._expiries[run.celery_id] = run.expires_at

    def _note(self) -> None:
        """Write down what became of the runs; done again as a whole when the database fails meanwhile."""
        now = self._clock.now()
        for celery_id, moment in self._expiries.items():
            unsent_runs().filter(celery_id=celery_id).update(expires_at=moment)
        if self._sent:
            TaskRun.objects.filter(celery_id__in=self._sent, sent_at__isnull=True).update(sent_at=now)
        for celery_id, reason in self._missed.items():
            close_runs(unsent_runs().filter(celery_id=celery_id), Status.MISSED, reason, now)
        self._expiries, self._sent, self._missed = {}, [], {}


def give_back(run: PendingRun) -> bool:
    """Undo the claim of a tick that was never sent: the next leader finds it due.

    Whether that was possible; it is not once later ticks are accounted for.
    """
    if run.accounted_until is None:
        return False
    with own_transaction(database()):
        task = PeriodicTask.objects.filter(pk=run.task_id, last_run_at=run.tick)
        task.update(last_run_at=run.accounted_until, total_run_count=F("total_run_count") - 1)
        newest = TaskState.objects.filter(pk=run.task_id, accounted_until=run.tick)
        if not newest.exists() or not unsent_runs().filter(celery_id=run.celery_id).delete()[0]:
            transaction.set_rollback(True, using=database())
            return False
        newest.update(accounted_until=run.accounted_until, next_run_at=run.tick)
    return True
