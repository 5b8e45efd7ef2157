"""The list of incidents, open and past: filters, search, and pages that new incidents do not shift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import schedules
from ..access import Action
from ..alerts.channels import DEFAULT
from ..conf import settings
from ..incidents.untold import why_untold
from ..models import Incident, IncidentKind
from .context import machinery_of, page_context
from .incident_row import IncidentRow
from .incident_story import told_text
from .permissions import requires
from .responses import live, version_of
from .run import whole_number
from .run_list import newest_page

if TYPE_CHECKING:
    from .incidents import IncidentAdmin

TEMPLATE = "admin/scheduled_tasks/incident_list.html"
FRAGMENT = "admin/scheduled_tasks/_incident_list.html"

MOST_OWNERS = 20
"""Owners that are offered as a filter."""

LONGEST_SEARCH = 200

EVERYTHING_AND_ONE = 2

STATES: Mapping[str, str | Promise] = {
    "": gettext_lazy("All"),
    "open": gettext_lazy("Open"),
    "past": gettext_lazy("Past"),
}

Choices = list[tuple[str, str, bool]]


def _kinds() -> dict[str, str]:
    return {kind.value: str(kind.label) for kind in IncidentKind}


class IncidentFilters:
    """What a query string filters incidents by; ``owners`` are those that some incident has."""

    def __init__(self, query: QueryDict, owners: list[str]) -> None:
        self.options: dict[str, tuple[str, dict[str, str]]] = {
            "state": (_("Filter by state"), {value: str(text) for value, text in STATES.items()}),
            "kind": (_("Filter by kind"), {"": _("Any kind"), **_kinds()}),
            "owner": (_("Filter by owner"), {"": _("Any owner"), **{name: name for name in owners}}),
        }
        self.search = query.get("q", "").strip().replace("\x00", "")[:LONGEST_SEARCH]
        asked = [(name, query.get(name, ""), options) for name, (_title, options) in self.options.items()]
        self.chosen = {name: value for name, value, options in asked if value and value in options}

    def apply(self, incidents: QuerySet[Incident]) -> QuerySet[Incident]:
        """Those of the incidents that pass."""
        if state := self.chosen.get("state"):
            incidents = incidents.filter(open_key__isnull=state == "past")
        if kind := self.chosen.get("kind"):
            incidents = incidents.filter(kind=kind)
        if owner := self.chosen.get("owner"):
            incidents = incidents.filter(owner__in=["", DEFAULT] if owner == DEFAULT else [owner])
        return incidents.filter(subject__icontains=self.search) if self.search else incidents

    @property
    def choices(self) -> list[tuple[str, Choices]]:
        """Each filter with something to choose: ``(title, [(text, query string, current), …])``."""
        return [
            (title, self._choices(name, options))
            for name, (title, options) in self.options.items()
            if len(options) > EVERYTHING_AND_ONE
        ]

    def _choices(self, name: str, options: Mapping[str, str]) -> Choices:
        chosen = self.chosen.get(name, "")
        return [(str(text), self.link(**{name: value}), value == chosen) for value, text in options.items()]

    def link(self, **changes: object) -> str:
        """The query string of the filtered list with some values changed, beginning with ``?``."""
        values = {**self.chosen, "q": self.search, **changes}
        return "?" + urlencode({name: value for name, value in values.items() if value})


@requires(Action.VIEW)
def show_incidents(
    model_admin: IncidentAdmin, request: HttpRequest, extra_context: dict[str, Any] | None = None
) -> HttpResponse:
    """Every incident, newest first, under the filters of the address; the script keeps it up to date."""
    visible = model_admin.get_queryset(request)
    filters, now = IncidentFilters(request.GET, _owners(visible)), machinery_of(request).now
    before, after = (whole_number(request.GET.get(name, "")) for name in ("before", "after"))
    incidents = filters.apply(visible).order_by("-pk").prefetch_related("notices")
    found, has_newer, has_older = newest_page(incidents, before, after)
    untold, zone = why_untold(found, now), schedules.current_zone()
    rows = [IncidentRow(each, zone, now, told_text(each, untold.get(each.pk, ""))) for each in found]
    newer = filters.link(after=found[0].pk) if has_newer and found else ""
    older = filters.link(before=found[-1].pk) if has_older and found else ""
    shared = page_context(model_admin, request)
    context = {
        **shared,
        "title": _("Incidents"),
        "filters": filters,
        "rows": rows,
        "newer": newer,
        "older": older,
        "alert_owners": sorted({DEFAULT, *map(str, settings.ALERTS)}),
        "version": version_of(shared, filters.choices, newer, older, *(row.key for row in rows)),
        **(extra_context or {}),
    }
    return live(request, TEMPLATE, FRAGMENT, context)


def _owners(incidents: QuerySet[Incident]) -> list[str]:
    """Names of owners that some incident has; that of no owner is the one whose channels serve it."""
    names = incidents.order_by("owner").values_list("owner", flat=True).distinct()[:MOST_OWNERS]
    return [name or DEFAULT for name in names]
