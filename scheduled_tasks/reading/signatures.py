"""Signatures that workers told, as far as this release reads them: another one may write them otherwise."""

from __future__ import annotations

from typing import Any

HOW = {"positional", "any", "keyword", "args", "kwargs"}
"""How a task may take an argument."""


def readable(signatures: Any) -> dict[str, dict[str, Any]]:
    """The signatures, by their Celery task, of the form that :mod:`..worker.task_signatures` describes."""
    if not isinstance(signatures, dict):
        return {}
    return {name: told for name, told in signatures.items() if _is_signature(told)}


def _is_signature(told: Any) -> bool:
    if not isinstance(told, dict) or not isinstance(told.get("doc"), str):
        return False
    parameters = told.get("parameters")
    return (
        isinstance(told.get("module", ""), str)
        and isinstance(parameters, list)
        and all(_is_told(each) and each.get("how") in HOW for each in parameters)
    )


def _is_told(each: Any) -> bool:
    """Whether this tells of a parameter, or of a field of a model."""
    return (
        isinstance(each, dict)
        and isinstance(each.get("name"), str)
        and isinstance(each.get("required"), bool)
        and _is_type(each.get("type"))
    )


def _is_type(told: Any) -> bool:
    if not isinstance(told, dict) or not isinstance(told.get("kind"), str):
        return False
    choices, fields = told.get("choices", []), told.get("fields", [])
    return (
        (told["kind"] != "list" or _is_type(told.get("of")))
        and (told["kind"] != "choice" or bool(choices))
        and isinstance(choices, list)
        and all(isinstance(choice, dict) and choice.keys() >= {"value", "label"} for choice in choices)
        and isinstance(fields, list)
        and all(map(_is_told, fields))
    )
