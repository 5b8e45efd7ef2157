"""The list: what it shows, what it costs, what a refresh brings."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import ClockedSchedule, IntervalSchedule, SolarSchedule

from scheduled_tasks.models import (
    CodeDefault,
    Incident,
    Lease,
    Process,
    ProcessKind,
    ScheduledTask,
    Status,
    TaskRun,
    TaskState,
    database_now,
)
from scheduled_tasks.reasons import Code, Reason
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
NASTY = '<script>alert("x")</script>&\x07\u202e'


def html(client: Client, query: str = "") -> str:
    response = client.get(LIST + query)
    assert response.status_code == 200
    return str(response.content.decode())


def cell(text: str, task: Any, css: str) -> str:
    """The words of one cell of a task's row."""
    row = re.search(rf'<tr class="st-row" id="st-row-{task.pk}".*?</tr>', text, re.DOTALL)
    assert row is not None
    found = re.search(rf'<t[dh] class="{css}[ "].*?</t[dh]>', row[0], re.DOTALL)
    assert found is not None
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0])).strip()


def test_short_route_leads_to_the_list(admin_client: Client, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.urls_short"
    response = admin_client.get("/admin/scheduled-tasks/?q=x", follow=True)
    assert response.redirect_chain == [(f"{LIST}?q=x", 302)]
    assert response.status_code == 200


def test_short_route_asks_a_stranger_to_log_in_once(client: Client, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.urls_short"
    response = client.get("/admin/scheduled-tasks/", follow=True)
    assert len(response.redirect_chain) == 2
    assert response.redirect_chain[-1][0] == f"/admin/login/?next={LIST}"
    assert response.status_code == 200


def test_index_and_sidebar_lead_to_the_list(admin_client: Client) -> None:
    assert f'href="{LIST}"' in admin_client.get("/admin/").content.decode()
    assert f'href="{LIST}"' in admin_client.get("/admin/auth/user/").content.decode()


def test_row_of_a_task_that_never_ran(admin_client: Client) -> None:
    task = make_task("purge-stale-conversations", description="Deletes old conversations")
    text = html(admin_client)
    assert cell(text, task, "st-c-name") == "purge-stale-conversations Deletes old conversations"
    assert cell(text, task, "st-c-sched").startswith("Daily at 3 AM 0 3 * * * UTC")
    assert cell(text, task, "st-c-last") == "Never"
    assert cell(text, task, "st-c-status") == "Never run"
    assert re.match(r"in \d+ (h|min|s)", cell(text, task, "st-c-next"))
    assert 'aria-checked="true"' in text


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (Status.SUCCEEDED, "Success"),
        (Status.FAILED, "Failed"),
        (Status.TIMED_OUT, "Timed out"),
        (Status.LOST, "Lost"),
        (Status.EXPIRED, "Expired"),
        (Status.MISSED, "Missed"),
        (Status.RUNNING, "Running"),
        (Status.RETRYING, "Retrying"),
        (Status.QUEUED, "Queued"),
    ],
)
def test_status_of_the_last_run(admin_client: Client, status: Status, word: str) -> None:
    task = make_task()
    make_process(boot_id="w")
    make_run(task, status, ago=5, process_id="w")
    assert cell(html(admin_client), task, "st-c-status").startswith(word)


@pytest.mark.parametrize(
    ("took", "text"),
    [
        (0.34, "340 ms"),
        (2.4, "2.4 s"),
        (59.96, "1 m 0 s"),
        (192, "3 m 12 s"),
        (3840, "1 h 4 m"),
        (90_000, "1 d 1 h"),
    ],
)
def test_duration_in_the_unit_that_fits(admin_client: Client, took: float, text: str) -> None:
    task = make_task()
    make_run(task, ago=100_000, took=took)
    assert cell(html(admin_client), task, "st-c-dur").startswith(text)


def test_failures_in_a_row_and_the_last_outcome_stay_visible(admin_client: Client) -> None:
    task = make_task()
    make_process(boot_id="w")
    for ago in (300, 200, 100):
        make_run(task, Status.FAILED, ago=ago)
    assert cell(html(admin_client), task, "st-c-status") == "Failed (3)"
    make_run(task, Status.RUNNING, ago=5, process_id="w")
    assert cell(html(admin_client), task, "st-c-status") == "Running last: Failed (3)"


