"""The list: Django's changelist with this app's rows, counts and filter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.admin.templatetags.admin_list import result_headers
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import DurationField, ExpressionWrapper, F, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext

from .. import flags, overview
from ..facts import Facts
from ..flags import Flag
from ..health import Problem, problems
from ..models import ProcessKind, ScheduledTask, ScheduledTaskQuerySet, TaskRun
from ..stamps import digest
from .row import TaskRow
from .seen import Look, memory


def facts_of(request: HttpRequest) -> Facts:
    """What holds for all tasks, read once per request."""
    if not hasattr(request, "scheduled_tasks_facts"):
        request.scheduled_tasks_facts = Facts.read()  # type: ignore[attr-defined]
    facts: Facts = request.scheduled_tasks_facts  # type: ignore[attr-defined]
    return facts


STATE = "state"
"""Query parameter of the filter by flag."""


def _newest(**conditions: Any) -> QuerySet[TaskRun]:
    return TaskRun.objects.filter(task_id=OuterRef("pk"), **conditions).order_by("-id")


LAST_STARTED = Subquery(_newest(started_at__isnull=False).values("started_at")[:1])
LAST_DURATION = Subquery(
    _newest(started_at__isnull=False, finished_at__isnull=False)
    .annotate(took=ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField()))
    .values("took")[:1]
)


class StateFilter(admin.SimpleListFilter):
    """Only tasks with one flag: the header's counts are its links."""

    title = _("state")
    parameter_name = STATE

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Flag.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if chosen not in Flag.values:
            return queryset
        return flags.flagged(cast(ScheduledTaskQuerySet, queryset), Flag(chosen), facts_of(request))


@dataclass(frozen=True)
class Count:
    """One count of the header line; a link to the tasks it counts."""

    number: int
    text: str
    url: str
    current: bool
    glyph: str = ""
    tone: str = ""


COUNT_SIGNS = {
    Flag.RUNNING: ("running", "busy"),
    Flag.FAILING: ("failed", "bad"),
    Flag.LATE: ("late", "warn"),
    Flag.BROKEN: ("broken", "bad"),
    Flag.PAUSED: ("paused", "off"),
}


@dataclass(frozen=True)
class Refresh:
    """Rows of a page that have changed, those that are new with the id of the row before, and who is gone."""

    changed: list[TaskRow]
    added: list[tuple[int, TaskRow]]
    gone: list[str]


if TYPE_CHECKING:
    TasksPaginator = Paginator[ScheduledTask]
else:
    TasksPaginator = Paginator


class TaskPaginator(TasksPaginator):
    """Does not count again what the header line has counted."""

    @cached_property
    def count(self) -> int:
        known: int | None = getattr(self.object_list, "known_count", None)
        return super().count if known is None else known


