"""What the leading beat does: a tick's way from due over claimed and sent to noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from celery.utils.log import get_logger

from ..models import ScheduledTask, Status, TaskRun, TaskState
from ..reasons import Code, Reason
from ..recording.connection import in_ascii
from .claims import Claim
from .entries import CLOCK_TOLERANCE, Entry
from .held_runs import releasable, release
from .lease import LeaderLease
from .loading import TaskReader, columns, mark_broken, read_changes, reason_of, retire, save_states, state_of
from .outbox import Outbox
from .pending_runs import PendingRun, close_runs, unsent_runs
from .portions import PORTION, in_portions, is_about_data

LOOK_EVERY = timedelta(seconds=1)
"""How often a change of the tasks is looked for."""

RELOAD_EVERY = timedelta(minutes=5)
"""How often all tasks are read although no change shows."""

logger = get_logger(__name__)


class Hooks(Protocol):
    """What a subclass of the scheduler may decide; ``publish`` is as :class:`.outbox.Outbox` says."""

    def publish(self, run: PendingRun) -> None: ...

    def read_task(self, task: ScheduledTask) -> None: ...

    def schedule_changed(self) -> bool: ...


class Leader:
    """One beat for as long as it leads; ``hooks`` is its scheduler.

    ``due_at`` is when the next of ``entries`` is due, None when none is.
    """

    def __init__(self, lease: LeaderLease, hooks: Hooks) -> None:
        self.lease = lease
        self.outbox = Outbox(hooks.publish, lease.clock)
        self._hooks = hooks
        self.entries: dict[int, Entry] = {}
        self.runs_open = True
        self.due_at: datetime | None = None
        self._version: tuple[Any, ...] = ()
        self._looked_at: datetime | None = None
        self._read_at: datetime | None = None
        self._gap = lease.clock.now(), Code.NO_BEAT
        self._refused: dict[int, tuple[list[Any], Exception]] = {}

    def now(self) -> datetime:
        """The database's time."""
        return self.lease.clock.now()

    def begin(self) -> None:
        """Close what the leader before claimed and did not note as sent: nobody knows whether it was."""
        with self.lease.leading():
            close_runs(unsent_runs(), Status.MISSED, Reason(Code.SENT_UNNOTED), self.now())

    def resume(self, reason: Code | None) -> None:
        """Go on after turns that failed; ``reason`` is why ticks were missed meanwhile, where it is known."""
        if reason is not None:
            self._gap = self.now(), reason
        self._read_at = None

    def turn(self) -> float:
        """Start what is due. Returns the seconds until there is something to do."""
        self._look()
        self.outbox.post()
        if self._read_at is None:
            self._read_tasks()
        if self.runs_open:
            self._release_held()
        self._start_due()
        return self._pause()

    def _look(self) -> None:
        """Set the clock and see whether any task has changed: every second, and before anything starts."""
        now = self.now()
        if self._looked_at is not None and now < self._looked_at - CLOCK_TOLERANCE:
            self._start_over()
        is_due = self.due_at is not None and self.due_at <= now
        if self._looked_at and self._read_at and now < self._looked_at + LOOK_EVERY and not is_due:
            return
        moment, version, self.runs_open = read_changes()
        self.lease.clock.set(moment)
        if self._read_at is not None and (
            now >= self._read_at + RELOAD_EVERY or (version != self._version and self._is_change_taken())
        ):
            self._read_at = None
        if self._read_at is None:
            self._version = version
        else:
            self._looked_at = now

    def _is_change_taken(self) -> bool:
        """What the hook says. One that raises takes every change: it must not keep beat from its turns."""
        try:
            return self._hooks.schedule_changed()
        except Exception:
            logger.exception("The scheduler's schedule_changed() failed; all tasks are read.")
            return True

    def _start_over(self) -> None:
        """The clock was set back: forget what was planned by it. What was claimed is not claimed again."""
        logger.warning("The database's clock was set back to %s.", self.now())
        self.entries = {}
        self._looked_at = self._read_at = self.due_at = None

    def _read_tasks(self) -> None:
        """Read every task, and write what that shows about them."""
        is_first = self.lease.epoch == 1
        reader = TaskReader(
            self.entries,
            self._refused,
            prepare=self._hooks.read_task,
            now=self.now(),
            looked_at=self._looked_at,
            is_first=is_first,
        )
        reader.read(self.lease.ensure)
        for state in self._save_states(reader.states):
            reader.entries.pop(state.task_id, None)
        if reader.expired:
            with self.lease.leading():
                retire(reader.expired, reader.now)
        self.entries = reader.entries
        self._looked_at = self._read_at = reader.now
        self._plan()

    def _save_states(self, states: Sequence[TaskState]) -> list[TaskState]:
        """Write the states; returns those that the database refuses."""
        refused: list[TaskState] = []

        def save(states: Sequence[TaskState]) -> None:
            with self.lease.leading():
                save_states(states)

        def leave_out(state: TaskState, error: Exception) -> None:
            logger.error("The state of task %s cannot be written: %r", state.task_id, error)
            refused.append(state)

        list(in_portions(save, states, leave_out))
        return refused

    def _release_held(self) -> None:
        """Queue and send the runs that waited for another to end."""
        for runs in in_portions(self._queue, releasable(), self._give_up):
            self.outbox.post(runs)

    def _queue(self, held: Sequence[TaskRun]) -> list[PendingRun]:
        runs: list[PendingRun] = []
        with self._claiming(runs):
            release(held, self.now(), runs)
        return runs

    def _give_up(self, run: TaskRun, error: Exception) -> None:
        """Close a held run whose message cannot be made."""
        logger.error("Beat cannot start run %s, which was held: %r", run.pk, error)
        with self.lease.leading():
            the_run = TaskRun.objects.filter(pk=run.pk, status=Status.WAITING)
            close_runs(the_run, Status.MISSED, reason_of(error), self.now())

    def _start_due(self) -> None:
        """Claim and send a portion of what is due; the rest is for the next turn, which always comes."""
        now = self.now()
        if self.due_at is None or now < self.due_at:
            return
        due = sorted((entry.due, pk) for pk, entry in self.entries.items() if entry.due and entry.due <= now)
        entries = [self.entries[pk] for _moment, pk in due[:PORTION]]
        self._send(in_portions(self._claim, entries, self._claim_in_ascii))
        self._plan()

    def _claim(self, entries: Sequence[Entry], text: Callable[[str], str] = str) -> Claim:
        claim = Claim(self.now(), self._why_missed, text)
        with self._claiming(claim.runs):
            claim.make(entries)
        return claim

    def _claim_in_ascii(self, entry: Entry, error: Exception) -> None:
        """The database refuses the claim: the character set of its tables may lack a character."""
        self._send(in_portions(partial(self._claim, text=in_ascii), [entry], self._leave_out))

    def _send(self, claims: Iterable[Claim]) -> None:
        """Go on to the next ticks as soon as a claim is kept, and send its runs."""
        for claim in claims:
            for entry, accounted_until, next_run, resumes_at in claim.moved:
                entry.accounted_until, entry.next_run = accounted_until, next_run
                entry.resumes_at = resumes_at
            if claim.is_stale:
                self._read_at = None
            self.outbox.post(claim.runs)

    @contextmanager
    def _claiming(self, runs: list[PendingRun]) -> Iterator[None]:
        """A transaction that claims ``runs``; they are also sent if it was committed although it fails."""
        try:
            with self.lease.leading():
                yield
        except Exception as error:
            if not is_about_data(error):  # what is refused is undone, and tried again under the same ids
                self.outbox.doubt(runs)
            raise

    def _leave_out(self, entry: Entry, error: Exception) -> None:
        """Note that a task is broken, whose ticks cannot be claimed; until it changes."""
        entry.next_run = entry.resumes_at = None
        self._refused[entry.task.pk] = columns(entry.task), error
        state = state_of(entry.task.pk)
        state.accounted_until = entry.accounted_until
        mark_broken(state, entry.task.name, error)
        self._save_states([state])

    def _why_missed(self, tick: datetime) -> Code:
        """Why a tick is too late to run."""
        until, reason = self._gap
        return reason if tick <= until else Code.BEAT_HELD_UP

    def _plan(self) -> None:
        self.due_at = min((due for entry in self.entries.values() if (due := entry.due)), default=None)

    def _pause(self) -> float:
        if self._read_at is None or self._looked_at is None:
            return 0.0
        moments = filter(None, (self._looked_at + LOOK_EVERY, self.due_at, self.outbox.try_at))
        wait = (min(moments) - self.now()).total_seconds()
        return max(min(wait, self.lease.renewal_in), 0.0)
