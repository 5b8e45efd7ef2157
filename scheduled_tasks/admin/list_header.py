"""What stands above the rows of the list: how many tasks there are of each kind, and whether all is well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR
from django.http import QueryDict
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..models import Flag, ProcessKind
from ..reading.health import Problem, problems
from ..reading.machinery import Machinery
from .badges import FLAG_ICONS

STATE = "state"
"""Query parameter of the filter by flag."""

OF_ONE_FILTER = (STATE, PAGE_VAR, ERROR_FLAG)
"""Query parameters that the address of another filter leaves out."""


@dataclass(frozen=True)
class Count:
    """One count of the header line; a link to the tasks it counts."""

    number: int
    text: str
    url: str
    current: bool
    glyph: str = ""
    tone: str = ""


class ListHeader:
    """The header of a list; ``counts`` by flag, ``query`` are the list's own parameters.

    ``counts["open_incidents"]`` are those of tasks and of the machinery.
    """

    def __init__(self, machinery: Machinery, counts: Mapping[str, int], query: QueryDict) -> None:
        self.machinery = machinery
        self.counts = counts
        self.open_incidents = counts.get("open_incidents", 0)
        self._query = query

    @cached_property
    def problems(self) -> list[Problem]:
        """What is wrong with the machinery."""
        return problems(self.machinery)

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
        chosen = self._query.get(STATE, "")
        total = ngettext("task", "tasks", self.counts["total"])
        links = [Count(self.counts["total"], total, self._address(), not chosen)]
        for flag, icon in FLAG_ICONS.items():
            number = self.counts[flag]
            if number or chosen == flag:
                text = str(Flag(flag).label)
                links.append(Count(number, text, self._address(flag), chosen == flag, *icon))
        return links

    def _address(self, state: str = "") -> str:
        others = {name: values for name, values in self._query.lists() if name not in OF_ONE_FILTER}
        chosen = {STATE: [state]} if state else {}
        return "?" + urlencode(sorted({**others, **chosen}.items()), doseq=True)
