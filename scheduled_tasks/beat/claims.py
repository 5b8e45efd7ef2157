"""Claiming what is due: one transaction decides, records and moves on; nothing is sent before it is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from django.db.models import Case, F, Value, When
from django_celery_beat.models import PeriodicTask

from ..models import Misfire, Overlap, Status, TaskRun, TaskState, Trigger
from ..reasons import Code, Reason
from ..schedules import next_run
from ..ticks import Span, span_between
from ..values import stored
from .entries import Entry
from .loading import retire, save_states
from .pending_runs import LONGEST_WAIT, ON_TIME, PendingRun, close_runs

MOST_TICKS = 2**31 - 1
"""What the column for the number of ticks can hold."""


class Claim:
    """The decisions about ticks that are due, made inside one transaction.

    ``runs`` are to be sent, ``moved`` says of entries up to when they are accounted for and what their next
    run is, and ``is_stale`` tells that an entry is not as the database has its task any more.

    ``why_missed`` gives the reason kept with a tick that comes too late; ``text`` makes arguments fit to be
    stored.
    """

    def __init__(
        self, now: datetime, why_missed: Callable[[datetime], Code], text: Callable[[str], str] = str
    ) -> None:
        self.now = now
        self.runs: list[PendingRun] = []
        self.moved: list[tuple[Entry, datetime, datetime | None]] = []
        self.is_stale = False
        self._why_missed = why_missed
        self._text = text
        self._open_runs: dict[int, list[TaskRun]] = defaultdict(list)
        self._blocked: dict[tuple[int | None, str, datetime | None], int] = {}
        self._spans: dict[tuple[object, ...], tuple[Span | None, datetime | None]] = {}
        self._states: list[TaskState] = []
        self._rows: list[TaskRun] = []
        self._joined: dict[datetime, list[int]] = defaultdict(list)
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
            )
            columns = blocked.values_list("id", "blocked_by_id", "status", "scheduled_until")
            self._blocked = {(by, status, until): pk for pk, by, status, until in columns}

    def _decide(self, entry: Entry, state: TaskState) -> None:
        task = entry.task
        span, following = self._ticks(entry)
        if span is None:  # the task has expired
            self.is_stale = True
            return
        in_time = self._in_time(task.state, span.last)
        missed = span.without_last() if in_time else span
        if missed is not None:
            self._add_ticks(entry, Status.MISSED, missed, self._why_missed(missed.last))
        if in_time and state.skip_next:
            self._skipped.append(task.pk)
            self._add_ticks(entry, Status.SKIPPED, Span(span.last, span.last), Code.SKIP_REQUESTED)
        elif in_time:
            self._start(entry, span, following)
        if task.clocked is not None or (task.one_off and in_time and not state.skip_next):
            self._over.append(task.pk)
            following = None
        state.accounted_until, state.next_run_at = span.last, following
        self.moved.append((entry, span.last, following))
        self._states.append(state)

    def _ticks(self, entry: Entry) -> tuple[Span | None, datetime | None]:
        """The ticks up to now and the one after them: mostly the same for tasks that share a schedule."""
        task = entry.task
        schedule = (task.crontab_id, task.interval_id, task.clocked_id, task.solar_id)
        key = (*schedule, task.start_time, task.expires, entry.accounted_until)
        if key not in self._spans:
            span = span_between(task, entry.accounted_until, self.now)
            self._spans[key] = span, next_run(task, span.last) if span else None
        return self._spans[key]

    def _in_time(self, policy: TaskState, tick: datetime) -> bool:
        late = self.now - tick
        runs_late = policy.effective_misfire == Misfire.RUN_ONCE and late <= policy.effective_grace
        return late <= ON_TIME or runs_late

    def _start(self, entry: Entry, span: Span, following: datetime | None) -> None:
        """Queue a run for the last tick, or note why other runs keep it from starting."""
        task, overlap = entry.task, entry.task.state.effective_overlap
        runs_once = task.one_off or task.clocked is not None
        blocking, waited = self._blocking(entry, span.last, following)
        unsent = [run for run in blocking if run.status == Status.QUEUED and run.tick and not run.sent_at]
        one_waits = any(run.status == Status.WAITING for run in blocking)
        pending = partial(PendingRun, task, entry.message, span.last, self.now, following=following)
        if unsent:
            self._block(entry, span, Status.MISSED, unsent[0], Code.BROKER_DOWN)
        elif not blocking or overlap == Overlap.ALLOW:
            before = None if runs_once else span.but_last or entry.accounted_until
            run = pending(waited=waited, accounted_until=before)
            self.runs.append(run)
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

        What no worker took in time is closed. A run that a person started and no worker has taken, which may
        be lost, does not block for as long as it may wait.
        """
        patience = max(LONGEST_WAIT, 2 * (following - tick) if following else LONGEST_WAIT)
        blocking, waited = [], timedelta(0)
        for run in self._open_runs[entry.task.pk]:
            if run.status != Status.QUEUED:
                blocking.append(run)
            elif run.expires_at is not None and run.expires_at <= self.now:
                waited = max(waited, run.expires_at - run.queued_at)
                the_run = TaskRun.objects.filter(pk=run.pk, status=Status.QUEUED)
                if not close_runs(the_run, Status.EXPIRED, Reason(Code.UNREPORTED), self.now):
                    blocking.append(run)  # a worker has just taken it
            elif run.trigger == Trigger.SCHEDULE or self.now - run.queued_at < patience:
                blocking.append(run)
        return blocking, waited

    def _add_run(self, run: PendingRun, *, waits_for: int | None = None) -> None:
        """A run that is queued, or that waits for another."""
        row = TaskRun(
            task_id=run.task_id,
            name=run.name,
            status=Status.QUEUED if waits_for is None else Status.WAITING,
            queued_at=self.now,
            open_since=self.now,
            scheduled_for=run.scheduled_for,
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
        self, entry: Entry, status: Status, span: Span, reason: Code, *, by: int | None = None
    ) -> None:
        """Ticks that do not run."""
        row = TaskRun(
            task_id=entry.task.pk,
            name=entry.task.name,
            status=status,
            queued_at=self.now,
            finished_at=self.now,
            scheduled_for=span.first,
            scheduled_until=span.last,
            tick_count=min(span.count, MOST_TICKS),
            blocked_by_id=by,
            reason=reason,
        )
        self._rows.append(row)

    def _block(self, entry: Entry, span: Span, status: Status, by: TaskRun, reason: Code) -> None:
        """The run ``by`` keeps the last tick from running; it joins the row of the tick before, if any."""
        tick, before = span.last, span.but_last or entry.accounted_until
        row = self._blocked.get((by.pk, status, before))
        if row is None:
            self._add_ticks(entry, status, Span(tick, tick), reason, by=by.pk)
        else:
            self._joined[tick].append(row)

    def _write(self) -> None:
        self._drop_claimed()
        TaskRun.objects.bulk_create(self._rows)
        for tick, rows in self._joined.items():
            TaskRun.objects.filter(pk__in=rows).update(
                scheduled_until=tick, tick_count=F("tick_count") + 1, finished_at=self.now
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
            by_tick[run.scheduled_for].append(run.task_id)
        for tick, task_ids in by_tick.items():
            later = Case(When(last_run_at__gt=tick, then=F("last_run_at")), default=Value(tick))
            PeriodicTask.objects.filter(pk__in=task_ids).update(
                last_run_at=later, total_run_count=F("total_run_count") + 1
            )
