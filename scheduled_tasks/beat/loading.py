"""Reading the tasks, and writing what beat knows about each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from datetime import datetime
from typing import Any

from celery.utils.log import get_logger
from django.db import connections
from django.db.models import Model, Q
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from ..models import LONG_AGO, ScheduledTask, TaskRun, TaskState, Windows, database, now_sql, told_by_clock
from ..operations.publishing import message
from ..reasons import Code, Reason, ReasonedError
from ..schedules import next_run
from ..spread import spread_offset
from .entries import Entry, accounted_until, adopted
from .portions import in_portions, is_about_data

STATE_FIELDS = (
    "accounted_until", "next_run_at", "enabled_since", "run_after_maintenance",
    "broken_reason", "broken_params",
)  # fmt: skip
"""What beat writes of a task's state."""

logger = get_logger(__name__)


def read_changes() -> tuple[datetime, tuple[Any, ...], bool]:
    """The database's time, a version of all tasks and schedules, and whether any run is open: one statement.

    The version differs whenever a task or schedule was saved, added or deleted.
    """
    connection = connections[database()]
    changes, tasks, runs = (
        connection.ops.quote_name(model._meta.db_table) for model in (PeriodicTasks, PeriodicTask, TaskRun)
    )
    open_runs = f"SELECT 1 FROM {runs} WHERE open_since > '{LONG_AGO:%Y-%m-%d}'"  # noqa: S608
    last_update = f"(SELECT MAX(last_update) FROM {changes})"  # noqa: S608
    columns = f"{now_sql(connection)}, EXISTS({open_runs}), {last_update}, COUNT(*), MAX(id)"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {tasks}")  # noqa: S608
        now, runs_open, *version = cursor.fetchone()
    return told_by_clock(now), tuple(version), bool(runs_open)


class TaskReader:
    """Reads all tasks; writes nothing.

    ``before`` are the entries so far. ``refused`` has the :func:`columns` of tasks whose ticks could not be
    claimed, and the error: they stay broken until they change. ``prepare`` may change each task that was
    read, in memory. ``looked_at`` is when a change would have been noticed last, None when no look went
    before; ``is_first`` tells that no beat of this app has led before.

    :meth:`read` fills ``entries`` by task id, ``states`` that are to be written and ``expired`` task ids.
    """

    def __init__(
        self,
        before: Mapping[int, Entry],
        refused: Mapping[int, tuple[list[Any], Exception]],
        *,
        prepare: Callable[[ScheduledTask], None],
        now: datetime,
        looked_at: datetime | None,
        is_first: bool = False,
    ) -> None:
        self.now = now
        self._prepare = prepare
        self.entries: dict[int, Entry] = {}
        self.states: list[TaskState] = []
        self.expired: list[int] = []
        self._before = before
        self._refused = refused
        self._looked_at = looked_at
        self._is_first = is_first

    def read(self, keep_lead: Callable[[], None]) -> None:
        """Read every task; a row that cannot be scheduled becomes broken and harms no other.

        ``keep_lead`` is called now and then: with very many tasks this may take longer than a lease.
        """
        enabled = ScheduledTask.objects.filter(enabled=True).order_by("pk")
        for tasks in in_portions(_tasks, list(enabled.values_list("pk", flat=True)), self._leave_out):
            keep_lead()
            for task in tasks:
                try:
                    self._prepare(task)
                except Exception as error:  # noqa: BLE001 - of a subclass of the scheduler
                    self._leave_out(task.pk, error)
                else:
                    self._add(task, task.state)
        self.states.extend(_disabled(self.now))
        self._plan_resumptions()

    def _plan_resumptions(self) -> None:
        """Note when the runs that a maintenance holds back may start."""
        held_back = [pk for pk, entry in self.entries.items() if entry.task.state.run_after_maintenance]
        windows = Windows.read(held_back, self.now) if held_back else Windows()
        for pk in held_back:
            self.entries[pk].resumes_at = windows.clear_from(pk, self.now)

    def _add(self, task: ScheduledTask, state: TaskState) -> None:
        if task.expires is not None and task.expires <= self.now:
            self.expired.append(task.pk)
            return
        before = self._before.get(task.pk)
        if before is not None and _is_same(before, task, state):
            self.entries[task.pk] = before
            return
        stored = copy(state)
        task.scheduled_state = state
        refusal = self._refused.get(task.pk)
        try:
            if refusal is not None and refusal[0] == columns(task):
                raise refusal[1]
            entry = self._entry(task, state, before)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one row must not stop the others
            mark_broken(state, task.name, error)
        else:
            self.entries[task.pk] = entry
            if state.accounted_until != entry.accounted_until:  # changed meanwhile: nothing past runs
                state.run_after_maintenance = False
            state.accounted_until, state.next_run_at = entry.accounted_until, entry.next_run
            state.enabled_since = state.enabled_since or min(entry.accounted_until, self.now)
            state.broken_reason = state.broken_params = ""
        if any(getattr(stored, name) != getattr(state, name) for name in STATE_FIELDS):
            self.states.append(state)

    def _entry(self, task: ScheduledTask, state: TaskState, before: Entry | None) -> Entry:
        is_older = before and state.accounted_until and state.accounted_until < before.accounted_until
        if before and is_older and spread_offset(before.task) == spread_offset(task):
            # Somebody saved a state read before the last claim: what beat itself remembers is newer.
            state.accounted_until, state.next_run_at = before.accounted_until, before.next_run
        moment = accounted_until(task, state, self.now, self._looked_at)
        if (self._is_first or state.runs_as_before) and state.accounted_until is None:
            moment = adopted(task, moment, self.now)
        return Entry(task, message(task), moment, next_run(task, moment))

    def _leave_out(self, task_id: int, error: Exception) -> None:
        """Note that the row of a task cannot be read, or that a hook refuses it."""
        state = state_of(task_id)
        stored = copy(state)
        mark_broken(state, str(task_id), error)
        if state.problem != stored.problem:
            self.states.append(state)


