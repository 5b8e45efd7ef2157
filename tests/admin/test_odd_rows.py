"""One row nobody can schedule or show takes no page down: it is broken with its reason, all else works."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django_celery_beat.models import ClockedSchedule, IntervalSchedule

from scheduled_tasks.declarations import sync as syncing
from scheduled_tasks.models import ScheduledTask, Status, TaskRun, TaskState, database_now
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
RUNS = "/admin/scheduled_tasks/taskrun/"


def execute(sql: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def unknown_zone() -> ScheduledTask:
    task = make_task("odd")
    execute(
        "UPDATE django_celery_beat_crontabschedule SET timezone = %s WHERE id = %s",
        "Mars/Base",
        task.crontab_id,
    )
    return task


def long_interval() -> ScheduledTask:
    interval = IntervalSchedule.objects.create(every=5_000_000, period="days")
    return make_task("odd", cron=None, interval=interval)


def no_schedule() -> ScheduledTask:
    task = make_task("odd")
    ScheduledTask.objects.filter(pk=task.pk).update(crontab=None)
    return task


def nonsense() -> ScheduledTask:
    return make_task("odd", cron="x 99 * * *")


BROKEN = [unknown_zone, long_interval, no_schedule, nonsense]


def clocked(moment: datetime) -> ScheduledTask:
    clocked = ClockedSchedule.objects.create(clocked_time=moment)
    return make_task("odd", cron=None, clocked=clocked, one_off=True)


def last_day() -> ScheduledTask:
    return clocked(datetime(9999, 12, 31, 23, 59, tzinfo=UTC))


def first_day() -> ScheduledTask:
    return clocked(datetime(1, 1, 2, tzinfo=UTC))


def no_json() -> ScheduledTask:
    task = make_task("odd")
    ScheduledTask.objects.filter(pk=task.pk).update(args="[", kwargs="nonsense", headers="{")
    return task


def next_run_at_the_end() -> ScheduledTask:
    task = make_task("odd")
    end = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    TaskState.objects.create(task_id=task.pk, accounted_until=database_now(), next_run_at=end)
    return task


ODD = [*BROKEN, last_day, first_day, no_json, next_run_at_the_end]


@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_every_page_is_shown(
    admin_client: Client, settings: Any, make: Callable[[], ScheduledTask], zone: str
) -> None:
    settings.TIME_ZONE = zone
    good, odd = make_task("good"), make()
    make_run(odd)
    tails = ("change/", "schedule/preview/", "pause/", "runs/new/", "history/")
    for page in (LIST, f"{LIST}rows/", f"{LIST}timeline/", *(f"{LIST}{odd.pk}/{tail}" for tail in tails)):
        assert admin_client.get(page, headers={"ST-Request": "1"}).status_code == 200, page
    assert admin_client.get(f"{LIST}{odd.pk}/schedule/").status_code in (200, 303)
    text = admin_client.get(LIST).content.decode()
    assert [f'id="st-row-{task.pk}"' in text for task in (good, odd)] == [True, True]


@pytest.mark.parametrize("make", BROKEN)
def test_it_is_broken_with_its_reason(admin_client: Client, make: Callable[[], ScheduledTask]) -> None:
    odd = make()
    text = admin_client.get(LIST).content.decode()
    row = re.search(rf'id="st-row-{odd.pk}".*?</tr>', text, re.DOTALL)
    assert row is not None
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row[0]))
    assert "Broken" in words
    assert "Never runs" in words
    assert 'class="st-badge st-badge-warn" title=""' not in row[0]


def test_a_task_that_no_worker_knows_is_not_called_one_that_never_runs(admin_client: Client) -> None:
    make_process(task_names=["something.else"])
    task = make_task("odd", task="nobody.knows")
    text = admin_client.get(LIST).content.decode()
    row = re.search(rf'id="st-row-{task.pk}".*?</tr>', text, re.DOTALL)
    assert row is not None
    badges = re.findall(r'class="st-badge[^>]*>([^<]+)<', row[0])
    assert badges == ["Unknown to workers"]  # beat sends its runs, and each ends as failed


def test_an_unknown_zone_stops_no_page_and_no_command(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(syncing, "under_test", lambda: False)
    good, odd = make_task("good"), unknown_zone()
    run = make_run(odd, Status.FAILED)
    for page in (
        *(LIST, f"{LIST}?o=3", f"{LIST}?state=broken", f"{LIST}rows/", f"{LIST}timeline/", RUNS),
        *(f"{LIST}{odd.pk}/change/", f"{LIST}{odd.pk}/schedule/", f"{LIST}{odd.pk}/history/"),
        *(f"{RUNS}{run.pk}/change/", f"{RUNS}?task=odd", f"{RUNS}export/", "/admin/"),
    ):
        for headers in ({}, {"ST-Request": "1"}):
            assert admin_client.get(page, headers=headers).status_code == 200, page
    for action, form in {"enabled": {"enabled": "0"}, "skip": {"skip": "1"}, "runs": {}}.items():
        assert admin_client.post(f"{LIST}{odd.pk}/{action}/", form).status_code == 303, action
    call_command("migrate", verbosity=0)
    for command in ("sync_scheduled_tasks", "scheduled_tasks_health", "prune_task_runs"):
        with suppress(SystemExit):
            call_command(command)
    assert "Mars/Base" not in capsys.readouterr().err
    row = re.search(rf'id="st-row-{good.pk}".*?</tr>', admin_client.get(LIST).content.decode(), re.DOTALL)
    assert row is not None
    assert "Broken" not in row[0]


PROGRESS = (
    '{"done": NaN, "total": 3}', '{"done": 1, "total": NaN}', '{"done": Infinity, "total": 3}',
    '{"done": 1, "total": -Infinity}', '{"done": 1' + "0" * 400 + ', "total": 3}', '{"done": NaN}',
    '{"done": 1, "total": 1' + "0" * 400 + "}", '{"done": 3, "total": 1e-320}',
)  # fmt: skip


@pytest.mark.parametrize("progress", PROGRESS)
def test_progress_that_is_no_number_has_no_percent(admin_client: Client, progress: str) -> None:
    make_process(boot_id="w")
    make_run(make_task(), Status.RUNNING, ago=5, process_id="w", progress=progress)
    for page in (LIST, f"{LIST}rows/"):
        answer = admin_client.get(page)
        assert answer.status_code == 200
        found = re.search(r'<progress class="st-progress" ([^>]*)', answer.content.decode())
        assert found is not None
        assert "value=" not in found[1] or "1e-320" in progress


NO_NUMBERS = (
    "NaN", "-Infinity", "1e999", "[NaN, 1e999]", '{"rows": NaN}', '{"rows": [Infinity]}', "1" + "0" * 5000,
    '{"done": NaN, "total": 3}', '{"done": 1, "total": 1e999, "text": NaN}', '{"done": null}',
    '{"text": "x"}', '{"done": [NaN]}', "[" * 90_000, '{"done": "\\ud83d"}', '{"done": 1, "text": "\\ud83d"}',
)  # fmt: skip


@pytest.mark.parametrize("text", NO_NUMBERS)
@pytest.mark.parametrize("status", [Status.RUNNING, Status.SUCCEEDED])
def test_stored_values_that_are_no_numbers_are_shown(admin_client: Client, text: str, status: Status) -> None:
    make_process(boot_id="w")
    run = make_run(make_task(), status, ago=5, process_id="w", progress=text, summary=text)
    address = f"/admin/scheduled_tasks/taskrun/{run.pk}/change/"
    for page in (LIST, f"{LIST}rows/", RUNS, address, f"{LIST}{run.task_id}/change/"):
        for headers in ({}, {"ST-Request": "1"}):
            assert admin_client.get(page, headers=headers).status_code == 200, page
    for kind in ("csv", "json"):
        assert admin_client.get(f"{RUNS}export/?format={kind}").getvalue()


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_what_is_no_number_is_decoded_as_none(text: str) -> None:
    assert TaskRun(progress=f'{{"done": {text}}}').progress_data == {"done": None}
    assert TaskRun(summary=text).summary_data is None


def test_a_long_grace_is_no_trouble(admin_client: Client) -> None:
    task = make_task()
    TaskState.objects.create(
        task_id=task.pk, grace=timedelta(days=100_000), next_run_at=database_now() - timedelta(days=1)
    )
    assert admin_client.get(LIST).status_code == 200
