"""The timeline: a lane per task with what really ran before now and what is planned after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from statistics import median_low
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib.admin.views.main import PAGE_VAR
from django.core.paginator import Page, Paginator
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise, cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import moments, schedules
from ..access import Action
from ..models import ScheduledTaskQuerySet, Status, urgency, word_of
from ..reading.listed_task import ListedTask
from ..reading.past_runs import RunGroup, past_runs
from ..reading.planned_runs import Plan, plan
from ..reading.tasks import listed_tasks
from ..reading.version import list_version
from . import formats
from .context import (
    fragment_context,
    machinery_of,
    page_context,
    visible_incidents,
    visible_tasks,
)
from .list_header import STATE, ListHeader
from .owners_and_tags import OWNER, TAG, chosen, labelled
from .permissions import requires
from .responses import from_script, live, version_of
from .row import TaskRow
from .task_list import header_of, in_state, searched
from .timeline_marks import LEFT_OUT, LEGEND, MOST, PLANNED, Drawing, Mark, fewer, runs_text
from .timeline_window import LENGTHS, WIDTH, Window

if TYPE_CHECKING:
    from .tasks import ScheduledTaskAdmin

PER_PAGE = 50

ORDERS: dict[str, str | Promise] = {
    "": gettext_lazy("Next run"),
    "failing": gettext_lazy("Failing first"),
    "name": gettext_lazy("Name"),
}

MOST_OF_LANE = 150
"""Marks of one lane, however few lanes there are."""

SLOT = 6
"""Units of the time in which tasks count as running together."""

NAMED = 5
"""Times and tasks that are named before the rest is counted."""


@requires(Action.VIEW, method="GET")
def show_timeline(model_admin: ScheduledTaskAdmin, request: HttpRequest) -> HttpResponse:
    """A page of lanes, or for the script what has changed of it."""
    timeline = Timeline(model_admin, request)
    shared = (fragment_context if from_script(request) else page_context)(model_admin, request)
    shown = list_version(timeline.task_ids), timeline.window.version, timeline.link(), timeline.page.number
    context = {
        **shared,
        "title": _("Timeline"),
        "timeline": timeline,
        "version": version_of(shared, *shown),
    }
    return live(request, model_admin.timeline_template, "admin/scheduled_tasks/_timeline_parts.html", context)


class Lane:
    """One task's row: what it is, when it runs next, its runs drawn and told."""

    def __init__(self, listed: ListedTask, groups: list[RunGroup], window: Window, most: int) -> None:
        self.row = TaskRow(listed)
        self.groups = groups
        self._listed, self._window = listed, window
        coming = self._planned()
        left_out = self._left_out(coming)
        self.plan = Plan([each for each in coming.starts if each[0] not in left_out])
        self.leaves_out = bool(left_out)
        self.about = "≈ " if listed.task.interval is not None and coming.count > 1 else ""
        usual = listed.usual
        lasts = usual.total_seconds() if usual else 0.0
        self.marks = [*self._past(), *self._coming(coming, left_out, lasts)]
        self.drawing = Drawing(fewer(self.marks, most), window, listed.task.pk, usual, self.about)

    def _planned(self) -> Plan:
        task, window, first = self._listed.task, self._window, self._listed.next_run_at
        if first is None or not task.enabled or self._listed.is_broken:
            return Plan()
        return plan(task, first, window.now, window.begin, window.end, window.step)

    def _past(self) -> Iterator[Mark]:
        window = self._window
        until = min(window.now, window.end)
        for status, runs, run_id, start, end in self.groups:
            last = max(until if end is None else end, start)
            yield Mark(status, window.place_of(start), window.place_of(last), runs, start, last, run_id)

    def _left_out(self, coming: Plan) -> set[float]:
        """The starts that beat will skip: the next one as a person asked, and those under maintenance."""
        window, next_at, covering = self._window, self._listed.next_run_at, self._listed.windows.covering
        at = {start: window.begin + timedelta(seconds=start) for start, _runs in coming.starts}
        found = {start for start, moment in at.items() if covering(self._listed.task.pk, moment)}
        shows_next = next_at is not None and max(next_at, window.now) >= window.begin
        if self.row.skips_next and shows_next:
            found.update(start for start, _runs in coming.starts[:1])
        return found

    def _coming(self, coming: Plan, left_out: set[float], usual: float) -> Iterator[Mark]:
        window = self._window
        for start, runs in coming.starts:
            status = LEFT_OUT if start in left_out else PLANNED
            at = window.begin + timedelta(seconds=start)
            left, right = window.place(start), window.place(start + usual)
            yield Mark(status, left, right, runs, at, at + timedelta(seconds=usual))

    @cached_property
    def slots(self) -> set[int]:
        """The slots in which the task runs, or will."""
        ran = [mark for mark in self.marks if mark.css not in ("b-skip", "b-warn", "st-tl-left")]
        return {slot for mark in ran for slot in range(int(mark.left) // SLOT, int(mark.right) // SLOT + 1)}

    @property
    def spoken(self) -> str:
        """What the lane shows, in words."""
        counted: Counter[str] = Counter()
        for group in self.groups:
            counted[group.status] += group.runs
        parts = ", ".join(
            f"{formats.whole(count)} {word_of(Status, status)}" for status, count in counted.most_common()
        )
        found = [_("Ran: %(parts)s.") % {"parts": parts}] if parts else [_("No run before now.")]
        found.append(
            _("Planned: %(times)s.") % {"times": self._times()} if self.plan.count else _("None planned.")
        )
        return " ".join(found)

    def _times(self) -> str:
        window, zone = self._window, schedules.current_zone()
        groups = self.plan.starts[:NAMED]
        # Of several runs in one place only the time of the first is known: none after it is the next one.
        known = next((n for n, (_start, runs) in enumerate(groups, 1) if runs > 1), NAMED)
        starts = [window.begin + timedelta(seconds=start) for start, _runs in groups[:known]]
        times = ", ".join(moments.minute_of_day(start, window.now, zone) for start in starts)
        return self.about + formats.and_more(times, self.plan.count - len(starts))


class Timeline:
    """One page of lanes under the filters of the address, and what holds for all of them."""

    view_box = f"0 0 {WIDTH} 26"

    def __init__(self, model_admin: ScheduledTaskAdmin, request: HttpRequest) -> None:
        self.machinery = machinery_of(request)
        self.window = Window.asked(request.GET, self.machinery.now)
        self.search = request.GET.get("q", "").strip().replace("\x00", "")
        self.order = request.GET.get("sort", "") if request.GET.get("sort") in ORDERS else ""
        self._model_admin, self._request = model_admin, request
        tasks = in_state(model_admin, request, visible_tasks(model_admin, request), request.GET.get(STATE))
        tasks = labelled(tasks, request.GET)
        ids = self._ordered(searched(model_admin, request, tasks)).values_list("pk", flat=True)
        self.page: Page[Any] = Paginator(ids, PER_PAGE).get_page(request.GET.get(PAGE_VAR, "1"))
        self.page_range = self.page.paginator.get_elided_page_range(self.page.number)
        self.task_ids: list[int] = list(self.page)

    def _ordered(self, tasks: ScheduledTaskQuerySet) -> ScheduledTaskQuerySet:
        next_run = F("scheduled_state__next_run_at").asc(nulls_last=True)
        orders: dict[str, tuple[Any, ...]] = {
            "": ("-enabled", next_run, "name"),
            "failing": (urgency(self.machinery.now, self.machinery.known_tasks), next_run, "name"),
            "name": ("name",),
        }
        return tasks.order_by(*orders[self.order])

    @cached_property
    def lanes(self) -> list[Lane]:
        """A lane for each task of the page, in its order."""
        window = self.window
        tasks = visible_tasks(self._model_admin, self._request).filter(pk__in=self.task_ids)
        incidents = visible_incidents(self._model_admin, self._request)
        found = {each.task.pk: each for each in listed_tasks(tasks, self.machinery, incidents=incidents)}
        until = min(window.now, window.end)
        ran = past_runs(self.task_ids, window.begin, until) if window.begin < until else {}
        most = min(MOST_OF_LANE, MOST // max(1, len(found)))
        lanes = [Lane(found[pk], ran.get(pk, []), window, most) for pk in self.task_ids if pk in found]
        return lanes if self.order else sorted(lanes, key=_by_next_run)

    @cached_property
    def summary(self) -> ListHeader:
        """What stands above the lanes: how many tasks there are of each kind, and what is wrong or paused."""
        tasks = visible_tasks(self._model_admin, self._request)
        return header_of(self._model_admin, self._request, tasks)

    @property
    def has_open(self) -> bool:
        """Whether a run of a lane has not ended."""
        return any(lane.row.is_open for lane in self.lanes)

    @property
    def has_estimates(self) -> bool:
        """Whether some planned times depend on when the runs before them start."""
        return any(lane.about for lane in self.lanes)

    @property
    def said(self) -> str:
        """``"120 runs · 118 planned"``."""
        ran = sum(group.runs for lane in self.lanes for group in lane.groups)
        planned = sum(lane.plan.count for lane in self.lanes)
        return f"{runs_text(ran)} · " + _("%(n)s planned") % {"n": formats.whole(planned)}

    @property
    def as_of(self) -> str:
        """The time of the drawing."""
        return moments.clock(self.window.now, schedules.current_zone())

    @property
    def zone(self) -> str:
        """The zone of its times."""
        return schedules.current_zone().key

    # Drawn behind every lane, and above them

    @cached_property
    def load(self) -> Counter[int]:
        """How many tasks of the page run in each slot."""
        return Counter(slot for lane in self.lanes for slot in lane.slots)

    @property
    def load_bars(self) -> str:
        """A bar where more tasks run together than usual."""
        most = max(self.load.values(), default=1)
        slots = WIDTH // SLOT
        usual = median_low([*self.load.values(), *[0] * slots][:slots])
        return "".join(
            f"M{slot * SLOT} 26v-{max(2, round(9 * tasks / most))}h{SLOT}v{max(2, round(9 * tasks / most))}z"
            for slot, tasks in sorted(self.load.items())
            if tasks > max(1, usual)
        )

    @cached_property
    def busiest(self) -> dict[str, str] | None:
        """The slot with most tasks, the next such one before one past; None where none has two."""
        most = max(self.load.values(), default=0)
        if most < 2:
            return None
        here = int(self.window.place_of(self.window.now)) // SLOT if self.window.has_now else 0
        slot = min((slot < here, slot) for slot, tasks in self.load.items() if tasks == most)[1]
        names = [lane.row.name for lane in self.lanes if slot in lane.slots]
        begin = self.window.begin + timedelta(seconds=slot * SLOT * self.window.step)
        end = begin + timedelta(seconds=SLOT * self.window.step)
        return {
            "at": moments.minutes(begin, end, self.window.now, schedules.current_zone()),
            "tasks": formats.whole(most),
            "names": formats.and_more(", ".join(names[:NAMED]), most - NAMED),
            "area": f"M{slot * SLOT} 0h{SLOT}v26h-{SLOT}z",
        }

    @property
    def grid(self) -> str:
        """A line at each time that has a label."""
        places = [round(self.window.place_of(moment)) for moment, _is_day in self.window.marked()]
        return "".join(f"M{place} 0v26" for place in places)

    @property
    def coming(self) -> str:
        """The part that is still to come."""
        left = round(self.window.place_of(self.window.now))
        return f"M{left} 0H{WIDTH}v26H{left}z" if left < WIDTH else ""

    @property
    def now_line(self) -> str:
        """The line between what was and what will be."""
        return f"M{round(self.window.place_of(self.window.now))} 0v26" if self.window.has_now else ""

    @property
    def texts(self) -> list[tuple[str, str, str]]:
        """``(css class, place in percent, text)`` of each label."""
        return [(css, f"{100 * place / WIDTH:.2f}", text) for css, place, text in self.window.labels()]

    @property
    def legend(self) -> list[tuple[str, str, str]]:
        """``(css class, shape, text)`` of each kind of mark; of some only where there is such a one."""
        now = self.window.now
        left_out = [LEFT_OUT] if any(lane.leaves_out for lane in self.lanes) else []
        kinds = [Mark(status, 3, 13, 1, now, now) for status in (*LEGEND, *left_out)]
        found = [(mark.css, mark.shape, capfirst(mark.word)) for mark in kinds]
        about = _("≈ estimated from the next run")
        return [*found, ("", "", about)] if self.has_estimates else found

    # Links

    @property
    def windows(self) -> list[tuple[str, str, bool]]:
        """What may be shown: ``(text, query string, current)``."""
        none = {"day": "", "start": "", "stop": ""}
        return [
            (f"± {text}", self.link(**none, window=key), key == self.window.key)
            for key, (text, _length) in LENGTHS.items()
        ]

    @property
    def orders(self) -> list[tuple[str, str, bool]]:
        """What the lanes may be sorted by, in the same form."""
        return [(str(text), self.link(sort=key), key == self.order) for key, text in ORDERS.items()]

    @property
    def kept(self) -> dict[str, str]:
        """What a form must send besides its own fields."""
        day, start, stop = self.window.chosen
        return {
            "q": self.search,
            STATE: self._request.GET.get(STATE, ""),
            OWNER: chosen(self._request.GET, OWNER),
            TAG: chosen(self._request.GET, TAG),
            "sort": self.order,
            "window": self.window.key,
            "day": day,
            "start": start,
            "stop": stop,
        }

    def link(self, **changes: object) -> str:
        """The query string of this timeline with some values changed, from its first page on."""
        values = {**self.kept, **changes}
        return "?" + urlencode({name: value for name, value in values.items() if value})


def _by_next_run(lane: Lane) -> tuple[bool, float, str]:
    at = lane.row.next_at.at if lane.row.next_at else None
    return at is None, at.timestamp() if at else 0.0, lane.row.name