@pytest.mark.parametrize(
    ("failures", "number"), [(1, ""), (2, "2"), (29, "29"), (30, "30+"), (63, "30+"), (130, "30+")]
)
def test_failures_in_a_row_are_one_number_everywhere(
    admin_client: Client, failures: int, number: str
) -> None:
    task = make_task()
    make_process(boot_id="w")
    make_run(task)
    for _ in range(failures):
        make_run(task, Status.FAILED)
    assert told_in_list_and_drawer(admin_client, task) == [
        f"Failed ({number})" if number else "Failed",
        f"Failed {number} in a row" if number else "Failed",
    ]
    for _ in range(3):
        make_run(task, Status.SKIPPED)
    make_run(task, Status.QUEUED, ago=5)
    last = f"last: Failed ({number})" if number else "last: Failed"
    assert told_in_list_and_drawer(admin_client, task) == [f"Queued {last}"] * 2


def told_in_list_and_drawer(client: Client, task: Any) -> list[str]:
    """What each says of the task's status."""
    drawer = client.get(f"{LIST}{task.pk}/change/", headers={"ST-Request": "1"}).content.decode()
    state = re.search(r'<span class="st-state.*?</h2>', drawer, re.DOTALL)
    assert state is not None
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", state[0])).strip()
    return [cell(html(client), task, "st-c-status"), words]


ERROR = "the source at https://rates.example.org/latest.json answered with status 503 " * 9


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"error_type": "consent.errors.RatesUnavailable", "error": ERROR},
            f"RatesUnavailable: {ERROR[:200]}",
        ),
        ({"error_type": "KeyError"}, "KeyError"),
        (Reason.of(Code.WORKER_SILENT).columns, "The worker that ran it has stopped or cannot be reached."),
        ({}, ""),
    ],
)
def test_a_failed_row_says_why_and_leads_to_the_run(
    admin_client: Client, values: dict[str, str], text: str
) -> None:
    task = make_task()
    make_run(task)
    for _ in range(2):
        run = make_run(task, Status.FAILED, **values)
    make_run(task, Status.SKIPPED)
    page = html(admin_client)
    assert cell(page, task, "st-c-status") == f"Failed (2) {text}".strip()
    assert ('class="st-sub st-why"' in page) is bool(text)
    assert (f'href="{task.pk}/change/?run={run.pk}#st-run-{run.pk}"' in page) is bool(text)


def test_paused_says_who_and_why(admin_client: Client) -> None:
    task = make_task(enabled=False)
    TaskState.objects.create(task_id=task.pk, paused_by="operator", paused_by_name="anna", pause_note="legal")
    text = html(admin_client)
    assert cell(text, task, "st-c-next") == "Paused by anna legal"
    assert cell(text, task, "st-c-status") == "Paused"
    assert 'aria-checked="false"' in text


def test_late_is_told_in_next_run_and_status(admin_client: Client) -> None:
    task = make_task()
    now = database_now()
    TaskState.objects.create(
        task_id=task.pk,
        next_run_at=now - timedelta(minutes=12, seconds=5),
        accounted_until=now - timedelta(hours=1),
    )
    text = html(admin_client)
    assert cell(text, task, "st-c-next") == "due 12 min ago"
    assert cell(text, task, "st-c-status") == "Late"


@pytest.mark.parametrize(
    ("overdue", "text"), [(-3660, "in 1 h"), (1, "Now"), (30, "due 30 s ago"), (185, "due 3 min ago")]
)
def test_an_overdue_run_is_not_said_to_start_now(admin_client: Client, overdue: int, text: str) -> None:
    task, now = make_task(), database_now()
    make_run(task)
    TaskState.objects.create(
        task_id=task.pk, next_run_at=now - timedelta(seconds=overdue), accounted_until=now - timedelta(days=1)
    )
    page = html(admin_client)
    assert cell(page, task, "st-c-next") == text
    assert cell(page, task, "st-c-status") == "Success"


