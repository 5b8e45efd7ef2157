"""The next 24 hours: a lane of planned runs per task. The template draws them as SVG, in minutes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from statistics import median_low
from typing import TYPE_CHECKING

from django.contrib.admin.views.main import PAGE_VAR
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from .. import schedules
from ..access import Action
from ..models import Flag, ScheduledTaskQuerySet
from ..reading import next_24_hours
from ..reading.health import problems
from ..reading.machinery import Machinery
from ..reading.next_24_hours import MOST_TASKS, Plan
from ..ticks import MINUTE
from . import formats
from .badges import Moment
from .context import machinery_of, page_context, visible_tasks
from .permissions import requires

if TYPE_CHECKING:
    from .tasks import ScheduledTaskAdmin

PER_PAGE = 100

DAY = 24 * 60

HOURS = 25
"""Hours drawn: the one that has begun, and those that the coming 24 hours reach into."""

WIDTH = HOURS * 60

LABEL_EVERY = 3
"""Hours of the clock from one label to the next."""

DENSE = 10
"""Minutes: runs closer together than that are drawn as a band."""

BAND = 3
"""Dense runs that make a band; fewer are bars."""

BAND_WITH_TEXT = 120
"""Minutes: the shortest band that its number of runs fits into."""

NAMED = 5
"""Tasks and times that are named before the rest is counted."""


@requires(Action.VIEW, method="GET")
def show_timeline(model_admin: ScheduledTaskAdmin, request: HttpRequest) -> HttpResponse:
    """The planned runs of the next 24 hours, a page of its own."""
    tasks, page = visible_tasks(model_admin, request), request.GET.get(PAGE_VAR, "1")
    context = {
        **page_context(model_admin, request),
        "title": _("Next 24 hours"),
        "timeline": Timeline(machinery_of(request), tasks, page),
    }
    return TemplateResponse(request, model_admin.timeline_template, context)


class Lane:
    """One task's row: what it is, when it runs next, its runs told and drawn."""

    def __init__(self, plan: Plan, begin: datetime, now: datetime) -> None:
        self.plan = plan
        self.id = str(plan.task.pk)
        self.name: str = plan.task.name
        self.label = schedules.label(plan.task)
        self.next_at = _next_run(plan, now)
        about = "≈ " if plan.estimated else ""
        self.count = about + _number(plan.count)
        self.runs = about + _runs(plan.count)
        self.spoken = _spoken(plan, begin)
        skipped = int(plan.skips_first)
        self.skipped = _bars(plan.minutes[:skipped])
        self.bars, self.bands = "", ""
        self.texts: list[tuple[str, str]] = []
        """``(place in percent, number of runs)`` of each long band."""
        for stretch in _stretches(plan.minutes[skipped:]):
            self._draw(stretch)

    def _draw(self, minutes: Sequence[int]) -> None:
        """A bar per run, a band with their number where they are dense."""
        if len(minutes) < BAND:
            self.bars += _bars(minutes)
            return
        first, last = minutes[0], minutes[-1] + 1
        self.bands += f"M{first} 4H{last}v16H{first}z"
        if last - first >= BAND_WITH_TEXT:
            # Of the runs that start in one minute the plan only knows the sum.
            count = self.plan.count if len(minutes) == len(self.plan.minutes) else len(minutes)
            self.texts.append((_percent((first + last) / 2), _runs(count)))


