"""Changes through the admin: what is stored, what is said, what is logged, what is refused."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import current_app
from django.contrib.admin import ModelAdmin, site
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client, RequestFactory
from django.utils.html import escape
from django.utils.translation import override
from django_celery_beat.models import IntervalSchedule

from scheduled_tasks import operations
from scheduled_tasks.models import ScheduledTask, Status, TaskRun
from scheduled_tasks.operations import AuditEntry, Event, audit
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/scheduled_tasks/scheduledtask/"
SCRIPT = {"ST-Request": "1"}


@pytest.fixture
def broker_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app.conf, "broker_write_url", "redis://127.0.0.1:9/0")


def said(response: Any) -> str:
    """The messages a redirect carries, without their button to undo the change."""
    texts = (str(message) for message in get_messages(response.wsgi_request))
    return " ".join(re.sub(r" <button.*</button>$", "", text) for text in texts)


def log() -> list[str]:
    return [str(AuditEntry.of(entry.change_message)) for entry in LogEntry.objects.order_by("pk")]


def test_switch_off_and_on(admin_client: Client) -> None:
    task = make_task()
    response = admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "0", "next": f"{LIST}?q=x"})
    assert (response.status_code, response["Location"]) == (303, f"{LIST}?q=x")
    assert said(response) == "purge is disabled. Run now still works."
    task.refresh_from_db()
    assert not task.enabled
    assert task.crontab.hour == "3"
    admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "1"})
    task.refresh_from_db()
    assert task.enabled
    assert log() == ["Disabled.", "Enabled."]
    assert {entry.user.username for entry in LogEntry.objects.all()} == {"admin"}
    assert (
        LogEntry.objects.first().get_admin_url() == f"/admin/scheduled_tasks/scheduledtask/{task.pk}/change/"
    )


def test_script_gets_the_row_and_a_toast(admin_client: Client) -> None:
    task = make_task()
    text = admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "0"}, headers=SCRIPT).content.decode()
    assert f'id="st-row-{task.pk}"' in text
    assert 'aria-checked="false"' in text
    assert 'role="status"' in text
    assert "purge is disabled" in text


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "", "\\\\evil"]
)
def test_forms_lead_back_to_this_site_only(admin_client: Client, target: str) -> None:
    task = make_task()
    response = admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "0", "next": target})
    assert response["Location"] == LIST


def test_run_now_on_a_paused_task(admin_client: Client, sent: list[TaskRun]) -> None:
    task = make_task(enabled=False)
    key = str(uuid.uuid4())
    response = admin_client.post(f"{LIST}{task.pk}/runs/", {"run": key})
    run = TaskRun.objects.get()
    assert (run.status, run.trigger, run.actor) == (Status.QUEUED, "manual", "admin")
    assert run.celery_id != key
    assert [each.pk for each in sent] == [run.pk]
    assert "purge is queued." in said(response)
    assert f"/admin/scheduled_tasks/taskrun/{run.pk}/change/" in said(response)
    assert log() == ["Run now."]


def test_a_form_sent_twice_is_one_run(admin_client: Client, sent: list[TaskRun]) -> None:
    task = make_task()
    key = str(uuid.uuid4())
    for _time in range(2):
        assert admin_client.post(f"{LIST}{task.pk}/runs/", {"run": key}).status_code == 303
    assert TaskRun.objects.count() == 1
    assert len(sent) == 1


@pytest.mark.parametrize("key", ["", "x", "../../etc", "a" * 500, "\x00"])
def test_odd_run_ids_are_replaced(admin_client: Client, sent: list[TaskRun], key: str) -> None:
    task = make_task()
    admin_client.post(f"{LIST}{task.pk}/runs/", {"run": key})
    assert uuid.UUID(TaskRun.objects.get().celery_id or "")


def test_script_sees_the_run_queued_at_once(admin_client: Client, sent: list[TaskRun]) -> None:
    task = make_task()
    text = admin_client.post(f"{LIST}{task.pk}/runs/", headers=SCRIPT).content.decode()
    assert "Queued" in text
    assert " data-open" in text
    assert "View run" in text


def test_overlap_is_refused_with_a_link_to_the_open_run(admin_client: Client, sent: list[TaskRun]) -> None:
    task = make_task()
    run = make_run(task, Status.RUNNING)
    text = admin_client.post(f"{LIST}{task.pk}/runs/", headers=SCRIPT).content.decode()
    assert 'role="alert"' in text
    assert "runs may not overlap" in text
    assert f"/taskrun/{run.pk}/change/" in text
    assert not sent


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("way", ["plain", "script"])
def test_broker_down_is_an_answer_and_a_row(
    admin_client: Client, broker_down: None, settings: Any, way: str, atomic: bool
) -> None:
    task = make_task()
    settings.DATABASES["default"]["ATOMIC_REQUESTS"] = atomic
    try:
        response = admin_client.post(f"{LIST}{task.pk}/runs/", headers=SCRIPT if way == "script" else {})
    finally:
        settings.DATABASES["default"]["ATOMIC_REQUESTS"] = False
    assert response.status_code == (409 if way == "script" else 303)
    text = response.content.decode() if way == "script" else said(response)
    assert "The broker could not be reached" in text
    run = TaskRun.objects.get()
    assert run.status == Status.MISSED
    assert "broker could not be reached" in run.reason_text


def test_unknown_task_is_an_answer_and_a_row(admin_client: Client) -> None:
    task = make_task(task="nobody.knows")
    make_process(task_names=["something.else"])
    response = admin_client.post(f"{LIST}{task.pk}/runs/")
    assert "No running worker knows the task" in said(response)
    assert TaskRun.objects.get().status == Status.FAILED


def test_arguments_that_are_not_json_are_refused(admin_client: Client, sent: list[TaskRun]) -> None:
    task = make_task()
    type(task).objects.filter(pk=task.pk).update(kwargs="{broken")
    assert "not valid JSON" in said(admin_client.post(f"{LIST}{task.pk}/runs/"))
    assert not sent


def save(client: Client, task: Any, cron: str, *, way: str = "plain", **values: str) -> Any:
    data = {"cron": cron, "zone": "Europe/Paris", "next": LIST, **values}
    return client.post(f"{LIST}{task.pk}/schedule/", data, headers=SCRIPT if way == "script" else {})


def test_schedule_is_saved_and_logged_old_and_new(admin_client: Client) -> None:
    task = make_task(zone="Europe/Paris")
    response = save(admin_client, task, " 0  4 * * SUN ")
    assert (response.status_code, response["Location"]) == (303, LIST)
    assert said(response) == "purge: Sundays at 4 AM."
    task.refresh_from_db()
    assert (task.crontab.hour, task.crontab.day_of_week) == ("4", "0")
    assert log() == ["Schedule: 0 3 * * * (Europe/Paris) → 0 4 * * 0 (Europe/Paris)."]


def test_saved_schedule_closes_the_editor_and_shows_the_label(admin_client: Client) -> None:
    task = make_task()
    text = save(admin_client, task, "*/15 * * * *", way="script").content.decode()
    assert f'id="st-edit-{task.pk}" data-st-put="remove"' in text
    assert "Every 15 minutes" in text


@pytest.mark.parametrize(
    ("cron", "sentence"),
    [
        ("", "Enter a cron expression."),
        ("0 24 * * *", "24 is out of range (0-23)."),
        ("* * * *", "A cron expression has 5 fields"),
        ("0 0 31 2 *", "This never runs"),
        ("<script>alert(1)</script>", "5 fields"),
        ("0 3 * * *\x00\x07", ""),
        ("0 3 * * * " + "x" * 5000, ""),
        ("٣ * * * *", "plain ASCII"),
    ],
)
@pytest.mark.parametrize("way", ["plain", "script"])
def test_wrong_schedule_is_refused_and_kept_as_typed(
    admin_client: Client, cron: str, sentence: str, way: str
) -> None:
    task = make_task()
    response = save(admin_client, task, cron, way=way)
    text = response.content.decode()
    assert response.status_code == 422
    assert sentence in text
    assert 'role="alert"' in text
    assert "not saved" in text
    assert "<script>alert" not in text
    task.refresh_from_db()
    assert task.crontab.hour == "3"
    assert log() == []
    if way == "plain" and len(cron) < 100 and cron.isprintable():
        assert f'name="cron" value="{cron.replace("<", "&lt;").replace(">", "&gt;")}"' in text


def every(number: int, period: str) -> Any:
    return make_task(cron=None, interval=IntervalSchedule.objects.create(every=number, period=period))


def save_interval(
    client: Client, task: Any, number: str, unit: str, *, way: str = "plain", **more: str
) -> Any:
    data = {"every": number, "unit": unit, "next": LIST, **more}
    return client.post(f"{LIST}{task.pk}/schedule/", data, headers=SCRIPT if way == "script" else {})


def test_interval_is_saved_and_logged_old_and_new(admin_client: Client) -> None:
    task = every(300, "seconds")
    response = save_interval(admin_client, task, "90", "minutes")
    assert (response.status_code, response["Location"]) == (303, LIST)
    assert said(response) == "purge: Every 90 minutes."
    assert log() == ["Schedule: every 300 seconds → every 90 minutes."]


@pytest.mark.parametrize("way", ["plain", "script"])
@pytest.mark.parametrize(
    ("number", "unit", "sentence"),
    [
        ("", "hours", "Enter a whole number from 1 to 87600."),
        ("<b>", "minutes", "Enter a whole number from 1 to 5256000."),
        ("0", "days", "Enter a whole number from 1 to 3650."),
        ("1", "weeks", "Choose seconds, minutes, hours or days."),
    ],
)
def test_wrong_interval_is_refused_and_kept_as_typed(
    admin_client: Client, number: str, unit: str, sentence: str, way: str
) -> None:
    task = every(5, "minutes")
    response = save_interval(admin_client, task, number, unit, way=way)
    text = response.content.decode()
    assert response.status_code == 422
    assert sentence in text
    assert "It still runs as before: Every 5 minutes." in text
    assert "<b>" not in text.replace("<b>1</b>", "")
    assert log() == []
    if way == "plain":
        assert f'name="every" value="{number.replace("<", "&lt;").replace(">", "&gt;")}"' in text


@pytest.mark.parametrize("way", ["plain", "script"])
def test_conflict_over_an_interval_offers_both(admin_client: Client, way: str) -> None:
    task = every(5, "minutes")
    seen = operations.schedule_token(task)
    save_interval(admin_client, task, "1", "hours")
    response = save_interval(admin_client, task, "2", "days", way=way, seen=seen)
    text = response.content.decode()
    assert response.status_code == 409
    assert "admin changed the schedule of purge meanwhile: it is now every hour." in text
    assert "Save mine" in text


def test_preview_of_an_interval(admin_client: Client) -> None:
    task = every(5, "minutes")
    url = f"{LIST}{task.pk}/schedule/preview/"
    text = admin_client.get(url, {"every": "7", "unit": "days"}, headers=SCRIPT).content.decode()
    assert "<h3>Every 7 days</h3>" in text
    assert text.count("<li>") == 5
    assert "in 7 days" in text
    text = admin_client.get(url, {"every": "x", "unit": "days"}, headers=SCRIPT).content.decode()
    assert "Enter a whole number" in text
    assert "Current schedule: Every 5 minutes" in text


def test_the_editor_shows_an_interval_in_its_longest_unit(admin_client: Client) -> None:
    task = every(7200, "seconds")
    text = admin_client.get(f"{LIST}{task.pk}/schedule/").content.decode()
    assert 'name="every" value="2"' in text
    assert '<option value="hours" selected>' in text
    assert "microseconds" not in text


def test_an_interval_in_microseconds_can_be_kept(admin_client: Client) -> None:
    task = every(1_500_000, "microseconds")
    text = admin_client.get(f"{LIST}{task.pk}/schedule/").content.decode()
    assert '<option value="microseconds" selected>' in text
    response = save_interval(admin_client, task, "2500000", "microseconds")
    assert said(response) == "purge: Every 2500000 microseconds."


def test_an_interval_shorter_than_a_second_is_refused(admin_client: Client) -> None:
    task = every(5, "minutes")
    response = save_interval(admin_client, task, "1", "microseconds")
    assert response.status_code == 422
    assert "The shortest interval is one second." in response.content.decode()
    task.refresh_from_db()
    assert task.interval.every == 5


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "/etc", "<b>", "x" * 1000])
def test_unknown_zone_is_refused(admin_client: Client, zone: str) -> None:
    task = make_task()
    response = save(admin_client, task, "0 4 * * *", zone=zone)
    assert response.status_code == 422
    assert "<b>" not in response.content.decode().replace("<b>1</b>", "")
    task.refresh_from_db()
    assert task.crontab.hour == "3"


@pytest.mark.parametrize("way", ["plain", "script"])
def test_conflict_offers_both(admin_client: Client, way: str) -> None:
    task, other = make_task(), make_task("other", cron="0 9 * * 1")
    seen = operations.schedule_token(task)
    task.crontab = other.crontab
    task.save()
    response = save(admin_client, task, "0 5 * * *", way=way, seen=seen)
    text = response.content.decode()
    assert response.status_code == 409
    assert "Keep theirs" in text
    assert "Save mine" in text
    assert "0 9 * * 1" in text
    task.refresh_from_db()
    seen = operations.schedule_token(task)
    response = save(admin_client, task, "0 5 * * *", way=way, seen=seen)
    assert response.status_code in (200, 303)
    task.refresh_from_db()
    assert task.crontab.hour == "5"


def test_conflict_says_who_and_what(admin_client: Client, django_user_model: Any) -> None:
    task = make_task()
    seen = operations.schedule_token(task)
    bruno = Client()
    bruno.force_login(django_user_model.objects.create_superuser("bruno"))
    save(bruno, task, "0 9 * * 1")
    text = save(admin_client, task, "0 5 * * *", seen=seen).content.decode()
    assert "bruno changed the schedule of purge meanwhile: it is now 0 9 * * 1 (Europe/Paris)." in text


def test_preview_says_label_runs_and_notices(admin_client: Client) -> None:
    task = make_task()
    url = f"{LIST}{task.pk}/schedule/preview/"
    text = admin_client.get(
        url, {"cron": "0 2 1 * MON", "zone": "Europe/Paris"}, headers=SCRIPT
    ).content.decode()
    assert text.count("<li>") == 5
    assert "02:00 CE" in text
    assert "match both the date and the weekday" in text
    text = admin_client.get(url, {"cron": "0 24 * * *", "zone": "UTC"}, headers=SCRIPT).content.decode()
    assert "24 is out of range" in text
    assert "Current schedule: Daily at 3 AM" in text


def test_preview_shows_no_run_before_the_tasks_start_time(admin_client: Client) -> None:
    task = make_task(start_time=datetime(2090, 1, 1, tzinfo=UTC))
    query = {"cron": "0 5 * * *", "zone": "UTC"}
    text = admin_client.get(f"{LIST}{task.pk}/schedule/preview/", query, headers=SCRIPT).content.decode()
    assert re.findall(r'datetime="(2\d{3})', text) == ["2090"] * 5


@pytest.mark.parametrize(
    "values", [{}, {"cron": "x" * 100_000}, {"cron": "* * * * *", "zone": "no"}, {"cron": "<b>"}]
)
def test_preview_never_fails(admin_client: Client, values: dict[str, str]) -> None:
    task = make_task()
    response = admin_client.get(f"{LIST}{task.pk}/schedule/preview/", values, headers=SCRIPT)
    assert response.status_code == 200
    assert "<b>" not in response.content.decode()


def test_editor_page_takes_a_preset_from_the_address(admin_client: Client) -> None:
    task = make_task()
    text = admin_client.get(f"{LIST}{task.pk}/schedule/?cron=*/15+*+*+*+*").content.decode()
    assert 'value="*/15 * * * *"' in text
    assert "Every 15 minutes" in text


@pytest.mark.parametrize("path", ["enabled/", "runs/", "schedule/"])
def test_changing_a_task_that_is_gone(admin_client: Client, path: str) -> None:
    response = admin_client.post(f"{LIST}999999/{path}", {"cron": "* * * * *", "zone": "UTC", "enabled": "0"})
    assert response.status_code in (303, 404)
    text = admin_client.post(f"{LIST}999999/enabled/", {"enabled": "0"}, headers=SCRIPT).content.decode()
    assert "no longer exists" in text
    assert 'data-st-put="remove"' in text


RUN_SELECTED = {"action": "run_selected", "confirmed": "1", "index": "0"}


@pytest.mark.parametrize("way", [{}, SCRIPT])
def test_run_now_of_several_tasks_asks_first(
    admin_client: Client, sent: list[TaskRun], way: dict[str, str]
) -> None:
    tasks = [make_task(name) for name in ("a", "b", "<b>")]
    values = {"action": "run_selected", "_selected_action": [task.pk for task in tasks], "index": "0"}
    response = admin_client.post(f"{LIST}?q=%3Cb", values, headers=way)
    assert "Run 1 task now?" in response.content.decode()  # the search leaves one
    text = admin_client.post(f"{LIST}?o=-1", values, headers=way).content.decode()
    assert ("<html" in text) is not way
    assert "Run 3 tasks now?" in text
    assert "&lt;b&gt;" in text
    assert not TaskRun.objects.exists()
    form = re.search(r'<form class="st-form".*?</form>', text, re.DOTALL)[0]
    assert f'action="{LIST}"' in form
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)
    response = admin_client.post(
        LIST, {name: [v for n, v in fields if n == name] for name, _ in fields}, headers=way
    )
    assert sorted(run.name for run in sent) == ["<b>", "a", "b"]
    assert "3 tasks are queued." in (response.content.decode() if way else said(response))
    assert way or response["Location"] == f"{LIST}?o=-1"


def test_too_many_tasks_are_not_asked_about(admin_client: Client) -> None:
    values = {"action": "run_selected", "_selected_action": "1", "select_across": "1", "index": "0"}
    for n in range(201):
        make_task(f"task {n}")
    assert "select at most 200 tasks" in said(admin_client.post(LIST, values))


def test_bulk_actions_go_on_after_a_refusal(admin_client: Client, sent: list[TaskRun]) -> None:
    blocked, free = make_task("blocked"), make_task("free")
    make_run(blocked, Status.RUNNING)
    values = {**RUN_SELECTED, "_selected_action": [blocked.pk, free.pk]}
    response = admin_client.post(LIST, values)
    assert response.status_code == 303
    assert "blocked was not started" in said(response)
    assert "1 task is queued." in said(response)
    assert [run.name for run in sent] == ["free"]
    values["action"] = "disable_selected"
    admin_client.post(LIST, values)
    assert not type(free).objects.filter(enabled=True).exists()
    assert log().count("Disabled.") == 2


def test_the_script_gets_the_rows_and_the_messages_of_a_bulk_action(admin_client: Client) -> None:
    tasks = [make_task(name) for name in "ab"]
    other = make_task("c")
    values = {"action": "disable_selected", "_selected_action": [task.pk for task in tasks], "index": "0"}
    response = admin_client.post(LIST, values, headers=SCRIPT)
    text = response.content.decode()
    assert response.status_code == 200
    assert "<html" not in text
    assert "2 tasks are disabled." in text
    assert [f'id="st-row-{task.pk}"' in text for task in (*tasks, other)] == [True, True, False]
    assert text.count('aria-checked="false"') == 2
    nothing = admin_client.post(LIST, {"action": "disable_selected", "index": "0"}, headers=SCRIPT)
    assert "st-toast-error" in nothing.content.decode()
    assert get_messages(admin_client.get(LIST).wsgi_request)._loaded_data == []


def test_many_refusals_are_counted(admin_client: Client, sent: list[TaskRun]) -> None:
    tasks = [make_task(f"task {n}") for n in range(6)]
    for task in tasks:
        make_run(task, Status.RUNNING)
    values = {**RUN_SELECTED, "_selected_action": [task.pk for task in tasks]}
    text = admin_client.post(LIST, values, headers=SCRIPT).content.decode()
    assert text.count("was not started") == 3
    assert "3 more were refused." in text


def test_an_unreachable_broker_is_waited_for_once(admin_client: Client, broker_down: None) -> None:
    tasks = [make_task(f"task {n}") for n in range(4)]
    make_run(tasks[0], Status.RUNNING)
    values = {**RUN_SELECTED, "_selected_action": [task.pk for task in tasks]}
    text = admin_client.post(LIST, values, headers=SCRIPT).content.decode()
    assert "task 0 was not started" in text
    assert "3 were not queued. The broker could not be reached" in text
    assert text.count("st-toast-error") == 2
    assert list(TaskRun.objects.filter(status=Status.MISSED).values_list("name", flat=True)) == ["task 1"]


def test_skip_next_and_back(admin_client: Client) -> None:
    task = make_task()
    response = admin_client.post(f"{LIST}{task.pk}/skip/", {"skip": "1"})
    assert said(response) == "purge skips its next run."
    assert "will be skipped" in admin_client.get(LIST).content.decode()
    admin_client.post(f"{LIST}{task.pk}/skip/", {"skip": "0"})
    assert "will be skipped" not in admin_client.get(LIST).content.decode()


def test_the_note_of_a_disabled_task_is_edited(admin_client: Client) -> None:
    task = make_task(enabled=False)
    admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "0", "note": "legal"})
    text = admin_client.get(f"{LIST}{task.pk}/pause/").content.decode()
    assert "Note of purge" in text
    assert 'value="legal"' in text
    response = admin_client.post(
        f"{LIST}{task.pk}/enabled/", {"enabled": "0", "note": "in May"}, headers=SCRIPT
    )
    assert ">in May</span>" in response.content.decode()
    assert log() == ["Note: – → legal.", "Note: legal → in May."]


def test_disable_with_a_note(admin_client: Client) -> None:
    task = make_task()
    assert "Why is it disabled?" in admin_client.get(f"{LIST}{task.pk}/pause/").content.decode()
    admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "0", "note": "waiting for <b>legal</b>"})
    text = admin_client.get(LIST).content.decode()
    assert "waiting for &lt;b&gt;legal" in text
    assert log() == ["Disabled: waiting for <b>legal</b>"]


def test_reset_needs_code(admin_client: Client) -> None:
    task = make_task()
    response = admin_client.post(f"{LIST}{task.pk}/default/")
    assert "No code declares purge." in said(response)


def test_run_with_arguments(admin_client: Client, sent: list[TaskRun]) -> None:
    task = make_task(kwargs='{"batch": 100}')
    form = admin_client.get(f"{LIST}{task.pk}/runs/new/").content.decode()
    assert "{&quot;batch&quot;: 100}" in form
    admin_client.post(f"{LIST}{task.pk}/runs/", {"args": "[1]", "kwargs": '{"batch": 5}'})
    run = TaskRun.objects.get()
    assert (run.args, run.kwargs) == ("[1]", '{"batch": 5}')
    task.refresh_from_db()
    assert task.kwargs == '{"batch": 100}', "the task's own arguments changed"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"args": "{}"}, "must be a JSON list"),
        ({"args": "[1"}, "must be a JSON list"),
        ({"args": "[" * 100_000}, "must be a JSON list"),
        ({"kwargs": "[]"}, "must be a JSON object"),
        ({"kwargs": "x"}, "must be a JSON object"),
    ],
)
def test_arguments_that_are_not_json_start_nothing(
    admin_client: Client, sent: list[TaskRun], values: dict[str, str], sentence: str
) -> None:
    task = make_task()
    response = admin_client.post(f"{LIST}{task.pk}/runs/", values, headers=SCRIPT)
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert not TaskRun.objects.exists()


@pytest.mark.parametrize(
    ("args", "sentence"),
    [("[1, <b>", "must be a JSON list"), ("[1, 2]", "may not overlap")],
)
def test_refused_arguments_stay_in_the_plain_form(
    admin_client: Client, sent: list[TaskRun], args: str, sentence: str
) -> None:
    task = make_task()
    if sentence == "may not overlap":
        make_run(task, Status.RUNNING)
    values = {"run": str(uuid.uuid4()), "args": args, "kwargs": '{"x": 1}'}
    response = admin_client.post(f"{LIST}{task.pk}/runs/", values)
    text = response.content.decode()
    assert response.status_code in (409, 422)
    assert sentence in text
    assert f">\n{escape(args)}</textarea>" in text
    assert ">\n{&quot;x&quot;: 1}</textarea>" in text
    assert values["run"] not in text, "the next run has its own key"
    assert f'href="{LIST}{task.pk}/runs/new/" role="button" data-st-close' in text
    assert sent == []


def test_retry_is_a_new_run(admin_client: Client, sent: list[TaskRun]) -> None:
    old = make_run(make_task(), Status.FAILED)
    key = str(uuid.uuid4())
    response = admin_client.post(f"/admin/scheduled_tasks/taskrun/{old.pk}/retry/", {"run": key})
    assert "purge is queued again." in said(response)
    run = TaskRun.objects.latest("pk")
    assert (run.retry_of_id, run.trigger, run.actor) == (old.pk, "retry", "admin")
    assert log() == [f"Retry of run {old.pk}."]


def test_cancel_of_an_ended_run_is_refused(admin_client: Client) -> None:
    run = make_run(make_task())
    response = admin_client.post(f"/admin/scheduled_tasks/taskrun/{run.pk}/cancel/", headers=SCRIPT)
    assert response.status_code == 409
    assert "already ended" in response.content.decode()


def test_cancel_with_the_broker_down_is_an_answer(admin_client: Client, broker_down: None) -> None:
    run = make_run(make_task(), Status.QUEUED)
    response = admin_client.post(f"/admin/scheduled_tasks/taskrun/{run.pk}/cancel/", headers=SCRIPT)
    assert "broker could not be reached" in response.content.decode()


@pytest.mark.parametrize(
    ("language", "ours", "django"),
    [
        (
            "en",
            ["Enabled.", "Retry of run 7.", "Schedule: a → b.", "Written by hand."],
            ["Changed enabled.", "Added task run “#9”.", "Changed schedule.", "Written by hand."],
        ),
        (
            "de",
            ["Aktiviert.", "Wiederholung von Lauf 7.", "Zeitplan: a → b.", "Written by hand."],
            ["Aktiviert geändert.", "Lauf „#9“ hinzugefügt.", "Zeitplan geändert.", "Written by hand."],
        ),
    ],
)
def test_history_is_read_in_the_readers_language(
    admin_client: Client,
    rf: RequestFactory,
    admin_user: Any,
    language: str,
    ours: list[str],
    django: list[str],
) -> None:
    task = make_task()
    model_admin = ModelAdmin(ScheduledTask, site)
    request = rf.get("/")
    request.user = admin_user
    rescheduled = audit.changed(Event.RESCHEDULED, ["schedule"], before="a", after="b")
    for entry in (
        audit.changed(Event.ENABLED, ["enabled"]),
        audit.started(Event.RETRIED, 9, id=7),
        rescheduled,
    ):
        model_admin.log_change(request, task, entry.change_message)
    model_admin.log_change(request, task, "Written by hand.")
    with override(language):
        page = admin_client.get(f"{LIST}{task.pk}/history/", headers={"Accept-Language": language})
        assert [entry.get_change_message() for entry in page.context_data["action_list"]] == ours
        texts = model_admin.history_view(request, str(task.pk)).rendered_content
    assert [text for text in django if text not in texts] == []
    assert "params" not in " ".join(re.findall(r"<td>(.*?)</td>", texts))


def test_one_form_starts_one_task(admin_client: Client, sent: list[TaskRun]) -> None:
    first, second = make_task("first"), make_task("second")
    admin_client.post(f"{LIST}{first.pk}/runs/", {"run": "a form"})
    response = admin_client.post(f"{LIST}{second.pk}/runs/", {"run": "a form"}, headers={"ST-Request": "1"})
    assert response.status_code == 409
    assert "This form belongs to another task. Reload the page." in response.content.decode()
    assert TaskRun.objects.get().task_id == first.pk


def test_a_retry_that_sends_odd_arguments_has_an_id(admin_client: Client, sent: list[TaskRun]) -> None:
    old = make_run(make_task(), Status.FAILED)
    admin_client.post(f"/admin/scheduled_tasks/taskrun/{old.pk}/retry/", {"run": "a form", "args": "{"})
    assert TaskRun.objects.latest("pk").celery_id
