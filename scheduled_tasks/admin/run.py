"""One run as the list of runs shows it, and in full."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from ..models import TaskRun, Trigger
from ..reasons import said
from . import words
from .signs import TRIGGER_ICONS, Sign, started_by

NOTABLE_LAG = timedelta(seconds=10)
"""How late a run must start for it to be said."""

LINE = 300
"""Characters of an error that a list reads; the run's own page has all of it."""

LOGGED = re.compile(r"\d\d:\d\d:\d\d (\w*)")
"""How a kept log line begins; without it a line goes on from the one before."""

LEVELS = {"DEBUG": "q", "WARNING": "w", "ERROR": "e", "CRITICAL": "e"}
"""CSS class of a log line by its level."""


class RunRow:
    """One run as the list of runs shows it."""

    def __init__(self, run: TaskRun, zone: ZoneInfo, now: datetime) -> None:
        self.run = run
        self.pk = run.pk
        self.id = str(run.pk)
        self.zone = zone
        self.now = now
        self.link = ""
        self.details: RunDetails | None = None
        self.at = run.started_at or run.scheduled_for or run.queued_at
        self.sign = Sign.of_run(run.status)

    @property
    def row_texts(self) -> dict[str, str]:
        """What rows differ in, by the names it has in ``_run_row.html``."""
        return {
            "id": self.id,
            "link": self.link,
            "iso": self.at.isoformat(),
            "exact": self.exact,
            "started": self.started,
            "relative": self.relative,
            "sign_word": self.sign.word,
            "trigger": self.trigger,
            "lateness": self.lateness,
            "since": self.running_since.isoformat() if self.running_since else "",
            "duration": self.duration,
            "pairs": self.pairs_html,
            "text": self.text,
        }

    @property
    def row_traits(self) -> tuple[tuple[str, object], ...]:
        """What many rows have in common, by the names it has in ``_run_row.html``."""
        return (
            ("is_opened", self.details is not None),
            ("sign_tone", self.sign.tone),
            ("sign_glyph", self.sign.glyph),
            ("trigger_icon", self.trigger_icon),
            ("is_reason", self.is_reason),
        )

    @property
    def pairs_html(self) -> SafeString:
        """The summary's keys and values in one line."""
        return format_html_join(" · ", "{}: <b>{}</b>", self.pairs)

    @property
    def started(self) -> str:
        """The time of day, with the date when it was not today."""
        at = timezone.localtime(self.at, self.zone)
        time = words.clock(self.at, self.zone)
        return (
            time
            if at.date() == timezone.localtime(self.now, self.zone).date()
            else (f"{words.day(self.at, self.zone)}, {time}")
        )

    @property
    def relative(self) -> str:
        """How long ago."""
        return words.relative(self.at, self.now)

    @property
    def exact(self) -> str:
        """The full time with its zone."""
        return words.exact(self.at, self.zone)

    @property
    def trigger(self) -> str:
        """What or who made it start."""
        return started_by(self.run.trigger, self.run.actor)

    @property
    def trigger_icon(self) -> str:
        """The icon beside it, if any."""
        return TRIGGER_ICONS.get(Trigger(self.run.trigger), "")

    @property
    def duration(self) -> str:
        """How long it took; empty while it runs or when it never started."""
        return words.duration(self.run.duration)

    @property
    def lateness(self) -> str:
        """``"12 s late"`` for a run that started well after its scheduled time."""
        if self._lag is None:
            return ""
        return pgettext("the start of a run", "%s late") % words.length(round(self._lag.total_seconds()))

    @property
    def _lag(self) -> timedelta | None:
        lag = self.run.lag
        return lag if lag is not None and lag >= NOTABLE_LAG else None

    @property
    def running_since(self) -> datetime | None:
        """Since when it runs."""
        return self.run.started_at if self.run.is_open else None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The summary as key and value, when it is one."""
        data = self.run.summary_data
        return (
            [(str(key).replace("_", " "), _plain(value)) for key, value in data.items()]
            if isinstance(data, dict)
            else []
        )

    @property
    def text(self) -> str:
        """The error, the reason or the plain summary, in one line."""
        run = self.run
        if run.error_type:
            return f"{run.error_type.rpartition('.')[2]}: {self.error_head}".rstrip(": ")
        data = run.summary_data
        return (
            self.error_head or self.reason or ("" if data is None or isinstance(data, dict) else _plain(data))
        )

    @property
    def reason(self) -> str:
        """Why it ended as it did, where the status alone does not say it."""
        return said(self.run.reason)

    @property
    def is_reason(self) -> bool:
        """Whether the line says why nothing ran, rather than what a run did."""
        return bool(self.run.reason) and not self.run.error_type

    @property
    def error_head(self) -> str:
        """The beginning of the error; lists read no more of it than that."""
        head: str | None = getattr(self.run, "error_head", None)
        return self.run.error[:LINE] if head is None else head


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


class RunDetails(RunRow):
    """One run in full."""

    @property
    def shown(self) -> tuple[object, ...]:
        """What moves while it is open in place."""
        run = self.run
        return run.pk, run.status, run.attempts, run.log, run.error, run.summary, run.reason

    @cached_property
    def run_key(self) -> str:
        """A new Celery task id: the form that carries it retries once, however often it is sent."""
        return str(uuid4())

    @property
    def plain_summary(self) -> str:
        """The summary when it is not one of keys and values."""
        data = self.run.summary_data
        return "" if data is None or isinstance(data, dict) else _plain(data)

    @property
    def traceback_lines(self) -> list[tuple[str, str]]:
        """``(css class, line)``: where it went is quiet, what it was is coloured."""
        lines = self.run.traceback.rstrip().split("\n")
        return [(_traceback_class(line, n == len(lines) - 1), line) for n, line in enumerate(lines)]

    @property
    def log_parts(self) -> list[tuple[str, str]]:
        """``(css class, text)``: lines of one level together, with those that go on from them."""
        parts: list[tuple[str, list[str]]] = []
        for line in self.run.log.split("\n"):
            found = LOGGED.match(line)
            css = LEVELS.get(found[1], "") if found else (parts[-1][0] if parts else "")
            if not parts or parts[-1][0] != css:
                parts.append((css, []))
            parts[-1][1].append(line)
        return [(css, "\n".join(lines)) for css, lines in parts]

    @property
    def times(self) -> list[tuple[str, str]]:
        """Every recorded moment, by name: the first in full, the others to the millisecond."""
        run = self.run
        found = [
            (_("Scheduled for"), run.scheduled_for),
            (_("Queued"), run.queued_at),
            (_("Started"), run.started_at),
            (_("Finished"), run.finished_at),
        ]
        known = [(name, at) for name, at in found if at]
        day = timezone.localtime(known[0][1], self.zone).date()
        return [
            (
                name,
                self._time(at) if n and timezone.localtime(at, self.zone).date() == day else self._full(at),
            )
            for n, (name, at) in enumerate(known)
        ]

    def _time(self, at: datetime) -> str:
        return f"{words.clock(at, self.zone)}.{at.microsecond // 1000:03}"

    def _full(self, at: datetime) -> str:
        return words.exact(at, self.zone)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """How long and where it ran, by name: only what is known."""
        run = self.run
        found = [
            (_("Trigger"), self.trigger if run.actor else ""),
            (_("Started late by"), words.duration(self._lag)),
            (_("Queue wait"), words.duration(run.queue_wait)),
            (_("Duration"), self.duration),
            (_("Attempts"), str(run.attempts) if run.attempts > 1 else ""),
            (_("Worker"), run.worker),
            (_("Queue"), run.queue),
            (_("Scheduled times covered"), str(run.tick_count) if run.tick_count > 1 else ""),
        ]
        return [(name, value) for name, value in found if value]

    @property
    def texts(self) -> list[tuple[str, str]]:
        """What it was called with, and its id."""
        run = self.run
        found = [
            (_("Arguments"), "" if run.args in ("", "[]", "()") else run.args),
            (_("Keyword arguments"), "" if run.kwargs in ("", "{}") else run.kwargs),
            (_("Task id"), run.celery_id or ""),
        ]
        return [(name, value) for name, value in found if value]


def _traceback_class(line: str, is_last: bool) -> str:
    if is_last:
        return "e"
    return "q" if line.startswith(("Traceback", "  File ")) else ""
