"""A task's row as its template reads it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import uuid4

from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import moments, schedules
from ..access import Action
from ..declarations.fields import FIELDS
from ..masking import masked_text
from ..models import MaintenanceWindow, Status, Trigger, word_of
from ..reading.listed_task import ListedTask, State
from ..reading.recent_runs import RECENT_RUNS, RecentRun
from ..reasons import Code
from . import formats
from .badges import FLAG_ICONS, TRIGGER_ICONS, Moment, Progress, StatusBadge, started_by
from .incident_row import IncidentMark, IncidentRow, mark_of
from .run_bars import BarTip, recent_bars, run_cause, spoken, tips
from .window_row import author_of, deciding_window, own_windows, paused_words, tokens_of, why_disabled

SURELY_SHOWN = 40
"""Letters of a schedule in words that have room in the list; hover and focus tell the longer ones whole."""

NO_TIME = (
    '<span class="st-quiet"><span aria-hidden="true">–</span><span class="visually-hidden">{}</span></span>'
)


class TaskRow:
    """What one row shows, worked out from a :class:`~scheduled_tasks.reading.listed_task.ListedTask`."""

    place = ""
    """Where the page's script puts a row that the list does not have yet."""

    def __init__(self, listed: ListedTask, can: Mapping[Action, bool] = {}) -> None:
        self.listed = listed
        self.can = can
        task = self.task = listed.task
        self.now = listed.machinery.now
        self.zone = listed.zone
        self.pk: int = task.pk
        self.id = SafeString(task.pk)
        self.name: str = task.name
        self.description: str = task.description
        self.enabled: bool = task.enabled
        self.is_over = listed.is_over
        self.skips_next = listed.state.skip_next
        self.pause_note = listed.state.pause_note
        self.label = formats.unbroken(listed.label)
        self.is_label_long = len(self.label) > SURELY_SHOWN
        self.raw = listed.raw
        self.is_open = listed.open_run is not None
        self.own_windows = own_windows(listed)
        """The maintenance of this task alone that pauses it: what Resume now ends."""
        self.resumed = tokens_of(self.own_windows)

    @property
    def open_run_id(self) -> int | None:
        """The run that Cancel run is about."""
        return self.listed.open_run.id if self.listed.open_run else None

    @property
    def key(self) -> str:
        """See :attr:`scheduled_tasks.reading.listed_task.ListedTask.key`."""
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
        if listed.machinery.runs_elsewhere(self.task):
            why = _("Only workers that do not report here have it.")
            badges.append((_("Recorded elsewhere"), why, False))
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
        return formats.declared_schedule(self.listed.code_default)

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
        return self.listed.waits_since is not None and not self.listed.is_late

    @cached_property
    def next_at(self) -> Moment | None:
        """When it runs next or should have, or since when its run waits for a worker."""
        listed, at = self.listed, self._next_run_at
        if listed.waits_since and self.enabled:
            return Moment.of(listed.waits_since, self.now, self.zone, "queued", is_late=listed.is_late)
        if at is None or listed.pauses:
            return None
        return Moment.of(at, self.now, self.zone, "next", is_late=listed.is_late and at <= self.now)

    @cached_property
    def _next_run_at(self) -> datetime | None:
        """None for a task that is broken: what beat sends of it runs nowhere."""
        return None if self.listed.is_broken else self.listed.next_run_at

    @property
    def next_html(self) -> SafeString:
        """What stands in Next run: a time, or why there is none."""
        if self.next_at:
            return self.next_at.html
        if self.enabled and self.listed.is_broken:
            return format_html(NO_TIME, _("Never"))
        if self.is_over:
            return format_html('<span class="st-quiet">{}</span>', _("Over"))
        if self.window:
            words = _("Paused") if self._is_shared else self._paused_words(_("Paused"))
            return format_html('<span class="st-quiet">{}</span>', words)
        by = self.listed.state.paused_by_name
        paused = _("Paused by %(name)s") % {"name": by} if by else _("Paused")
        return format_html('<span class="st-quiet">{}</span>', _("Never") if self.enabled else paused)

    @property
    def window(self) -> MaintenanceWindow | None:
        """The maintenance that keeps it from starting now; of several the one that ends last."""
        return deciding_window(self.listed)

    @property
    def _is_shared(self) -> bool:
        """Whether the banner names this maintenance: its end and author are then a small line."""
        return self.window is not None and self.window.pk not in (None, *(row.pk for row in self.own_windows))

    def _paused_words(self, what: str) -> str:
        return paused_words(self.window, self.listed.paused_until, self.now, what) if self.window else ""

    @property
    def next_clock(self) -> str:
        """The exact time of the next run, with its date when it is not today."""
        if self._next_run_at is None or self.window:
            return ""
        at, now = (moments.in_zone(moment, self.zone) for moment in (self._next_run_at, self.now))
        same_day = at.date() == now.date()
        return f"{moments.clock(at, self.zone)} {at:%Z}" if same_day else moments.short(at, self.zone)

    @property
    def next_note(self) -> str:
        """The small line under Next run: why it is paused, or that it will be skipped."""
        if not self.enabled:
            return why_disabled(self.listed)
        if self.window:
            author = author_of(self.window)
            return f"{self._paused_words(_('Maintenance'))} ({author})" if self._is_shared else author
        if self.listed.next_is_skipped:
            return _("will be skipped: maintenance")
        return _("will be skipped") if self.skips_next and self._next_run_at else ""

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
    def _usual(self) -> timedelta | None:
        """How long a run usually takes; None where that is not known or too short to compare with."""
        usual = self.listed.usual if self.last_run else None
        return usual if usual and usual.total_seconds() >= 0.1 else None

    @property
    def hint_follows(self) -> SafeString:
        """What the page's script keeps the hint of a run under way current by; empty without such a run."""
        if not self.running_since or not self._usual:
            return SafeString("")
        began, usual = self.running_since.isoformat(), str(self._usual.total_seconds())
        return format_html('data-st-began="{}" data-st-usual="{}"', began, usual)

    @cached_property
    def duration_hint(self) -> str:
        """``"2.4× usual"`` when the last run took, or takes already, far longer than usual."""
        last = self.last_run.duration if self.last_run else None
        took = self.now - self.running_since if self.running_since else last
        if not took or not self._usual or took / self._usual < formats.FAR_FROM_USUAL:
            return ""
        factor = took / self._usual
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
        if listed.word != State.FAILED:
            return StatusBadge.of_run(outcome.status)
        cause, run_id, streak = run_cause(outcome), str(outcome.id), self._streak
        return StatusBadge.of_run(outcome.status, self._in_a_row, cause=cause, run_id=run_id, streak=streak)

    @property
    def _last_outcome(self) -> str:
        outcome = self.listed.outcome
        if outcome is None:
            return ""
        word, streak = word_of(Status, outcome.status), self._streak
        return _("last: %(status)s") % {"status": f"{word} ({streak})" if streak else word}

    @property
    def _in_a_row(self) -> str:
        text = ngettext("%(n)s in a row", "%(n)s in a row", self.listed.streak)
        return text % {"n": self._streak} if self._streak else ""

    @property
    def _streak(self) -> str:
        """How many failures in a row, when several: ``"3"``, ``"30+"`` where no more were counted."""
        streak = self.listed.streak
        return "" if streak < 2 else f"{streak}+" if streak >= RECENT_RUNS else str(streak)

    @property
    def late_too(self) -> bool:
        """Whether Late must be said beside another word."""
        return self.listed.is_late and self.status.glyph != "late"

    @cached_property
    def progress(self) -> Progress | None:
        """How far the run under way says it is; between two attempts that is what the failed one said."""
        run = self.listed.open_run
        return Progress.of(run) if run is not None and run.status == Status.RUNNING else None

    # Incidents

    @cached_property
    def incidents(self) -> list[IncidentRow]:
        """Its open incidents."""
        zone = schedules.current_zone()
        return [IncidentRow(each, zone, self.now) for each in self.listed.incidents]

    @property
    def incident_mark(self) -> IncidentMark | None:
        """What the list shows of them."""
        return mark_of(self.incidents)

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
    def bar_tips(self) -> list[BarTip]:
        """What each of these bars is."""
        return tips(self.listed.recent[:RECENT_RUNS], self.now, self.zone)

    @property
    def run_ids(self) -> str:
        """Ids of the runs in the strip, oldest first: a click on a bar opens that run."""
        return " ".join([str(run.id) for run in reversed(self.listed.recent)])
