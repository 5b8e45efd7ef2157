"""A task's row as its template reads it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import schedules
from ..declarations.fields import FIELDS
from ..masking import masked_text
from ..models import PausedBy, ScheduledTask, Status, Trigger, word_of
from ..reading.recent_runs import RecentRun
from ..reading.tasks import ListedTask, State
from ..reasons import Code
from . import formats
from .badges import FLAG_ICONS, TRIGGER_ICONS, Moment, Progress, StatusBadge, started_by
from .run_bars import recent_bars, spoken

FAR_FROM_USUAL = 2.0
"""A duration this many times the usual one is worth saying."""

SURELY_SHOWN = 40
"""Letters of a schedule in words that have room in the list; hover and focus tell the longer ones whole."""


class TaskRow:
    """What one row shows, worked out from a :class:`~scheduled_tasks.reading.tasks.ListedTask`."""

    place = ""
    """Where the page's script puts a row that the list does not have yet."""

    def __init__(self, listed: ListedTask) -> None:
        task: ScheduledTask = listed.task
        self.listed = listed
        self.task = task
        self.now = listed.machinery.now
        self.zone = listed.zone
        self.pk: int = task.pk
        self.id = SafeString(task.pk)
        self.name: str = task.name
        self.description: str = task.description
        self.enabled: bool = task.enabled
        self.editable = task.crontab_id is not None or task.interval_id is not None
        self.skips_next = listed.state.skip_next
        self.pause_note = listed.state.pause_note
        self.label = listed.label
        self.is_label_long = len(self.label) > SURELY_SHOWN
        self.raw = listed.raw
        self.is_open = listed.open_run is not None

    @property
    def key(self) -> str:
        """See :attr:`scheduled_tasks.reading.tasks.ListedTask.key`."""
        return self.listed.key

    @property
    def other_zone(self) -> str:
        """The schedule's zone when it is not the one the page's times are in."""
        return "" if self.zone.key == timezone.get_current_timezone_name() else self.zone.key

    @property
    def badges(self) -> list[tuple[str, str, bool]]:
        """Edited, Not in code, …: text, explanation, and whether it is a warning."""
        listed, badges = self.listed, []
        if listed.is_gone:
            badges.append((_("Not in code"), _("The code no longer declares this task."), True))
        if listed.edited:
            badges.append((_("Edited"), self.differs_text, False))
        if listed.is_broken and self.enabled:
            unknown = listed.problem.code == Code.UNKNOWN_TASK
            text = _("Unknown to workers") if unknown else _("Never runs")
            badges.append((text, str(listed.problem), True))
        return badges

    @property
    def differs_text(self) -> str:
        """The fields in which it differs from its code, in one sentence."""
        fields = ", ".join(str(FIELDS[name].label) for name in self.listed.edited)
        return _("Differs from the code: %(fields)s") % {"fields": fields}

    @property
    def is_resettable(self) -> bool:
        """Whether its code declares something else than what is stored."""
        return bool(self.listed.edited) and not self.listed.is_gone

    @property
    def declared_label(self) -> str:
        """The schedule its code declares, in plain words; empty when no code declares one."""
        default = self.listed.code_default
        declared = default.declared if default and isinstance(default.declared, dict) else {}
        schedule = declared.get("schedule")
        return schedules.text_label(schedule) if isinstance(schedule, str) else ""

    @property
    def own_args(self) -> str:
        """The task's own arguments in JSON, secrets masked; a masked one sent back means the task's own."""
        return masked_text(self.task.args)

    @property
    def own_kwargs(self) -> str:
        """The same of its keyword arguments."""
        return masked_text(self.task.kwargs)

    @cached_property
    def run_key(self) -> str:
        """What the forms of one rendering carry: sent twice, they start one run."""
        return str(uuid4())

    # Next run

    @cached_property
    def queued(self) -> bool:
        """Whether a run waits for a worker, in time."""
        return self.is_open and not self.listed.is_running and not self.listed.is_late

    @cached_property
    def next_at(self) -> Moment | None:
        """When it runs next, when that is a time to come or long past."""
        at = self.listed.next_run_at
        if at is None or self.queued or (at <= self.now and not self.listed.is_late):
            return None
        return Moment.of(at, self.now, self.zone, "late" if at <= self.now else "next")

    @property
    def next_clock(self) -> str:
        """The exact time of the next run, with its date when it is not today."""
        if self.next_at is None:
            return ""
        at, now = (formats.in_zone(moment, self.zone) for moment in (self.next_at.at, self.now))
        same_day = at.date() == now.date()
        return f"{formats.clock(at, self.zone)} {at:%Z}" if same_day else formats.short(at, self.zone)

    @property
    def next_word(self) -> str:
        """What stands in Next run where no time does."""
        if not self.enabled:
            by = self.listed.state.paused_by_name
            return _("Paused by %(name)s") % {"name": by} if by else _("Paused")
        return _("Never") if self.never else _("Now")

    @property
    def never(self) -> bool:
        """Whether it is enabled and yet never runs again."""
        return self.enabled and self.listed.next_run_at is None and not self.queued

    @property
    def next_note(self) -> str:
        """The small line under Next run: why it is paused, late, or will not run."""
        if not self.enabled:
            by_sync = self.listed.state.paused_by == PausedBy.SYNC
            return self.pause_note or (_("no longer in code") if by_sync else "")
        if self.listed.is_late and self.is_open and not self.listed.is_running:
            return _("waiting in queue")
        return _("will be skipped") if self.skips_next and self.next_at else ""

    # Last run

    @cached_property
    def last_run(self) -> RecentRun | None:
        """The newest run that has started, or failed to."""
        return next((run for run in self.listed.recent if run.started), None) or self.listed.last_run

    @property
    def last_at(self) -> Moment | None:
        """When the last run started; a run that never started counts from when it was queued."""
        run = self.last_run
        return Moment.of(run.started_at or run.queued_at, self.now, self.zone) if run else None

    @cached_property
    def last_by(self) -> str:
        """Who or what made the last run start, when not its schedule."""
        run = self.last_run
        return started_by(run.trigger, run.actor) if run and run.trigger != Trigger.SCHEDULE else ""

    @property
    def last_icon(self) -> str:
        """The icon beside that."""
        return TRIGGER_ICONS.get(self.last_run.trigger, "person") if self.last_run else ""

    @cached_property
    def running_since(self) -> datetime | None:
        """Since when the run under way runs."""
        run = self.listed.open_run
        return run.started_at if run is not None and self.listed.is_running else None

    @cached_property
    def duration(self) -> str:
        """How long the last run took, or has taken so far; empty when not recorded."""
        if self.running_since:
            return formats.duration(max(self.now - self.running_since, timedelta(0)))
        return formats.duration(self.last_run.duration) if self.last_run else ""

    @cached_property
    def duration_hint(self) -> str:
        """``"2.4× usual"`` when the last run took far longer than usual."""
        took = None if self.last_run is None or self.running_since else self.last_run.duration
        usual = self.listed.usual if took else None
        if not took or not usual or usual.total_seconds() < 0.1 or took / usual < FAR_FROM_USUAL:
            return ""
        factor = took / usual
        return _("%(factor)s× usual") % {"factor": formats.number(factor, 1 if factor < 10 else 0)}

    # Status

    @property
    def state_label(self) -> str:
        """The one word for the task's state."""
        return str(self.listed.word.label)

    @cached_property
    def status(self) -> StatusBadge:
        """What the Status column says: the state that matters most, then the last outcome."""
        listed, run, outcome = self.listed, self.listed.open_run, self.listed.outcome
        if run is not None and (listed.is_running or self.queued):
            note = _("no heartbeat from its worker") if listed.lost_contact else self._last_outcome
            return StatusBadge.of_run(run.status, note)
        if listed.word in (State.PAUSED, State.BROKEN, State.LATE):
            note = str(listed.problem) if listed.word == State.BROKEN else self._last_outcome
            return StatusBadge(*FLAG_ICONS[listed.word], str(listed.word.label), note)
        if outcome is None:
            return StatusBadge("never", "off", _("Never run"))
        note = (self._streak or outcome.reason_text) if listed.word == State.FAILED else ""
        return StatusBadge.of_run(outcome.status, note)

    @property
    def _last_outcome(self) -> str:
        outcome = self.listed.outcome
        if outcome is None:
            return ""
        return self._streak or _("last: %(status)s") % {"status": word_of(Status, outcome.status)}

    @property
    def _streak(self) -> str:
        streak = self.listed.streak
        return ngettext("%(n)s in a row", "%(n)s in a row", streak) % {"n": streak} if streak > 1 else ""

    @property
    def late_too(self) -> bool:
        """Whether Late must be said beside another word."""
        return self.listed.is_late and self.status.glyph != "late"

    @cached_property
    def progress(self) -> Progress | None:
        """How far the run under way says it is."""
        run = self.listed.open_run
        return Progress.of(run) if run is not None and self.listed.is_running else None

    # Runs

    @property
    def run_bars(self) -> SafeString:
        """The last runs as bars."""
        return recent_bars(self.listed.recent)

    @property
    def run_bars_text(self) -> str:
        """The last runs in words."""
        return spoken(self.listed.recent)

    @property
    def run_ids(self) -> str:
        """Ids of the runs in the strip, oldest first: a click on a bar opens that run."""
        return " ".join([str(run.id) for run in reversed(self.listed.recent)])
