"""Add scheduled task: what is saved, refused and kept, and the copy of a task."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from scheduled_tasks.masking import MASK
from scheduled_tasks.models import Overlap, Process, ScheduledTask, TaskState
from tests.factories import make_process, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
ADD = f"{LIST}add/"
FORM = {"task": "tests.add", "name": "nightly", "cron": "0 4 * * *", "zone": "Europe/Paris", "enabled": "1"}
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "name in use": ({"name": "purge"}, "The name “purge” is in use. Choose another one."),
    "no task": ({"task": ""}, "Choose the Celery task that it runs."),
    "unknown task": ({"task": "tests.none"}, "No running worker knows “tests.none”."),
    "args": ({"args": '{"a": 1}'}, "Arguments must be a JSON list, such as [1, 2]."),
    "kwargs": ({"kwargs": "[1]"}, "Keyword arguments must be a JSON object"),
    "deep": ({"args": "[" * 200 + "]" * 200}, "Arguments must be a JSON list, such as [1, 2]."),
    "masked": ({"args": json.dumps([MASK])}, "Type the value that is masked here."),
    "cron": ({"cron": "0 4 * *"}, "A cron expression has 5 fields"),
    "never": ({"cron": "0 0 30 2 *"}, "never"),
    "zone": ({"zone": "Nowhere"}, "“Nowhere” is not a known time zone."),
    "expires": ({"expires": "soon"}, "Enter a whole number, 1 or more."),
    "overlap": ({"overlap": "maybe"}, "Select a valid choice."),
    "name too long": ({"name": "x" * 201}, "at most 200 characters"),
    "queue with NUL": ({"queue": "a\x00b"}, "Null characters are not allowed."),
}


@pytest.fixture(autouse=True)
def worker(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {}
    make_process(task_names=["celery.chord", "tests.add", "tests.send_mail"])


def stored(name: str = "nightly") -> Any:
    return ScheduledTask.objects.with_schedules().get(name=name)


def errors(page: str) -> int:
    """How many fields say that they are wrong."""
    return len(re.findall('class="st-error"(?! id="st-error-(new|name)" hidden)', page))


def staff(*codenames: str) -> Client:
    user = User.objects.create_user("anna", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def test_the_list_offers_it_to_those_who_may(client: Client, admin_client: Client) -> None:
    link = f'href="{ADD}"'
    assert link in admin_client.get(LIST).content.decode()  # where there are no tasks yet, too
    make_task()
    assert link in admin_client.get(LIST).content.decode()
    assert link not in staff("view_scheduledtask", "change_scheduledtask").get(LIST).content.decode()


def test_saved_it_is_a_task_of_django_celery_beat(admin_client: Client) -> None:
    typed = {
        "description": "Adds up",
        "args": "[1, 2]",
        "kwargs": '{"a": "ü"}',
        "queue": "slow",
        "expires": "90",
        "overlap": "allow",
        "misfire": "ignore",
    }
    answer = admin_client.post(ADD, {**FORM, **typed})
    task = stored()
    assert (answer.status_code, answer["Location"]) == (303, f"{LIST}#task={task.pk}")
    assert (task.task, task.enabled, task.description) == ("tests.add", True, "Adds up")
    assert (json.loads(task.args), json.loads(task.kwargs)) == ([1, 2], {"a": "ü"})
    assert (task.queue, task.expire_seconds) == ("slow", 90)
    assert (task.crontab.hour, str(task.crontab.timezone)) == ("4", "Europe/Paris")
    assert (task.state.overlap, task.state.misfire, task.state.runs_as_before) == ("allow", "ignore", False)
    page = admin_client.get(LIST).content.decode()
    assert "nightly was added: Daily at 4 AM." in page
    logged = LogEntry.objects.get()
    assert f'formaction="{LIST}restore/" name="entry" value="{logged.pk}">Undo' in page
    assert (logged.action_flag, logged.user.username) == (ADDITION, "admin")
    assert logged.get_change_message() == "Added."
    assert "Added." in admin_client.get(f"{LIST}{task.pk}/history/").content.decode()
    admin_client.post(f"{LIST}restore/", {"entry": logged.pk})
    assert "nightly was deleted." in admin_client.get(LIST).content.decode()
    assert not ScheduledTask.objects.filter(name="nightly").exists()


def test_what_is_left_empty_is_left_to_the_project(admin_client: Client) -> None:
    admin_client.post(ADD, {**FORM, "name": "", "task": "tests.send_mail"})
    task = stored("send-mail")
    assert (task.args, task.kwargs, task.queue, task.expire_seconds) == ("[]", "{}", None, None)
    assert (task.state.overlap, task.state.misfire) == ("", "")


def test_interval_and_words(admin_client: Client) -> None:
    admin_client.post(ADD, {"task": "tests.add", "every": "15", "unit": "minutes"})
    assert stored("add").interval.every == 15
    words = {**FORM, "cron": "weekdays at 9:30"}
    answer = admin_client.post(ADD, words)
    assert answer.status_code == 422
    assert "This will be stored as 30 9 * * 1-5: save again to confirm." in answer.content.decode()
    assert 'name="shown" value="30 9 * * 1-5"' in answer.content.decode()
    admin_client.post(ADD, {**words, "shown": "30 9 * * 1-5"})
    assert stored().crontab.day_of_week == "1-5"


def test_not_enabled_it_is_paused_by_who_made_it(admin_client: Client) -> None:
    answer = admin_client.post(ADD, {**FORM, "enabled": ""}, follow=True).content.decode()
    assert "It is disabled." in answer
    assert "Paused by admin" in answer
    assert not stored().enabled


@pytest.mark.parametrize("case", REFUSED)
def test_refused_at_its_field_with_all_that_was_typed(admin_client: Client, case: str) -> None:
    make_task()
    typed, sentence = REFUSED[case]
    answer = admin_client.post(ADD, {**FORM, "description": "my words", **typed})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert sentence in page.replace("&quot;", '"')
    assert errors(page) == 1
    assert 'aria-invalid="true"' in page
    assert 'value="my words"' in page
    assert ScheduledTask.objects.count() == 1
    assert not LogEntry.objects.exists()


def test_each_field_says_what_is_wrong_with_it(admin_client: Client) -> None:
    page = admin_client.post(ADD, {"task": "", "args": "x", "cron": "x", "expires": "x"}).content.decode()
    assert page.count('aria-invalid="true"') == 4


def test_the_list_of_tasks_is_that_of_the_workers(admin_client: Client) -> None:
    page = admin_client.get(ADD).content.decode()
    assert '<option value="tests.send_mail">' in page
    assert '<option value="celery.chord">' not in page
    assert "Daily at 3 AM" in page


def test_without_a_worker_any_dotted_name_is_taken_and_told(admin_client: Client) -> None:
    Process.objects.all().delete()
    page = admin_client.get(ADD).content.decode()
    assert "No worker is running that could tell which tasks there are" in page
    assert admin_client.post(ADD, {**FORM, "task": "no name"}).status_code == 422
    answer = admin_client.post(ADD, {**FORM, "task": "app.tasks.later"}, follow=True)
    assert "No worker is running that could say whether it knows app.tasks.later." in answer.content.decode()
    assert stored().task == "app.tasks.later"


def test_another_kind_of_schedule_keeps_what_was_typed(admin_client: Client) -> None:
    typed = {**FORM, "task": "", "description": "my words"}
    page = admin_client.post(ADD, {**typed, "fill": "kind=interval"}).content.decode()
    assert 'name="every"' in page
    assert '<input type="hidden" name="cron" value="0 4 * * *">' in page
    assert 'value="my words"' in page
    assert 'aria-invalid="true"' not in page
    page = admin_client.post(ADD, {**typed, "fill": "cron=0+*+*+*+*"}).content.decode()
    assert 'value="0 * * * *"' in page
    assert "<option selected>Europe/Paris</option>" in page
    assert not ScheduledTask.objects.exists()


def test_preview(admin_client: Client) -> None:
    page = admin_client.get(f"{ADD}preview/", {"cron": "0 5 * * *", "zone": "UTC"}).content.decode()
    assert "Daily at 5 AM" in page
    page = admin_client.get(f"{ADD}preview/", {"cron": "x", "zone": "UTC"}).content.decode()
    assert "Current schedule" not in page
    assert 'id="st-error-new"' in page


def test_copy_of_a_task(admin_client: Client) -> None:
    source = make_task(
        "nightly",
        "0 5 * * *",
        "Asia/Tokyo",
        args="[1]",
        kwargs='{"token": "s3cr3t-t0k3n"}',
        priority=7,
        queue="q",
    )
    TaskState.objects.create(task_id=source.pk, overlap=Overlap.ALLOW, owner="billing")
    page = admin_client.get(ADD, {"source": source.pk}).content.decode()
    for shown in ('value="nightly (copy)"', 'value="0 5 * * *"', "Asia/Tokyo</option>", 'value="q"'):
        assert shown in page
    assert "s3cr3t" not in page
    assert 'name="enabled" value="1" checked' not in " ".join(page.split())
    assert 'value="7"' in page
    assert 'value="billing"' in page
    typed = {
        **FORM,
        "name": "nightly (copy)",
        "priority": "7",
        "owner": "billing",
        "args": "[1]",
        "kwargs": json.dumps({"token": MASK}),
        "enabled": "",
    }
    assert admin_client.post(f"{ADD}?source={source.pk}", typed).status_code == 303
    copy = stored("nightly (copy)")
    assert json.loads(copy.kwargs) == {"token": "s3cr3t-t0k3n"}
    assert (copy.priority, copy.state.owner, copy.enabled) == (7, "billing", False)
    assert stored("nightly").crontab.hour == "5"


def test_secrets_of_a_copy_go_to_no_other_celery_task(admin_client: Client) -> None:
    source = make_task(kwargs='{"token": "s3cr3t-t0k3n"}', headers='{"x": "y"}', priority=7)
    typed = {**FORM, "task": "tests.send_mail", "kwargs": json.dumps({"token": MASK})}
    answer = admin_client.post(f"{ADD}?source={source.pk}", typed)
    assert "Type the value that is masked here." in answer.content.decode()
    admin_client.post(f"{ADD}?source={source.pk}", {**typed, "kwargs": "{}"})
    assert (stored().headers, stored().priority) == ("{}", None)


@pytest.mark.parametrize(
    "typed", [{"args": json.dumps(["x", MASK])}, {"kwargs": json.dumps({"name": "x", "value": MASK})}]
)
def test_a_copy_shows_no_secret_whose_mask_was_moved(admin_client: Client, typed: dict[str, str]) -> None:
    own = {"args": '["--password", "hunter2hunter2"]', "kwargs": '{"name": "password", "value": "hunter2"}'}
    source = make_task(task="tests.add", **own)
    answer = admin_client.post(f"{ADD}?source={source.pk}", {**FORM, **typed}).content.decode()
    assert ("Type the value that is masked here." in answer, "hunter2" in answer) == (True, False)
    assert ScheduledTask.objects.count() == 1


def test_copy_of_a_task_that_may_not_be_seen_or_is_gone(admin_client: Client) -> None:
    for key in ("0", "x", "9" * 30):
        assert admin_client.get(ADD, {"source": key}).status_code == 404


def test_row_and_drawer_offer_a_copy(admin_client: Client) -> None:
    task = make_task()
    assert f'href="add/?source={task.pk}"' in admin_client.get(LIST).content.decode()
    assert f'href="{ADD}?source={task.pk}"' in admin_client.get(f"{LIST}{task.pk}/change/").content.decode()


def test_a_name_in_use_is_told_while_it_is_typed(admin_client: Client) -> None:
    make_task("purge")
    for name, is_told in (("purge", True), ("purge2", False)):
        typed = {"cron": "0 5 * * *", "zone": "UTC", "name": name}
        page = admin_client.get(f"{ADD}preview/", typed).content.decode()
        assert ("The name “purge” is in use." in page) is is_told
        assert ('id="st-error-name" hidden' in page) is not is_told


def test_owner_tags_priority_start_and_end(admin_client: Client, settings: Any) -> None:
    settings.TIME_ZONE = "UTC"
    times = {"starts": "2126-12-01T06:00", "ends": "2126-11-01T06:00"}
    typed = {**FORM, "owner": "billing", "tags": "a, b", "priority": "0", **times}
    answer = admin_client.post(ADD, typed)
    assert answer.status_code == 422
    assert "The end must be after the start." in answer.content.decode()
    assert "data-st-unsaved" in answer.content.decode()
    assert admin_client.post(ADD, {**typed, "ends": "2127-01-01T06:00"}).status_code == 303
    task = stored()
    assert (task.state.owner, task.state.tags, task.priority) == ("billing", "a,b", 0)
    assert (task.start_time.month, task.expires.year) == (12, 2127)


def test_what_is_not_schedulable_is_not_offered_and_refused(admin_client: Client) -> None:
    Process.objects.update(task_options={"tests.send_mail": {"schedulable": False}})
    page = admin_client.get(ADD).content.decode()
    assert '<option value="tests.add">' in page
    assert '<option value="tests.send_mail">' not in page
    answer = admin_client.post(ADD, {**FORM, "task": "tests.send_mail"})
    assert "says that it is not to be scheduled." in answer.content.decode()
    assert not ScheduledTask.objects.exists()


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"kind": "once", "at": "2126-05-01T06:00", "words": "", "ends": "2126-04-01T06:00"}, "ends"),
        ({"kind": "once", "at": "2126-05-01T06:00", "words": "", "starts": "2126-06-01T06:00"}, "starts"),
        ({"cron": "0 0 29 2 *", "starts": "2125-03-01T06:00", "ends": "2125-04-01T06:00"}, "ends"),
    ],
)
def test_a_schedule_without_a_time_between_start_and_end_is_refused(
    admin_client: Client, typed: dict[str, str], field: str
) -> None:
    answer = admin_client.post(ADD, {**FORM, **typed})
    assert answer.status_code == 422
    assert "The schedule has no time between the start and the end." in answer.content.decode()
    assert f'id="st-error-{field}"' in answer.content.decode()
    assert not ScheduledTask.objects.exists()


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "x" * 10_000])
def test_preview_of_a_name_that_no_database_keeps(admin_client: Client, name: str) -> None:
    typed = {"cron": "0 5 * * *", "zone": "UTC", "name": name.encode("utf-8", "surrogatepass")}
    assert "Daily at 5 AM" in admin_client.get(f"{ADD}preview/", typed).content.decode()
