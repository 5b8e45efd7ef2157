"""A task's arguments as a form: how they are passed, fields and JSON, and nothing else changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scheduled_tasks.admin.argument_form import AnyArgumentForm
from tests.admin.argument_forms import (
    Signature,
    everything,
    filled,
    form_of,
    sent,
    submitted,
    told,
)


def parts(first: int, /, second: int = 2, third: int = 3, *more: int, fourth: int = 4, **others: int) -> None:
    """Have every kind of parameter."""


def test_how_arguments_are_passed() -> None:
    assert sent(submitted(told(parts), first="1", third="9")) == ([1], {"third": 9})
    assert sent(submitted(told(parts), "[1, 2]", second="5", fourth="6")) == ([1, 5], {"fourth": 6})
    assert sent(submitted(told(parts), "[1, 2, 3]", second="")) == ([1], {"third": 3})
    typed = {"first": "1", "second": "2", "third": "3", "more": "[4, 5]", "others": '{"x": 1}'}
    assert sent(submitted(told(parts), **typed)) == ([1, 2, 3, 4, 5], {"x": 1})
    kept = ("[1, 2, 3, 4]", '{"x": 1}')
    assert sent(submitted(told(parts), *kept)) == ([1, 2, 3, 4], {"x": 1})


@pytest.mark.parametrize(
    ("typed", "field", "sentence"),
    [
        ({"more": "[4]", "third": "3"}, "second", "a later argument is sent by its position"),
        ({"more": "{}"}, "more", "JSON list"),
        ({"others": "[]"}, "others", "JSON object"),
        ({"others": '{"second": 1}'}, "others", "second has a field of its own."),
    ],
)
def test_arguments_that_cannot_be_sent_together(typed: dict[str, str], field: str, sentence: str) -> None:
    form = submitted(told(parts), first="1", **typed)
    assert not form.is_valid()
    assert [*form.errors] == [field]
    assert sentence in form[field].errors[0]


ORDER: Signature = {
    "doc": "",
    "parameters": [
        {
            "name": "order",
            "how": "any",
            "required": True,
            "type": {
                "kind": "object",
                "fields": [
                    {"name": "number", "required": True, "type": {"kind": "int"}},
                    {"name": "wait", "required": False, "type": {"kind": "duration"}},
                ],
            },
        }
    ],
}
OPTIONAL: Any = {"doc": "", "parameters": [{**ORDER["parameters"][0], "required": False}]}


def test_fields_of_a_model() -> None:
    form = form_of(ORDER, kwargs='{"order": {"number": 5}}')
    assert [(field.label, field.value()) for field in form] == [("order.number", "5"), ("order.wait", None)]
    assert sent(submitted(ORDER, **{"order.number": "5", "order.wait": "2.5"})) == (
        [],
        {"order": {"number": 5, "wait": 2.5}},
    )
    form = submitted(ORDER)
    assert not form.is_valid()
    assert [*form.errors] == ["order.number"]
    assert sent(submitted(OPTIONAL)) == ([], {})
    assert not submitted(OPTIONAL, **{"order.wait": "1"}).is_valid()


@pytest.mark.parametrize("order", ['{"unknown": 1}', "5"])
def test_model_that_its_fields_cannot_show(order: str) -> None:
    form = form_of(ORDER, f"[{order}]")
    assert [(field.name, field.value()) for field in form] == [("order", order)]
    assert sent(submitted(ORDER, f"[{order}]")) == ([json.loads(order)], {})


@pytest.mark.parametrize(
    ("signature", "args", "kwargs"),
    [
        (None, "[]", "{}"),
        (told(everything), "[1", "{}"),
        (told(everything), "{}", "{}"),
        (ORDER, "[1, 2]", "{}"),
        (ORDER, "[1]", '{"order": 2}'),
        (ORDER, "[]", '{"other": 2}'),
    ],
)
def test_json_where_fields_do_not_fit(signature: Signature, args: str, kwargs: str) -> None:
    form = form_of(signature, args, kwargs)
    assert form.is_json
    assert form.can_switch == (signature is not None)
    assert (form["args"].value(), form["kwargs"].value()) == (args, kwargs)


def test_a_part_that_was_not_sent_is_the_task_s_own() -> None:
    form = form_of(ORDER, "[1]", "{}", {"kwargs": '{"a": 2}'})
    assert form.is_valid()
    assert form.arguments == {"args": None, "kwargs": {"a": 2}}


def switch(signature: Signature, *own: str, **typed: str) -> AnyArgumentForm:
    data = filled(form_of(signature, *own), **typed)
    return form_of(signature, *own, data=data, switches=True)


def test_both_forms_keep_each_other_s_content() -> None:
    signature = told(parts)
    as_json = switch(signature, "[1]", '{"x": "é"}', second="5", fourth="")
    assert as_json.is_json
    assert (as_json["args"].value(), as_json["kwargs"].value()) == ("[1]", '{"second": 5, "x": "é"}')
    data = filled(as_json, args="[7]")
    fields = form_of(signature, "[1]", "{}", data, switches=True)
    assert not fields.is_json
    assert {field.name: field.value() for field in fields if field.value()} == {
        "first": "7",
        "second": "5",
        "others": '{"x": "é"}',
    }
    assert sent(form_of(signature, "[1]", "{}", filled(fields, third="3"))) == (
        [7],
        {"second": 5, "third": 3, "x": "é"},
    )


def test_switch_asks_for_nothing_that_is_required() -> None:
    assert switch(told(everything), number="5")["kwargs"].value() == '{"number": 5, "is_dry": false}'


def test_switch_that_cannot_be_made_keeps_what_was_typed() -> None:
    form = switch(told(everything), number="x")
    assert not form.is_json
    assert (form["number"].value(), [*form.errors]) == ("x", ["number"])
    for typed in ({"kwargs": "[1"}, {"kwargs": '{"other": 1}'}):
        form = form_of(ORDER, data={"args": "[]", **typed}, switches=True)
        assert form.is_json
        assert (form["kwargs"].value(), [*form.errors]) == (typed["kwargs"], ["kwargs"])


def test_what_was_typed_outlives_the_worker_that_told_of_the_fields() -> None:
    data = filled(form_of(ORDER, "[]", "{}"), **{"order.number": "7"})
    form = form_of(None, data=data)
    assert form.is_json
    assert not form.is_valid()
    assert form["kwargs"].value() == '{"order.number": "7"}'
    assert "No running worker describes this task now." in form["kwargs"].errors[0]


def test_untouched_form_gives_exactly_what_it_began_with() -> None:
    def count(ratio: float, other: float) -> None:
        """Count."""

    assert json.dumps(sent(submitted(told(count), "[1, 2]"))[0]) == "[1, 2]"
    assert json.dumps(sent(submitted(told(count), "[1, 2]", other="3"))[0]) == "[1.0, 3.0]"
