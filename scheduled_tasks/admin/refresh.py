"""The list's refresh: nothing when nothing is new, else the rows whose keys differ from the browser's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.template.response import TemplateResponse
from django.utils.translation import get_language

from ..access import Action
from ..reading.version import digest, list_version
from .context import fragment_context
from .permissions import requires, rights
from .row import TaskRow
from .task_list import TaskChangeList

if TYPE_CHECKING:
    from .tasks import ScheduledTaskAdmin

ROWS = "HTTP_ST_ROWS"
"""Where the script says which rows it shows: in an address they would fill the server's log."""

KEY = re.compile(r"(?<![^.])([0-9]{1,18}):(\w+)")


@requires(Action.VIEW, method="GET")
def refresh(model_admin: ScheduledTaskAdmin, request: HttpRequest) -> HttpResponse:
    """What changed since the version and the keys the script sends: rows, what is around them; or 304."""
    shown = {int(pk): key for pk, key in KEY.findall(request.META.get(ROWS, ""))}
    sent = request.META.get("HTTP_IF_NONE_MATCH", "")
    sent_version, _dot, sent_frame = sent.removeprefix("W/").strip('"').partition(".")
    may = rights(model_admin, request)
    version = _version(model_admin, request, [*shown], may)
    if sent_version == version:
        return HttpResponseNotModified(headers={"ETag": sent})
    context = {**fragment_context(model_admin, request), "list_query": request.GET}
    try:
        changelist = cast(TaskChangeList, model_admin.get_changelist_instance(request))
    except IncorrectLookupParameters as error:
        if not shown:
            raise BadRequest from error
        # The page of the list is gone, and so are its rows.
        return TemplateResponse(request, model_admin.poll_template, {**context, "gone": [*map(str, shown)]})
    frame = digest(*changelist.frame, may)
    context |= row_changes(shown, changelist.rows, may)
    if frame != sent_frame:
        context |= {"cl": changelist, "summary": changelist.header}
    headers = {"ETag": f'"{version}.{frame}"'}
    return TemplateResponse(request, model_admin.poll_template, context, headers=headers)


def _version(model_admin: ScheduledTaskAdmin, request: HttpRequest, task_ids: Sequence[int], may: str) -> str:
    """Moves with everything visible on the list, but not with the time that passes."""
    most = 2 * max(model_admin.list_max_show_all, model_admin.list_per_page)
    return digest(list_version(task_ids[:most]), get_language(), request.GET.urlencode(), may)


def row_changes(shown: Mapping[int, str], rows: Sequence[TaskRow], may: str) -> dict[str, Any]:
    """Rows that have changed since they had the keys of ``shown``, new ones with their place; who is gone."""
    place = "afterbegin:#st-rows"
    for row in rows:
        row.place = "" if row.pk in shown else place
        place = f"afterend:#st-row-{row.pk}"
    listed = {row.pk for row in rows}
    return {
        "rows": [row for row in rows if shown.get(row.pk) != row.key + may],
        "gone": [str(pk) for pk in shown if pk not in listed],
    }
