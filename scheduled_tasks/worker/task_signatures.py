"""What a form needs to know of the tasks' arguments, as JSON: from the signatures of their functions.

A signature is ``{"doc": …, "module": …, "parameters": […]}``: the first line of the docstring in plain words,
where the function is, and of each parameter ``name``, ``how`` (``"positional"``, ``"any"``, ``"keyword"``,
``"args"`` or ``"kwargs"``), ``required``, ``default`` where it is JSON, and its ``type``. A type is told by
its ``kind``, one of

``text``, ``int``, ``float``, ``bool``, ``date``, ``datetime``, ``uuid``, ``decimal``, ``duration`` (seconds),
``choice`` (with ``choices``; ``as_value`` names the Enum of which the task gets only the value), ``list``
(with the type ``of`` its items), ``object`` (a pydantic model, with its ``fields``) or ``json`` (any other;
``annotation`` is what the code says). ``nullable`` is there where None is allowed.

A type is told only if such a value arrives at the task as that type, in the message of Celery.
"""

from __future__ import annotations

import inspect
import json
import logging
import sys
import types
import typing
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from celery import Celery
from kombu.utils.json import dumps

from ..docstrings import without_markup
from ..masking import masked
from ..private import makes_models
from .model_schema import fields_of

PER_TASK = 10_000
"""Characters that one signature may have; a longer one is left out."""

IN_ALL = 1_000_000
"""Characters that all signatures of a worker may have."""

PLAIN: dict[object, str] = {str: "text", int: "int", float: "float", bool: "bool"}

ENVELOPED: dict[object, str] = {date: "date", datetime: "datetime", UUID: "uuid", Decimal: "decimal"}
"""What Kombu's JSON carries with its type. Other serializers do not read what is stored in this form."""

HOW = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "any",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_POSITIONAL: "args",
    inspect.Parameter.VAR_KEYWORD: "kwargs",
}

LISTS = (list, *map(typing.get_origin, (typing.Sequence[Any], typing.Iterable[Any], typing.Collection[Any])))

logger = logging.getLogger(__name__)

Json = dict[str, Any]


def task_signatures(app: Celery) -> dict[str, Json]:
    """The signature of each registered task by its name; without Celery's own, and what cannot be told."""
    found: dict[str, Json] = {}
    left = IN_ALL
    for name, task in sorted([*app.tasks.items()]):
        signature = {} if name.startswith("celery.") else _signature_or_nothing(name, task)
        size = len(json.dumps(signature))
        if signature and size <= min(PER_TASK, left):
            found[name] = signature
            left -= size
    return found


def _signature_or_nothing(name: str, task: Any) -> Json:
    try:
        return signature_of(task)
    except Exception:  # a task's function may be anything
        logger.exception("The arguments of %s cannot be told.", name)
        return {}


def signature_of(task: Any) -> Json:
    """The signature of one task."""
    bound = inspect.unwrap(task.run, stop=lambda each: isinstance(each, types.MethodType))
    function = inspect.unwrap(bound)
    reader = _Types(is_json=task.serializer == "json", makes_models=makes_models(task))
    parameters = [
        {
            "name": each.name,
            "how": HOW[each.kind],
            "type": reader.type_of(_hint(each.annotation, function)),
            **_default(each),
        }
        for each in _parameters(bound)
    ]
    doc = without_markup((function.__doc__ or "").strip().partition("\n")[0])
    return typing.cast(Json, masked({"doc": doc, "module": function.__module__, "parameters": parameters}))


def _parameters(function: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        yield from inspect.signature(function, annotation_format=Format.FORWARDREF).parameters.values()
    else:
        yield from inspect.signature(function).parameters.values()


def _hint(annotation: Any, function: Any) -> Any:
    """The annotation, resolved alone: a name that only type checkers import spoils no other."""
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, getattr(function, "__globals__", {}))["it"]
    except Exception:  # noqa: BLE001 - an annotation may be any code
        return annotation


def _default(parameter: inspect.Parameter) -> Json:
    """Whether the parameter is required, and its default, where that is JSON and no secret."""
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return {"required": False}
    if parameter.default is parameter.empty:
        return {"required": True}
    named = {parameter.name: parameter.default}
    if isinstance(parameter.default, Enum):
        named = {parameter.name: parameter.default.value}
    try:
        default = json.loads(dumps(named, allow_nan=False))  # type: ignore[no-untyped-call]
    except (TypeError, ValueError):
        return {"required": False}
    return {"required": False, **({"default": default[parameter.name]} if masked(default) == default else {})}


class _Types:
    """Tells types. ``is_json``: messages are JSON; ``makes_models``: Celery makes models of their values."""

    def __init__(self, *, is_json: bool, makes_models: bool) -> None:
        self._kinds = {**PLAIN, **ENVELOPED} if is_json else PLAIN
        self._makes_models = makes_models

    def type_of(self, annotation: Any) -> Json:
        """The type that an annotation names."""
        if annotation is Any or annotation is inspect.Parameter.empty:
            return {"kind": "json"}
        origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in (typing.Union, types.UnionType):
            return self._union(annotation, inside)
        if origin is typing.Literal:
            return self._choice([(value, str(value)) for value in inside], annotation)
        if origin in LISTS and inside:
            return self._list(annotation, inside[0])
        if isinstance(annotation, type):
            return self._class(annotation)
        return _other(annotation)

    def _union(self, annotation: Any, inside: tuple[Any, ...]) -> Json:
        others = [each for each in inside if each is not type(None)]
        if len(others) != 1 or len(inside) == 1:
            return _other(annotation)
        return {**self.type_of(others[0]), "nullable": True}

    def _list(self, annotation: Any, item: Any) -> Json:
        kind = self._kinds.get(item)
        return {"kind": "list", "of": {"kind": kind}} if kind and item is not bool else _other(annotation)

    def _class(self, annotation: type) -> Json:
        if annotation in self._kinds:
            return {"kind": self._kinds[annotation]}
        if issubclass(annotation, Enum):
            members = [(each.value, str(getattr(each, "label", each.name))) for each in annotation]
            return self._choice(members, annotation, as_value=annotation.__name__)
        if self._makes_models and hasattr(annotation, "model_json_schema"):
            fields = fields_of(annotation.model_json_schema(), {*self._kinds.values(), "duration"})
            return {"kind": "object", "fields": fields} if fields else _other(annotation)
        return _other(annotation)

    def _choice(self, choices: list[tuple[Any, str]], annotation: Any, **more: str) -> Json:
        if not choices or not all(isinstance(value, str | int | float) for value, _label in choices):
            return _other(annotation)
        return {
            "kind": "choice",
            "choices": [{"value": value, "label": label} for value, label in choices],
            **more,
        }


def _other(annotation: Any) -> Json:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return {"kind": "json", "annotation": text[:200]}
