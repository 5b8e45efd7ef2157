"""The fields of a pydantic model for a form, from its JSON schema: plain data, without pydantic."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

Json = dict[str, Any]

KINDS = {"string": "text", "integer": "int", "number": "float", "boolean": "bool"}

FORMATS = {"date": "date", "date-time": "datetime", "uuid": "uuid", "duration": "duration"}
"""Kinds of texts by their format; a text of another format is a text."""


def fields_of(schema: Json, kinds: Collection[str]) -> list[Json]:
    """The model's fields, described as parameters are (see :mod:`.task_signatures`); none if it has none.

    ``kinds`` are those that a message can carry: a field of another one is ``json``.
    """
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "type": _type_of(_resolved(field, schema), schema, kinds),
            "required": name in required,
            **({"default": field["default"]} if "default" in field else {}),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _resolved(field: Json, schema: Json) -> Json:
    name = field.get("$ref", "").rpartition("/")[2]
    return schema.get("$defs", {}).get(name, {}) if name else field


def _type_of(field: Json, schema: Json, kinds: Collection[str]) -> Json:
    variants = [_resolved(each, schema) for each in field.get("anyOf", ())]
    others = [each for each in variants if each.get("type") != "null"]
    if len(others) < len(variants):
        only = others[0] if len(others) == 1 else {"anyOf": others}
        return {**_type_of(only, schema, kinds), "nullable": True}
    if {each.get("type") for each in variants} == {"number", "string"}:
        return _of_kind("decimal", kinds)
    if choices := field.get("enum", [field["const"]] if "const" in field else []):
        return {"kind": "choice", "choices": [{"value": value, "label": str(value)} for value in choices]}
    if field.get("type") == "array":
        of = _type_of(_resolved(field.get("items", {}), schema), schema, kinds)
        is_plain = (
            of.keys() == {"kind"} and of["kind"] not in ("json", "bool") and not field.get("uniqueItems")
        )
        return {"kind": "list", "of": of} if is_plain else {"kind": "json"}
    kind = KINDS.get(field.get("type", ""), "json")
    return _of_kind(FORMATS.get(field.get("format", ""), kind) if kind == "text" else kind, kinds)


def _of_kind(kind: str, kinds: Collection[str]) -> Json:
    return {"kind": kind if kind in kinds else "json"}
