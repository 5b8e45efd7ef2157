"""Forms of arguments as a browser sends them, for what a worker tells of a function."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any, Literal, cast
from uuid import UUID

from django.http import QueryDict

from scheduled_tasks.admin.argument_form import AnyArgumentForm, argument_form
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.worker.task_signatures import signature_of

Signature = dict[str, Any] | None


class Color(Enum):
    RED = "r"
    BLUE = "b"


def told(function: Callable[..., Any]) -> Signature:
    return signature_of(SimpleNamespace(run=function, serializer="json"))


def form_of(
    signature: Signature,
    args: str = "[]",
    kwargs: str = "{}",
    data: dict[str, str] | None = None,
    *,
    switches: bool = False,
) -> AnyArgumentForm:
    machinery = cast(Machinery, SimpleNamespace(signature_of={"shop.count": signature}.get))
    sent = QueryDict(mutable=True)
    sent.update(data or {})
    return argument_form(machinery, "shop.count", args, kwargs, sent, switches=switches)


def filled(form: AnyArgumentForm, **typed: str) -> dict[str, str]:
    """What a browser sends of the form, with some fields typed anew; an empty text unticks a box."""
    base = {"fields": "1", **form.base} if not form.is_json else {}
    shown = {field.html_name: field.value() for field in form}
    typed = {f"argument-{name}" if not form.is_json else name: text for name, text in typed.items()}
    sent = {**shown, **typed}
    return {**base, **{name: "on" if text is True else str(text) for name, text in sent.items() if text}}


def submitted(signature: Signature, args: str = "[]", kwargs: str = "{}", **typed: str) -> AnyArgumentForm:
    return form_of(signature, args, kwargs, filled(form_of(signature, args, kwargs), **typed))


def sent(form: AnyArgumentForm) -> tuple[list[Any], dict[str, Any]]:
    assert form.is_valid(), form.errors
    return form.arguments["args"], form.arguments["kwargs"]


def everything(
    text: str,
    number: int,
    ratio: float,
    day: date,
    at: datetime,
    key: UUID,
    price: Decimal,
    color: Color,
    level: Literal[1, "two"],
    days: list[date],
    names: list[str],
    wait: timedelta,
    is_dry: bool,
    maybe: bool | None,
) -> None:
    """Have a parameter of each type."""


TYPED = {
    "text": " a\r\nb ",
    "number": "-5",
    "ratio": "2",
    "day": "2026-01-31",
    "at": "2026-01-31T12:30",
    "key": "6ba7b8109dad11d180b400c04fd430c8",
    "price": "1.50",
    "color": '"b"',
    "level": "1",
    "days": "2026-01-31\r\n\r\n2026-02-01\r\n",
    "names": " a\r\nb",
    "wait": "30",
    "is_dry": "on",
    "maybe": "false",
}
