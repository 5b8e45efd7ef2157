"""The next 24 hours: a lane of planned runs per task, as server-rendered SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from statistics import median_low

from django.core.paginator import Page, Paginator
from django.db.models import Count, Q
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from .. import planned, schedules
from ..facts import Facts
from ..health import Problem, problems
from ..models import ScheduledTask
from ..planned import MINUTE, MOST_TASKS, Plan
from . import words
from .signs import Moment

PER_PAGE = 100

HOURS = 25
"""Hours drawn: the one that has begun, and those that the coming 24 hours reach into."""

WIDTH = HOURS * 60
"""Units of a lane's width, each a minute."""

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


@dataclass(frozen=True)
class Busiest:
    """The minute in which most tasks start: when, how many, which."""

    minute: int
    at: str
    tasks: str
    names: str


class Lane:
    """One task's row: what it is, when it runs next, its runs drawn and told."""

    def __init__(self, plan: Plan, begin: datetime, now: datetime) -> None:
        self.plan = plan
        self.begin = begin
        self.now = now
        self.id = str(plan.task.pk)
        self.name: str = plan.task.name

    @property
    def label(self) -> str:
        """The schedule in plain words."""
        return schedules.label(self.plan.task)

    @cached_property
    def next_at(self) -> Moment:
        """When it runs next, or should have."""
        at = self.plan.first
        exact = words.exact(at, schedules.zone(self.plan.task))
        if at < self.now - self.plan.task.state.late_after:
            return Moment(at, words.relative(at, self.now, overdue="late"), exact, "late")
        return Moment(at, words.relative(at, self.now) if at > self.now else _("Now"), exact, "next")

    @property
    def count(self) -> str:
        """How many runs are planned, with a sign where that is an estimate."""
        return self._about + _number(self.plan.count)

    @property
    def runs(self) -> str:
        """The same as ``"24 runs"``."""
        return self._about + _runs(self.plan.count)

    @property
    def _about(self) -> str:
        return "≈ " if self.plan.estimated else ""

    @property
    def spoken(self) -> str:
        """When it runs, in words: the next times of day, and how many more."""
        minutes = self.plan.minutes[:NAMED]
        if not minutes:
            return _("No run in the next 24 hours.")
        text = ", ".join(_time_of_day(self.begin, minute) for minute in minutes)
        return _and_more(text, self.plan.count - len(minutes))

    @property
    def drawing(self) -> SafeString:
        """The lane: a bar per run, a band with their number where they are dense, a skipped run dashed."""
        skipped, bars, bands, texts = self.plan.minutes[: int(self.plan.skips_first)], "", "", []
        for stretch in _stretches(self.plan.minutes[len(skipped) :]):
            if len(stretch) < BAND:
                bars += _bars(stretch)
                continue
            first, last = stretch[0], stretch[-1] + 1
            bands += f"M{first} 4H{last}v16H{first}z"
            if last - first >= BAND_WITH_TEXT:
                texts.append((_percent((first + last) / 2), _runs(self._runs_in(stretch))))
        return _svg(
            _stretched('<use href="#st-tl-grid"/>')
            + _stretched(
                f'<path class="st-tl-line st-tl-band" d="{bands}"/>'
                f'<path class="st-tl-line st-tl-run" d="{bars}"/>'
                f'<path class="st-tl-line st-tl-skip" d="{_bars(skipped)}"/>',
                'y="11" height="24"',
            ),
            format_html_join("", '<text x="{}%" y="23">{}</text>', texts),
        )

    def _runs_in(self, stretch: Sequence[int]) -> int:
        """Runs of a stretch: of those that start in one minute the plan only knows the sum."""
        return self.plan.count if len(stretch) == len(self.plan.minutes) else len(stretch)


