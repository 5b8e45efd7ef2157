"""What stands above the rows of the list: how many tasks there are of each kind, and whether all is well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, SEARCH_VAR
from django.http import QueryDict
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import moments, schedules
from ..models import Flag, ProcessKind
from ..reading.health import Problem, problems
from ..reading.machinery import Machinery
from .badges import FLAG_ICONS, Moment
from .owners_and_tags import OWNER, TAG, OwnersAndTags, chosen
from .window_row import WindowRow

NO_LABELS = OwnersAndTags()

STATE = "state"
"""Query parameter of the filter by flag."""


@dataclass(frozen=True)
class Count:
    """One count of the header line; a link to the tasks it counts."""

    number: int
    text: str
    url: str
    current: bool
    glyph: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Picker:
    """A menu that chooses one owner, or one tag; each choice is a link with its number of tasks."""

    name: str
    title: str
    value: str
    all: Count
    choices: list[Count]


def is_narrowed(query: Mapping[str, Any]) -> bool:
    """Whether the address chooses an owner, a tag or a search: the header counts their tasks alone."""
    return any(chosen(query, name) for name in (OWNER, TAG, SEARCH_VAR))


class ListHeader:
    """The header of a list; ``counts`` by flag, ``query`` are the list's own parameters.

    ``counts["open_incidents"]`` are those of tasks and of the machinery.
    """

    def __init__(
        self,
        machinery: Machinery,
        counts: Mapping[str, int],
        query: QueryDict,
        labels: OwnersAndTags = NO_LABELS,
    ) -> None:
        self.machinery = machinery
        self.counts = counts
        self.open_incidents = counts.get("open_incidents", 0)
        self._query = query
        self._labels = labels
        self.windows: list[WindowRow] = []
        """The maintenance windows of several tasks that go on."""

    @cached_property
    def problems(self) -> list[Problem]:
        """What is wrong with the machinery."""
        return problems(self.machinery)

    @property
    def banners(self) -> list[tuple[Problem, SafeString | str]]:
        """Each problem, and since when it has lasted: ``"Since 14:05 (12 min ago)."``."""
        return [(problem, self._since(problem)) for problem in self.problems]

    def _since(self, problem: Problem) -> SafeString | str:
        if problem.since is None:
            return ""
        now, zone = self.machinery.now, schedules.current_zone()
        clock = moments.minute_of_day(problem.since, now, zone)
        ago = Moment.of(problem.since, now, zone).html
        return format_html(_("Since {clock} ({ago})."), clock=clock, ago=ago)

    @property
    def stalled(self) -> bool:
        """Whether nothing will start on schedule, so that no next run can be promised."""
        return any(problem.code == "beat" for problem in self.problems)

    @cached_property
    def healthy(self) -> str:
        """What is alive, when nothing is wrong."""
        beats, workers = (len(self.machinery.alive(kind)) for kind in (ProcessKind.BEAT, ProcessKind.WORKER))
        return ", ".join(
            [
                ngettext("beat", "%(n)s beats", beats) % {"n": beats},
                ngettext("%(n)s worker", "%(n)s workers", workers) % {"n": workers},
                _("broker"),
            ]
        )

    @cached_property
    def processes(self) -> str:
        """Every living process by name, beats with their role."""
        named = [
            (_("%(beat)s leads") if self.machinery.leads(beat) else _("%(beat)s stands by"))
            % {"beat": beat.node}
            for beat in self.machinery.alive(ProcessKind.BEAT)
        ]
        return ", ".join([*named, *(worker.node for worker in self.machinery.alive(ProcessKind.WORKER))])

    @cached_property
    def count_links(self) -> list[Count]:
        """All tasks, then each flag that some task has."""
        state = self._query.get(STATE, "")
        total = ngettext("task", "tasks", self.counts["total"])
        links = [Count(self.counts["total"], total, self._address(), not state)]
        for flag, icon in FLAG_ICONS.items():
            number = self.counts[flag]
            if number or state == flag:
                text = str(Flag(flag).label)
                links.append(Count(number, text, self._address(flag), state == flag, *icon))
        return links

    @property
    def is_empty(self) -> bool:
        """Whether there are no tasks at all, rather than none of an owner, with a tag or found."""
        return not self.counts["total"] and not is_narrowed(self._query)

    @cached_property
    def pickers(self) -> list[Picker]:
        """The menus of owners and of tags, where there are any."""
        owner, tag = chosen(self._query, OWNER), chosen(self._query, TAG)
        every = {
            OWNER: (_("Owner"), _("All owners"), owner, self._labels.owners_with(tag)),
            TAG: (_("Tag"), _("All tags"), tag, self._labels.tags_with(owner)),
        }
        return [
            Picker(
                name,
                title,
                value,
                Count(0, all_of_them, self._address(of=name), not value),
                [
                    Count(n, text, self._address(text, of=name), text.casefold() == value.casefold())
                    for text, n in found.items()
                ],
            )
            for name, (title, all_of_them, value, found) in every.items()
            if found or value
        ]

    def _address(self, value: str = "", of: str = STATE) -> str:
        left_out = (of, PAGE_VAR, ERROR_FLAG)
        others = {name: values for name, values in self._query.lists() if name not in left_out}
        picked = {of: [value]} if value else {}
        return "?" + urlencode(sorted({**others, **picked}.items()), doseq=True)