@pytest.mark.parametrize(("ago", "text"), [(1, "Now"), (125, "queued 2 min"), (1810, "queued 30 min")])
def test_a_run_that_waits_says_since_when(admin_client: Client, ago: int, text: str) -> None:
    task = make_task()
    make_run(task, Status.QUEUED, ago=ago)
    make_run(task, Status.QUEUED, ago=1)
    assert cell(html(admin_client), task, "st-c-next") == text


@pytest.mark.parametrize("known", [["tests.add"], ["tests.gone"]])
def test_a_task_that_no_worker_knows_has_no_next_run(admin_client: Client, known: list[str]) -> None:
    task, now = make_task(task="tests.gone"), database_now()
    make_process(task_names=known)
    TaskState.objects.create(
        task_id=task.pk, accounted_until=now, next_run_at=now + timedelta(hours=15, minutes=1)
    )
    is_broken = known == ["tests.add"]
    text = html(admin_client)
    assert cell(text, task, "st-c-next") == ("– Never" if is_broken else "in 15 h")
    assert ("Skip next run" in text) is not is_broken
    drawer = admin_client.get(f"{LIST}{task.pk}/change/", headers={"ST-Request": "1"}).content.decode()
    assert ("in 15 h" in drawer) is not is_broken


def test_no_progress_between_two_attempts(admin_client: Client) -> None:
    make_run(make_task(), Status.RETRYING, ago=5, process_id="w", progress='{"done": 1, "total": 1}')
    text = admin_client.get(LIST).content.decode()
    assert "Retrying" in text
    assert "100 %" not in text


def test_progress_of_a_running_task(admin_client: Client) -> None:
    task = make_task()
    make_process(boot_id="w")
    make_run(
        task,
        Status.RUNNING,
        ago=5,
        process_id="w",
        progress='{"done": 41, "total": 66, "text": "certificates"}',
    )
    text = html(admin_client)
    assert cell(text, task, "st-c-status").startswith("Running 62 %")
    assert 'aria-label="41 of 66: certificates"' in text


@pytest.mark.parametrize(
    "progress", ['{"done": "x"}', "[]", "broken", '{"done": 3, "total": 0}', '{"done": 9, "total": 3}']
)
def test_odd_progress_breaks_nothing(admin_client: Client, progress: str) -> None:
    task = make_task()
    make_process(boot_id="w")
    make_run(task, Status.RUNNING, ago=5, process_id="w", progress=progress)
    assert cell(html(admin_client), task, "st-c-status").startswith("Running")


def test_schedules_of_every_kind_are_listed(admin_client: Client) -> None:
    interval = IntervalSchedule.objects.create(every=10, period="seconds")
    clocked = ClockedSchedule.objects.create(clocked_time=database_now() + timedelta(days=1))
    solar = SolarSchedule.objects.create(event="sunrise", latitude=48.1, longitude=11.5)
    every = make_task("interval", cron=None, interval=interval)
    make_task("clocked", cron=None, clocked=clocked, one_off=True)
    make_task("solar", cron=None, solar=solar)
    text = html(admin_client)
    assert cell(text, every, "st-c-sched").startswith("Every 10 seconds")
    assert "Once, " in text
    assert "Sunrise at 48.1, 11.5" in text
    assert text.count("data-st-edit") == 3