class TaskChangeList(ChangeList):
    """Django's changelist, which counts its results but does not read them: see ``page`` and ``keys``."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.facts = facts_of(request)
        self.look: Look | None = getattr(request, "scheduled_tasks_look", None)
        self.known = self.look and self.look.known
        self.counts = flags.counts(self.facts, self.known and self.known.failing)
        super().__init__(request, *args, **kwargs)

    def get_results(self, request: HttpRequest) -> None:
        if not self.query and not self.params.get(STATE):
            self.queryset.known_count = self.counts.total
        super().get_results(request)
        self._page = self.result_list
        rest = self.result_count - (self.page_num - 1) * self.list_per_page
        self.result_list = range(rest if self.show_all else min(rest, self.list_per_page))

    def get_ordering_field(self, field_name: Any) -> Any:
        """What to sort by; Status stands for what needs a look, which depends on the time."""
        return flags.urgency(self.facts) if field_name == "status" else super().get_ordering_field(field_name)

    @cached_property
    def keys(self) -> dict[int, str]:
        """The keys of the page's rows, in their order; empty where only the row can tell."""
        if self.known is None:
            return overview.keys(overview.stored(self._page), self.facts)
        return {pk: self.known.keys.get(pk, "") for pk in self._page.values_list("pk", flat=True)}

    @cached_property
    def page(self) -> list[TaskRow]:
        """The page's rows."""
        rows = self._made(self._page)
        self.keys = {task.pk: task.row.lasting_key for task in rows}
        return rows

    def read(self, task_ids: Sequence[int]) -> list[TaskRow]:
        """The rows of these tasks of the page, in any order."""
        if not task_ids:
            return []
        known = memory.tasks(task_ids, self.look.stamp) if self.look else []
        others = [*{*task_ids} - {task.pk for task in known}]
        rows = self._made([*known, *(overview.tasks().filter(pk__in=others) if others else ())])
        self.keys |= {task.pk: task.row.lasting_key for task in rows}
        return rows

    def _made(self, tasks: Iterable[ScheduledTask]) -> list[TaskRow]:
        rows = overview.rows(tasks, self.facts)
        memory.keep_tasks(rows)
        return [TaskRow(row) for row in rows]

    def refresh(self, shown: Mapping[int, str]) -> Refresh:
        """What has changed on this page since its rows had the keys of ``shown``."""
        keys = self.keys
        stale = [pk for pk, key in keys.items() if not key or shown.get(pk) != key]
        made = {row.pk: row for row in self.read(stale)}
        before = dict(zip(keys, [0, *keys], strict=False))
        return Refresh(
            changed=[made[pk] for pk in stale if pk in made and pk in shown and shown[pk] != made[pk].key],
            added=[(before[pk], made[pk]) for pk in stale if pk in made and pk not in shown],
            gone=[str(pk) for pk in shown.keys() - keys.keys()],
        )

    def remember(self) -> None:
        """Let the next look at this list in this process read only what has moved since this one."""
        if self.look:
            self.look.keep(self.keys, self.counts.failing_ids)

    @property
    def header(self) -> str:
        """Moves with what a refresh shows above the rows."""
        return digest(*self.count_links, *self.problems, self.healthy, self.processes)

    @cached_property
    def problems(self) -> list[Problem]:
        """What is wrong with the machinery."""
        return problems(self.facts)

    @property
    def stalled(self) -> bool:
        """Whether nothing will start on schedule, so that no next run can be promised."""
        return any(problem.code == "beat" for problem in self.problems)

    @property
    def healthy(self) -> str:
        """What is alive, when nothing is wrong."""
        beats, workers = (len(self.facts.alive(kind)) for kind in (ProcessKind.BEAT, ProcessKind.WORKER))
        return ", ".join(
            [
                ngettext("beat", "%(n)s beats", beats) % {"n": beats},
                ngettext("%(n)s worker", "%(n)s workers", workers) % {"n": workers},
                str(_("broker")),
            ]
        )

    @property
    def processes(self) -> str:
        """Every living process by name, beats with their role."""
        beats = self.facts.alive(ProcessKind.BEAT)
        roles = [_("%(beat)s leads") if self.facts.leads(beat) else _("%(beat)s stands by") for beat in beats]
        named = [role % {"beat": beat.node} for role, beat in zip(roles, beats, strict=True)]
        return ", ".join([*named, *(worker.node for worker in self.facts.alive(ProcessKind.WORKER))])

    @property
    def zone(self) -> str:
        """The zone of the page's times, where a row names no other."""
        return timezone.get_current_timezone_name()

    @property
    def page_links(self) -> list[tuple[str, str, bool]]:
        """``(text, address, current)`` of the list's pages; a gap has no address."""
        return [
            (
                str(n),
                self.get_query_string({PAGE_VAR: n}) if isinstance(n, int) and n != self.page_num else "",
                n == self.page_num,
            )
            for n in self.paginator.get_elided_page_range(self.page_num)
        ]

    @cached_property
    def count_links(self) -> list[Count]:
        """The header line: all tasks, then each flag that some task has."""
        chosen = self.params.get(STATE, "")
        total = ngettext("task", "tasks", self.counts.total)
        links = [Count(self.counts.total, total, self.get_query_string(remove=[STATE, "p"]), not chosen)]
        for flag, (glyph, tone) in COUNT_SIGNS.items():
            number = getattr(self.counts, flag.value)
            if number or chosen == flag:
                url = self.get_query_string({STATE: flag.value}, ["p"])
                links.append(Count(number, str(flag.label), url, chosen == flag, glyph, tone))
        return links


@dataclass(frozen=True)
class Header:
    """A column's head; ``url`` sorts by it, ``sort`` is ``"ascending"``, ``"descending"`` or empty."""

    css: str
    text: str
    url: str = ""
    sort: str = ""


COLUMNS = {
    "name": "st-c-name",
    "schedule": "st-c-sched",
    "": "st-c-on",
    "next_run": "st-c-next",
    "last_run": "st-c-last",
    "duration": "st-c-dur st-num",
    "status": "st-c-status",
}
"""CSS classes of the sortable columns, in order; the one without a name is Enabled."""


def headers(cl: TaskChangeList) -> list[Header]:
    """The heads of the columns that say something, with Django's own links for sorting."""
    heads = dict(zip(cl.list_display, result_headers(cl), strict=True))
    if ORDER_VAR not in cl.params:  # the order of overview.tasks(), of which Django's list does not know
        descending = f"-{cl.list_display.index('name')}"
        toggle = cl.get_query_string({ORDER_VAR: descending})
        heads["name"].update(sorted=True, ascending=True, url_toggle=toggle)
    return [
        _header(css, heads[column]) if column else Header(css, pgettext("column of switches", "Enabled"))
        for column, css in COLUMNS.items()
    ]


def _header(css: str, head: dict[str, Any]) -> Header:
    if not head.get("sortable"):
        return Header(css, head["text"])
    sort = ("ascending" if head["ascending"] else "descending") if head["sorted"] else ""
    return Header(css, head["text"], head["url_toggle"] if head["sorted"] else head["url_primary"], sort)
