"""Which tasks belong to the replacement of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from scheduled_tasks.worker import replacements


def signature(task_id: str, **options: Any) -> dict[str, Any]:
    return {"task": "a.task", "options": {"task_id": task_id, "root_id": "run", **options}, "kwargs": {}}


CHORD = {"task": "celery.chord", "options": {"task_id": "other"}, "kwargs": {"body": signature("run")}}
CHAIN = {
    "task": "celery.chain",
    "subtask_type": "chain",
    "options": {},
    "kwargs": {"tasks": [signature("other"), signature("run")]},
}
GROUP = {
    "task": "celery.group",
    "subtask_type": "group",
    "options": {"task_id": "other"},
    "kwargs": {"tasks": [signature("other", chord=signature("run"))]},
}
LAST_GROUP = GROUP | {"options": {"task_id": "run"}, "kwargs": {"tasks": [signature("other")]}}


@pytest.mark.parametrize(
    "following",
    [
        {"chain": [signature("run")]},
        {"chain": [signature("run"), signature("other")]},
        {"chain": [signature("other", chord=signature("run"))]},
        {"chain": [CHORD]},
        {"chord": signature("run")},
        {"chord": CHAIN},
        {"chain": [GROUP]},
    ],
)
def test_task_that_leads_to_the_run(following: dict[str, Any]) -> None:
    assert replacements.run_of(SimpleNamespace(id="member", root_id="run", **following)) == "run"


@pytest.mark.parametrize(
    "request_of_a_task",
    [
        {"id": "run", "root_id": "run", "chain": [signature("next")]},
        {"id": "sent", "root_id": "run"},
        {"id": "sent", "root_id": "run", "chain": [signature("other")], "chord": None},
        {"id": "sent", "root_id": "run", "chord": signature("other")},
        {"id": "sent", "root_id": "run", "chord": LAST_GROUP},
        {"id": "sent", "root_id": None, "chain": None},
    ],
)
def test_task_that_does_not(request_of_a_task: dict[str, Any]) -> None:
    assert replacements.run_of(SimpleNamespace(**request_of_a_task)) == ""


@pytest.mark.parametrize(
    ("celery_id", "embed", "expected"),
    [
        ("run", {"chain": None, "chord": None}, True),
        ("other", {"chain": [signature("run")], "chord": None}, True),
        ("other", {"chain": None, "chord": signature("run")}, True),
        ("other", {"chain": [LAST_GROUP], "chord": None}, False),
        ("other", {"chain": None, "chord": LAST_GROUP}, False),
        ("other", {"chain": None, "chord": None}, False),
    ],
)
def test_message_with_which_the_run_goes_on(celery_id: str, embed: dict[str, Any], expected: bool) -> None:
    assert replacements.goes_on("run", {"id": celery_id}, ((), {}, embed)) is expected