class Timeline:
    """One page of lanes, and what holds for all of them. ``number`` is the page's, as typed."""

    def __init__(self, facts: Facts, number: str) -> None:
        self.now = facts.now
        self.problems: list[Problem] = problems(facts)
        local = timezone.localtime(facts.now)
        self.begin = facts.now - timedelta(
            minutes=local.minute, seconds=local.second, microseconds=local.microsecond
        )
        self.minute = (self.now - self.begin) // MINUTE
        self.plans = planned.plans(facts.now, self.begin)
        self.page: Page[Plan] = Paginator(self.plans, PER_PAGE).get_page(number)
        paused = Count("pk", filter=Q(enabled=False))
        self.tasks: dict[str, int] = ScheduledTask.objects.aggregate(total=Count("pk"), paused=paused)

    @property
    def lanes(self) -> list[Lane]:
        """The page's lanes, the next to run first."""
        return [Lane(plan, self.begin, self.now) for plan in self.page]

    @property
    def stalled(self) -> bool:
        """Whether nothing will start on schedule, so that no run can be promised."""
        return any(problem.code == "beat" for problem in self.problems)

    @property
    def has_estimates(self) -> bool:
        """Whether some lane of the page is an estimate."""
        return any(plan.estimated for plan in self.page)

    @property
    def zone(self) -> str:
        """The zone of the hours."""
        return timezone.get_current_timezone_name()

    @property
    def as_of(self) -> str:
        """The time of day the page tells of."""
        return words.clock(self.now, timezone.get_current_timezone())

    @property
    def summary(self) -> str:
        """``"1,462 runs of 9 tasks"``."""
        tasks = sum(1 for plan in self.plans if plan.count)
        return ngettext("%(runs)s of %(n)s task", "%(runs)s of %(n)s tasks", tasks) % {
            "runs": _runs(sum(plan.count for plan in self.plans)),
            "n": _number(tasks),
        }

    @cached_property
    def load(self) -> Counter[int]:
        """How many tasks start in each minute."""
        return Counter(minute for plan in self.plans for minute in plan.minutes)

    @cached_property
    def busiest(self) -> Busiest | None:
        """The first minute in which most tasks start, or None when no two start together."""
        most = max(self.load.values(), default=0)
        if most < 2:
            return None
        minute = min(minute for minute, tasks in self.load.items() if tasks == most)
        names = [plan.task.name for plan in self.plans if minute in plan.minutes]
        text = _and_more(", ".join(names[:NAMED]), most - NAMED)
        return Busiest(minute, _time_of_day(self.begin, minute), _number(most), text)

    @property
    def unplanned(self) -> list[tuple[str, str]]:
        """What has no lane: ``(text, query string of the list)``."""
        paused = self.tasks["paused"]
        others = self.tasks["total"] - paused - len(self.plans)
        later = ngettext("%(n)s task that runs later", "%(n)s tasks that run later", others)
        never = ngettext("%(n)s task that never runs", "%(n)s tasks that never run", others)
        found = [
            (paused, ngettext("%(n)s paused task", "%(n)s paused tasks", paused), "?state=paused"),
            (others, later if len(self.plans) >= MOST_TASKS else never, ""),
        ]
        return [(text % {"n": _number(number)}, link) for number, text, link in found if number]

    @property
    def axis(self) -> SafeString:
        """The hours over the lanes, how many tasks start together, and the lines that every lane repeats."""
        tallest = max(self.load.values(), default=1)
        usual = median_low([*self.load.values(), *[0] * (24 * 60)][: 24 * 60])
        together = "".join(
            f"M{minute} 24v-{max(2, round(9 * tasks / tallest))}"
            for minute, tasks in sorted(self.load.items())
            if tasks > max(1, usual)
        )
        return _svg(
            _stretched(
                f'<g id="st-tl-grid">{self._grid}</g><path class="st-tl-line st-tl-load" d="{together}"/>'
            ),
            format_html_join("", '<text class="{}" x="{}%" y="14">{}</text>', self._labels()),
        )

    @property
    def _grid(self) -> str:
        end = self.minute + 24 * 60
        hours = "".join(f"M{60 * hour} 0v24" for hour in range(1, HOURS))
        busiest = (
            f'<path class="st-tl-line st-tl-busiest" d="M{self.busiest.minute} 0v24"/>'
            if self.busiest
            else ""
        )
        return (
            f'<path class="st-tl-line st-tl-out" d="M0 0H{self.minute}v24H0zM{end} 0H{WIDTH}v24H{end}z"/>'
            f'<path class="st-tl-line st-tl-hour" d="{hours}"/>{busiest}'
            f'<path class="st-tl-line st-tl-now" d="M{self.minute} 0v24"/>'
        )

    def _labels(self) -> Iterator[tuple[str, str, str]]:
        yield "st-tl-is-now", _percent(self.minute), pgettext("on a timeline", "now")
        for hour in range(3, HOURS):  # an earlier label would meet "now"
            local = timezone.localtime(self.begin + timedelta(hours=hour))
            if local.hour == 0:
                yield "st-tl-day", _percent(60 * hour), words.day(local, timezone.get_current_timezone())
            elif local.hour % LABEL_EVERY == 0:
                yield "st-tl-clock", _percent(60 * hour), _time_of_day(self.begin, 60 * hour)

    @property
    def page_links(self) -> list[tuple[str, str]]:
        """``(text, query string)`` of the pages; the current one and gaps have no address."""
        pages = self.page.paginator.get_elided_page_range(self.page.number)
        return [(str(n), f"?p={n}" if isinstance(n, int) and n != self.page.number else "") for n in pages]

    @property
    def number_text(self) -> str:
        """The number of the page shown."""
        return str(self.page.number)


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


def _stretched(drawn: str, place: str = "") -> str:
    """A drawing in minutes, as wide as the lane; unless ``place`` says otherwise as high too."""
    return f'<svg {place} viewBox="0 0 {WIDTH} 24" preserveAspectRatio="none">{drawn}</svg>'


def _svg(drawn: str, texts: SafeString) -> SafeString:
    """A lane's drawing with texts over it."""
    return format_html(
        '<svg class="st-tl-svg" aria-hidden="true">{}{}</svg>',
        mark_safe(drawn),  # noqa: S308 - numbers and class names only
        texts,
    )


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