def test_only_who_may_use_django_celery_beats_admin_is_led_there(client: Client, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {}
    solar = SolarSchedule.objects.create(event="sunrise", latitude=48.1, longitude=11.5)
    make_task("solar", cron=None, solar=solar)
    user = User.objects.create_user("ops", is_staff=True)
    codenames = ["view_scheduledtask", "change_scheduledtask"]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    assert "django_celery_beat" not in html(client)


def test_unusable_schedule_says_so_and_harms_no_other(admin_client: Client) -> None:
    make_task("good")
    task = make_task("bad")
    task.crontab.hour = "nonsense"
    task.crontab.save()
    text = html(admin_client)
    assert "Never runs" in cell(text, task, "st-c-name")
    assert cell(text, task, "st-c-status").startswith("Broken")
    assert cell(text, task, "st-c-next") == "– Never"


def test_nothing_a_task_says_is_html(admin_client: Client) -> None:
    task = make_task(NASTY, description=NASTY)
    TaskState.objects.create(task_id=task.pk, paused_by="operator", paused_by_name=NASTY, pause_note=NASTY)
    make_run(
        task,
        Status.FAILED,
        error_type=NASTY,
        error=NASTY,
        actor=NASTY[:100],
        trigger="manual",
        **Reason.of(Code.NOT_SENT, error=NASTY).columns,
    )
    text = html(admin_client)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_counts_are_filters(admin_client: Client) -> None:
    make_process(boot_id="w")
    running, failing, paused = make_task("running"), make_task("failing"), make_task("paused", enabled=False)
    make_run(running, Status.RUNNING, ago=5, process_id="w")
    make_run(failing, Status.FAILED)
    text = html(admin_client)
    for words in ("<b>3</b> tasks", "<b>1</b> running", "<b>1</b> failing", "<b>1</b> paused"):
        assert words in text
    assert "late" not in re.sub(
        r"<[^>]+>", " ", re.search(r'<ul class="st-counts".*?</ul>', text, re.DOTALL)[0]
    )
    shown = html(admin_client, "?state=failing")
    assert f'id="st-row-{failing.pk}"' in shown
    assert f'id="st-row-{paused.pk}"' not in shown


def test_search_sort_and_pages_live_in_the_address(admin_client: Client) -> None:
    for n in range(101):
        make_task(f"task-{n:03}", description="findme" if n == 7 else "")
    assert 'id="st-row-' in html(admin_client, "?q=findme")
    assert html(admin_client, "?q=findme").count('class="st-row"') == 1
    assert html(admin_client).count('class="st-row"') == 50
    assert html(admin_client, "?p=3").count('class="st-row"') == 1
    descending = html(admin_client, "?o=-1")
    assert descending.index("task-100") < descending.index("task-099")


@pytest.mark.parametrize(
    ("query", "column", "way"),
    [("", "name", "ascending"), ("?o=-1", "name", "descending"), ("?o=4", "last", "ascending")],
)
def test_the_head_of_one_column_says_the_order(
    admin_client: Client, query: str, column: str, way: str
) -> None:
    make_task()
    text = html(admin_client, query)
    assert re.findall(r'class="st-c-(\w+)" aria-sort="(\w+)"', text) == [(column, way)]
    assert query or '<a href="?o=-1">Name' in text


@pytest.mark.parametrize(
    "query", ["?state=nonsense", "?p=999", "?o=99", "?q=%00", "?state=failing&state=late"]
)
def test_odd_addresses_show_a_list(admin_client: Client, query: str) -> None:
    make_task()
    assert admin_client.get(LIST + query, follow=True).status_code == 200


@pytest.mark.parametrize("column", [1, 3, 4, 5, 6])
def test_every_sortable_column_sorts(admin_client: Client, column: int) -> None:
    for n, name in enumerate(("a", "b", "c")):
        make_run(make_task(name), Status.FAILED if n else Status.SUCCEEDED, ago=100 * n + 10, took=n + 1)
    up, down = (
        re.findall(r'id="st-row-(\d+)"', html(admin_client, f"?o={way}{column}")) for way in ("", "-")
    )
    assert sorted(up) == sorted(down)
    if column != 3:
        assert up != down


@pytest.mark.parametrize("order", ["3", "-3", "4", "-4", "5", "-5"])
def test_a_task_without_next_or_last_run_sorts_last(admin_client: Client, order: str) -> None:
    empty = make_task("empty", enabled=False)
    for name in "ab":
        ran = make_task(name)
        TaskState.objects.create(task_id=ran.pk, next_run_at=database_now())
        make_run(ran, Status.SUCCEEDED)
    assert re.findall(r'id="st-row-(\d+)"', html(admin_client, f"?o={order}"))[-1] == str(empty.pk)


def test_empty_list_says_how_to_declare_a_task(admin_client: Client) -> None:
    text = html(admin_client)
    assert "No scheduled tasks yet" in text
    assert "@scheduled_task" in text


def test_health_names_cause_consequence_and_remedy(admin_client: Client) -> None:
    make_task()
    text = html(admin_client)
    assert "Beat is not running." in text
    assert "No task will start on schedule. Run now still works." in text
    assert "beat -S scheduled_tasks" in text
    make_process(ProcessKind.BEAT)
    make_process(ProcessKind.WORKER)
    text = html(admin_client)
    assert "Beat is not running." not in text
    assert "Healthy" in text


def statements(client: Client, url: str = LIST, **headers: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as context:
        assert client.get(url, headers=headers).status_code in (200, 304)
    return len(context)


@pytest.mark.parametrize(("tasks", "runs"), [(1, 10), (50, 10), (1, 10_000), (50, 200)])
def test_list_takes_at_most_nine_statements(admin_client: Client, tasks: int, runs: int) -> None:
    make_process(ProcessKind.BEAT)
    made = [make_task(f"task-{n}") for n in range(tasks)]
    now = database_now()
    values = {"status": Status.SUCCEEDED, "queued_at": now, "started_at": now, "finished_at": now}
    TaskRun.objects.bulk_create(
        TaskRun(task_id=task.pk, name=task.name, celery_id=f"{task.pk}-{n}", **values)
        for task in made
        for n in range(runs)
    )
    assert statements(admin_client) <= 9


def test_list_of_tasks_that_fail_for_long_takes_no_more_than_nine_statements(admin_client: Client) -> None:
    make_process()
    make_process(ProcessKind.BEAT)
    task, now = make_task(), database_now()
    Incident.objects.create(
        task_id=task.pk, kind="failing", key="a", open_key="a", opened_at=now, last_seen_at=now
    )
    for status in [Status.FAILED] * 30 + [Status.SKIPPED]:
        make_run(task, status)
    assert statements(admin_client) <= 9
    assert "(30+)" in html(admin_client)


def test_staff_with_permissions_needs_no_more_than_nine_statements(client: Client, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {}
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="scheduled_tasks"))
    client.force_login(user)
    make_run(make_task())
    assert statements(client) <= 9


def poll(client: Client, shown: str = "", version: str = "") -> Any:
    headers = {"ST-Request": "1", "ST-Rows": shown, **({"If-None-Match": version} if version else {})}
    return client.get(f"{LIST}rows/", headers=headers)


def keys(text: str) -> str:
    return ".".join(
        ":".join(pair) for pair in re.findall(r'id="st-row-(\d+)" role="row" data-key="(\w+)"', text)
    )


def test_refresh_brings_only_what_changed(admin_client: Client) -> None:
    changed, same = make_task("changed"), make_task("same")
    shown = keys(html(admin_client))
    version = poll(admin_client, shown)["ETag"]
    assert poll(admin_client, shown, version).status_code == 304
    assert poll(admin_client, shown, version).content == b""
    make_run(changed, Status.FAILED)
    answer = poll(admin_client, shown, version)
    assert answer.status_code == 200
    assert answer["ETag"] != version
    text = answer.content.decode()
    assert f'id="st-row-{changed.pk}"' in text
    assert f'id="st-row-{same.pk}"' not in text
    assert "<b>1</b> failing" in text


@pytest.mark.parametrize("tasks", [1, 50])
def test_a_refresh_with_nothing_new_asks_once(admin_client: Client, tasks: int) -> None:
    """Session, user, and one statement that tells."""
    make_process(boot_id="w")
    for n in range(tasks):
        make_run(make_task(f"task-{n}"), Status.RUNNING, process_id="w")
    shown = keys(html(admin_client))
    version = poll(admin_client, shown)["ETag"]
    headers = {"ST-Rows": shown, "If-None-Match": version}
    assert statements(admin_client, f"{LIST}rows/", **headers) == 3


@pytest.mark.parametrize("tasks", [1, 50])
def test_a_refresh_with_something_new_takes_at_most_eleven_statements(
    admin_client: Client, tasks: int
) -> None:
    made = [make_task(f"task-{n}") for n in range(tasks)]
    shown = keys(html(admin_client))
    make_run(made[0], Status.RUNNING)
    assert statements(admin_client, f"{LIST}rows/", **{"ST-Rows": shown}) <= 11


def account(task: Any, **values: Any) -> None:
    TaskState.objects.update_or_create(task_id=task.pk, defaults=values)


def touch_nothing(task: Any, run: TaskRun) -> None:
    """Control: without a change the version stays."""


def change_description(task: Any, run: TaskRun) -> None:
    ScheduledTask.objects.filter(pk=task.pk).update(description="new")


def disable(task: Any, run: TaskRun) -> None:
    ScheduledTask.objects.filter(pk=task.pk).update(enabled=False)


def reschedule(task: Any, run: TaskRun) -> None:
    task.crontab.hour = "5"
    task.crontab.save()


def start_run(task: Any, run: TaskRun) -> None:
    make_run(task, Status.QUEUED, ago=1)


def end_run(task: Any, run: TaskRun) -> None:
    TaskRun.objects.filter(pk=run.pk).update(
        status=Status.SUCCEEDED, finished_at=database_now(), open_since=None
    )


def report_progress(task: Any, run: TaskRun) -> None:
    TaskRun.objects.filter(pk=run.pk).update(progress='{"done": 2, "total": 3}')


def replace_soft_end(task: Any, run: TaskRun) -> None:
    TaskRun.objects.filter(status=Status.LOST).update(status=Status.SUCCEEDED)


def become_late(task: Any, run: TaskRun) -> None:
    now = database_now()
    account(task, next_run_at=now - timedelta(hours=1), accounted_until=now)


def worker_falls_silent(task: Any, run: TaskRun) -> None:
    Process.objects.update(last_seen_at=database_now() - timedelta(hours=1))


def add_task(task: Any, run: TaskRun) -> None:
    make_task("another")


def delete_task(task: Any, run: TaskRun) -> None:
    ScheduledTask.objects.filter(pk=task.pk).delete()


def rename(task: Any, run: TaskRun) -> None:
    task.name = "zzz"
    task.save()


def pause_note(task: Any, run: TaskRun) -> None:
    account(task, pause_note="new", skip_next=True)


def come_due(task: Any, run: TaskRun) -> None:
    now = database_now()
    account(task, next_run_at=now - timedelta(seconds=5), accounted_until=now)


def wait_too_long(task: Any, run: TaskRun) -> None:
    TaskRun.objects.filter(pk=run.pk).update(
        status=Status.QUEUED, queued_at=database_now() - timedelta(hours=1)
    )


def lose_worker(task: Any, run: TaskRun) -> None:
    Process.objects.update(stopped_at=database_now())


def add_process(task: Any, run: TaskRun) -> None:
    make_process(ProcessKind.BEAT)


def broker_goes_away(task: Any, run: TaskRun) -> None:
    Process.objects.update(broker_ok_at=database_now() - timedelta(hours=1))


def recorder_fails(task: Any, run: TaskRun) -> None:
    Process.objects.update(recorder_error="no space")


def sync_fails(task: Any, run: TaskRun) -> None:
    Lease.objects.create(name="sync", error="RuntimeError: no")


def take_the_lead(task: Any, run: TaskRun) -> None:
    Lease.objects.create(name="beat", holder="w", until=database_now() + timedelta(seconds=30))


def gone_from_code(task: Any, run: TaskRun) -> None:
    CodeDefault.objects.create(task_id=task.pk, name=task.name, source="decorator", gone_since=database_now())


def prune_runs(task: Any, run: TaskRun) -> None:
    TaskRun.objects.filter(status=Status.LOST).delete()


CHANGES = [
    rename,
    pause_note,
    come_due,
    wait_too_long,
    lose_worker,
    add_process,
    broker_goes_away,
    sync_fails,
    recorder_fails,
    take_the_lead,
    gone_from_code,
    prune_runs,
    change_description,
    disable,
    reschedule,
    start_run,
    end_run,
    report_progress,
    replace_soft_end,
    become_late,
    worker_falls_silent,
    add_task,
    delete_task,
]


@pytest.mark.parametrize("change", [touch_nothing, *CHANGES])
def test_version_moves_with_everything_visible(admin_client: Client, change: Any) -> None:
    task, other = make_task(), make_task("other")
    make_process(boot_id="w")
    make_run(other, Status.LOST)
    run = make_run(task, Status.RUNNING, ago=5, process_id="w")
    shown = keys(html(admin_client))
    version = poll(admin_client, shown)["ETag"]
    change(task, run)
    assert poll(admin_client, shown, version).status_code == (304 if change is touch_nothing else 200)


def test_version_moves_with_language_query_and_rights(admin_client: Client, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {}
    make_run(make_task())
    version = poll(admin_client)["ETag"]
    german = admin_client.get(f"{LIST}rows/", headers={"Accept-Language": "de", "If-None-Match": version})
    assert german.status_code == 200
    assert (
        admin_client.get(f"{LIST}rows/?state=failing", headers={"If-None-Match": version}).status_code == 200
    )
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_scheduledtask"))
    admin_client.force_login(viewer)
    assert poll(admin_client, version=version).status_code == 200


def test_new_and_gone_rows(admin_client: Client) -> None:
    first = make_task("a")
    shown = keys(html(admin_client))
    second = make_task("b")
    text = poll(admin_client, shown).content.decode()
    assert f'data-st-put="afterend:#st-row-{first.pk}"' in text
    assert f'id="st-row-{second.pk}"' in text
    ScheduledTask.objects.filter(pk=first.pk).delete()
    text = poll(admin_client, shown).content.decode()
    assert f'<tr id="st-row-{first.pk}" data-st-put="remove">' in text


@pytest.mark.parametrize(
    "rows", ["x", ":", "1", "1:2:3", "9" * 30 + ":a", "\0:1", "-1:x", "é:ü", "1:a." * 50_000]
)
def test_odd_keys_break_nothing(admin_client: Client, rows: str) -> None:
    make_task()
    assert poll(admin_client, rows).status_code == 200


def test_ids_are_never_localized(admin_client: Client, settings: Any) -> None:
    settings.USE_THOUSAND_SEPARATOR = True
    task = make_task(pk=1_234_567)
    run = make_run(task, Status.FAILED, pk=7_654_321)
    at = f"{LIST}{task.pk}"
    pages = [
        LIST,
        f"{LIST}rows/",
        f"{at}/change/?run={run.pk}",
        f"{at}/schedule/",
        f"{at}/runs/new/",
    ]
    pages += ["/admin/scheduled_tasks/taskrun/", f"/admin/scheduled_tasks/taskrun/{run.pk}/change/"]
    for page in pages:
        for headers in ({}, {"ST-Request": "1", "ST-Rows": "9999999:x"}):
            text = admin_client.get(page, headers=headers).content.decode()
            assert not re.search(r"1,234,567|7,654,321|9,999,999", text), page
    text = admin_client.post(f"{at}/enabled/", {"enabled": "0"}, headers={"ST-Request": "1"}).content.decode()
    assert "1,234,567" not in text


def test_status_sorts_what_needs_a_look_first(admin_client: Client) -> None:
    make_process(task_names=["tests.add"], boot_id="w")
    now = database_now()
    fine, failing, running, late, _never, _broken, paused = (
        make_task(name, task="tests.gone" if name == "f broken" else "tests.add", enabled=name != "g paused")
        for name in ("a fine", "b failing", "c running", "d late", "e never", "f broken", "g paused")
    )
    make_run(fine)
    make_run(paused)
    make_run(failing, Status.FAILED)
    make_run(running, Status.RUNNING, process_id="w")
    hour = timedelta(hours=1)
    TaskState.objects.create(task_id=late.pk, next_run_at=now - hour, accounted_until=now - 2 * hour)
    column = re.search(r'href="(\?o=\d)">\s*Status', html(admin_client))
    assert column is not None
    names = re.findall(r'id="st-name-\d+"[^>]*>([^<]+)<', html(admin_client, column[1]))
    assert names == ["b failing", "f broken", "d late", "c running", "a fine", "e never", "g paused"]