class Timeline:
    """One page of lanes, and what holds for all of them. ``number`` is the page's, as typed."""

    view_box = f"0 0 {WIDTH} 24"
    hour_lines = "".join(f"M{60 * hour} 0v24" for hour in range(1, HOURS))

    def __init__(self, machinery: Machinery, tasks: ScheduledTaskQuerySet, number: str) -> None:
        zone = timezone.get_current_timezone()
        local = timezone.localtime(machinery.now, zone)
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        self.now, self.begin = machinery.now, machinery.now - past
        self.minute = (self.now - self.begin) // MINUTE
        self.now_line = f"M{self.minute} 0v24"
        end = self.minute + DAY
        self.outside = f"M0 0H{self.minute}v24H0zM{end} 0H{WIDTH}v24H{end}z"
        self.zone = timezone.get_current_timezone_name()
        self.as_of = formats.clock(self.now, zone)
        self.problems = problems(machinery)
        self.stalled = any(problem.code == "beat" for problem in self.problems)
        self.plans = next_24_hours.plans(tasks, machinery, self.begin)
        self.counts = tasks.flag_counts(self.now, machinery.known_tasks)
        self.page: Page[Plan] = Paginator(self.plans, PER_PAGE).get_page(number)
        self.page_range = self.page.paginator.get_elided_page_range(self.page.number)
        self.has_estimates = any(plan.estimated for plan in self.page)
        self.lanes = [Lane(plan, self.begin, self.now) for plan in self.page]
        self.load = Counter(minute for plan in self.plans for minute in plan.minutes)
        """How many tasks start in each minute."""

    @property
    def summary(self) -> str:
        """``"1,462 runs of 9 tasks"``."""
        tasks = sum(1 for plan in self.plans if plan.count)
        return ngettext("%(runs)s of %(n)s task", "%(runs)s of %(n)s tasks", tasks) % {
            "runs": _runs(sum(plan.count for plan in self.plans)),
            "n": _number(tasks),
        }

    @cached_property
    def busiest(self) -> dict[str, object] | None:
        """The first minute in which most tasks start, or None when no two start together."""
        most = max(self.load.values(), default=0)
        if most < 2:
            return None
        minute = min(minute for minute, tasks in self.load.items() if tasks == most)
        names = [plan.task.name for plan in self.plans if minute in plan.minutes]
        return {
            "at": _time_of_day(self.begin, minute),
            "tasks": _number(most),
            "names": _and_more(", ".join(names[:NAMED]), most - NAMED),
            "line": f"M{minute} 0v24",
        }

    @property
    def unplanned(self) -> list[tuple[str, str]]:
        """What has no lane: ``(text, query string of the list)``."""
        paused = self.counts[Flag.PAUSED]
        others = self.counts["total"] - paused - len(self.plans)
        later = ngettext("%(n)s task that runs later", "%(n)s tasks that run later", others)
        never = ngettext("%(n)s task that never runs", "%(n)s tasks that never run", others)
        found = [
            (paused, ngettext("%(n)s paused task", "%(n)s paused tasks", paused), "?state=paused"),
            (others, later if len(self.plans) >= MOST_TASKS else never, ""),
        ]
        return [(text % {"n": _number(number)}, link) for number, text, link in found if number]

    @property
    def load_bars(self) -> str:
        """Under the hours, a bar where more tasks start together than usual."""
        tallest = max(self.load.values(), default=1)
        usual = median_low([*self.load.values(), *[0] * DAY][:DAY])
        return "".join(
            f"M{minute} 24v-{max(2, round(9 * tasks / tallest))}"
            for minute, tasks in sorted(self.load.items())
            if tasks > max(1, usual)
        )

    @property
    def hour_texts(self) -> Iterator[tuple[str, str, str]]:
        """``(css class, place in percent, text)`` of now, the hours of the clock and the next day."""
        yield "st-tl-is-now", _percent(self.minute), pgettext("on a timeline", "now")
        for hour in range(3, HOURS):  # an earlier text would meet "now"
            local = timezone.localtime(self.begin + timedelta(hours=hour))
            if local.hour == 0:
                yield "st-tl-day", _percent(60 * hour), formats.day(local, timezone.get_current_timezone())
            elif local.hour % LABEL_EVERY == 0:
                yield "st-tl-clock", _percent(60 * hour), _time_of_day(self.begin, 60 * hour)


def _next_run(plan: Plan, now: datetime) -> Moment:
    """When a task runs next, or should have."""
    at, exact = plan.first, formats.exact(plan.first, schedules.zone(plan.task))
    if plan.is_late:
        return Moment(at, formats.relative(at, now, overdue="late"), exact, "late")
    return Moment(at, formats.relative(at, now) if at > now else _("Now"), exact, "next")


def _spoken(plan: Plan, begin: datetime) -> str:
    """When a task runs, in words: the next times of day, and how many more."""
    times = [_time_of_day(begin, minute) for minute in plan.minutes[:NAMED]]
    if not times:
        return _("No run in the next 24 hours.")
    return _and_more(", ".join(times), plan.count - len(times))


def _stretches(minutes: Sequence[int]) -> Iterator[list[int]]:
    """The minutes in groups that are close together."""
    group: list[int] = []
    for minute in minutes:
        if group and minute - group[-1] >= DENSE:
            yield group
            group = []
        group.append(minute)
    if group:
        yield group


def _bars(minutes: Sequence[int]) -> str:
    return "".join(f"M{minute} 4v16" for minute in minutes)


def _percent(minute: float) -> str:
    return f"{100 * minute / WIDTH:.2f}"


def _time_of_day(begin: datetime, minute: int) -> str:
    return date_format(timezone.localtime(begin + minute * MINUTE), pgettext("date format", "H:i"))


def _runs(number: int) -> str:
    return ngettext("%(n)s run", "%(n)s runs", number) % {"n": _number(number)}


def _number(value: int) -> str:
    return str(number_format(value, force_grouping=True))


def _and_more(text: str, more: int) -> str:
    if more <= 0:
        return text
    sentence = ngettext("%(some)s and %(n)s more", "%(some)s and %(n)s more", more)
    return sentence % {"some": text, "n": _number(more)}
