"""Changing a task's own arguments: what is stored, what is logged, what is refused."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from scheduled_tasks.masking import MASK
from scheduled_tasks.models import ScheduledTask, TaskRun
from scheduled_tasks.operations import Actor, Conflict, Refused, arguments_token, run_now, set_arguments
from tests import tasks
from tests.factories import make_task

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def audit() -> list[str]:
    return []


@pytest.fixture
def anna(audit: list[str]) -> Actor:
    return Actor("anna", lambda task, entry: audit.append(str(entry)))


def again(task: Any) -> ScheduledTask:
    return ScheduledTask.objects.with_schedules().get(pk=task.pk)


def stored(task: Any) -> tuple[Any, Any]:
    found = again(task)
    return json.loads(found.args), json.loads(found.kwargs)


def test_arguments_are_stored_and_logged(anna, audit):
    task = make_task(args="[1]", kwargs='{"a": 1}')
    set_arguments(task.pk, actor=anna, args=None, kwargs={"a": 2})
    assert stored(task) == ([1], {"a": 2})
    assert audit == ["Arguments changed: keyword arguments: {'a': 1} → {'a': 2}."]


def test_the_same_arguments_change_nothing(anna, audit):
    task = make_task(args="[1]", kwargs="")
    before = again(task)
    set_arguments(task.pk, actor=anna, args=[1], kwargs={}, seen=arguments_token(before))
    assert audit == []
    assert again(task).date_changed == before.date_changed


def test_schedule_goes_on(anna):
    task = make_task()
    before = again(task)
    set_arguments(task.pk, actor=anna, args=[5], kwargs=None)
    assert again(task).last_run_at == before.last_run_at


def test_masked_value_stays_and_no_secret_is_logged(anna, audit):
    task = make_task(kwargs='{"password": "hunter2-and-more", "n": 1}')
    set_arguments(task.pk, actor=anna, args=None, kwargs={"password": MASK, "n": 2})
    assert stored(task)[1] == {"password": "hunter2-and-more", "n": 2}
    assert audit == ["Arguments changed: keyword arguments."]


@pytest.mark.parametrize(
    "given",
    [{"args": ["x", MASK]}, {"args": [MASK]}, {"kwargs": {"passw0rd": MASK}}, {"kwargs": {MASK: 1}}],
)
def test_masked_value_that_stands_for_none_is_refused(anna, audit, given):
    task = make_task(args='["--password", "hunter2hunter2"]', kwargs='{"password": "hunter2-and-more"}')
    before = stored(task)
    with pytest.raises(Refused, match="Type the value that is masked here"):
        set_arguments(task.pk, actor=anna, **{"args": None, "kwargs": None, **given})
    with pytest.raises(Refused, match="Type the value that is masked here"):
        run_now(task.pk, actor=anna, celery_id=str(uuid4()), **given)
    assert (stored(task), audit) == (before, [])
    assert not TaskRun.objects.exists()


def test_conflict(anna, audit):
    task = make_task(args="[1]")
    seen = arguments_token(again(task))
    set_arguments(task.pk, actor=anna, args=[2], kwargs=None)
    with pytest.raises(Conflict, match="Somebody changed the arguments of purge"):
        set_arguments(task.pk, actor=anna, args=[3], kwargs=None, seen=seen)
    assert stored(task)[0] == [2]


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [([1, 2, 3], {}, "do not match the task"), ([float("nan"), 1], {}, "cannot be written as JSON")],
)
def test_what_cannot_be_sent_is_refused(anna, audit, args, kwargs, sentence):
    task = make_task(task=tasks.add.name, args="[1, 2]")
    with pytest.raises(Refused, match=sentence):
        set_arguments(task.pk, actor=anna, args=args, kwargs=kwargs)
    assert stored(task)[0] == [1, 2]
    assert audit == []
