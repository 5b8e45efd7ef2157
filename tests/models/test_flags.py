"""Each flag has one definition: row, filter, counts, command, timeline and the list's version follow it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db.models import Q
from django.test import Client

from scheduled_tasks.models import Flag, ScheduledTask, TaskState, UtcNow, database_now
from scheduled_tasks.models.flags import CONDITIONS
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.reading.tasks import listed_tasks, tasks
from scheduled_tasks.reading.version import compiled_statement, list_version
from tests.factories import make_process, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"


@pytest.fixture(autouse=True)
def definitions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The version's statement is written once per process."""
    compiled_statement.cache_clear()
    yield
    compiled_statement.cache_clear()


def counts_of_the_command() -> dict[str, int]:
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("scheduled_tasks_health", "--json", stdout=out)
    return json.loads(out.getvalue())["tasks"]


def words(client: Client, url: str) -> str:
    text = client.get(url).content.decode()
    found = re.search(r'<ul class="st-counts".*?</ul>', text, re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0])).strip() if found else text


@pytest.mark.parametrize("flag", list(Flag))
def test_all_follow_one_definition(admin_client: Client, monkeypatch: pytest.MonkeyPatch, flag: Flag) -> None:
    chosen, other = make_task("chosen"), make_task("other")
    make_process()
    machinery = Machinery.read()
    before = list_version([chosen.pk, other.pk])
    key = listed_tasks(tasks().filter(pk=chosen.pk), machinery)[0].key
    assert counts_of_the_command()[flag] == 0

    monkeypatch.setitem(CONDITIONS, flag, lambda _now, _known: Q(name="chosen"))
    compiled_statement.cache_clear()

    rows = {row.task.name: row for row in listed_tasks(tasks(), machinery)}
    assert [name for name, row in rows.items() if row.has(flag)] == ["chosen"]
    if flag not in (Flag.SLOW, Flag.INCIDENT):  # beside another word
        assert rows["chosen"].word == ("failed" if flag == Flag.FAILING else flag.value)
    assert rows["chosen"].key != key
    assert list_version([chosen.pk, other.pk]) != before
    assert counts_of_the_command()[flag] == 1
    assert f"1 {flag.label}" in words(admin_client, LIST)
    shown = admin_client.get(f"{LIST}?state={flag}").content.decode()
    assert re.findall(r'id="st-name-\d+"[^>]*>([^<]+)<', shown) == ["chosen"]
    if flag in (Flag.LATE, Flag.PAUSED):
        timeline = admin_client.get(f"{LIST}timeline/").content.decode()
        assert ('class="st-late"' if flag == Flag.LATE else "1 paused task") in timeline


@pytest.mark.parametrize("flag", list(Flag))
def test_the_databases_clock_and_a_moment_mean_the_same(flag: Flag) -> None:
    TaskState.objects.create(task_id=make_task().pk, next_run_at=database_now())
    counted = {ScheduledTask.objects.flagged(flag, now, None).count() for now in (database_now(), UtcNow())}
    assert len(counted) == 1