def _tasks(ids: Sequence[int]) -> list[ScheduledTask]:
    return list(ScheduledTask.objects.with_schedules().filter(pk__in=ids, enabled=True))


def _is_same(entry: Entry, task: ScheduledTask, state: TaskState) -> bool:
    """Whether the entry is still what is stored, and its account as beat has kept it."""
    as_read = columns(task, state) == columns(entry.task, entry.task.state)
    return as_read and state.accounted_until == entry.accounted_until


def columns(task: ScheduledTask, *others: Model) -> list[Any]:
    """All that is stored of the task, its schedule and the other rows."""
    rows = (task, task.crontab, task.interval, task.clocked, task.solar, *others)
    return [vars(row).get(field.attname) for row in rows if row for field in row._meta.concrete_fields]


def schedule_columns(task: ScheduledTask) -> Iterator[Any]:
    """The kind and the values of the task's schedule. A hook may have given it a row that has no id."""
    for row in (task.crontab, task.interval, task.clocked, task.solar):
        yield None
        if row is not None:
            yield from (vars(row).get(field.attname) for field in row._meta.concrete_fields[1:])


def state_of(task_id: int) -> TaskState:
    """The state of a task that cannot be read, where at least that can."""
    try:
        return TaskState.objects.filter(pk=task_id).first() or TaskState(task_id=task_id)
    except Exception as error:
        if not is_about_data(error):
            raise
        return TaskState(task_id=task_id)


def _disabled(now: datetime) -> Iterator[TaskState]:
    """Disabled tasks that are not yet noted as such: from being enabled again on they count anew."""
    state = "scheduled_state"
    noted = Q(
        scheduled_state__enabled_since__isnull=True,
        scheduled_state__next_run_at__isnull=True,
        scheduled_state__accounted_until__isnull=False,
    )
    rows = ScheduledTask.objects.filter(enabled=False).exclude(noted).order_by()
    for pk, code, params in rows.values_list("pk", f"{state}__broken_reason", f"{state}__broken_params"):
        yield TaskState(task_id=pk, accounted_until=now, broken_reason=code or "", broken_params=params or "")


def mark_broken(state: TaskState, name: str, error: Exception) -> None:
    """Note in ``state`` that the task called ``name`` cannot be scheduled; a new reason is logged once."""
    reason = reason_of(error)
    if reason != state.problem:
        unforeseen = None if isinstance(error, ReasonedError) else error
        logger.error("Beat leaves out the task %s: %s", name, reason.english, exc_info=unforeseen)
    state.next_run_at = None
    state.broken_reason, state.broken_params = reason.code, reason.params


def reason_of(error: Exception) -> Reason:
    """Why a task cannot be scheduled, or a run of it cannot be sent."""
    if isinstance(error, ReasonedError):
        return error.reason
    return Reason.of(Code.NOT_SCHEDULABLE, error=repr(error))


def save_states(states: Sequence[TaskState]) -> None:
    """Write :data:`STATE_FIELDS` of each state; a missing row is made."""
    targeted = connections[database()].features.supports_update_conflicts_with_target
    TaskState.objects.bulk_create(
        sorted(states, key=lambda state: state.task_id),
        update_conflicts=True,
        update_fields=STATE_FIELDS,
        unique_fields=["task"] if targeted else None,
    )


def retire(task_ids: Sequence[int], now: datetime) -> None:
    """Disable tasks that are over, as django-celery-beat's own scheduler does, but let everybody know."""
    tasks = PeriodicTask.objects.filter(pk__in=task_ids, enabled=True)
    if tasks.update(enabled=False, total_run_count=0, last_run_at=None, date_changed=now):
        PeriodicTasks.update_changed()
