"""A task's row as its template reads it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import overview, schedules
from ..models import PausedBy, ScheduledTask, Status, Trigger
from ..overview import State
from ..reasons import said
from ..recent import RecentRun
from ..task_fields import NAMES
from ..values import masked_text
from . import words
from .signs import TRIGGER_ICONS, Badge, Moment, Progress, Sign, started_by
from .strip import spoken, strip

FAR_FROM_USUAL = 2.0
"""A duration this many times the usual one is worth saying."""


SURELY_SHOWN = 40
"""Letters of a schedule in words that have room in the list; hover and focus tell the longer ones whole."""


class TaskRow:
    """What one row shows, worked out from the read model's :class:`~scheduled_tasks.overview.Row`."""

    def __init__(self, row: overview.Row) -> None:
        self.row = row
        self.task: ScheduledTask = row.task
        self.pk: int = row.task.pk
        self.id = str(row.task.pk)
        self.name: str = row.task.name
        self.description: str = row.task.description
        self.enabled: bool = row.task.enabled
        self.zone = row.zone
        self.now = row.facts.now

    @cached_property
    def label(self) -> str:
        """The schedule in plain words."""
        return str(self.row.label)

    @cached_property
    def raw(self) -> str:
        """The schedule as stored."""
        return self.row.raw

    @cached_property
    def other_zone(self) -> str:
        """The schedule's zone when it is not the one the page's times are in."""
        return "" if self.zone.key == timezone.get_current_timezone_name() else self.zone.key

    @property
    def editable(self) -> bool:
        """Whether its schedule is a cron expression or an interval, which this page can edit."""
        return self.task.crontab_id is not None or self.task.interval_id is not None

    @cached_property
    def badges(self) -> list[Badge]:
        """Edited, Not in code, Never runs: only what says something."""
        badges = []
        if self.row.gone:
            badges.append(Badge(_("Not in code"), _("The code no longer declares this task."), warn=True))
        if self.row.edited:
            fields = ", ".join(str(NAMES[name]) for name in self.row.edited)
            badges.append(Badge(_("Edited"), _("Differs from the code: %(fields)s") % {"fields": fields}))
        if self.row.broken and self.enabled:
            badges.append(Badge(_("Never runs"), said(self.row.broken_reason), warn=True))
        return badges

    @cached_property
    def is_open(self) -> bool:
        """Whether a run is queued or under way, so that the page looks again soon."""
        return self.row.open_run is not None

    @cached_property
    def next_at(self) -> Moment | None:
        """When it runs next, when that is a time to come or long past."""
        at = self.row.next_run_at
        if at is None or self.queued or (at <= self.now and not self.row.late):
            return None
        relative = words.relative(at, self.now, overdue="late")
        return Moment(at, relative, words.exact(at, self.zone), "late" if at <= self.now else "next")

    @property
    def next_clock(self) -> str:
        """The exact time of the next run, with its date when it is not today."""
        if self.next_at is None:
            return ""
        at, now = (timezone.localtime(moment, self.zone) for moment in (self.next_at.at, self.now))
        same_day = at.date() == now.date()
        return f"{words.clock(at, self.zone)} {at:%Z}" if same_day else words.short(at, self.zone)

    @property
    def queued(self) -> bool:
        """Whether a run waits for a worker, in time."""
        run = self.row.open_run
        return run is not None and not self.row.running and not self.row.late

    @cached_property
    def next_word(self) -> str:
        """What stands in Next run where no time does."""
        if not self.enabled:
            by = self.row.state.paused_by_name
            return _("Paused by %(name)s") % {"name": by} if by else _("Paused")
        return _("Never") if self.never else _("Now")

    @property
    def never(self) -> bool:
        """Whether it is enabled and yet never runs again."""
        return self.enabled and self.row.next_run_at is None and not self.queued

    @property
    def declared_label(self) -> str:
        """The schedule its code declares, in plain words; empty when no code declares one."""
        default = self.row.code_default
        declared = (default.declared or {}).get("schedule") if default else None
        return schedules.text_label(declared) if isinstance(declared, str) else ""

    @property
    def own_args(self) -> str:
        """The task's own arguments in JSON, secrets masked; a masked one sent back means the task's own."""
        return masked_text(self.task.args)

    @property
    def own_kwargs(self) -> str:
        """The same of its keyword arguments."""
        return masked_text(self.task.kwargs)

    @property
    def last_icon(self) -> str:
        """The icon of what made the last run start."""
        trigger = Trigger(self.last_run.trigger) if self.last_run else Trigger.SCHEDULE
        return TRIGGER_ICONS.get(trigger, "person")

    @cached_property
    def next_note(self) -> str:
        """The small line under Next run: why it is paused, late, or will not run."""
        state = self.row.state
        if not self.enabled:
            return state.pause_note or (_("no longer in code") if state.paused_by == PausedBy.SYNC else "")
        if self.row.late and self.row.open_run is not None and not self.row.running:
            return _("waiting in queue")
        if state.skip_next and self.next_at:
            return _("will be skipped")
        return ""

    @cached_property
    def last_at(self) -> Moment | None:
        """When the last run started; a run that never started counts from when it was queued."""
        run = self.last_run
        if run is None:
            return None
        at = run.started_at or run.queued_at
        return Moment(at, words.relative(at, self.now), words.exact(at, self.zone))

    @cached_property
    def last_run(self) -> RecentRun | None:
        """The newest run that has started, or failed to."""
        return next((run for run in self.row.recent if run.started_at), None) or self.row.last_run

    @cached_property
    def last_by(self) -> str:
        """Who or what made the last run start, when not its schedule."""
        run = self.last_run
        if run is None or run.trigger == Trigger.SCHEDULE:
            return ""
        return started_by(run.trigger, run.actor)

    @cached_property
    def running_since(self) -> datetime | None:
        """Since when the run under way runs."""
        run = self.row.open_run
        return run.started_at if run is not None and self.row.running else None

    @cached_property
    def duration(self) -> str:
        """How long the last run took, or has taken so far; empty when not recorded."""
        if self.running_since:
            return words.duration(max(self.now - self.running_since, timedelta(0)))
        return words.duration(self.last_run.duration) if self.last_run else ""

    @cached_property
    def duration_hint(self) -> str:
        """``"2.4× usual"`` when the last run took far longer than usual."""
        usual = self.row.usual
        took = None if self.last_run is None or self.running_since else self.last_run.duration
        if not usual or took is None or usual.total_seconds() < 0.1:
            return ""
        factor = took / usual
        if factor < FAR_FROM_USUAL:
            return ""
        number = words.number(factor, 1 if factor < 10 else 0)
        return _("%(factor)s× usual") % {"factor": number}

    @cached_property
    def state_label(self) -> str:
        """The one word for the task's state."""
        return str(self.row.word.label)

    @cached_property
    def sign(self) -> Sign:
        """What the Status column says: the state that matters most, then the last outcome."""
        row = self.row
        run = row.open_run
        if run is not None and (row.running or self.queued):
            note = _("no sign of life from its worker") if row.lost_contact else self._last_outcome
            return Sign.of_run(run.status, note)
        if row.word == State.PAUSED:
            return Sign("paused", "off", str(State.PAUSED.label), self._last_outcome)
        if row.word == State.BROKEN:
            return Sign("broken", "bad", str(State.BROKEN.label), said(row.broken_reason))
        if row.word == State.FAILED and row.outcome is not None:
            return Sign.of_run(row.outcome.status, self._streak or said(row.outcome.reason))
        if row.word == State.LATE:
            return Sign("late", "warn", str(State.LATE.label), self._last_outcome)
        if row.outcome is not None:
            return Sign.of_run(row.outcome.status)
        return Sign("never", "off", _("Never run"))

    @property
    def _last_outcome(self) -> str:
        outcome = self.row.outcome
        if outcome is None:
            return ""
        if self.row.streak > 1:
            return self._streak
        return _("last: %(status)s") % {"status": Status(outcome.status).label}

    @property
    def _streak(self) -> str:
        streak = self.row.streak
        return ngettext("%(n)s in a row", "%(n)s in a row", streak) % {"n": streak} if streak > 1 else ""

    @cached_property
    def late_too(self) -> bool:
        """Whether Late must be said beside another word."""
        return self.row.late and self.sign.glyph != "late"

    @cached_property
    def progress(self) -> Progress | None:
        """How far the run under way says it is."""
        run = self.row.open_run
        return Progress.of(run) if run is not None and self.row.running else None

    @cached_property
    def strip(self) -> SafeString:
        """The last runs as bars."""
        return strip(self.row.recent)

    @cached_property
    def strip_words(self) -> str:
        """The last runs in words."""
        return spoken(self.row.recent)

    @property
    def run_ids(self) -> str:
        """Ids of the runs in the strip, oldest first: a click on a bar opens that run."""
        return " ".join(str(run.id) for run in reversed(self.row.recent))

    @cached_property
    def run_key(self) -> str:
        """A new Celery task id: the form that carries it starts one run, however often it is sent."""
        return run_key()

    @property
    def row_texts(self) -> dict[str, str]:
        """What rows differ in, by the names it has in ``_row.html``."""
        next_at, last_at, sign, progress = self.next_at, self.last_at, self.sign, self.progress
        return {
            "id": self.id,
            "key": self.key,
            "name": self.name,
            "badges": self.badges_html,
            "description": self.description,
            "label": self.label,
            "long_label": self.label if len(self.label) > SURELY_SHOWN else "",
            "raw": self.raw,
            "other_zone": self.other_zone,
            "next_iso": next_at.iso if next_at else "",
            "next_exact": next_at.exact if next_at else "",
            "next_relative": next_at.relative if next_at else "",
            "next_clock": self.next_clock,
            "next_word": "" if next_at else self.next_word,
            "next_note": self.next_note,
            "last_iso": last_at.iso if last_at else "",
            "last_exact": last_at.exact if last_at else "",
            "last_relative": last_at.relative if last_at else "",
            "last_by": self.last_by,
            "duration": self.duration,
            "hint": self.duration_hint,
            "since": self.running_since.isoformat() if self.running_since else "",
            "state_label": self.state_label,
            "sign_word": sign.word,
            "sign_note": sign.note,
            "progress": progress.label if progress else "",
            "percent": "" if progress is None or progress.percent is None else str(progress.percent),
            "run_ids": self.run_ids,
            "strip": self.strip,
            "strip_words": self.strip_words,
            "run_key": self.run_key,
            "declared_label": self.declared_label,
        }

    @property
    def row_traits(self) -> tuple[tuple[str, object], ...]:
        """What many rows have in common, by the names it has in ``_row.html``."""
        return (
            ("is_open", self.is_open),
            ("enabled", self.enabled),
            ("editable", self.editable),
            ("never", self.never),
            ("late_too", self.late_too),
            ("skips_next", self.row.state.skip_next),
            ("resettable", bool(self.row.edited) and not self.row.gone),
            ("next_kind", self.next_at.kind if self.next_at else ""),
            ("last_icon", self.last_icon),
            ("sign_tone", self.sign.tone),
            ("sign_glyph", self.sign.glyph),
        )

    @property
    def badges_html(self) -> SafeString:
        """The badges, each with what it means on hover."""
        shown = [(" st-badge-warn" if each.warn else "", each.title, each.text) for each in self.badges]
        return format_html_join("\n", '<span class="st-badge{}" title="{}">{}</span>', shown)

    @property
    def key(self) -> str:
        """See :attr:`scheduled_tasks.overview.Row.key`."""
        return self.row.key


def run_key() -> str:
    """A new id for a form of Run now."""
    return str(uuid4())
