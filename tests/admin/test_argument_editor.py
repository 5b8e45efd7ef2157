"""A task's own arguments, edited in the drawer: shown, saved, refused, met by another edit, undone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from scheduled_tasks.masking import MASK
from scheduled_tasks.models import CodeDefault, ScheduledTask, Source, TaskRun
from scheduled_tasks.operations import AuditEntry, arguments_token
from tests import tasks
from tests.admin.test_changes import said
from tests.factories import make_process, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
SCRIPT = {"ST-Request": "1"}
PARAMETER = {"name": "n", "how": "any", "required": True, "type": {"kind": "int"}}
SECRETS = [
    {"name": "password", "how": "any", "required": True, "type": {"kind": "text"}},
    {
        "name": "order",
        "how": "any",
        "required": False,
        "type": {"kind": "object", "fields": [{"name": "url", "required": False, "type": {"kind": "text"}}]},
    },
    {"name": "more", "how": "args", "required": False, "type": {"kind": "json"}},
]
OWN = {"args": "[]", "kwargs": json.dumps({"password": MASK, "order": {"url": f"u:{MASK}@h/"}})}
RUN = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
FIELDS = {"fields": "1", "args": "[]", "kwargs": '{"n": 5}'}


@pytest.fixture
def task() -> Any:
    task = make_task(kwargs='{"n": 5}')
    signature = {"doc": "", "parameters": [PARAMETER]}
    make_process(task_names=[task.task], task_signatures={task.task: signature})
    return task


def again(task: Any) -> ScheduledTask:
    return ScheduledTask.objects.with_schedules().get(pk=task.pk)


def kwargs(task: Any) -> Any:
    return json.loads(again(task).kwargs)


def save(client: Client, task: Any, number: str, **more: str) -> Any:
    data = {**FIELDS, "seen": arguments_token(again(task)), "argument-n": number, **more}
    return client.post(f"{LIST}{task.pk}/arguments/", data, headers=SCRIPT)


def log() -> list[str]:
    return [str(AuditEntry.of(entry.change_message)) for entry in LogEntry.objects.order_by("pk")]


def test_form_shows_what_is_stored(admin_client: Client, task: Any) -> None:
    for headers in (SCRIPT, {}):
        text = admin_client.get(f"{LIST}{task.pk}/arguments/", headers=headers).content.decode()
        assert 'name="argument-n" value="5"' in " ".join(text.split())
    drawer = admin_client.get(f"{LIST}{task.pk}/change/", headers=SCRIPT).content.decode()
    assert f"{LIST}{task.pk}/arguments/" in drawer


def test_saved_logged_and_undone(admin_client: Client, task: Any) -> None:
    response = save(admin_client, task, "7")
    assert (response.status_code, kwargs(task)) == (200, {"n": 7})
    assert "Arguments of purge saved." in response.content.decode()
    assert log() == ["Arguments changed: keyword arguments: {'n': 5} → {'n': 7}."]
    entry = LogEntry.objects.get()
    admin_client.post(f"{LIST}restore/", {"entry": str(entry.pk)})
    assert kwargs(task) == {"n": 5}


def test_without_script_it_leads_back(admin_client: Client, task: Any) -> None:
    data = {**FIELDS, "argument-n": "7", "next": f"{LIST}{task.pk}/change/"}
    response = admin_client.post(f"{LIST}{task.pk}/arguments/", data)
    assert (response.status_code, response["Location"]) == (303, f"{LIST}{task.pk}/change/")
    assert said(response) == "Arguments of purge saved."


def test_untouched_form_changes_nothing(admin_client: Client, task: Any) -> None:
    ScheduledTask.objects.filter(pk=task.pk).update(kwargs='{"n":5}')
    assert save(admin_client, task, "5").status_code == 200
    assert again(task).kwargs == '{"n":5}'
    assert log() == []


@pytest.mark.parametrize("typed", ["x", ""])
def test_what_is_wrong_is_said_and_kept(admin_client: Client, task: Any, typed: str) -> None:
    response = save(admin_client, task, typed)
    assert response.status_code == 422
    assert "st-argument-n_error" in response.content.decode()
    assert kwargs(task) == {"n": 5}


@pytest.mark.parametrize("page", ["arguments", "runs/new"])
@pytest.mark.parametrize(
    "typed", [{"n": "\ud800"}, {"n": ["\ud800"]}, {"n": {"\ud800": 1}}, {"n": 1, "\ud800": 2}]
)
@pytest.mark.parametrize("kind", ["text", "json", "int", "list"])
def test_half_a_character_is_shown_escaped(admin_client: Client, page: str, typed: Any, kind: str) -> None:
    task = make_task()
    parameter = {**PARAMETER, "type": {"kind": kind, "of": {"kind": "text"}}}
    make_process(task_names=[task.task], task_signatures={task.task: {"doc": "", "parameters": [parameter]}})
    url, data = f"{LIST}{task.pk}/{page}/", {"args": "[]", "kwargs": json.dumps(typed), "switch": "1"}
    assert "\\ud800" in admin_client.post(url, data, headers=SCRIPT).content.decode()
    data |= {"fields": "1", "argument-n": json.dumps(typed["n"])}
    assert admin_client.post(url, data, headers=SCRIPT).status_code in (200, 422)


MASKED = "Type the value that is masked here."


@pytest.mark.parametrize("page", ["arguments", "runs"])
@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"args": json.dumps(["x", MASK])}, "args"),
        ({"kwargs": json.dumps({"order": {"passw0rd": MASK}})}, "kwargs"),
        (
            {
                **OWN,
                "fields": "1",
                "argument-password": MASK,
                "argument-order.url": "x",
                "argument-more": "[1]",
            },
            "argument-password",
        ),
        (
            {**OWN, "fields": "1", "argument-password": MASK, "argument-order.url": "u:••••••@h2/"},
            "argument-order.url",
        ),
    ],
)
def test_moved_mask_is_refused_at_its_field(
    admin_client: Client, page: str, typed: dict[str, str], field: str
) -> None:
    task = make_task(kwargs=json.dumps({"password": "hunter2hunter2", "order": {"url": "u:hunter2@h/"}}))
    make_process(task_names=[task.task], task_signatures={task.task: {"doc": "", "parameters": SECRETS}})
    before = again(task)
    response = admin_client.post(f"{LIST}{task.pk}/{page}/", {**typed, "run": RUN}, headers=SCRIPT)
    text = " ".join(response.content.decode().split())
    assert response.status_code == 422
    assert (text.count(MASKED), "hunter2" in text) == (1, False)
    assert MASKED in text[text.index(f'name="{field}"') :].split("</p>")[0]
    assert (again(task).args, again(task).kwargs) == (before.args, before.kwargs)
    assert not TaskRun.objects.exists()


def test_switch_saves_nothing(admin_client: Client, task: Any) -> None:
    response = save(admin_client, task, "7", switch="1")
    assert response.status_code == 200
    assert "{&quot;n&quot;: 7}</textarea>" in response.content.decode()
    assert kwargs(task) == {"n": 5}


def test_two_people(admin_client: Client, task: Any) -> None:
    seen = arguments_token(again(task))
    other = Client()
    other.force_login(User.objects.create_superuser("bob"))
    save(other, task, "6")
    response = save(admin_client, task, "7", seen=seen)
    text = response.content.decode()
    assert response.status_code == 409
    assert "bob changed the arguments of purge meanwhile." in text
    assert "Save mine" in text
    assert f'name="seen" value="{arguments_token(again(task))}">Save mine' in text
    assert 'value="7"' in text
    assert save(admin_client, task, "7", seen=seen).status_code == 409, "Save is not Save mine"
    switched = save(admin_client, task, "7", seen=seen, switch="1").content.decode()
    assert "{&quot;n&quot;: 7}</textarea>" in switched
    assert "bob changed the arguments of purge meanwhile." in switched
    assert f'name="seen" value="{arguments_token(again(task))}">Save mine' in switched
    assert kwargs(task) == {"n": 6}
    assert save(admin_client, task, "7").status_code == 200
    assert kwargs(task) == {"n": 7}


def test_refused_arguments_stay_in_the_form(admin_client: Client) -> None:
    task = make_task(task=tasks.add.name, args="[1, 2]")
    response = admin_client.post(f"{LIST}{task.pk}/arguments/", {"args": "[1, 2, 3]"}, headers=SCRIPT)
    assert response.status_code == 409
    assert "The arguments do not match the task" in response.content.decode()
    assert "[1, 2, 3]</textarea>" in response.content.decode()


def test_an_edit_of_a_task_in_code_is_the_operator_s(admin_client: Client, task: Any) -> None:
    declared = {"args": [], "kwargs": {"n": 5}}
    CodeDefault.objects.create(task_id=task.pk, name=task.name, source=Source.DECORATOR, declared=declared)
    save(admin_client, task, "7")
    assert "Edited" in admin_client.get(LIST).content.decode()
    admin_client.post(f"{LIST}{task.pk}/default/")
    assert kwargs(task) == {"n": 5}
