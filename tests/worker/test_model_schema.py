"""The fields of a pydantic model, from schemas as pydantic 2 writes them."""

from __future__ import annotations

from typing import Any

import pytest

from scheduled_tasks.worker.model_schema import fields_of

KINDS = ("text", "int", "float", "bool", "date", "datetime", "uuid", "decimal", "duration")

COLOR = {"enum": ["r", "b"], "title": "Color", "type": "string"}
LINE = {"properties": {"n": {"type": "integer"}}, "type": "object"}
NULL = {"type": "null"}


@pytest.mark.parametrize(
    ("field", "type"),
    [
        ({"type": "string"}, {"kind": "text"}),
        ({"type": "string", "format": "email"}, {"kind": "text"}),
        ({"type": "integer"}, {"kind": "int"}),
        ({"type": "number"}, {"kind": "float"}),
        ({"type": "boolean"}, {"kind": "bool"}),
        ({"type": "string", "format": "date"}, {"kind": "date"}),
        ({"type": "string", "format": "date-time"}, {"kind": "datetime"}),
        ({"type": "string", "format": "uuid"}, {"kind": "uuid"}),
        ({"type": "string", "format": "duration"}, {"kind": "duration"}),
        ({"anyOf": [{"type": "number"}, {"type": "string", "pattern": "…"}]}, {"kind": "decimal"}),
        ({"anyOf": [{"type": "integer"}, NULL]}, {"kind": "int", "nullable": True}),
        (
            {"anyOf": [{"type": "number"}, {"type": "string"}, NULL]},
            {"kind": "decimal", "nullable": True},
        ),
        ({"const": "x", "type": "string"}, {"kind": "choice", "choices": [{"value": "x", "label": "x"}]}),
        (
            {"$ref": "#/$defs/Color"},
            {"kind": "choice", "choices": [{"value": "r", "label": "r"}, {"value": "b", "label": "b"}]},
        ),
        ({"type": "array", "items": {"type": "integer"}}, {"kind": "list", "of": {"kind": "int"}}),
        ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, {"kind": "json"}),
        ({"type": "array", "items": {"$ref": "#/$defs/Line"}}, {"kind": "json"}),
        ({"$ref": "#/$defs/Line"}, {"kind": "json"}),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"kind": "json"}),
        ({}, {"kind": "json"}),
    ],
)
def test_fields(field: dict[str, Any], type: dict[str, Any]) -> None:
    schema = {"properties": {"it": field}, "required": ["it"], "$defs": {"Color": COLOR, "Line": LINE}}
    assert fields_of(schema, KINDS) == [{"name": "it", "type": type, "required": True}]


def test_default_and_kinds_that_do_not_arrive() -> None:
    schema = {"properties": {"at": {"type": "string", "format": "date", "default": "2026-01-02"}}}
    assert fields_of(schema, ["text"]) == [
        {"name": "at", "type": {"kind": "json"}, "required": False, "default": "2026-01-02"}
    ]


def test_no_fields() -> None:
    assert fields_of({"type": "array"}, KINDS) == []
