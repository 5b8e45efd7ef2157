"""Claiming what is due: one transaction decides, records and moves on; nothing is sent before it is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from celery.utils.log import get_logger
from django.db import IntegrityError
from django.db.models import F
from django.utils.translation import gettext_noop
from django_celery_beat.models import PeriodicTask

from ..models import Misfire, Overlap, Status, TaskRun, TaskState
from ..values import stored
from . import records
from .entries import Entry, broken
from .lease import LeaderLease
from .outbox import Message
from .records import Moved, NewRun
from .ticks import Span, between

ON_TIME = timedelta(seconds=30)
"""A tick this late counts as on time: a standby may take that long to notice that the leader died."""

WAITS_FOR_WORKER = timedelta(minutes=15)
"""How long a message waits for a worker, at least, when its task does not say."""

SKIPPED_ONCE = gettext_noop("Skipped once, as a person asked.")
OVERLAP = gettext_noop("The run before it had not ended.")
HELD_ALREADY = gettext_noop("The run before it had not ended, and one run is held already.")
NO_BROKER = gettext_noop("The broker could not be reached.")
NEVER_TAKEN = gettext_noop("No worker took it in time.")

NO_ARGS, NO_KWARGS = stored([]), stored({})

logger = get_logger(__name__)

_Ticks = tuple[Span | None, datetime | None]


@dataclass(slots=True)
class Claimed:
    """What one claim brought.

    ``messages`` are to be sent; ``moved`` says per entry up to when it is accounted for and when it is due
    next; ``stale`` entries are not as the database has them any more; ``over`` are the ids of tasks that
    were retired; ``holding`` says whether a run waits for another to end.
    """

    messages: list[Message] = field(default_factory=list)
    moved: list[tuple[Entry, datetime, datetime | None]] = field(default_factory=list)
    stale: list[Entry] = field(default_factory=list)
    over: list[int] = field(default_factory=list)
    holding: bool = False

    def forget(self) -> None:
        """Be as new."""
        self.messages, self.moved, self.stale, self.over, self.holding = [], [], [], [], False


@dataclass(frozen=True, slots=True)
class _OpenRun:
    """A run of a due task that has not ended; ``unsent`` when beat could not send it yet."""

    id: int
    status: str
    unsent: bool


@dataclass(frozen=True, slots=True)
class _Blocked:
    """A tick that another run keeps from running; those that follow on one another share a row.

    ``after`` is the tick before it, or what the task was accounted for until.
    """

    entry: Entry
    tick: datetime
    after: datetime
    status: Status
    by: int
    reason: str


def claim(
    entries: Sequence[Entry],
    *,
    lease: LeaderLease,
    now: datetime,
    why_missed: Callable[[datetime], str],
    into: Claimed,
) -> None:
    """Claim every tick of ``entries`` up to ``now`` in one transaction, and record those that will not run.

    ``why_missed`` gives the reason kept with a tick that comes too late. The caller moves the entries on once
    this has returned. Raises :class:`.lease.Fenced` when another beat leads, and database errors, after which
    ``into`` holds what may have been claimed all the same.
    """
    try:
        _attempt(entries, lease, _Claim(now, why_missed, into))
    except IntegrityError:  # the clock was set back: some of these ticks were claimed before
        into.forget()
        _attempt(entries, lease, _Claim(now, why_missed, into, twice=True))


def _attempt(entries: Sequence[Entry], lease: LeaderLease, attempt: _Claim) -> None:
    with lease.leading():
        attempt.run(entries)


class _Claim:
    """The work inside the transaction; ``twice`` when ticks may have been claimed before."""

    def __init__(
        self, now: datetime, why_missed: Callable[[datetime], str], into: Claimed, *, twice: bool = False
    ) -> None:
        self.now = now
        self.why_missed = why_missed
        self.twice = twice
        self.claimed = into
        self.rows: list[NewRun] = []
        self.blocked: list[_Blocked] = []
        self.states: list[Moved] = []
        self.skipped: list[int] = []
        self.ticks: dict[tuple[int, datetime], _Ticks] = {}

    def run(self, entries: Sequence[Entry]) -> None:
        fresh = self._fresh(entries)
        open_runs = self._open_runs([entry.task_id for entry in fresh])
        for entry, skip_next in fresh.items():
            try:
                self._decide(entry, skip_next, open_runs[entry.task_id])
            except Exception as error:  # noqa: BLE001 - one schedule that cannot be computed must not stop the others
                self._break(entry, error)
        self._write()

    def _fresh(self, entries: Sequence[Entry]) -> dict[Entry, bool]:
        """The entries that are still as the database has them, and whether to skip their next run."""
        found: dict[int, tuple[datetime | None, bool]] = {}
        for chunk in records.chunks([entry.task_id for entry in entries]):
            rows = PeriodicTask.objects.filter(pk__in=chunk, enabled=True).values_list(
                "pk", "scheduled_state__accounted_until", "scheduled_state__skip_next"
            )
            found.update((pk, (accounted_until, skip)) for pk, accounted_until, skip in rows)
        fresh = {}
        for entry in entries:
            accounted_until, skip_next = found.get(entry.task_id, (None, False))
            if accounted_until == entry.accounted_until:
                fresh[entry] = skip_next
            else:
                self.claimed.stale.append(entry)
        return fresh

    def _open_runs(self, task_ids: list[int]) -> dict[int, list[_OpenRun]]:
        """The open runs of the tasks, oldest first; those that no worker took in time are closed."""
        runs: dict[int, list[_OpenRun]] = defaultdict(list)
        expired = []
        for chunk in records.chunks(task_ids):
            found = TaskRun.objects.open().filter(task_id__in=chunk).order_by("id")
            for pk, task_id, status, tick, sent_at, expires_at in found.values_list(
                "id", "task_id", "status", "tick", "sent_at", "expires_at"
            ):
                queued = status == Status.QUEUED
                if queued and expires_at is not None and expires_at <= self.now:
                    expired.append(pk)
                else:
                    runs[task_id].append(
                        _OpenRun(pk, status, queued and sent_at is None and tick is not None)
                    )
        if expired:
            queued_runs = TaskRun.objects.filter(pk__in=expired, status=Status.QUEUED)
            records.close(queued_runs, Status.EXPIRED, NEVER_TAKEN, self.now)
        return runs

    def _decide(self, entry: Entry, skip_next: bool, open_runs: list[_OpenRun]) -> None:
        span, following = self._ticks_of(entry)
        if span is None:
            self.claimed.stale.append(entry)
            return
        runs = self._in_time(entry, span.last)
        missed = span.without_last() if runs else span
        if missed is not None:
            self.rows.append(self._ended(entry, Status.MISSED, missed, self.why_missed(missed.last)))
        if runs and skip_next:
            self.skipped.append(entry.task_id)
            self.rows.append(self._ended(entry, Status.SKIPPED, Span(span.last, span.last), SKIPPED_ONCE))
        elif runs:
            self._start(entry, span, following, open_runs)
        self._advance(entry, span.last, following, over=runs and not skip_next)

    def _ticks_of(self, entry: Entry) -> _Ticks:
        """The ticks up to now and the one after them: the same for tasks that share a timetable."""
        key = id(entry.timetable), entry.accounted_until
        if key not in self.ticks:
            span = between(entry.timetable, entry.accounted_until, self.now)
            self.ticks[key] = span, entry.timetable.after(span.last) if span else None
        return self.ticks[key]

    def _in_time(self, entry: Entry, tick: datetime) -> bool:
        late = self.now - tick
        return late <= ON_TIME or (entry.misfire == Misfire.RUN_ONCE and late <= entry.grace)

    def _start(self, entry: Entry, span: Span, following: datetime | None, open_runs: list[_OpenRun]) -> None:
        tick, after = span.last, span.but_last or entry.accounted_until
        unsent = next((run for run in open_runs if run.unsent), None)
        if unsent is not None:
            self.blocked.append(_Blocked(entry, tick, after, Status.MISSED, unsent.id, NO_BROKER))
        elif not open_runs or entry.overlap == Overlap.ALLOW:
            message = message_of(entry, tick, following, self.now)
            if not entry.one_off and entry.timetable.clocked is None:
                message.after = after
            self.claimed.messages.append(message)
            self.rows.append(self._open(entry, message, Status.QUEUED))
        elif entry.overlap == Overlap.SKIP:
            self.blocked.append(_Blocked(entry, tick, after, Status.SKIPPED, open_runs[0].id, OVERLAP))
        elif any(run.status == Status.WAITING for run in open_runs):
            self.blocked.append(_Blocked(entry, tick, after, Status.SKIPPED, open_runs[0].id, HELD_ALREADY))
        else:
            row = self._open(entry, message_of(entry, tick, following, self.now), Status.WAITING)
            self.rows.append(row._replace(expires_at=None, blocked_by_id=open_runs[0].id))
            self.claimed.holding = True

    def _open(self, entry: Entry, message: Message, status: Status) -> NewRun:
        return NewRun(
            task_id=entry.task_id,
            name=entry.name,
            status=status.value,
            queued_at=self.now,
            scheduled_for=message.scheduled_for,
            celery_id=message.celery_id,
            tick=tick_text(entry.task_id, message.scheduled_for),
            expires_at=message.expires_at,
            open_since=self.now,
            queue=entry.options.get("queue") or "",
            args=stored(entry.args) if entry.args else NO_ARGS,
            kwargs=stored(entry.kwargs) if entry.kwargs else NO_KWARGS,
        )

    def _ended(
        self, entry: Entry, status: Status, span: Span, reason: str, *, by: int | None = None
    ) -> NewRun:
        return NewRun(
            task_id=entry.task_id,
            name=entry.name,
            status=status.value,
            queued_at=self.now,
            scheduled_for=span.first,
            scheduled_until=span.last,
            tick_count=span.count,
            finished_at=self.now,
            blocked_by_id=by,
            reason=reason,
        )

    def _advance(self, entry: Entry, tick: datetime, following: datetime | None, *, over: bool) -> None:
        if entry.timetable.clocked is not None or (over and entry.one_off):
            self.claimed.over.append(entry.task_id)
            following = None
        self.claimed.moved.append((entry, tick, following))
        self.states.append(Moved(tick, following, "", entry.task_id))

    def _break(self, entry: Entry, error: Exception) -> None:
        before = TaskState(accounted_until=entry.accounted_until)
        self.claimed.moved.append((entry, entry.accounted_until, None))
        reason = broken(entry.task_id, entry.name, error, before).broken_reason
        self.states.append(Moved(entry.accounted_until, None, reason, entry.task_id))

    def _write(self) -> None:
        self._join_blocked()
        if self.twice:
            self._leave_out_claimed()
        records.insert_runs(self.rows)
        records.retire(self.claimed.over, self.now)  # tasks before states: as people's operations lock them
        records.move_states(self.states)
        if self.skipped:
            TaskState.objects.filter(pk__in=self.skipped).update(skip_next=False)

    def _leave_out_claimed(self) -> None:
        ticks = [row.tick for row in self.rows if row.tick is not None]
        before = set(TaskRun.objects.filter(tick__in=ticks).values_list("tick", flat=True))
        dropped = {row.celery_id for row in self.rows if row.tick in before}
        self.rows = [row for row in self.rows if row.tick is None or row.tick not in before]
        self.claimed.messages = [
            message for message in self.claimed.messages if message.celery_id not in dropped
        ]

    def _join_blocked(self) -> None:
        """A tick joins the row of the tick before it when the same run kept that one from running too."""
        existing = self._blocked_before()
        joined: dict[datetime, list[int]] = defaultdict(list)
        for blocked in self.blocked:
            row = existing.get((blocked.by, blocked.status, blocked.after))
            if row is not None:
                joined[blocked.tick].append(row)
                continue
            span = Span(blocked.tick, blocked.tick)
            self.rows.append(self._ended(blocked.entry, blocked.status, span, blocked.reason, by=blocked.by))
        for tick, rows in joined.items():
            TaskRun.objects.filter(pk__in=rows).update(
                scheduled_until=tick, tick_count=F("tick_count") + 1, finished_at=self.now
            )

    def _blocked_before(self) -> dict[tuple[int | None, str, datetime | None], int]:
        found: dict[tuple[int | None, str, datetime | None], int] = {}
        for chunk in records.chunks(self.blocked):
            rows = TaskRun.objects.filter(
                task_id__in=[blocked.entry.task_id for blocked in chunk],
                id__gt=min(blocked.by for blocked in chunk),
                blocked_by_id__in=[blocked.by for blocked in chunk],
                status__in=(Status.SKIPPED, Status.MISSED),
            )
            for pk, by, status, last in rows.values_list("id", "blocked_by_id", "status", "scheduled_until"):
                found[by, status, last] = pk
        return found


def message_of(
    entry: Entry, tick: datetime, following: datetime | None, now: datetime, *, celery_id: str | None = None
) -> Message:
    """The message of one run of ``entry``, under a fresh id unless one is given."""
    return Message(
        entry=entry,
        celery_id=celery_id or str(uuid4()),
        scheduled_for=tick,
        expires_at=expires_at(entry, following, now),
        give_up_at=max(tick + max(entry.grace, ON_TIME), now + ON_TIME),
    )


def expires_at(entry: Entry, following: datetime | None, now: datetime) -> datetime:
    """Until when a message queued now waits for a worker: as its task says, else until the next tick, and
    never for less than :data:`WAITS_FOR_WORKER`."""
    if entry.expire_seconds is not None:
        return now + timedelta(seconds=entry.expire_seconds)
    if entry.timetable.expires is not None:
        return entry.timetable.expires
    return max(following or now, now + WAITS_FOR_WORKER)


def tick_text(task_id: int, tick: datetime) -> str:
    """What is unique to one tick of one task."""
    return f"{task_id}@{tick.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
