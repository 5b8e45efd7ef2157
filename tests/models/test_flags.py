"""Each flag has one definition: row, filter, counts, command, timeline and the list's version follow it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Q
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduled_tasks.models import Flag, ScheduledTask, Status, TaskRun, TaskState, UtcNow, database_now
from scheduled_tasks.models.flags import CONDITIONS
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.reading.tasks import listed_tasks, tasks
from scheduled_tasks.reading.version import compiled_statement, list_version
from tests.alerts.rows import make_incident
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
    if flag == Flag.INCIDENT:  # lists show the flag only of incidents that their reader may see
        make_incident("of chosen", task_id=chosen.pk)
        make_incident("of other", task_id=other.pk)

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
        assert ('title="Late"' if flag == Flag.LATE else ">Paused<") in timeline


@pytest.mark.parametrize("flag", list(Flag))
def test_the_databases_clock_and_a_moment_mean_the_same(flag: Flag) -> None:
    TaskState.objects.create(task_id=make_task().pk, next_run_at=database_now())
    counted = {ScheduledTask.objects.flagged(flag, now, None).count() for now in (database_now(), UtcNow())}
    assert len(counted) == 1


@pytest.mark.skipif(connection.vendor == "mysql", reason="MariaDB's plan names its indexes otherwise")
@pytest.mark.parametrize("limit", [None, timedelta(hours=1)])
def test_what_is_asked_of_open_runs_reads_no_others(limit: timedelta | None, settings: Any) -> None:
    """Each poll counts these: it must not read the runs of all time, as SQLite would by itself."""
    settings.SCHEDULED_TASKS = {"MAX_RUNTIME": limit}
    hourly = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    rows = (PeriodicTask(name=f"task {n}", task="tests.add", interval=hourly) for n in range(400))
    of_tasks = PeriodicTask.objects.bulk_create(rows)
    TaskState.objects.bulk_create(TaskState(task_id=task.pk) for task in of_tasks)
    for _turn in range(50):
        now = database_now()
        ended = (TaskRun(task_id=task.pk, status=Status.SUCCEEDED, queued_at=now) for task in of_tasks)
        TaskRun.objects.bulk_create(ended)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    for flag in (Flag.RUNNING, Flag.LATE, Flag.SLOW):
        plan = ScheduledTask.objects.flagged(flag, UtcNow(), None).explain()
        assert "scheduled_tasks_run_open" in plan, flag
        assert "scheduled_tasks_run_task" not in plan, flag
