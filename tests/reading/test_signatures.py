"""Signatures that another release, or nobody's release, has written."""

from __future__ import annotations

from typing import Any

import pytest

from scheduled_tasks.reading.signatures import HOW as KNOWN
from scheduled_tasks.reading.signatures import readable
from scheduled_tasks.worker.task_signatures import HOW, signature_of
from tests.tasks import add
from tests.typed_tasks import tell_types

TEXT = {"kind": "text"}
PARAMETER = {"name": "a", "how": "any", "required": True, "type": TEXT}


def signature(**changes: Any) -> dict[str, Any]:
    return {"doc": "", "module": "m", "parameters": [{**PARAMETER, **changes}]}


@pytest.mark.parametrize("told", [None, [], "x", 3])
def test_of_another_shape_there_are_none(told: Any) -> None:
    assert readable(told) == {}


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {},
        {"doc": "", "parameters": None},
        {"doc": "", "parameters": "abc"},
        {"doc": "", "parameters": ["abc"]},
        {"doc": 3, "parameters": []},
        {"doc": "", "module": 3, "parameters": []},
        signature(name=None),
        signature(how="future"),
        signature(required=None),
        signature(type=None),
        signature(type={"kind": None}),
        signature(type={"kind": "list"}),
        signature(type={"kind": "list", "of": {}}),
        signature(type={"kind": "choice"}),
        signature(type={"kind": "choice", "choices": ["x"]}),
        signature(type={"kind": "object", "fields": None}),
        signature(type={"kind": "object", "fields": [{"name": "x"}]}),
    ],
)
def test_what_cannot_be_read_is_left_out(told: Any) -> None:
    assert readable({"tests.odd": told, "tests.add": signature()}) == {"tests.add": signature()}


def test_what_a_newer_release_adds_is_read() -> None:
    newer = {**signature(type={"kind": "future", "more": 1}), "more": 1}
    older = {"doc": "", "parameters": []}
    assert readable({"newer": newer, "older": older}) == {"newer": newer, "older": older}


def test_what_this_release_tells_is_read() -> None:
    told = {task.name: signature_of(task) for task in (add, tell_types)}
    assert readable(told) == told
    assert {*HOW.values()} == KNOWN
