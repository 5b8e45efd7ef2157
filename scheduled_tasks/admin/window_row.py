"""A maintenance window as lists and banners show it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import moments, schedules
from ..models import MaintenanceWindow, PausedBy, Status
from ..operations import maintenance_token
from ..reading.listed_task import ListedTask
from .badges import StatusBadge
from .moment_field import field_text


class WindowRow:
    """One window: ``names`` are those of its tasks that the reader may see, who ``can_change`` it or not."""

    def __init__(
        self, window: MaintenanceWindow, now: datetime, names: Iterable[str] = (), *, can_change: bool = False
    ) -> None:
        self.window = window
        self.now = now
        self.zone = schedules.current_zone()
        self.pk: int = window.pk
        self.id = str(window.pk)
        self.names = [*names]
        self.can_change = can_change
        self.by: str = window.by
        self.note: str = window.note
        self.changed_by: str = window.changed_by
        self.runs_once = window.run_once_after
        self.is_over = window.ends_at is not None and window.ends_at <= now
        self.is_active = window.covers(now)

    @property
    def token(self) -> str:
        """See :func:`.operations.maintenance_token`."""
        return maintenance_token(self.window)

    @property
    def title(self) -> str:
        """Its note; without one what it is."""
        return self.note or _("Maintenance")

    @property
    def state(self) -> StatusBadge:
        """Whether it goes on, comes, or is over."""
        if self.is_active:
            return StatusBadge("paused", "warn", _("Now"))
        if not self.is_over:
            return StatusBadge("queued", "busy", _("Planned"))
        if self.window.ends_at and self.window.ends_at <= self.window.starts_at:
            return StatusBadge("skipped", "off", _("Cancelled"))
        return StatusBadge("ok", "off", _("Over"))

    @cached_property
    def what(self) -> str:
        """Which tasks: all, the one by name, or how many."""
        if self.window.covers_all:
            return _("All tasks")
        number = getattr(self.window, "task_count", len(self.names))
        if number == 1 and self.names:
            return self.names[0]
        return ngettext("%(n)s task", "%(n)s tasks", number) % {"n": number}

    @property
    def begins(self) -> str:
        """``"02:00"``, with the day when it is not today."""
        return moments.minute_of_day(self.window.starts_at, self.now, self.zone)

    @property
    def ends(self) -> str:
        """The same of its end; empty for an open one."""
        return moments.minute_of_day(self.window.ends_at, self.now, self.zone) if self.window.ends_at else ""

    @property
    def ends_field(self) -> str:
        """The end as a field for a time has it."""
        return field_text(end) if (end := end_to_minute(self.window)) else ""

    @property
    def sentence(self) -> str:
        """``"Maintenance until 06:00 (anna: database move)."``."""
        words = paused_words(self.window, self.window.ends_at, self.now, _("Maintenance"))
        return f"{words} ({self.author})"

    @property
    def author(self) -> str:
        """``"anna: database move"``."""
        return author_of(self.window)

    @property
    def key(self) -> tuple[object, ...]:
        """All that is shown of it."""
        return (
            self.pk,
            self.state,
            self.what,
            self.begins,
            self.ends,
            self.author,
            self.changed_by,
            self.token,
        )


def end_to_minute(window: MaintenanceWindow) -> datetime | None:
    """The end of a window as a field for it begins with it."""
    return window.ends_at and window.ends_at.replace(second=0, microsecond=0)


def own_windows(listed: ListedTask) -> list[WindowRow]:
    """The windows that pause this task alone, whatever else pauses it too; the one that ends last is last."""
    own = (each for each in listed.pauses if not each.covers_all and getattr(each, "task_count", 0) == 1)
    return [WindowRow(each, listed.machinery.now) for each in sorted(own, key=_end)]


def tokens_of(windows: Iterable[WindowRow]) -> str:
    """What Resume now sends of them: ``"12:token,13:token"``; empty for none."""
    return ",".join(f"{each.id}:{each.token}" for each in windows)


def deciding_window(listed: ListedTask) -> MaintenanceWindow | None:
    """The window that pauses a task; of several the one that ends last."""
    return max(listed.pauses, key=_end, default=None)


def _end(window: MaintenanceWindow) -> tuple[bool, datetime]:
    return window.ends_at is None, window.ends_at or window.starts_at


def author_of(window: MaintenanceWindow) -> str:
    """``"anna: database move"``, or the name alone."""
    return ": ".join(filter(None, (window.by, window.note)))


def paused_words(window: MaintenanceWindow, until: datetime | None, now: datetime, what: str) -> str:
    """``what`` with until when: ``"Paused until 06:00"``."""
    if window.pk is None:
        return _("Paused by the setting PAUSED")
    if until is None:
        return _("%(what)s until it is ended") % {"what": what}
    time = moments.minute_of_day(until, now, schedules.current_zone())
    return _("%(what)s until %(time)s") % {"what": what, "time": time}


def why_disabled(listed: ListedTask) -> str:
    """The small line of a disabled task: its note, or what else keeps it from starting."""
    state, newest = listed.state, next(iter(listed.recent), None)
    if state.pause_note or state.paused_by == PausedBy.SYNC:
        return state.pause_note or _("no longer in code")
    if newest is None or not listed.is_over:
        return ""
    texts = {
        Status.SKIPPED: _("Its only run was skipped. %(reason)s"),
        Status.MISSED: _("Its only run was missed. %(reason)s"),
    }
    return texts[Status(newest.status)] % {"reason": newest.reason_text} if newest.status in texts else ""
