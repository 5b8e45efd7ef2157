"""The form's field for each type of an argument: how its value is shown, typed and sent.

A value is sent as plain JSON. What JSON lacks stands in it as Kombu writes it (``{"__type__": "date", …}``),
in what is stored too, and arrives at the task as that type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from kombu.utils import json as kombu_json

from ..masking import load_json
from ..schedules import current_zone
from ..validation import UNSTORABLE

Json = Mapping[str, Any]

UNSENT: Any = object()
"""Stands for an argument that is not sent."""

FORMATS = ("%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S")
"""What a browser's field for a time sends, and what is typed into one that it does not know."""

STARRED = {"args": list, "kwargs": dict}
"""What ``*args`` and ``**kwargs`` are, by how a worker tells of them."""


def encoded(value: Any) -> Any:
    """A value as JSON that Celery delivers as that value."""
    if isinstance(value, datetime) and timezone.is_aware(value):
        value = value.astimezone(UTC)
    return json.loads(kombu_json.dumps(value))  # type: ignore[no-untyped-call]


def decoded(value: Any) -> Any:
    """The value behind that JSON; the JSON itself where Kombu cannot read it, or no calendar has the time."""
    try:
        found = kombu_json.loads(json.dumps(value))  # type: ignore[no-untyped-call]
        encoded(found)
        _lines(found)
    except Exception:  # noqa: BLE001 - Kombu raises what the type's constructor does
        return value
    return found


def json_text(value: Any) -> str:
    """JSON as people read it; escaped where it has half of a character, which no answer can hold."""
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if UNSTORABLE.search(text) else text


class JsonField(forms.Field):
    """Any JSON, or with a ``shape`` only a list or an object. An empty text is an empty one, or None."""

    widget = forms.Textarea(attrs={"rows": 2, "spellcheck": "false"})

    def __init__(self, shape: type | None = None, **options: Any) -> None:
        errors: dict[type | None, Any] = {
            None: gettext_lazy("Enter JSON, such as %(example)s."),
            list: gettext_lazy("Enter a JSON list, such as [1, 2]."),
            dict: gettext_lazy("Enter a JSON object, such as %(example)s."),
        }
        super().__init__(required=False, **{"error_messages": {"invalid": errors[shape]}, **options})
        self._shape = shape

    def to_python(self, value: Any) -> Any:
        """The value of the text."""
        try:
            found = load_json((value or "").strip() or "null")
        except ValueError:
            found = self
        if found is None and self._shape:
            return self._shape()
        if found is self or (self._shape and not isinstance(found, self._shape)):
            raise ValidationError(self.error_messages["invalid"], params={"example": '{"a": 1}'})
        return found


class LinesField(forms.Field):
    """A list with one item a line, each typed into ``item``."""

    widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false"})

    def __init__(self, item: forms.Field) -> None:
        super().__init__(required=False)
        self._item = item

    def to_python(self, value: Any) -> list[Any]:
        """The items of the lines that are not blank."""
        lines = text_of(value).split("\n")
        return [self._read(number, line) for number, line in enumerate(lines, 1) if line.strip()]

    def _read(self, number: int, line: str) -> Any:
        try:
            return self._item.clean(line)
        except ValidationError as error:
            text = _("Line %(number)s: %(error)s")
            raise ValidationError(text % {"number": number, "error": error.messages[0]}) from error


class LineField(forms.CharField):
    """A text as it was typed, in lines where it had some."""

    def to_python(self, value: Any) -> str:
        """The text."""
        return text_of(super().to_python(value))


class TimeField(forms.DateTimeField):
    """A time that UTC's calendar has, too."""

    def to_python(self, value: Any) -> datetime | None:
        """The time."""
        found = super().to_python(value)
        try:
            encoded(found)
        except OverflowError as error:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error
        return found


def text_of(value: Any) -> str:
    return str(value or "").replace("\r\n", "\n")


@dataclass(frozen=True)
class Slot:
    """One field of the form: for a parameter, or for a field of one that is a model."""

    path: str
    """Its name in the form: ``"order.number"`` in a model."""
    told: Json
    """What the worker tells of it: ``name``, ``type``, ``required`` and perhaps ``default``."""
    value: Any
    """The argument that the form begins with, or :data:`UNSENT`."""
    is_required: bool

    @property
    def field(self) -> forms.Field:
        """A field that shows the value exactly: JSON where that of the type would change it."""
        field, told_hint = self._field, hint(self.told["type"])
        if self.value is not UNSENT and not can_show(field, decoded(self.value)):
            field, told_hint = JsonField(), str(HINTS["json"])
        field.label = self.path
        field.help_text = " ".join(filter(None, (told_hint, self._if_empty(field))))
        if self.value is not UNSENT:
            field.initial = shown(field, decoded(self.value))
        elif isinstance(field, forms.BooleanField):
            field.initial = self.told.get("default", False)
        elif self.is_required:
            field.widget.attrs["aria-required"] = "true"
        return field

    @property
    def _field(self) -> forms.Field:
        type = self.told["type"]
        if how := STARRED.get(self.told.get("how", "")):
            return JsonField(how)
        if type["kind"] == "list" and type["of"]["kind"] in KINDS:
            return LinesField(KINDS[type["of"]["kind"]]())
        if type["kind"] == "choice":
            return _choice([(choice["value"], choice["label"]) for choice in type["choices"]])
        if type["kind"] == "bool" and not self._is_box:
            return _choice([(True, _("yes")), (False, _("no"))])
        return KINDS.get(type["kind"], JsonField)()

    @property
    def _is_box(self) -> bool:
        """Whether a truth value is always known, so that two states are enough."""
        if self.told["type"].get("nullable"):
            return False
        return self.is_required or isinstance(self.told.get("default"), bool)

    def _if_empty(self, field: forms.Field) -> str:
        """What becomes of an argument that is left empty."""
        if isinstance(field, forms.BooleanField):
            return ""
        if self.is_required:
            return _("Empty: None.") if self.told["type"].get("nullable") else ""
        default = self.told.get("default")
        text = "" if default is None else _spoken(field, decoded(default))
        return _("Empty: %(default)s.") % {"default": text} if text else _("Optional.")


