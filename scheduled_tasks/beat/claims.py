"""Claiming what is due: one transaction decides, records and moves on; nothing is sent before it is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial

from django.db.models import Case, F, Value, When
from django_celery_beat.models import PeriodicTask

from ..models import MaintenanceWindow, Misfire, Overlap, Status, Takers, TaskRun, TaskState, Trigger, Windows
from ..reasons import Code, Reason
from ..schedules import next_run
from ..spread import spread_offset
from ..ticks import Span, span_between
from ..upkeep.other_workers import unreported
from ..values import stored
from .entries import Entry, allowed_delay
from .loading import retire, save_states, schedule_columns
from .maintenance import RowsByTick, skipped_rows, stopping, stretches
from .pending_runs import LONGEST_WAIT, PendingRun, close_runs

MOST_TICKS = 2**31 - 1
"""What the column for the number of ticks can hold."""


class Claim:
    """The decisions about ticks that are due, made inside one transaction.

    ``runs`` are to be sent, ``moved`` says of entries up to when they are accounted for, what their next run
    is, and when one may start that a maintenance holds back. ``is_stale`` tells that an entry is not as the
    database has its task any more.

    ``why_missed`` gives the reason kept with a tick that comes too late; ``text`` makes arguments fit to be
    stored.
    """

    def __init__(
        self, now: datetime, why_missed: Callable[[datetime], Code], text: Callable[[str], str] = str
    ) -> None:
        self.now = now
        self.runs: list[PendingRun] = []
        self.moved: list[tuple[Entry, datetime, datetime | None, datetime | None]] = []
        self.is_stale = False
        self._why_missed = why_missed
        self._text = text
        self._open_runs: dict[int, list[TaskRun]] = defaultdict(list)
        self._blocked: dict[tuple[int | None, str, datetime | None], int] = {}
        self._spans: dict[tuple[object, ...], tuple[Span | None, datetime | None]] = {}
        self._states: list[TaskState] = []
        self._rows: list[TaskRun] = []
        self._joined: dict[tuple[datetime, int], list[int]] = defaultdict(list)
        self._windows = Windows()
        self._task_ids: Collection[int] = ()
        self._resumed: dict[str, datetime] = {}
        self._skipped: list[int] = []
        self._over: list[int] = []

    def make(self, entries: Sequence[Entry]) -> None:
        """Decide about every tick of ``entries`` up to now, and write what that means.

        The tasks are locked first, so that nobody else starts a run of them meanwhile.
        """
        ids = [entry.task.pk for entry in entries]
        tasks = PeriodicTask.objects.filter(pk__in=ids).order_by("pk").select_for_update()
        enabled = {pk for pk, is_enabled in tasks.values_list("pk", "enabled") if is_enabled}
        states = TaskState.objects.in_bulk(enabled)
        self._task_ids = enabled
        self._windows = Windows.read(enabled, min(entry.accounted_until for entry in entries))
        self._read_runs(enabled)
        for entry in entries:
            state = states.get(entry.task.pk)
            if state is None or state.accounted_until != entry.accounted_until:
                self.is_stale = True
            else:
                self._decide(entry, state)
        self._write()

    def _read_runs(self, task_ids: Collection[int]) -> None:
        """The open runs of the tasks, oldest first, and the rows of ticks that those have blocked so far."""
        fields = ("task_id", "status", "trigger", "tick", "queued_at", "sent_at", "expires_at")
        runs = list(TaskRun.objects.open().filter(task_id__in=task_ids).order_by("id").only(*fields))
        for run in runs:
            self._open_runs[run.task_id or 0].append(run)
        if runs:
            blocked = TaskRun.objects.filter(
                task_id__in=task_ids,
                id__gt=runs[0].pk,
                blocked_by_id__in=[run.pk for run in runs],
                status__in=(Status.SKIPPED, Status.MISSED),
                tick_count__lt=MOST_TICKS,
                actor="",  # one that somebody has run later is complete
            )
            columns = blocked.values_list("id", "blocked_by_id", "status", "scheduled_until")
            self._blocked = {(by, status, until): pk for pk, by, status, until in columns}

    def _decide(self, entry: Entry, state: TaskState) -> None:
        task = entry.task
        span, following = self._ticks(entry)
        if span is None:
            self._resume(entry, state)
            return
        in_time = self.now - span.last <= allowed_delay(task.state)
        stops = stopping(self._windows, task.pk, span.last, self.now)
        starts = in_time and not stops
        for ticks, windows in stretches(entry, span, self._windows, None if starts else stops):
            self._leave_out(entry, state, ticks, windows)
        if starts and state.skip_next:
            self._skipped.append(task.pk)
            self._add_ticks(entry, Status.SKIPPED, Span(span.last, span.last), Reason(Code.SKIP_REQUESTED))
        elif starts:
            self._start(entry, span, following)
        if starts:
            state.run_after_maintenance = False
        if task.clocked is not None or (task.one_off and starts and not state.skip_next):
            following = None
            if not state.run_after_maintenance:
                self._over.append(task.pk)
        self._move(entry, state, span.last, following)

    def _move(
        self, entry: Entry, state: TaskState, accounted_until: datetime, following: datetime | None
    ) -> None:
        resumes_at = (
            self._windows.clear_from(entry.task.pk, self.now) if state.run_after_maintenance else None
        )
        state.accounted_until, state.next_run_at = accounted_until, following
        self.moved.append((entry, accounted_until, following, resumes_at))
        self._states.append(state)

    def _leave_out(
        self, entry: Entry, state: TaskState, span: Span, windows: Sequence[MaintenanceWindow]
    ) -> None:
        """Ticks that these windows skip; without one, that were missed."""
        if not windows:
            state.run_after_maintenance = False
            self._add_ticks(entry, Status.MISSED, span, Reason(self._why_missed(span.last)))
            return
        if entry.task.state.effective_misfire == Misfire.RUN_ONCE:
            state.run_after_maintenance |= any(window.run_once_after for window in windows)
        spread = spread_offset(entry.task)
        reason = windows[0].reason
        row = self._skipped_rows.get((entry.task.pk, entry.accounted_until - spread))
        is_first = span.first == entry.next_run
        if row is not None and is_first and (row.reason, row.reason_params) == (reason.code, reason.params):
            self._joined[span.last - spread, span.count].append(row.pk)
        else:
            self._add_ticks(entry, Status.SKIPPED, span, reason)

    @cached_property
    def _skipped_rows(self) -> RowsByTick:
        return skipped_rows(self._task_ids, MOST_TICKS)

    def _resume(self, entry: Entry, state: TaskState) -> None:
        """Start the run that a maintenance held back, as a tick of the moment at which it ended."""
        task = entry.task
        has_expired = task.expires is not None and task.expires <= self.now
        if has_expired or not state.run_after_maintenance:
            self.is_stale = True
            return
        following = entry.next_run
        if not self._windows.covering(task.pk, self.now):
            end = self._windows.ended_at(task.pk, entry.accounted_until, self.now)
            state.run_after_maintenance = False
            if self.now - end > allowed_delay(task.state):
                self._add_ticks(entry, Status.MISSED, Span(end, end), Reason(self._why_missed(end)))
            else:
                self._start(entry, Span(end, end), following, is_resumed=True)
            if task.one_off or task.clocked is not None:
                self._over.append(task.pk)
                following = None
        self._move(entry, state, entry.accounted_until, following)

    def _ticks(self, entry: Entry) -> tuple[Span | None, datetime | None]:
        """The ticks up to now and the one after them: mostly the same for tasks that share a schedule."""
        task = entry.task
        limits = (task.start_time, task.expires, spread_offset(task))
        key = (*schedule_columns(task), *limits, entry.accounted_until)
        if key not in self._spans:
            span = span_between(task, entry.accounted_until, self.now)
            self._spans[key] = span, next_run(task, span.last) if span else None
        return self._spans[key]

    def _start(
        self, entry: Entry, span: Span, following: datetime | None, *, is_resumed: bool = False
    ) -> None:
        """Queue a run for the last tick, or note why other runs keep it from starting."""
        task, overlap = entry.task, entry.task.state.effective_overlap
        runs_once = task.one_off or task.clocked is not None
        blocking, waited = self._blocking(entry, span.last, following)
        unsent = [run for run in blocking if run.status == Status.QUEUED and run.tick and not run.sent_at]
        one_waits = any(run.status == Status.WAITING for run in blocking)
        spread = timedelta(0) if is_resumed else spread_offset(task)
        pending = partial(
            PendingRun, task, entry.message, span.last, self.now, following=following, spread=spread
        )
        if unsent:
            self._block(entry, span, Status.MISSED, unsent[0], Code.BROKER_DOWN)
        elif not blocking or overlap == Overlap.ALLOW:
            before = None if runs_once or is_resumed else span.but_last or entry.accounted_until
            run = pending(waited=waited, accounted_until=before)
            self.runs.append(run)
            if is_resumed:
                self._resumed[run.celery_id] = entry.accounted_until
            self._add_run(run)
        elif not one_waits and (overlap == Overlap.QUEUE_ONE or runs_once):
            self._add_run(pending(), waits_for=blocking[0].pk)
        else:
            reason = Code.ONE_WAITING if one_waits else Code.OVERLAP
            self._block(entry, span, Status.SKIPPED, blocking[0], reason)

    def _blocking(
        self, entry: Entry, tick: datetime, following: datetime | None
    ) -> tuple[list[TaskRun], timedelta]:
        """The runs that keep the next one from starting, and how long those waited that no worker took.

        What no worker took in time is closed. A run that no worker has taken may be lost: one that a person
        started, or whose message never expires, does not block for as long as it may wait. One that waited
        for another counts from when it was sent. One that was sent to workers that do not report here does
        not block at all, as nobody would tell of its end.
        """
        patience = max(LONGEST_WAIT, 2 * (following - tick) if following else LONGEST_WAIT)
        blocking, waited = [], timedelta(0)
        target = entry.task.task, entry.task.queue, entry.task.exchange
        for run in self._open_runs[entry.task.pk]:
            if run.status != Status.QUEUED:
                blocking.append(run)
            elif run.sent_at is not None and self._takers.only_others(*target):
                continue
            elif run.expires_at is not None and run.expires_at <= self.now:
                waited = max(waited, run.expires_at - run.queued_at)
                the_run = TaskRun.objects.filter(pk=run.pk, status=Status.QUEUED)
                status, code = unreported(self._takers, target)
                if not close_runs(the_run, status, Reason(code), self.now):
                    blocking.append(run)  # a worker has just taken it
            elif self._still_blocks(run, patience):
                blocking.append(run)
        return blocking, waited

    @cached_property
    def _takers(self) -> Takers:
        return Takers.read()

    def _still_blocks(self, run: TaskRun, patience: timedelta) -> bool:
        if run.trigger == Trigger.SCHEDULE and run.expires_at:
            return True
        is_unsent = run.tick is not None and run.sent_at is None  # beat has it, and gives it up in time
        return is_unsent or self.now - (run.sent_at or run.queued_at) < patience

    def _add_run(self, run: PendingRun, *, waits_for: int | None = None) -> None:
        """A run that is queued, or that waits for another."""
        row = TaskRun(
            task_id=run.task_id,
            name=run.name,
            status=Status.QUEUED if waits_for is None else Status.WAITING,
            queued_at=self.now,
            open_since=self.now,
            scheduled_for=run.scheduled_for,
            spread=run.spread or None,
            celery_id=run.celery_id,
            tick=f"{run.task_id}@{run.scheduled_for.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            expires_at=run.expires_at if waits_for is None else None,
            blocked_by_id=waits_for,
            queue=run.options.get("queue", ""),
            args=self._text(stored(list(run.args))),
            kwargs=self._text(stored(run.kwargs)),
        )
        self._rows.append(row)

    def _add_ticks(
        self, entry: Entry, status: Status, span: Span, reason: Reason, *, by: int | None = None
    ) -> None:
        """Ticks that do not run."""
        spread = spread_offset(entry.task)
        row = TaskRun(
            task_id=entry.task.pk,
            name=entry.task.name,
            status=status,
            queued_at=self.now,
            finished_at=self.now,
            scheduled_for=span.first - spread,
            scheduled_until=span.last - spread,
            spread=spread or None,
            tick_count=min(span.count, MOST_TICKS),
            blocked_by_id=by,
            **reason.columns,
        )
        self._rows.append(row)

    def _block(self, entry: Entry, span: Span, status: Status, by: TaskRun, reason: Code) -> None:
        """The run ``by`` keeps the last tick from running; it joins the row of the tick before, if any."""
        tick, spread = span.last, spread_offset(entry.task)
        row = self._blocked.get((by.pk, status, (span.but_last or entry.accounted_until) - spread))
        if row is None:
            self._add_ticks(entry, status, Span(tick, tick), Reason(reason), by=by.pk)
        else:
            self._joined[tick - spread, 1].append(row)

    def _write(self) -> None:
        self._drop_claimed()
        TaskRun.objects.bulk_create(self._rows)
        for (tick, count), rows in self._joined.items():
            TaskRun.objects.filter(pk__in=rows).update(
                scheduled_until=tick, tick_count=F("tick_count") + count, finished_at=self.now
            )
        self._count_runs()
        retire(self._over, self.now)  # tasks before states: as people's operations lock them
        save_states(self._states)
        TaskState.objects.filter(pk__in=self._skipped).update(skip_next=False)

    def _drop_claimed(self) -> None:
        """Leave out the runs of ticks that have a run already, as when the clock was set back."""
        ticks = [row.tick for row in self._rows if row.tick is not None]
        claimed = set(TaskRun.objects.filter(tick__in=ticks).values_list("tick", flat=True))
        dropped = {row.celery_id for row in self._rows if row.tick in claimed}
        self._rows = [row for row in self._rows if row.celery_id is None or row.celery_id not in dropped]
        self.runs = [run for run in self.runs if run.celery_id not in dropped]

    def _count_runs(self) -> None:
        """Keep django-celery-beat's own columns. A later ``last_run_at`` that somebody else wrote stays."""
        by_tick: dict[datetime, list[int]] = defaultdict(list)
        for run in self.runs:
            # One after a maintenance is no tick: an interval must not count from it.
            by_tick[self._resumed.get(run.celery_id, run.tick)].append(run.task_id)
        for tick, task_ids in by_tick.items():
            later = Case(When(last_run_at__gt=tick, then=F("last_run_at")), default=Value(tick))
            PeriodicTask.objects.filter(pk__in=task_ids).update(
                last_run_at=later, total_run_count=F("total_run_count") + 1
            )
