"""Tags and owners: words to find a task by."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.test import Client

from scheduled_tasks.models import ScheduledTask, TaskState
from tests.factories import make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"


@pytest.fixture
def tasks() -> dict[str, Any]:
    made = {name: make_task(name) for name in ("invoices", "rates", "rate-alerts", "plain")}
    states = {
        "invoices": {"tags": "nightly,billing", "owner": "billing"},
        "rates": {"tags": "night", "owner": "Team A"},
        "rate-alerts": {"tags": "billing_old,100%", "owner": "billing-old"},
    }
    for name, values in states.items():
        TaskState.objects.create(task_id=made[name].pk, **values)
    return made


@pytest.mark.parametrize(
    ("search", "names"),
    [
        ("tag:nightly", {"invoices"}),
        ("tag:NIGHT", {"rates"}),
        ("tag:billing", {"invoices"}),
        ("tag:100%", {"rate-alerts"}),
        ("tag:%", set()),
        ("tag:nightly tag:billing", {"invoices"}),
        ("tag:nightly tag:night", set()),
        ("tag:nightly,billing", {"invoices"}),
        ("owner:billing", {"invoices"}),
        ('owner:"team a"', {"rates"}),
        ("owner:billing-old rate", {"rate-alerts"}),
        ("rate", {"rates", "rate-alerts"}),
        ("tag:", set()),
    ],
)
@pytest.mark.parametrize("page", ["", "timeline/", "rows/"])
def test_search_knows_tags_and_owners(
    admin_client: Client, tasks: dict[str, Any], page: str, search: str, names: set[str]
) -> None:
    text = admin_client.get(f"{LIST}{page}", {"q": search}).content.decode()
    assert {
        name for name, task in tasks.items() if f"/{task.pk}/change/" in text or f'"{task.pk}/change/' in text
    } == names


def test_row_and_drawer_show_the_tags(admin_client: Client, tasks: dict[str, Any]) -> None:
    rows = admin_client.get(LIST).content.decode().split('<tr class="st-row"')[1:]
    (row,) = (each for each in rows if f'id="st-row-{tasks["invoices"].pk}"' in each)
    (plain,) = (each for each in rows if f'id="st-row-{tasks["plain"].pk}"' in each)
    links = re.findall(r'<a class="st-label" href="([^"]+)"', row)
    assert links == ["?owner=billing", "?tag=nightly", "?tag=billing"]
    head = re.search(r"<th .*?</th>", plain, re.DOTALL)
    assert head
    assert "st-label" not in head[0]
    drawer = admin_client.get(f"{LIST}{tasks['invoices'].pk}/change/").content.decode()
    assert re.search(r"<dt>Tags</dt>\s*<dd>nightly, billing</dd>", drawer)
    other = admin_client.get(f"{LIST}{tasks['plain'].pk}/change/").content.decode()
    assert "<dt>Tags</dt>" not in other


FILTERS = "owner=billing&q=i&state=paused"


@pytest.mark.parametrize("way", ["list", "refresh", "change", "drawer"])
def test_labels_add_to_the_filters(admin_client: Client, tasks: dict[str, Any], way: str) -> None:
    pk = tasks["invoices"].pk
    ScheduledTask.objects.filter(pk=pk).update(enabled=False)
    told = {"ST-Request": f"1?{FILTERS}&p=1"}  # by the script
    if way == "change":
        answer = admin_client.post(f"{LIST}{pk}/skip/", {"skip": "1"}, headers=told)
    elif way == "drawer":
        answer = admin_client.get(f"{LIST}{pk}/change/?status=failed", headers=told)
    else:
        answer = admin_client.get(f"{LIST}{'rows/' if way == 'refresh' else ''}?{FILTERS}&p=1")
    rows = answer.content.decode()
    found = re.findall(r'<a class="st-label" href="[^"?]*\?([^"]+)" title="\w+"\s*(aria-current)?', rows)
    assert [(dict(parse_qsl(unescape(query))), bool(current)) for query, current in found] == [
        ({"owner": "billing", "q": "i", "state": "paused"}, True),
        ({"owner": "billing", "q": "i", "state": "paused", "tag": "nightly"}, False),
        ({"owner": "billing", "q": "i", "state": "paused", "tag": "billing"}, False),
    ]


def test_tagged_takes_whole_tags(tasks: dict[str, Any]) -> None:
    assert [task.name for task in ScheduledTask.objects.tagged("night")] == ["rates"]
    assert tasks["plain"].state.tag_list == []


@pytest.mark.parametrize("page", ["", "timeline/"])
def test_counts_are_of_the_tasks_that_the_search_finds(
    admin_client: Client, tasks: dict[str, Any], page: str
) -> None:
    for search, number in (("tag:nightly", 1), ("rate", 2), ("no such task", 0), ("", 4)):
        text = admin_client.get(f"{LIST}{page}", {"q": search}).content.decode()
        assert re.search(r'id="st-count-1".*?<b>(\d+)</b>', text, re.DOTALL)[1] == str(number)  # type: ignore[index]
