"""The export of runs: under the list's filters, read by the page, and no cell of it is a formula."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import AsyncRequestFactory, Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from scheduled_tasks.admin import run_export
from scheduled_tasks.admin.run_export import _harmless
from scheduled_tasks.models import Status, TaskRun
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

RUNS = "/admin/scheduled_tasks/taskrun/"


def test_export_as_csv_and_json_under_the_filters(admin_client: Client) -> None:
    task = make_task("=cmd|' /C calc'!A0")
    make_run(task, Status.FAILED, error='+1, "quoted"\nline', actor="@SUM(A1)")
    make_run(task)
    response = admin_client.get(f"{RUNS}export/?status=failed&format=csv")
    assert response.streaming
    rows = list(csv.DictReader(io.StringIO(response.getvalue().decode(), newline="")))
    assert len(rows) == 1
    assert rows[0]["name"] == "'=cmd|' /C calc'!A0"
    assert rows[0]["error"] == '\'+1, "quoted"\nline'
    assert rows[0]["actor"] == "'@SUM(A1)"
    data = json.loads(admin_client.get(f"{RUNS}export/?format=json").getvalue())
    assert [each["status"] for each in data] == ["succeeded", "failed"]
    assert data[1]["name"] == "=cmd|' /C calc'!A0"
    assert json.loads(admin_client.get(f"{RUNS}export/?format=json&task=none").getvalue()) == []


@pytest.mark.parametrize("kind", ["csv", "json"])
@pytest.mark.parametrize("handler", ["wsgi", "asgi"])
def test_an_export_reads_runs_as_it_sends_them(
    admin_user: User, monkeypatch: pytest.MonkeyPatch, handler: str, kind: str
) -> None:
    monkeypatch.setattr(run_export, "CHUNK", 2)
    task = make_task()
    ids = [make_run(task, error=f"run {n}", ago=n).pk for n in range(8)]
    with CaptureQueriesContext(connection) as statements:
        response = asked(handler, admin_user, f"{RUNS}export/?format={kind}")
        assert not any("LIMIT" in each["sql"] for each in statements)
        pieces = async_to_sync(gathered)(response) if handler == "asgi" else list(response)
    assert response.is_async == (handler == "asgi")
    assert len([each for each in statements if "LIMIT 2" in each["sql"]]) == 5
    assert len(pieces) > 3
    text = b"".join(pieces).decode()
    found = json.loads(text) if kind == "json" else list(csv.DictReader(io.StringIO(text, newline="")))
    assert [int(each["id"]) for each in found] == ids[::-1]


def asked(handler: str, user: User, address: str) -> Any:
    """The streaming answer of that handler's request, not yet read."""
    make = (AsyncRequestFactory if handler == "asgi" else RequestFactory)()
    request = make.get(address)
    request.user = user
    return run_export.export_runs(admin.site.get_model_admin(TaskRun), request)


async def gathered(response: Any) -> list[bytes]:
    return [piece async for piece in response]


UNSEEN = (" =", "\xa0=", "\ufeff=", "\u200b+", "\u2060 \xad@", "\u3164=", "\u0301-", " \n =", "\u202e\uff1d")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "\uff1d", *UNSEEN])
def test_no_cell_of_an_export_is_a_formula(admin_client: Client, start: str) -> None:
    text = f'{start}HYPERLINK("https://evil.example/")'
    task = make_task(text)
    texts = {"actor": text, "worker": text, "queue": text, "error_type": text, "error": text}
    make_run(task, Status.FAILED, reason=text[:32], summary=text, celery_id=f"{start}1", **texts)
    answer = admin_client.get(f"{RUNS}export/?format=csv").getvalue().decode()
    header, cells = csv.reader(io.StringIO(answer, newline=""))
    found = dict(zip(header, cells, strict=True))
    assert all(found[name] == f"'{text}" for name in [*texts, "name", "summary"])
    assert found["reason"] == found["reason_code"] == f"'{text[:32]}"
    assert all(cell[:1].isalnum() or cell[:1] in ("", "'") for cell in cells)


@pytest.mark.parametrize("separator", [";", "\t", "\n", "\r\n", "; ", ";\ufeff", ";;", "\n;"])
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d"])
def test_no_part_of_a_cell_is_a_formula_where_another_separator_is_used(
    admin_client: Client, separator: str, start: str
) -> None:
    make_run(make_task(), Status.FAILED, error=f"a{separator}{start}cmd|' /C calc'!A0")
    answer = admin_client.get(f"{RUNS}export/?format=csv").getvalue().decode()
    _header, cells = csv.reader(io.StringIO(answer, newline=""))
    assert f"a{separator}'{start}cmd|' /C calc'!A0" in cells


@pytest.mark.parametrize("text", ["a, -5", "a; b", "x=1;y", "5-3", "a\nb: -1", "e-mail@example.org"])
def test_an_ordinary_cell_of_an_export_is_as_it_was(admin_client: Client, text: str) -> None:
    make_run(make_task(), Status.FAILED, error=text)
    answer = admin_client.get(f"{RUNS}export/?format=csv").getvalue().decode()
    _header, cells = csv.reader(io.StringIO(answer, newline=""))
    assert text in cells


@pytest.mark.parametrize("text", ["\n", " ", ";", "a;", "\n ", ";=", "\xa0"])
def test_a_long_cell_of_an_export_takes_no_time(text: str) -> None:
    begun = time.monotonic()
    _harmless(text * (65_000 // len(text)))
    assert time.monotonic() - begun < 1
