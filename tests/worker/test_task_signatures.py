"""What a worker tells of its tasks' arguments: only types that arrive, as JSON that every database keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, cast
from uuid import UUID

import pytest
from celery import Celery, Task
from django.db import models

from scheduled_tasks.masking import MASK
from scheduled_tasks.worker import task_signatures as module
from scheduled_tasks.worker.task_signatures import signature_of, task_signatures

if TYPE_CHECKING:
    from nowhere import Unknown


class Color(models.TextChoices):
    RED = "r", "Red one"
    BLUE = "b", "Blue one"


class Level(IntEnum):
    LOW = 1


class Odd(Enum):
    NOTHING = None


def told(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    app = Celery("signatures", set_as_current=False)
    app.task(name="tests.signatures", shared=False, **options)(function)
    found = task_signatures(app)
    json.dumps(found, allow_nan=False)
    return found.get("tests.signatures", {})


def first(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    return told(function, **options)["parameters"][0]


def of_type(annotation: Any, **options: Any) -> dict[str, Any]:
    def job(it: int) -> None:
        """A task of the tests."""

    job.__annotations__ = {"it": annotation}
    return first(job, **options)["type"]


CHOICES = {
    "kind": "choice",
    "as_value": "Color",
    "choices": [{"value": "r", "label": "Red one"}, {"value": "b", "label": "Blue one"}],
}
LITERAL = {"kind": "choice", "choices": [{"value": "a", "label": "a"}, {"value": 2, "label": "2"}]}


@pytest.mark.parametrize(
    ("annotation", "type"),
    [
        (str, {"kind": "text"}),
        (int, {"kind": "int"}),
        (float, {"kind": "float"}),
        (bool, {"kind": "bool"}),
        (date, {"kind": "date"}),
        (datetime, {"kind": "datetime"}),
        (UUID, {"kind": "uuid"}),
        (Decimal, {"kind": "decimal"}),
        (Color, CHOICES),
        (Level, {"kind": "choice", "as_value": "Level", "choices": [{"value": 1, "label": "LOW"}]}),
        (Literal["a", 2], LITERAL),
        (int | None, {"kind": "int", "nullable": True}),
        (Optional[Color], {**CHOICES, "nullable": True}),  # noqa: UP045 - as old code has it
        (Annotated[int, "of the year"], {"kind": "int"}),
        ("int", {"kind": "int"}),
        (list[int], {"kind": "list", "of": {"kind": "int"}}),
        (Sequence[date], {"kind": "list", "of": {"kind": "date"}}),
        (Any, {"kind": "json"}),
        (timedelta, {"kind": "json", "annotation": "datetime.timedelta"}),
        (int | str, {"kind": "json", "annotation": "int | str"}),
        (int | str | None, {"kind": "json", "annotation": "int | str | None"}),
        (list[Color], {"kind": "json", "annotation": f"list[{__name__}.Color]"}),
        (list[bool], {"kind": "json", "annotation": "list[bool]"}),
        (tuple[int, ...], {"kind": "json", "annotation": "tuple[int, ...]"}),
        (Odd, {"kind": "json", "annotation": f"{__name__}.Odd"}),
        ("Unknown", {"kind": "json", "annotation": "Unknown"}),
        ("1 +", {"kind": "json", "annotation": "1 +"}),
    ],
)
def test_types(annotation: Any, type: dict[str, Any]) -> None:
    assert of_type(annotation) == type


@pytest.mark.parametrize("annotation", [date, datetime, UUID, Decimal, list[date]])
def test_other_serializers_carry_no_types(annotation: Any) -> None:
    assert of_type(annotation, serializer="pickle")["kind"] == "json"
    assert of_type(int, serializer="pickle") == {"kind": "int"}


def test_parameters_and_docstring() -> None:
    def job(a: int, /, b: Unknown, c: str = "x", *rest: int, d: date = date(2026, 1, 2), **more: Any) -> None:
        """Count each :class:`~shop.models.Shop` of ``region``.

        And more.
        """

    found = told(job)
    assert found["doc"] == "Count each Shop of region."
    assert [(each["name"], each["how"], each["required"]) for each in found["parameters"]] == [
        ("a", "positional", True),
        ("b", "any", True),
        ("c", "any", False),
        ("rest", "args", False),
        ("d", "keyword", False),
        ("more", "kwargs", False),
    ]
    kinds = [each["type"]["kind"] for each in found["parameters"]]
    assert kinds == ["int", "json", "text", "int", "date", "json"]
    defaults = [each["default"] for each in found["parameters"] if "default" in each]
    assert defaults == ["x", {"__type__": "date", "__value__": "2026-01-02"}]


@pytest.mark.parametrize("default", [object(), float("nan"), timedelta(1), "postgres://me:hunter2@host/db"])
def test_defaults_that_are_not_told(default: Any) -> None:
    def job(it: Any = default) -> None:
        """A task of the tests."""

    assert first(job) == {"name": "it", "how": "any", "type": {"kind": "json"}, "required": False}


def test_secret_default_is_not_told() -> None:
    def job(password: str = "hunter2-and-more") -> None:
        """A task of the tests."""

    assert "default" not in first(job)


def test_default_of_an_enum_is_its_value() -> None:
    def job(color: Color = Color.RED) -> None:
        """A task of the tests."""

    assert first(job)["default"] == "r"


@pytest.mark.parametrize("options", [{}, {"autoretry_for": (OSError,)}])
def test_self_of_a_bound_task_is_left_out(options: dict[str, Any]) -> None:
    def job(self: Task, it: int) -> None:
        """A task of the tests."""

    assert [each["name"] for each in told(job, bind=True, **options)["parameters"]] == ["it"]


def test_class_based_task() -> None:
    class Job(Task):
        name = "tests.class"

        def run(self, it: int) -> None:
            """Do it."""

    app = Celery("signatures", set_as_current=False)
    app.register_task(Job())
    found = task_signatures(app)["tests.class"]
    assert (found["doc"], [each["name"] for each in found["parameters"]]) == ("Do it.", ["it"])


def test_texts_that_no_database_keeps() -> None:
    def job(it: Literal["a\x00"]) -> None:
        """Log in as postgres://me:hunter2@host/db."""

    found = told(job)
    assert "\x00" not in found["parameters"][0]["type"]["choices"][0]["value"]
    assert MASK in found["doc"]


