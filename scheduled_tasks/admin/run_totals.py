"""What the list of runs says of all that pass its filters: how many they are, and their errors by type."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min, QuerySet
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import moments
from ..models import Status, TaskRun, word_of
from ..schedules import current_zone
from . import formats
from .run_filters import NO_TYPE, RunFilters

MOST_COUNTED = 10_000
"""Runs that are counted one by one; of more the number is estimated."""

FAILURES_READ = 1_000
"""Newest failures that are grouped by their errors."""

GROUPS = 8
"""Kinds of errors that are shown."""


@dataclass
class ErrorGroup:
    """Failures with the same type of error, or without one the same status; newest first."""

    text: str
    query: str
    last: str
    first: str
    number: int


class RunTotals:
    """Of the filtered ``runs``; worked out when it is asked for, since most refreshes bring nothing new."""

    def __init__(self, runs: QuerySet[TaskRun], filters: RunFilters, now: datetime) -> None:
        self._runs = runs.order_by("-id")
        self._filters = filters
        self._now = now

    @cached_property
    def number(self) -> int:
        """How many runs there are; about how many where there are more than :data:`MOST_COUNTED`."""
        newest = self._runs.values("pk")[: MOST_COUNTED + 1]
        found = newest.aggregate(n=Count("pk"), first=Min("pk"), last=Max("pk"))
        if found["n"] <= MOST_COUNTED:
            return int(found["n"])
        if self._filters.is_of_one_task:  # by the index of its runs, as its own list counts them
            return self._runs.count()
        share = found["n"] / (found["last"] - found["first"] + 1)
        about = max(found["n"], share * (found["last"] - self._oldest() + 1))
        return int(float(f"{about:.3g}"))  # three digits of it

    def _oldest(self) -> int:
        """The id at which the runs of the chosen time begin: ids rise with the time."""
        since = self._filters.since(self._now)
        runs = TaskRun.objects.order_by("pk")
        if since is not None:
            runs = TaskRun.objects.filter(queued_at__gte=since).order_by("queued_at", "pk")
        return runs.values_list("pk", flat=True).first() or 0

    @property
    def text(self) -> str:
        """``"12 runs"``, ``"about 12,400 runs"``."""
        shown = {"n": formats.whole(self.number)}
        if self.number > MOST_COUNTED and not self._filters.is_of_one_task:
            return _("about %(n)s runs") % shown
        return ngettext("%(n)s run", "%(n)s runs", self.number) % shown

    @property
    def retry_text(self) -> str:
        """What the button says that retries them all."""
        text = ngettext("Retry %(n)s failed run", "Retry all %(n)s failed runs", self.number)
        return text % {"n": formats.whole(self.number)}

    @cached_property
    def errors(self) -> list[ErrorGroup]:
        """The newest failures by their errors, the most frequent first; only where failures are chosen."""
        if self._filters.chosen.get("status") != "failed":
            return []
        groups: dict[tuple[str, str], list[datetime]] = defaultdict(list)
        rows = self._runs.values_list("error_type", "status", "queued_at")[:FAILURES_READ]
        for error_type, status, queued_at in rows:
            groups[error_type, "" if error_type else status].append(queued_at)
        largest = sorted(groups.items(), key=lambda group: -len(group[1]))[:GROUPS]
        return [self._group(*key, times) for key, times in largest]

    def _group(self, error_type: str, status: str, times: list[datetime]) -> ErrorGroup:
        text, link = word_of(Status, status), self._filters.link(only=status, error=NO_TYPE)
        if error_type:
            text, link = error_type.rpartition(".")[2], self._filters.link(error=error_type)
        zone, ends = current_zone(), (times[0], times[-1])
        last, first = (moments.clock_of_day(at, self._now, zone) for at in ends)
        return ErrorGroup(text, link, last, first, len(times))

    @property
    def is_cut(self) -> bool:
        """Whether there are more failures than were grouped."""
        return self.number > FAILURES_READ
