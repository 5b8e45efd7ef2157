"""What stands above the rows of the list: how many tasks there are of each kind, and whether all is well."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR
from django.http import QueryDict
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..facts import Facts
from ..flags import Counts, Flag
from ..health import Problem, problems
from ..models import ProcessKind
from ..stamps import digest

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


COUNT_SIGNS = {
    Flag.RUNNING: ("running", "busy"),
    Flag.FAILING: ("failed", "bad"),
    Flag.LATE: ("late", "warn"),
    Flag.BROKEN: ("broken", "bad"),
    Flag.PAUSED: ("paused", "off"),
}


class Summary:
    """The header of a list; ``query`` are the list's own parameters."""

    def __init__(self, facts: Facts, counts: Counts, query: QueryDict) -> None:
        self.facts = facts
        self.counts = counts
        self._query = query

    @property
    def version(self) -> str:
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

    @cached_property
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

    @cached_property
    def processes(self) -> str:
        """Every living process by name, beats with their role."""
        beats = self.facts.alive(ProcessKind.BEAT)
        roles = [_("%(beat)s leads") if self.facts.leads(beat) else _("%(beat)s stands by") for beat in beats]
        named = [role % {"beat": beat.node} for role, beat in zip(roles, beats, strict=True)]
        return ", ".join([*named, *(worker.node for worker in self.facts.alive(ProcessKind.WORKER))])

    @cached_property
    def count_links(self) -> list[Count]:
        """All tasks, then each flag that some task has."""
        chosen = self._query.get(STATE, "")
        total = ngettext("task", "tasks", self.counts.total)
        links = [Count(self.counts.total, total, self._address(), not chosen)]
        for flag, (glyph, tone) in COUNT_SIGNS.items():
            number = getattr(self.counts, flag.value)
            if number or chosen == flag:
                url = self._address(flag.value)
                links.append(Count(number, str(flag.label), url, chosen == flag, glyph, tone))
        return links

    def _address(self, state: str = "") -> str:
        others = {
            name: found for name, found in self._query.lists() if name not in (STATE, PAGE_VAR, ERROR_FLAG)
        }
        chosen = {STATE: [state]} if state else {}
        return "?" + urlencode(sorted({**others, **chosen}.items()), doseq=True)
