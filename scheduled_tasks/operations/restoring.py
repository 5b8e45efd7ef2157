"""Putting back what a task had before a logged change: Undo, and Restore in its history."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from .. import schedules
from ..cron import InvalidCron
from ..declarations.fields import FIELDS, change, values_of
from ..masking import NestedTooDeeply, masked
from ..models import ScheduledTask, database, database_now
from ..reading.version import digest
from .audit import CHOSEN, STATE_COLUMNS, AuditEntry, restored, state_field
from .locking import Actor, Conflict, Refused, locked, task_of
from .maintenance import undo_maintenance

TOGETHER = {
    "schedule": ("schedule", "timezone", "spread"),
    "timezone": ("schedule", "timezone", "spread"),
    "spread": ("schedule", "timezone", "spread"),
    "enabled": ("enabled", "pause_note", "paused_by", "paused_by_name", "paused_at"),
}
"""What goes together with a value: a change of any of it is a change of the same."""

SWITCHES = frozenset({"enabled", "skip_next"})
"""What a switch on the page puts back: it can be undone at once, but is not offered years later."""


def snapshot(task: ScheduledTask) -> dict[str, Any]:
    """All that a person can change of the task, as JSON values by name."""
    columns = {name: getattr(task.state, name) for name in STATE_COLUMNS}
    plain = {name: at.isoformat() if isinstance(at, datetime) else at for name, at in columns.items()}
    default = task.code_default
    chosen = sorted(default.chosen) if default else []
    return {**values_of(task), **plain, "enabled": task.enabled, CHOSEN: chosen}


def left_token(task: ScheduledTask) -> str:
    """A text that changes whenever a person changes the task; the history keeps no trace of a secret."""
    values = snapshot(task)
    return digest({name: value for name, value in values.items() if not has_secret({name: value})})


def newest_run(task: ScheduledTask) -> int | None:
    """The key of the task's newest run."""
    newest: int | None = task.scheduled_runs.order_by("-pk").values_list("pk", flat=True).first()
    return newest


def changes_since(before: Mapping[str, Any], task: ScheduledTask) -> dict[str, list[Any]]:
    """What differs from this snapshot now, ``[before, after]`` by name: what an entry keeps to be put back.

    Nothing where that would copy a secret into the history, or where the old schedule cannot be read.
    """
    after = snapshot(task_of(task.pk))
    names = {each for name in before if before[name] != after[name] for each in TOGETHER.get(name, (name,))}
    names |= {*before[CHOSEN]} ^ {*after[CHOSEN]}  # a value that is no longer chosen may follow the code
    changed = {name: [before[name], after[name]] for name in before if name in names}
    return {} if has_secret(changed) or "" in changed.get("schedule", ()) else changed


def has_secret(values: Mapping[str, Any]) -> bool:
    """Whether the history may not keep these values."""
    try:
        return bool(masked(values) != values)
    except NestedTooDeeply:
        return True


def restore(task_id: int, *, actor: Actor, entry: AuditEntry, seen: str | None = None) -> ScheduledTask:
    """Give the task what it had before the change that ``entry`` tells of.

    Without ``seen`` this undoes the change: nobody may have changed the same since. With ``seen``, the
    :func:`restore_token` the person was looking at, it restores a value of long ago. Raises
    :class:`Conflict` when somebody changed the same meanwhile, and :class:`Refused` for an entry that does
    not tell the old value, and for a time to run once that is past.
    """
    if entry.can_end_window:
        with transaction.atomic(using=database()):
            undo_maintenance(entry, actor=actor)
            return task_of(task_id)  # of a task that is gone nothing is changed
    with locked(task_id) as task:
        before, values = snapshot(task), entry.values
        if not values:
            raise Refused("gone", _("The history does not have the earlier value."))
        is_last = all(
            before.get(name) == after for name, (_before, after) in values.items() if name != CHOSEN
        )
        if not (is_last if seen is None else seen == restore_token(task, entry)):
            message = _("%(name)s was changed again meanwhile. Nothing was put back.")
            raise Conflict(message % {"name": task.name}, task)
        _put_back(task, values)
        if task.enabled and values.keys() & {"schedule", "enabled"}:
            refuse_past(task, database_now())
        if snapshot(task_of(task_id)) != before:
            actor.log(task, restored(changes_since(before, task), [*values]))
    return task_of(task_id)


def _put_back(task: ScheduledTask, values: Mapping[str, list[Any]]) -> None:
    old = {name: before for name, (before, _after) in values.items()}
    state = {name: state_field(name).to_python(old[name]) for name in old if name in STATE_COLUMNS}
    try:
        change(task, {name: old[name] for name in old if name in FIELDS}, database_now(), **state)
    except (InvalidCron, schedules.Unschedulable) as error:
        raise Refused("invalid", str(error)) from error
    default = task.code_default
    if default is not None and CHOSEN in values:
        before, after = values[CHOSEN]
        default.chosen = sorted({*default.chosen} - {*after} | {*before})
        default.save(update_fields=["chosen"])


def refuse_past(task: ScheduledTask, now: datetime) -> None:
    """Raise :class:`Refused` where the task is to run once, at a time that is past."""
    if task.clocked is not None and task.clocked.clocked_time <= now:
        message = _("%(name)s: %(schedule)s. This time is past. Give the task another schedule.")
        raise Refused("past", message % {"name": task.name, "schedule": schedules.label(task)})


def can_restore(task: ScheduledTask, entry: AuditEntry) -> bool:
    """Whether the task's history offers to put back what it had before this change."""
    values, now = entry.values, snapshot(task)
    if not values or values.keys() & SWITCHES or ("pause_note" in values and task.enabled):
        return False
    return any(now.get(name) != before for name, (before, _after) in values.items())


def left_so(task: ScheduledTask, entry: AuditEntry, names: Collection[str]) -> bool:
    """Whether the change that the entry tells of gave the task what it has now in these of its values."""
    now, left = (
        snapshot(task),
        {name: after for name, (_before, after) in entry.values.items() if name in names},
    )
    return bool(left) and all(now.get(name) == after for name, after in left.items())


def restore_token(task: ScheduledTask, entry: AuditEntry) -> str:
    """A text that changes whenever what would be put back over does."""
    now = snapshot(task)
    return digest(task.enabled, *(now.get(name) for name in sorted(entry.values)))
