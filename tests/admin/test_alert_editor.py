"""A task's alerts in the drawer: shown, edited, refused, met by another edit, reset."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils.translation import override

from scheduled_tasks.models import CodeDefault, ScheduledTask, Source, TaskState
from scheduled_tasks.operations import AuditEntry, policy_token
from tests.admin.test_changes import said
from tests.factories import make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
SCRIPT = {"ST-Request": "1"}
EMPTY: dict[str, Any] = {
    "alert_after": "",
    "recover_after": "",
    "max_runtime": "",
    "unit": "minutes",
    "kinds": "",
    "owner": "",
    "runbook": "",
}
FULL: dict[str, Any] = {
    "alert_after": "3",
    "recover_after": "2",
    "max_runtime": "90",
    "unit": "minutes",
    "kinds": "own",
    "alert_on": ["slow", "failing"],
    "owner": " billing ",
    "runbook": "https://wiki.example.com/purge?a=1&b=2",
}


@pytest.fixture
def task() -> Any:
    return make_task()


def declare(task: Any, **values: Any) -> None:
    """What its code says of the task."""
    unsaid = dict.fromkeys(("alert_after", "recover_after", "max_runtime", "alert_on", "owner", "runbook"))
    CodeDefault.objects.create(
        task_id=task.pk, name=task.name, source=Source.DECORATOR, declared={**unsaid, **values}
    )


def again(task: Any) -> Any:
    return ScheduledTask.objects.with_schedules().get(pk=task.pk)


def state(task: Any) -> Any:
    return again(task).state


def form(client: Client, task: Any, **headers: str) -> str:
    response = client.get(f"{LIST}{task.pk}/alerts/", headers=headers)
    assert response.status_code == 200
    return str(response.content.decode())


def save(client: Client, task: Any, values: dict[str, Any], *, way: str = "plain", seen: str = "") -> Any:
    data = {"seen": seen or policy_token(again(task)), "next": f"{LIST}{task.pk}/change/", **values}
    return client.post(f"{LIST}{task.pk}/alerts/", data, headers=SCRIPT if way == "script" else {})


def log() -> list[str]:
    return [str(AuditEntry.of(entry.change_message)) for entry in LogEntry.objects.order_by("pk")]


def field(text: str, name: str) -> str:
    """The tag of an input."""
    found = re.search(rf'<input id="st-{name}"[^>]*>', text)
    assert found
    return unescape(found[0])


def test_everything_is_saved_and_logged(admin_client: Client, task: Any) -> None:
    response = save(admin_client, task, FULL)
    assert (response.status_code, response["Location"]) == (303, f"{LIST}{task.pk}/change/")
    assert said(response) == "Alerts of purge saved."
    kept = state(task)
    assert (kept.alert_after, kept.recover_after, kept.max_runtime) == (3, 2, timedelta(minutes=90))
    assert (kept.alert_on, kept.owner) == ("failing,slow", "billing")
    assert kept.runbook == "https://wiki.example.com/purge?a=1&b=2"
    [logged] = log()
    assert logged == (
        "Alerts: alert after failures in a row: – → 3; recovered after successes in a row: – → 2; "
        "longest run time: – → 90 min; alert on: – → failing, slow; owner: – → billing; "
        "runbook: – → https://wiki.example.com/purge?a=1&b=2."
    )


def test_what_is_stored_is_in_the_form(admin_client: Client, task: Any) -> None:
    save(admin_client, task, FULL)
    for text in (form(admin_client, task), form(admin_client, task, **SCRIPT)):
        assert 'value="3"' in field(text, "alert_after")
        assert 'value="2"' in field(text, "recover_after")
        assert 'value="90"' in field(text, "max_runtime")
        assert '<option value="minutes" selected>' in text
        assert 'value="own" checked' in text
        assert re.findall(r'name="alert_on" value="(\w+)" checked', text) == ["failing", "slow"]
        assert 'value="billing"' in field(text, "owner")
        assert f'value="{FULL["runbook"]}"' in field(text, "runbook")
    assert save(admin_client, task, FULL).status_code == 303
    assert len(log()) == 1  # nothing was changed the second time


def test_empty_is_the_projects_setting_which_is_the_placeholder(
    admin_client: Client, task: Any, settings: Any
) -> None:
    settings.SCHEDULED_TASKS = {
        **settings.SCHEDULED_TASKS,
        "ALERTS": {"default": [], "billing <b>": []},
        "ALERT_AFTER": 4,
        "RECOVER_AFTER": 5,
        "MAX_RUNTIME": timedelta(hours=2),
        "ALERT_ON": ("late", "failing"),
    }
    save(admin_client, task, FULL)
    assert save(admin_client, task, EMPTY).status_code == 303
    kept = state(task)
    assert (kept.alert_after, kept.recover_after, kept.max_runtime) == (None, None, None)
    assert (kept.alert_on, kept.owner, kept.runbook) == ("", "", "")
    assert "owner: billing → –" in log()[-1]
    text = form(admin_client, task)
    assert 'value="" placeholder="4"' in field(text, "alert_after")
    assert 'value="" placeholder="5"' in field(text, "recover_after")
    assert 'value="" placeholder="2"' in field(text, "max_runtime")
    assert '<option value="hours" selected>' in text
    assert "The project's setting: failing, late" in text
    assert re.findall(r'name="alert_on" value="(\w+)" checked', text) == ["failing", "late"]
    assert '<option value="billing &lt;b&gt;">' in text
    assert 'placeholder="default"' in field(text, "owner")


def test_without_a_longest_run_time_the_placeholder_says_so(admin_client: Client, task: Any) -> None:
    assert 'placeholder="no limit"' in field(form(admin_client, task), "max_runtime")


def test_no_kinds_are_none(admin_client: Client, task: Any) -> None:
    save(admin_client, task, {**EMPTY, "kinds": "own"})
    assert state(task).alert_on == "none"
    assert log() == ["Alerts: alert on: – → none."]
    text = form(admin_client, task)
    assert 'value="own" checked' in text
    assert re.findall(r'name="alert_on" value="(\w+)" checked', text) == []


def test_kinds_count_only_when_they_are_the_tasks_own(admin_client: Client, task: Any) -> None:
    save(admin_client, task, {**EMPTY, "alert_on": ["late"]})
    assert state(task).alert_on == ""


@pytest.mark.parametrize("way", ["plain", "script"])
@pytest.mark.parametrize(
    ("name", "typed", "sentence"),
    [
        ("alert_after", "0", "Enter a whole number, 1 or more."),
        ("alert_after", "three", "Enter a whole number, 1 or more."),
        ("recover_after", "1.5", "Enter a whole number, 1 or more."),
        ("alert_after", "1_0", "Enter a whole number, 1 or more."),
        ("recover_after", "99999999999", "Enter a whole number from 1 to 2147483647."),
        ("max_runtime", "0", "Enter a whole number from 1 to 5256000."),
        ("max_runtime", "soon", "Enter a whole number from 1 to 5256000."),
        ("owner", "o" * 101, "at most 100 characters"),
        ("runbook", "javascript:alert(1)", "Enter an address that begins with http:// or https://"),
        ("runbook", "java\tscript:alert(1)", "Enter an address that begins with http:// or https://"),
        ("runbook", "https://a.example/ https://b.example/", "Enter an address that begins with http://"),
        ("runbook", "wiki.example.com", "Enter an address that begins with http:// or https://"),
        ("runbook", "https://x.example/" + "x" * 500, "of at most 500 characters."),
        ("runbook", "https://anna:hush@x.example/", "Enter an address without a user name and a password"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_kept_as_typed(
    admin_client: Client, task: Any, way: str, name: str, typed: str, sentence: str
) -> None:
    response = save(admin_client, task, {**FULL, name: typed}, way=way)
    text = response.content.decode()
    assert response.status_code == 422
    tag = field(text, name)
    assert 'aria-invalid="true"' in tag
    assert f'value="{typed}"' in tag
    assert sentence in text.partition(f'id="st-error-{name}"')[2]
    assert "Alerts of purge not saved." in text
    assert 'role="alert"' in text
    assert 'value="billing"' in field(text, "owner") or name == "owner" or " billing " in field(text, "owner")
    assert re.findall(r'name="alert_on" value="(\w+)" checked', text) == ["failing", "slow"]
    assert not TaskState.objects.filter(task_id=task.pk).exclude(owner="").exists()
    assert log() == []


@pytest.mark.parametrize("values", [{"unit": "years", "max_runtime": "1"}, {"alert_on": ["beat"]}])
def test_choices_that_the_form_does_not_have_are_refused(
    admin_client: Client, task: Any, values: dict[str, Any]
) -> None:
    assert save(admin_client, task, {**FULL, **values}).status_code == 422
    assert log() == []


def test_an_empty_post_of_anybody_leaves_all_to_the_project(admin_client: Client, task: Any) -> None:
    assert admin_client.post(f"{LIST}{task.pk}/alerts/", {}).status_code == 303
    assert log() == []


def test_script_gets_the_row_and_a_toast(admin_client: Client, task: Any) -> None:
    text = save(admin_client, task, FULL, way="script").content.decode()
    assert f'id="st-row-{task.pk}"' in text
    assert "Alerts of purge saved." in text


@pytest.mark.parametrize("way", ["plain", "script"])
def test_another_persons_edit_is_named_and_can_be_overwritten(
    admin_client: Client, task: Any, way: str
) -> None:
    seen = policy_token(task)
    anna = Client()
    anna.force_login(User.objects.create_superuser("anna"))
    save(anna, task, {**EMPTY, "owner": "ops"})
    response = save(admin_client, task, FULL, way=way, seen=seen)
    text = unescape(response.content.decode())
    assert response.status_code == 409
    assert "anna changed the alerts of purge meanwhile. Alerts: owner: – → ops." in text
    assert "billing" in field(text, "owner")
    assert state(task).owner == "ops"
    now_seen = re.search(r'name="seen" value="([^>]*)">', text)
    assert now_seen
    assert save(admin_client, task, FULL, way=way, seen=now_seen[1]).status_code in (200, 303)
    assert state(task).owner == "billing"


def test_a_change_that_history_does_not_know_is_nobodys(admin_client: Client, task: Any) -> None:
    save(admin_client, task, {**EMPTY, "owner": "ops"})
    seen = policy_token(again(task))
    TaskState.objects.update(alert_after=7)  # the sync, say
    for each in (seen, "[]", "{not json"):
        text = save(admin_client, task, FULL, seen=each).content.decode()
        named = each != seen
        assert ("admin changed the alerts of purge" in text) == named
        assert ("Somebody changed the alerts of purge meanwhile." in text) != named
    assert state(task).owner == "ops"


def test_differences_from_code_are_marked_and_reset(admin_client: Client, task: Any) -> None:
    declare(task, alert_after=3, alert_on="failing,late", max_runtime=600.0, owner="billing")
    changed = {"alert_after": "3", "recover_after": "2", "kinds": "own", "owner": "ops"}
    save(admin_client, task, {**EMPTY, **changed})
    text = form(admin_client, task)
    assert re.findall(r"In code: ([^<]*)<", text) == [
        "the project&#x27;s setting",
        "10 min",
        "failing, late",
        "billing",
    ]
    assert f'formaction="{LIST}{task.pk}/default/"' in text
    listed = admin_client.get(LIST).content.decode()
    assert (
        "Differs from the code: recovered after successes in a row, longest run time, alert on, owner"
        in listed
    )
    admin_client.post(f"{LIST}{task.pk}/default/")
    kept = state(task)
    assert (kept.alert_after, kept.alert_on, kept.owner) == (3, "failing,late", "billing")
    assert kept.max_runtime == timedelta(minutes=10)
    assert (
        log()[-1]
        == "Reset to default: recovered after successes in a row, longest run time, alert on, owner."
    )
    text = form(admin_client, task)
    assert "In code:" not in text
    assert "/default/" not in text


def test_the_forms_reset_leaves_what_is_not_of_alerts(admin_client: Client, task: Any) -> None:
    declare(task, owner="billing", description="as declared")
    CodeDefault.objects.update(chosen=["runbook", "grace"])
    text = form(admin_client, task)
    button = re.search(r"<button[^>]* name=\"only\" value=\"alerts\"[^>]*>", text)
    assert button is not None
    assert 'title="Differs from the code: owner"' in button[0]
    reset = admin_client.post(f"{LIST}{task.pk}/default/", {"only": "alerts"}, follow=True)
    assert "Alerts of purge were reset to their code default." in reset.content.decode()
    assert (state(task).owner, again(task).description) == ("billing", task.description)
    assert CodeDefault.objects.get().chosen == ["grace"]
    assert log() == ["Reset to default: owner."]
    reset = admin_client.post(f"{LIST}{task.pk}/default/", follow=True)
    assert "purge was reset to its code default." in reset.content.decode()
    assert again(task).description == "as declared"


@pytest.mark.parametrize("declared", [[], "x", {"alert_on": 5, "owner": ["x"]}])
def test_a_default_that_cannot_be_read_takes_no_form_down(
    admin_client: Client, task: Any, declared: Any
) -> None:
    CodeDefault.objects.create(task_id=task.pk, name=task.name, source=Source.DECORATOR, declared=declared)
    form(admin_client, task)


def test_history_tells_the_change_in_the_readers_language(admin_client: Client, task: Any) -> None:
    save(admin_client, task, FULL)
    entry = AuditEntry.of(LogEntry.objects.get().change_message)
    assert entry is not None
    with override("de"):
        assert "Verantwortliche: – → billing" in str(entry)
    assert "Changed alert after failures in a row" in LogEntry.objects.get().get_change_message()
    text = unescape(admin_client.get(f"{LIST}{task.pk}/history/").content.decode())
    assert "longest run time: – → 90 min; alert on: – → failing, slow; owner: – → billing" in text


def test_whoever_may_only_view_sees_it_and_cannot_edit(client: Client, task: Any, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {}
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_scheduledtask"))
    client.force_login(user)
    TaskState.objects.create(task_id=task.pk, owner="billing")
    text = client.get(f"{LIST}{task.pk}/change/").content.decode()
    assert "billing" in text
    assert "/alerts/" not in text
    assert client.get(f"{LIST}{task.pk}/alerts/").status_code == 403
    assert save(client, task, FULL).status_code == 403


def test_a_task_that_is_gone(admin_client: Client) -> None:
    assert admin_client.get(f"{LIST}4711/alerts/").status_code == 404
    assert admin_client.post(f"{LIST}4711/alerts/", FULL).status_code == 404
