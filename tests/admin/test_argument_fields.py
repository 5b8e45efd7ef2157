"""The field of each type of argument: what is typed reaches the task as its code says."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.utils.timezone import get_current_timezone
from kombu.utils.json import loads

from scheduled_tasks.masking import MASK
from tests.admin.argument_forms import (
    TYPED,
    Color,
    everything,
    form_of,
    sent,
    submitted,
    told,
)

ARRIVES = {
    "text": " a\nb ",
    "number": -5,
    "ratio": 2.0,
    "day": date(2026, 1, 31),
    "at": datetime(2026, 1, 31, 12, 30, tzinfo=get_current_timezone()),
    "key": UUID("6ba7b8109dad11d180b400c04fd430c8"),
    "price": Decimal("1.50"),
    "color": "b",
    "level": 1,
    "days": [date(2026, 1, 31), date(2026, 2, 1)],
    "names": [" a", "b"],
    "wait": 30,
    "is_dry": True,
    "maybe": False,
}


def test_each_type_arrives_and_is_shown_again() -> None:
    args, kwargs = sent(submitted(told(everything), **TYPED))
    message = json.dumps(kwargs)
    assert (args, loads(message)) == ([], ARRIVES)
    assert {name: type(value) for name, value in loads(message).items()} == {
        name: type(value) for name, value in ARRIVES.items()
    }
    stored = form_of(told(everything), kwargs=message)
    assert not stored.is_json
    assert {field.name: field.value() for field in stored} == {
        **TYPED,
        "text": " a\nb ",
        "ratio": "2.0",
        "key": str(ARRIVES["key"]),
        "days": "2026-01-31\n2026-02-01",
        "names": " a\nb",
        "is_dry": True,
    }
    assert sent(submitted(told(everything), kwargs=message)) == ([], kwargs)


WRONG = {
    "number": "1.5",
    "ratio": "nan",
    "day": "yesterday",
    "at": "noon",
    "key": "x",
    "price": "x",
    "color": '"red"',
    "level": "2",
    "days": "2026-01-31\nx",
    "wait": "30 seconds",
    "maybe": "perhaps",
}


def test_what_is_no_value_is_refused_at_its_field_and_kept() -> None:
    form = submitted(told(everything), **{**TYPED, **WRONG})
    assert not form.is_valid()
    assert {*form.errors} == {*WRONG}
    assert form.errors["days"] == ["Line 2: Enter a valid date."]
    assert {name: form[name].value() for name in WRONG} == WRONG


def test_required_arguments() -> None:
    form = submitted(told(everything))
    assert not form.is_valid()
    assert {*form.errors} == {*TYPED} - {"is_dry", "maybe"}, "a box has a state, and None is a value"
    assert form["number"].errors == ["This argument is required."]
    assert sent(submitted(told(everything), **{**TYPED, "maybe": ""}))[1]["maybe"] is None


def test_what_is_left_empty_is_not_sent_and_the_default_is_told() -> None:
    def count(
        day: date = date(2026, 1, 31),
        color: Color = Color.BLUE,
        names: list[str] | None = None,
        is_dry: bool = True,
        is_loud: bool = False,
    ) -> None:
        """Count."""

    form = form_of(told(count))
    assert form["day"].help_text == "Empty: 2026-01-31."
    assert form["color"].help_text == f"The task gets the value, not a {Color.__name__}. Empty: BLUE."
    assert form["names"].help_text == "One per line. Optional."
    assert (form["is_dry"].value(), form["is_loud"].value()) == (True, False)
    assert sent(submitted(told(count))) == ([], {})
    assert sent(submitted(told(count), is_dry="", names="a")) == ([], {"is_dry": False, "names": ["a"]})
    assert sent(submitted(told(count), kwargs='{"is_dry": true}', names="a")) == (
        [],
        {"is_dry": True, "names": ["a"]},
    )


def test_what_a_field_would_change_is_shown_as_json() -> None:
    def count(number: int, at: datetime, text: str, day: date, is_dry: bool, names: list[str]) -> None:
        """Count."""

    stored = {
        "number": MASK,
        "at": "2026-01-31T12:30:00Z",
        "text": None,
        "day": {"__type__": "nothing", "__value__": 1},
        "is_dry": 1,
        "names": [],
    }
    form = form_of(told(count), kwargs=json.dumps(stored))
    assert not form.is_json
    assert {field.name: json.loads(field.value()) for field in form} == stored
    assert sent(submitted(told(count), kwargs=json.dumps(stored))) == ([], stored)
    changed = sent(submitted(told(count), kwargs=json.dumps(stored), text='"x"'))[1]
    assert changed == {**stored, "text": "x"}


BAD = [
    {"__type__": "decimal", "__value__": "abc"},
    {"__type__": "uuid", "__value__": {"hex": 5}},
    {"__type__": "uuid", "__value__": []},
    {"__type__": "datetime", "__value__": "0001-01-01T00:00:00+14:00"},
    {"__type__": "datetime", "__value__": "9999-12-31T23:59:59-11:00"},
    {"__type__": "datetime", "__value__": "0001-01-01T00:00:00+00:00"},
    [{"__type__": "datetime", "__value__": "9999-12-31T23:59:59+00:00"}],
]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
@pytest.mark.parametrize("bad", BAD)
def test_what_kombu_cannot_read_is_shown_as_json(settings: Any, zone: str, bad: Any) -> None:
    def count(at: datetime, price: Decimal, times: list[datetime], day: date | None = None) -> None:
        """Count."""

    settings.TIME_ZONE = zone
    stored = {"at": bad, "price": bad, "times": bad, "day": bad}
    shown = {field.name: field.value() for field in form_of(told(count), kwargs=json.dumps(stored))}
    assert json.loads(shown["price"]) == bad
    assert sent(submitted(told(count), kwargs=json.dumps(stored))) == ([], stored)
    signature = told(count)
    assert signature is not None
    signature["parameters"][3]["default"] = bad
    assert form_of(signature)["day"].help_text.startswith("Empty: ")


@pytest.mark.parametrize(
    ("zone", "text"),
    [("Asia/Tokyo", "0001-01-01T00:00"), ("America/Los_Angeles", "9999-12-31T23:59")],
)
def test_time_that_utc_does_not_have_is_refused_at_its_field(settings: Any, zone: str, text: str) -> None:
    def count(at: datetime, times: list[datetime]) -> None:
        """Count."""

    settings.TIME_ZONE = zone
    form = submitted(told(count), at=text, times=text)
    assert not form.is_valid()
    assert form.errors == {"at": ["Enter a valid date/time."], "times": ["Line 1: Enter a valid date/time."]}
