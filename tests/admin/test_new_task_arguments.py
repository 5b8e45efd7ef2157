"""The arguments of a new task: a field for each as soon as a worker has told of it, or JSON."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client

from scheduled_tasks.masking import MASK
from scheduled_tasks.models import Process, ScheduledTask
from tests.admin.test_new_task import ADD, FORM, errors, stored, worker
from tests.factories import make_task

__all__ = ["worker"]

pytestmark = pytest.mark.django_db

NUMBERS = {"a": True, "b": True, "c": False}


@pytest.fixture
def signature() -> None:
    """What workers tell of ``tests.add``: two numbers that it needs, and one that it does not."""
    parameters = [
        {"name": name, "how": "any", "required": is_required, "type": {"kind": "int"}}
        for name, is_required in NUMBERS.items()
    ]
    told = {"doc": "Adds up.", "module": "app.sums", "parameters": parameters}
    Process.objects.update(task_signatures={"tests.add": told})


def fields(page: str) -> list[str]:
    return re.findall('name="argument-(\\w+)"', page)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"args": "[1]", "kwargs": "{}"}, "The task needs these arguments, too: b."),
        ({"args": "[1, 2, 3, 4]", "kwargs": "{}"}, "no parameter for all of these arguments: 4"),
        ({"kwargs": '{"a": 1, "b": 2, "d": 3}'}, "no parameter for all of these arguments: d"),
    ],
)
def test_arguments_in_json_that_do_not_fit(
    admin_client: Client, signature: None, arguments: dict[str, str], sentence: str
) -> None:
    answer = admin_client.post(ADD, {**FORM, **arguments})
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert not ScheduledTask.objects.exists()
    assert admin_client.post(ADD, {**FORM, "args": "[1]", "kwargs": '{"b": 2}'}).status_code == 303


def test_each_argument_of_the_chosen_task_has_a_field(admin_client: Client, signature: None) -> None:
    assert fields(admin_client.get(ADD).content.decode()) == []
    chosen = admin_client.post(ADD, {**FORM, "args": "", "kwargs": "", "choose": "1"}).content.decode()
    assert fields(chosen) == [*NUMBERS]
    assert errors(chosen) == 0
    typed = {**FORM, "fields": "1", "args": "", "kwargs": "", "argument-a": "1"}
    refused = admin_client.post(ADD, {**typed, "argument-c": "x"})
    assert refused.status_code == 422
    assert "This argument is required." in refused.content.decode()
    assert "Enter a whole number." in refused.content.decode()
    assert admin_client.post(ADD, {**typed, "argument-b": "2"}).status_code == 303
    assert json.loads(stored().kwargs) == {"a": 1, "b": 2}


def test_nothing_typed_as_json_is_refused_at_the_fields(admin_client: Client, signature: None) -> None:
    for typed in (FORM, {**FORM, "args": " ", "kwargs": ""}):
        answer = admin_client.post(ADD, typed)
        assert answer.status_code == 422
        assert answer.content.decode().count("This argument is required.") == 2


def test_fields_and_json_keep_each_others_content(admin_client: Client, signature: None) -> None:
    typed = {**FORM, "fields": "1", "args": "", "kwargs": "", "argument-a": "7", "switch": "1"}
    as_json = admin_client.post(ADD, typed).content.decode()
    assert fields(as_json) == []
    assert "{&quot;a&quot;: 7}" in as_json
    again = {**FORM, "args": "[]", "kwargs": '{"a": 7}', "switch": "1"}
    page = admin_client.post(ADD, again).content.decode()
    assert fields(page) == [*NUMBERS]
    assert 'value="7"' in page
    page = admin_client.post(ADD, {**again, "kwargs": '{"d": 1}'}).content.decode()
    assert "no parameter for all of these arguments: d" in page
    page = admin_client.post(ADD, {**again, "kwargs": "", "args": ""}).content.decode()
    assert fields(page) == [*NUMBERS]


def test_another_celery_task_gets_what_its_own_fields_take(admin_client: Client, signature: None) -> None:
    typed = {**FORM, "fields": "1", "args": "", "kwargs": '{"z": 1}', "argument-a": "7", "choose": "1"}
    page = admin_client.post(ADD, {**typed, "argument-z": "8"}).content.decode()
    assert fields(page) == [*NUMBERS]
    assert 'value="7"' in page
    unknown = admin_client.post(ADD, {**typed, "task": "tests.send_mail"}).content.decode()
    assert fields(unknown) == []
    assert "{&quot;a&quot;: &quot;7&quot;}" in unknown


def test_the_script_gets_the_arguments_alone(admin_client: Client, signature: None) -> None:
    part = admin_client.post(ADD, {**FORM, "choose": "1"}, headers={"ST-Request": "1"}).content.decode()
    assert part.strip().startswith('<fieldset id="st-arguments"')
    assert fields(part) == [*NUMBERS]


def test_fields_of_a_copy_hold_its_secrets(admin_client: Client, signature: None) -> None:
    told = Process.objects.get().task_signatures["tests.add"]
    token = {"name": "token", "how": "any", "required": False, "type": {"kind": "text"}}
    parameters = [*told["parameters"], token]
    both = {name: {**told, "parameters": parameters} for name in ("tests.add", "tests.send_mail")}
    Process.objects.update(task_signatures=both)
    source = make_task(task="tests.add", args="[1, 2]", kwargs='{"token": "s3cr3t-t0k3n"}')
    page = admin_client.get(ADD, {"source": source.pk}).content.decode()
    assert fields(page) == [*NUMBERS, "token"]
    assert "s3cr3t" not in page
    own = {"fields": "1", "args": "[1, 2]", "kwargs": json.dumps({"token": MASK}), "argument-token": MASK}
    typed = {**FORM, **own, "argument-a": "1", "argument-b": "3"}
    address = f"{ADD}?source={source.pk}"
    other = admin_client.post(address, {**typed, "task": "tests.send_mail"})
    assert "Type the value that is masked here." in other.content.decode()
    assert admin_client.post(address, typed).status_code == 303
    assert (json.loads(stored().args), json.loads(stored().kwargs)) == ([1, 3], {"token": "s3cr3t-t0k3n"})


def test_the_list_says_what_a_task_does_and_where_it_is(admin_client: Client, signature: None) -> None:
    assert '<option value="tests.add">Adds up. · app.sums</option>' in admin_client.get(ADD).content.decode()
    own = {"doc": "Adds up.", "module": "tests", "parameters": []}
    Process.objects.update(task_signatures={"tests.add": own})
    assert '<option value="tests.add">Adds up.</option>' in admin_client.get(ADD).content.decode()
