"""What holds for a task besides its schedule, in plain words: its policies, its limits and its function."""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import moments
from ..conf import settings
from ..docstrings import without_markup
from ..models import Misfire, Overlap, ScheduledTask
from ..moments import exact_span
from ..private import project_app
from ..reading.machinery import Machinery

NamedTexts = list[tuple[str, str]]

ONE_DAY = timedelta(days=1)


class TaskPolicies:
    """What holds for one task. Of what its code says, workers tell the options, which all web processes show
    alike; function and docstring are told where this process has loaded the code.
    """

    def __init__(self, task: ScheduledTask, machinery: Machinery, zone: ZoneInfo) -> None:
        self._task = task
        self._state = task.state
        self._zone = zone
        app = project_app()
        self._coded: Any = app.tasks.get(task.task) if app else None
        self._limits: Any = app.conf if app else {}
        self._options = machinery.options_of(task.task)
        self.queue = machinery.queue_of(task.task, task.queue or "", task.exchange or "")
        """Empty where only the code of the workers knows it."""
        self.celery_task: str = task.task

    @property
    def texts(self) -> NamedTexts:
        """Each policy by name: only what is known."""
        found = (
            (_("While a run is open"), str(self._state.effective_overlap.label)),
            (_("Missed times"), self._misfire),
            (_("Queued runs expire"), self._expiry),
            (_("Longest run time"), _span(self._state.effective_max_runtime)),
            (_("Soft time limit"), self._limit("soft_time_limit")),
            (_("Time limit"), self._limit("time_limit")),
            (_("Runs are kept"), self._retention),
            (
                _("Not before"),
                moments.short(self._task.start_time, self._zone) if self._task.start_time else "",
            ),
            (_("Not after"), moments.short(self._task.expires, self._zone) if self._task.expires else ""),
            (_("Tags"), ", ".join(self._state.tag_list)),
            (_("Queue"), self.queue),
            (_("Priority"), "" if self._task.priority is None else str(self._task.priority)),
            (_("Celery task"), self.celery_task),
            (_("Function"), self.function),
        )
        return [(name, text) for name, text in found if text]

    @property
    def _misfire(self) -> str:
        if self._state.effective_misfire == Misfire.IGNORE:
            return str(Misfire.IGNORE.label)
        return _("Run once, up to %(time)s late") % {"time": exact_span(self._state.effective_grace)}

    @property
    def _expiry(self) -> str:
        """See :func:`.beat.pending_runs._expiry`."""
        own = self._task.expire_seconds or (self._options or {}).get("expires")
        if isinstance(own, str):
            return moments.short(datetime.fromisoformat(own), self._zone)
        if own:
            return _("after %(time)s") % {"time": _seconds(own)}
        if self._options is not None:
            return self._default_expiry
        return _("%(expiry)s, unless the task's code says otherwise") % {"expiry": self._default_expiry}

    @property
    def _default_expiry(self) -> str:
        if self.is_as_before:
            return _("never")
        if self._state.effective_overlap == Overlap.ALLOW:
            return _("when the next one is due, after 15 min at the earliest")
        return _("after two intervals as a rule: 1 to 15 min, or until the next one is due")

    @property
    def is_as_before(self) -> bool:
        """See :attr:`.models.TaskState.is_as_before`."""
        return self._state.is_as_before

    @property
    def of_project(self) -> str:
        """What would become of a run that is due while another is open, by the project's policy."""
        return str(Overlap(settings.OVERLAP).label)

    def _limit(self, name: str) -> str:
        """A time limit of the worker: the code's, or the project's. Empty where nobody tells the code's."""
        if self._options is None:
            return ""
        seconds = self._options.get(name) or self._limits.get(f"task_{name}")
        return _seconds(seconds) if seconds else ""

    @property
    def _retention(self) -> str:
        kept = settings.RETENTION if self._state.retention is None else self._state.retention
        count = self._state.retention_count or settings.RETENTION_COUNT
        if not count:
            return _days(kept)
        return _("%(time)s, the newest %(n)s at most") % {"time": _days(kept), "n": count}

    @property
    def function(self) -> str:
        """The dotted path of the function, where it is another than the Celery task's name."""
        run = getattr(self._coded, "run", None)
        path = f"{getattr(run, '__module__', '')}.{getattr(run, '__qualname__', '')}"
        return "" if run is None or path == self.celery_task else path

    @property
    def doc(self) -> str:
        """The first paragraph of the function's docstring."""
        text = getattr(self._coded, "__doc__", None)
        return without_markup(inspect.cleandoc(text).partition("\n\n")[0]) if isinstance(text, str) else ""


def _span(length: timedelta | None) -> str:
    return exact_span(length) if length else ""


def _seconds(number: Any) -> str:
    """A number of seconds that code gives; Celery takes anything, which is told as it is."""
    try:
        return exact_span(timedelta(seconds=number))
    except (TypeError, OverflowError):
        return str(number)


def _days(length: timedelta) -> str:
    """In days where they are whole: ``"90 days"``."""
    if not length or length % ONE_DAY:
        return exact_span(length)
    return ngettext("%(n)s day", "%(n)s days", length.days) % {"n": length.days}
