"""Run with arguments, in a field for each parameter that a worker tells of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.utils.html import escape

from scheduled_tasks.models import Status, TaskRun
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/scheduled_tasks/scheduledtask/"
SCRIPT = {"ST-Request": "1"}
EVIL = "<script>alert(1)</script>"
SIGNATURE = {
    "doc": EVIL,
    "parameters": [
        {"name": "day", "how": "any", "required": True, "type": {"kind": "date"}},
        {
            "name": "level",
            "how": "any",
            "required": False,
            "default": "a",
            "type": {"kind": "choice", "choices": [{"value": "a", "label": EVIL}]},
        },
    ],
}
DAY = {"__type__": "date", "__value__": "2026-01-31"}
FIELDS = {"fields": "1", "args": "[]", "kwargs": "{}", "run": "key"}


@pytest.fixture
def task() -> Any:
    task = make_task(kwargs=json.dumps({"day": DAY}))
    make_process(task_names=[task.task], task_signatures={task.task: SIGNATURE})
    return task


def test_form_has_a_field_for_each_argument(admin_client: Client, task: Any) -> None:
    text = admin_client.get(f"{LIST}{task.pk}/runs/new/").content.decode()
    assert 'type="date" name="argument-day" value="2026-01-31"' in " ".join(text.split())
    assert text.count(escape(EVIL)) == 3, "the docstring, the choice and the default"
    assert EVIL not in text


def test_run_gets_what_was_typed(admin_client: Client, sent: list[TaskRun], task: Any) -> None:
    admin_client.post(f"{LIST}{task.pk}/runs/", {**FIELDS, "argument-day": "2026-02-28"})
    (run,) = sent
    assert json.loads(run.kwargs) == {"day": {**DAY, "__value__": "2026-02-28"}}
    task.refresh_from_db()
    assert json.loads(task.kwargs) == {"day": DAY}, "the task's own arguments changed"


@pytest.mark.parametrize("headers", [SCRIPT, {}])
def test_what_is_wrong_is_said_and_kept(
    admin_client: Client, sent: list[TaskRun], task: Any, headers: dict[str, str]
) -> None:
    values = {**FIELDS, "argument-day": "soon"}
    response = admin_client.post(f"{LIST}{task.pk}/runs/", values, headers=headers)
    assert response.status_code == 422
    assert "Enter a valid date." in response.content.decode()
    assert 'value="soon"' in response.content.decode()
    assert sent == []


def test_refused_run_keeps_the_fields(admin_client: Client, task: Any) -> None:
    make_run(task, Status.RUNNING)
    response = admin_client.post(f"{LIST}{task.pk}/runs/", {**FIELDS, "argument-day": "2026-02-28"})
    assert response.status_code == 409
    assert 'value="2026-02-28"' in response.content.decode()
    assert "may not overlap" in response.content.decode()


@pytest.mark.parametrize("headers", [SCRIPT, {}])
def test_switch_to_json_and_back(admin_client: Client, task: Any, headers: dict[str, str]) -> None:
    here = f"{LIST}{task.pk}/runs/new/"
    response = admin_client.post(here, {**FIELDS, "argument-day": "2026-02-28"}, headers=headers)
    text = response.content.decode()
    kwargs = json.dumps({"day": {**DAY, "__value__": "2026-02-28"}})
    assert (response.status_code, "Edit in fields" in text) == (200, True)
    assert f">\n{escape(kwargs)}</textarea>" in text
    response = admin_client.post(here, {"args": "[]", "kwargs": kwargs}, headers=headers)
    assert (response.status_code, 'value="2026-02-28"' in response.content.decode()) == (200, True)
    response = admin_client.post(here, {"args": "[]", "kwargs": "{"}, headers=headers)
    assert (response.status_code, "must be a JSON object" in response.content.decode()) == (422, True)
    assert not TaskRun.objects.exists()