def test_tasks_of_celery_and_those_that_fail_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    app = Celery("signatures", set_as_current=False)
    app.task(name="tests.odd", shared=False)(first)
    app.tasks["tests.odd"].run = 5
    found = task_signatures(app)
    assert not [name for name in found if name == "tests.odd" or name.startswith("celery.")]
    assert "The arguments of tests.odd cannot be told." in caplog.text


def nothing() -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("name", "limit", "left"),
    [("PER_TASK", 100, ["tests.0", "tests.1", "tests.2"]), ("IN_ALL", 200, ["tests.0", "tests.1"])],
)
def test_large_signatures_are_left_out(
    monkeypatch: pytest.MonkeyPatch, name: str, limit: int, left: list[str]
) -> None:
    monkeypatch.setattr(module, name, limit)
    app = Celery("signatures", set_as_current=False)
    for number in range(3):
        app.task(name=f"tests.{number}", shared=False)(nothing)
    app.task(name="tests.0large", shared=False)(first)
    ours = {name: task for name, task in app.tasks.items() if re.match("tests.[0-9]", name)}
    assert [*task_signatures(cast(Celery, SimpleNamespace(tasks=ours)))] == left


class Model:
    """What pydantic's models have in common for this module."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return {"properties": {"n": {"type": "integer"}}, "required": ["n"]}


def test_model_only_where_celery_makes_it() -> None:
    assert of_type(Model) == {"kind": "json", "annotation": f"{__name__}.Model"}


def test_model_of_pydantic() -> None:
    pydantic = pytest.importorskip("pydantic")
    Order = pydantic.create_model("Order", n=(int, ...), color=(Color, Color.RED), took=(timedelta, 5))

    def job(order: int) -> None:
        """A task of the tests."""

    job.__annotations__ = {"order": Order}
    app = Celery("signatures", set_as_current=False)
    task = app.task(name="tests.model", shared=False, pydantic=True)(job)
    found = signature_of(task)["parameters"][0]["type"]
    assert [(each["name"], each["type"]["kind"]) for each in found["fields"]] == [
        ("n", "int"),
        ("color", "choice"),
        ("took", "duration"),
    ]
