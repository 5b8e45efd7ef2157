"""The export of runs as CSV or JSON, a page at a time, in which no cell is a formula."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from ..access import Action
from ..models import TaskRun, database_now
from ..reasons import Reason
from .permissions import requires
from .run_filters import list_filters

if TYPE_CHECKING:
    from .runs import TaskRunAdmin

CHUNK = 200
"""Runs that are read at a time. Each may have texts of 64 KB."""

COLUMNS = (
    "id", "name", "status", "trigger", "actor", "scheduled_for", "queued_at", "started_at", "finished_at",
    "attempts", "worker", "queue", "celery_id", "summary", "error_type", "error", "reason", "reason_code",
)  # fmt: skip
"""Arguments, tracebacks and logs stay on the run's own page."""

FORMULA = "=+\\-@＝＋－＠﹦﹢﹣﹫"  # noqa: RUF001
"""First characters that make a spreadsheet compute a cell, as in a class of a regular expression."""

BLANK = rf"[^\w\x21-\x7e{FORMULA}]|[\u115f\u1160\u3164\uffa0]"
"""What is not seen before them: blanks, control characters, marks without width, fillers."""

FORMULA_FIRST = re.compile(rf"[\t\r\n]|(?:{BLANK})*[{FORMULA}]")
FORMULA_WITHIN = re.compile(rf"([;\t\r\n](?:(?![\t\r\n])(?:{BLANK}))*)(?=[{FORMULA}])")
"""Where a spreadsheet begins a cell that expects another separator than the comma."""


@requires(Action.VIEW, method="GET")
def export_runs(model_admin: TaskRunAdmin, request: HttpRequest) -> StreamingHttpResponse:
    """Every run under the list's filters as a file: ``format`` is ``csv`` or ``json``."""
    runs = _runs(list_filters(model_admin, request).apply(model_admin.get_queryset(request), database_now()))
    kind = "json" if request.GET.get("format") == "json" else "csv"
    lines, content_type = (_json(runs), "application/json") if kind == "json" else (_csv(runs), "text/csv")
    content = _awaited(lines) if isinstance(request, ASGIRequest) else lines
    response = StreamingHttpResponse(content, content_type=f"{content_type}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="task-runs.{kind}"'
    return response


def _runs(runs: QuerySet[TaskRun]) -> Iterator[dict[str, Any]]:
    """The runs chunk by chunk: not every database driver reads a long answer piece by piece."""
    rows = chunk = runs.values(*COLUMNS[:-1], "reason_params")
    while found := list(chunk[:CHUNK]):
        for run in found:
            reason = Reason(run["reason"], run.pop("reason_params"))
            yield {**run, "reason": reason.english, "reason_code": reason.code}
        chunk = rows.filter(pk__lt=found[-1]["id"])


def _csv(runs: Iterator[dict[str, Any]]) -> Iterator[str]:
    writer = csv.writer(Echo())
    yield writer.writerow(COLUMNS)
    for run in runs:
        yield writer.writerow(_harmless(value) for value in run.values())


def _json(runs: Iterator[dict[str, Any]]) -> Iterator[str]:
    lead = "[\n"
    for run in runs:
        yield lead + json.dumps(run, ensure_ascii=False, default=_text)
        lead = ",\n"
    yield "\n]\n" if lead != "[\n" else "[]\n"


async def _awaited(lines: Iterator[str]) -> AsyncIterator[str]:
    """The lines, many at a time. Django's ASGI handler reads all of an ordinary iterator first."""
    while text := await sync_to_async("".join)(islice(lines, CHUNK)):
        yield text


class Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        """Give the text back."""
        return text


def _harmless(value: object) -> str:
    text = "" if value is None else _text(value)
    first = FORMULA_FIRST.match(text)
    if first is None:
        return FORMULA_WITHIN.sub(r"\1'", text)
    return f"'{first[0]}" + FORMULA_WITHIN.sub(r"\1'", text[first.end() :])


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
