"""Planning a maintenance window, moving its end and ending it.

A window is never deleted here: beat decides by the window at a tick's time, also long after that. Every
change lets beat read the windows anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django_celery_beat.models import PeriodicTasks

from ..masking import printable
from ..models import MaintenanceTask, MaintenanceWindow, ScheduledTask, database, database_now
from ..moments import short
from ..reading.version import digest
from ..recording.connection import keepable
from ..schedules import current_zone
from .audit import AuditEntry, Event, of_window
from .locking import Actor, Refused

SAME_MOMENT = timedelta(minutes=1)
"""Two forms mean the same window whose times are closer than this; a form names no seconds."""


def plan_maintenance(
    *,
    actor: Actor,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    note: str = "",
    run_once_after: bool = False,
    task_ids: Collection[int] | None = None,
    by_command: bool = False,
) -> MaintenanceWindow:
    """Let beat skip the ticks of these tasks (None: of all) from ``starts_at`` (None: now) until ``ends_at``.

    Without an end it lasts until somebody ends it. ``note`` (500 characters) says why; ``run_once_after`` is
    as in :class:`..models.MaintenanceWindow`. The same window twice, as of a form that is sent twice, is one.
    Raises :class:`Refused` for a time in the past, an end before the start, no task, and an unknown one.
    """
    with transaction.atomic(using=database()):
        _wait_for_turn()
        now = database_now()
        start, members = check_plan(starts_at, ends_at, task_ids, now)
        columns = {
            "note": keepable(printable(note.strip()))[:500],
            "by": keepable(actor.name)[:150],
            "run_once_after": run_once_after,
            "covers_all": members is None,
            "by_command": by_command,
        }
        same = _same(start, ends_at, now, members, columns)
        if same is not None:
            return same
        window = MaintenanceWindow.objects.create(starts_at=start, ends_at=ends_at, **columns)
        rows = (MaintenanceTask(window=window, task_id=pk) for pk in members or ())
        MaintenanceTask.objects.bulk_create(rows, batch_size=500)
        _log(actor, window, Event.MAINTENANCE, since=start, until=ends_at, note=window.note)
    return window


def check_plan(
    starts_at: datetime | None,
    ends_at: datetime | None,
    task_ids: Collection[int] | None,
    now: datetime | None = None,
) -> tuple[datetime, set[int] | None]:
    """When such a window begins, and its tasks. Raises :class:`Refused` as :func:`plan_maintenance` does."""
    now = now or database_now()
    start = _checked_start(starts_at, now)
    _check_end(ends_at, start, now)
    return start, _checked_tasks(task_ids)


def move_maintenance_end(
    window_id: int, *, actor: Actor, until: datetime | None, seen: str | None = None
) -> MaintenanceWindow:
    """Let a window end later or earlier, or (None) whenever somebody ends it.

    ``seen`` is the :func:`maintenance_token` the person was looking at. Raises :class:`Refused` when the
    window is over, for a time in the past or before it begins, and when somebody changed it meanwhile.
    """
    with transaction.atomic(using=database()):
        now = database_now()
        window = _open_window(window_id, now, seen)
        _check_end(until, window.starts_at, now)
        if until != window.ends_at:
            _log(actor, window, Event.MAINTENANCE_END_MOVED, earlier=window.ends_at, until=until)
            _change(window, until, actor)
    return window


def end_maintenance(window_id: int, *, actor: Actor, seen: str | None = None) -> MaintenanceWindow:
    """End a window now; one that has not begun then never does. Raises as :func:`move_maintenance_end`."""
    with transaction.atomic(using=database()):
        now = database_now()
        window = _open_window(window_id, now, seen)
        _log(actor, window, Event.MAINTENANCE_ENDED, earlier=window.ends_at, until=now)
        _change(window, now, actor)
    return window


def resume(task_id: int, *, actor: Actor, seen: Mapping[int, str] | None = None) -> None:
    """End the windows that pause this task alone.

    ``seen`` has those that the person was looking at, the :func:`maintenance_token` of each by its key.
    Raises as :func:`move_maintenance_end`, and :class:`Refused` for a window of other tasks and for none.
    """
    with transaction.atomic(using=database()):
        own = MaintenanceWindow.objects.of_task_alone(task_id)
        if seen is None:
            seen = {each.pk: maintenance_token(each) for each in own.active_at(database_now())}
        if not seen or own.filter(pk__in=[*seen]).count() != len(seen):
            raise Refused("ended", _("This task is no longer paused on its own."))
        for window_id, token in sorted(seen.items()):
            end_maintenance(window_id, actor=actor, seen=token)


def undo_maintenance(entry: AuditEntry, *, actor: Actor) -> None:
    """End the window whose begin ``entry`` tells of, or give it the end that it had before.

    Raises as :func:`move_maintenance_end`: nobody may have changed the window since.
    """
    until, earlier = (at and parse_datetime(at) for at in map(entry.params.get, ("until", "earlier")))
    window_id, seen = entry.params["id"], _token(until)
    if entry.event == Event.MAINTENANCE:
        end_maintenance(window_id, actor=actor, seen=seen)
    elif entry.event == Event.MAINTENANCE_ENDED:
        _begin_again(window_id, earlier, seen, actor)
    else:
        move_maintenance_end(window_id, actor=actor, until=earlier, seen=seen)


def _begin_again(window_id: int, until: datetime | None, seen: str, actor: Actor) -> None:
    """Let a window that was ended go on until the end that it had."""
    with transaction.atomic(using=database()):
        now = database_now()
        window = _window(window_id, now, seen)
        _refuse_over(until, now)
        _change(window, until, actor)
        _log(actor, window, Event.MAINTENANCE, since=now, until=until, note=window.note)


def maintenance_token(window: MaintenanceWindow) -> str:
    """A text that changes whenever somebody ends the window or moves its end."""
    return _token(window.ends_at)


def _token(ends_at: datetime | None) -> str:
    return digest(ends_at and ends_at.timestamp())


def _wait_for_turn() -> None:
    """Wait until no other transaction plans: one that plans the same window finds that of the first."""
    PeriodicTasks.objects.update(last_update=F("last_update"))


def _checked_start(starts_at: datetime | None, now: datetime) -> datetime:
    if starts_at is None:
        return now
    if starts_at <= now - SAME_MOMENT:
        raise Refused(
            "start", _("The start lies in the past. Choose a later time, or leave it empty for now.")
        )
    return max(starts_at, now)


def _check_end(ends_at: datetime | None, starts_at: datetime, now: datetime) -> None:
    if ends_at is None:
        return
    if ends_at <= now:
        raise Refused("past", _("The end lies in the past. Choose a later time."))
    if ends_at <= starts_at:
        raise Refused("order", _("The end lies before the start. Choose a later end."))


def _checked_tasks(task_ids: Collection[int] | None) -> set[int] | None:
    if task_ids is None:
        return None
    found = set(ScheduledTask.objects.filter(pk__in=task_ids).values_list("pk", flat=True))
    if not task_ids:
        raise Refused("tasks", _("No task is chosen. Choose at least one, or all tasks."))
    if found != set(task_ids):
        raise Refused("gone", _("A chosen task no longer exists. Choose the tasks again."))
    return found


def _same(
    start: datetime, end: datetime | None, now: datetime, members: set[int] | None, columns: dict[str, object]
) -> MaintenanceWindow | None:
    windows = MaintenanceWindow.objects.not_over_at(now).filter(
        starts_at__range=(start - SAME_MOMENT, start + SAME_MOMENT), **columns
    )
    if end is None:
        windows = windows.filter(ends_at=None)
    else:
        windows = windows.filter(ends_at__range=(end - SAME_MOMENT, end + SAME_MOMENT))
    same = (each for each in windows if _members(each) == (members or set()))
    return next(same, None)


def _members(window: MaintenanceWindow) -> set[int]:
    return set(window.members.values_list("task_id", flat=True))


def _open_window(window_id: int, now: datetime, seen: str | None) -> MaintenanceWindow:
    """The window, its row locked, where it is not over."""
    window = _window(window_id, now, seen)
    _refuse_over(window.ends_at, now)
    return window


def _refuse_over(ends_at: datetime | None, now: datetime) -> None:
    if ends_at is not None and ends_at <= now:
        raise Refused("ended", _("This maintenance is over. Plan a new one."))


def _window(window_id: int, now: datetime, seen: str | None) -> MaintenanceWindow:
    """The window, its row locked until the transaction ends; on SQLite only a write waits its turn."""
    windows = MaintenanceWindow.objects.filter(pk=window_id)
    if not windows.update(note=F("note")):
        raise Refused("gone", _("This maintenance no longer exists."))
    window = windows.get()
    if seen is not None and seen != maintenance_token(window):
        raise Refused("conflict", _what_changed(window, now))
    return window


def _what_changed(window: MaintenanceWindow, now: datetime) -> str:
    if window.ends_at is None:
        text = _("%(person)s changed this maintenance meanwhile: it now lasts until somebody ends it.")
    elif window.ends_at <= now:
        text = _("%(person)s ended this maintenance meanwhile, at %(time)s.")
    else:
        text = _("%(person)s changed this maintenance meanwhile: it now ends at %(time)s.")
    time = short(window.ends_at, current_zone()) if window.ends_at else ""
    return text % {"person": window.changed_by or _("Somebody"), "time": time}


def _change(window: MaintenanceWindow, ends_at: datetime | None, actor: Actor) -> None:
    window.ends_at, window.changed_by = ends_at, keepable(actor.name)[:150]
    window.save(update_fields=["ends_at", "changed_by"])


def _log(actor: Actor, window: MaintenanceWindow, event: Event, **params: object) -> None:
    """To the task's history where it is of one, else to the window's; and let beat look."""
    tasks = ScheduledTask.objects.filter(pk__in=window.members.values("task_id"))[:2]
    task = tasks[0] if len(tasks) == 1 else None
    plain = {name: at.isoformat() if isinstance(at, datetime) else at for name, at in params.items()}
    actor.log(task or window, of_window(event, window, **plain))
    PeriodicTasks.update_changed()