def _spoken(field: forms.Field, default: Any) -> str:
    text = str(shown(field, default))
    choices: Any = field.choices if isinstance(field, forms.TypedChoiceField) else ()
    return str(dict(choices).get(text, text.replace("\n", ", ")))[:100]


def slots(parameter: Json, value: Any) -> list[Slot]:
    """The fields for a parameter: one, or one for each field of a model that can show the value."""
    name, is_required = parameter["name"], parameter["required"]
    fields = parameter["type"].get("fields", ())
    inside = {} if value is UNSENT else value
    if not fields or not isinstance(inside, dict) or inside.keys() - {each["name"] for each in fields}:
        return [Slot(name, parameter, value, is_required)]
    return [
        Slot(
            f"{name}.{each['name']}",
            each,
            inside.get(each["name"], UNSENT),
            is_required and each["required"],
        )
        for each in fields
    ]


def _choice(choices: list[tuple[Any, str]]) -> forms.Field:
    told = [("", "–"), *((json.dumps(value), label) for value, label in choices)]
    return forms.TypedChoiceField(choices=told, coerce=json.loads, required=False)


def _number(field: type[forms.Field], mode: str) -> Callable[[], forms.Field]:
    # An input of type number would send nothing of what it cannot read.
    return lambda: field(required=False, widget=forms.TextInput(attrs={"inputmode": mode}))


def _text() -> forms.Field:
    return LineField(required=False, strip=False, empty_value="")


def _date() -> forms.Field:
    widget = forms.DateInput(attrs={"type": "date"})
    return forms.DateField(required=False, input_formats=["%Y-%m-%d"], widget=widget)


def _datetime() -> forms.Field:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"})
    return TimeField(required=False, input_formats=FORMATS, widget=widget)


KINDS: dict[str, Callable[[], forms.Field]] = {
    "text": _text,
    "int": _number(forms.IntegerField, "numeric"),
    "float": _number(forms.FloatField, "decimal"),
    "bool": lambda: forms.BooleanField(required=False),
    "date": _date,
    "datetime": _datetime,
    "uuid": lambda: forms.UUIDField(required=False),
    "decimal": _number(forms.DecimalField, "decimal"),
    "duration": _number(forms.FloatField, "decimal"),
    "json": JsonField,
}


def shown(field: forms.Field, value: Any) -> Any:
    """A value as the field shows it: a text; a truth value for a box to tick."""
    if isinstance(field, forms.BooleanField):
        return value
    if isinstance(field, JsonField):
        return json_text(encoded(value))
    if isinstance(field, forms.TypedChoiceField):
        return json.dumps(encoded(value))
    return _lines(value) if isinstance(field, LinesField) else _one(value)


def _lines(value: Any) -> str:
    return "\n".join(_one(item) for item in value) if isinstance(value, list) else _one(value)


def _one(value: Any) -> str:
    if isinstance(value, datetime):
        local = timezone.localtime(value, current_zone()) if timezone.is_aware(value) else value
        # Browsers leave out seconds that are zero.
        return local.replace(tzinfo=None).isoformat(timespec="auto" if local.second else "minutes")
    return str(value)


def can_show(field: forms.Field, value: Any) -> bool:
    """Whether the field gives back exactly this value when nobody touches it."""
    if isinstance(field, forms.BooleanField):
        return isinstance(value, bool)
    text = shown(field, value)
    if UNSTORABLE.search(text):
        return False
    try:
        return bool(text) and bool(field.clean(text) == value)
    except ValidationError:
        return False


def hint(type: Json) -> str:
    """What a person has to know to fill in the field; empty where nothing is."""
    kind = type["kind"]
    if kind == "datetime":
        return _("Time in %(zone)s.") % {"zone": current_zone().key}
    if kind == "list":
        return _("One per line.")
    if kind == "json" and "annotation" in type:
        return _("JSON, sent as it is. In code: %(annotation)s.") % {"annotation": type["annotation"]}
    if "as_value" in type:
        return _("The task gets the value, not a %(name)s.") % {"name": type["as_value"]}
    return str(HINTS.get(kind, ""))


HINTS = {
    "int": gettext_lazy("A whole number."),
    "float": gettext_lazy("A number."),
    "decimal": gettext_lazy("A decimal number."),
    "uuid": gettext_lazy("A UUID."),
    "duration": gettext_lazy("In seconds."),
    "json": gettext_lazy("JSON."),
}
