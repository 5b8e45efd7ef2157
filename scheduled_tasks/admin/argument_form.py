"""What people type as arguments: a field for each parameter that a worker told of, or JSON.

Both forms have ``arguments``, a dict of the ``args`` and ``kwargs`` that were typed, once they are valid, and
go into ``_argument_fields.html``. :func:`argument_form` makes the one that fits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..declarations.fields import FIELDS as COLUMNS
from ..masking import MASK, load_json, printable, unmasked
from ..models import ScheduledTask
from ..reading.machinery import Machinery
from .argument_fields import UNSENT, JsonField, LineField, Slot, encoded, json_text, slots, text_of

Json = Mapping[str, Any]

FIELDS = "fields"
"""Sent by the form of fields; the form of JSON has only ``args`` and ``kwargs``."""


class Unfit(ValueError):
    """Arguments that the fields of the task's parameters cannot show."""


def argument_form(
    machinery: Machinery,
    celery_task: str,
    args: str,
    kwargs: str,
    data: QueryDict | None = None,
    *,
    switches: bool = False,
) -> AnyArgumentForm:
    """The form for the arguments of a Celery task, which begins with ``args`` and ``kwargs``, texts in JSON.

    ``data`` is what was sent, from either form; the form of fields sends along what it began with. With
    ``switches`` the answer is the other form with the same content, or the same one where that is invalid.
    """
    signature = machinery.signature_of(celery_task)
    sent = {name: str(data[name]) for name in data} if data is not None and was_sent(data) else None
    typed = _typed_form(signature, {"args": args, "kwargs": kwargs}, sent, is_partial=switches)
    if not switches or signature is None or not typed.is_valid():
        return typed
    texts = {name: json_text(value) for name, value in typed.arguments.items()}
    if isinstance(typed, ArgumentForm):
        return JsonArguments(initial=texts, can_switch=True)
    try:
        return ArgumentForm(signature, texts)
    except Unfit as error:
        typed.add_error("kwargs", str(error))
        return typed


def was_sent(data: QueryDict) -> bool:
    """Whether one of these forms is part of what was sent."""
    return bool({"args", "kwargs", FIELDS} & data.keys())


def refuse_masks(form: AnyArgumentForm, task: ScheduledTask) -> bool:
    """Whether a valid form has a masked value that stands for none of the task's, said at its field."""
    wrong = [
        path for path, value in form.by_field(**given_arguments(form, task)).items() if MASK in str(value)
    ]
    for path in wrong:
        form.add_error(path, _("Type the value that is masked here."))
    return bool(wrong)


def given_arguments(form: AnyArgumentForm, task: ScheduledTask) -> dict[str, Any]:
    """The ``args`` and ``kwargs`` of a valid form; what was not sent, or is masked, is as the task has it."""
    found = {}
    for name, value in form.arguments.items():
        own = COLUMNS[name].read(task)
        found[name] = own if value is None else unmasked(value, own)
    return found


def _typed_form(
    signature: Json | None, own: dict[str, str], data: Mapping[str, str] | None, *, is_partial: bool
) -> AnyArgumentForm:
    """The form that was sent, or the first one."""
    base = own if data is None else {name: data.get(name, own[name]) for name in own}
    if signature is not None and (data is None or FIELDS in data):
        try:
            return ArgumentForm(signature, base, data, is_partial=is_partial)
        except Unfit:
            pass
    if data is not None and FIELDS in data:
        return _typed_as_json(base, data)
    form = JsonArguments(data, initial=own, can_switch=signature is not None)
    form.signature = None if is_partial else signature
    return form


def _typed_as_json(base: dict[str, str], data: Mapping[str, str]) -> JsonArguments:
    """What was typed into fields of which no worker tells any more."""
    prefix = f"{ArgumentForm.prefix}-"
    typed = {name.removeprefix(prefix): text for name, text in data.items() if name.startswith(prefix)}
    form = JsonArguments({"args": base["args"], "kwargs": json.dumps({k: v for k, v in typed.items() if v})})
    form.full_clean()
    form.add_error("kwargs", _("No running worker describes this task now. Check what was typed, as JSON."))
    return form


class JsonArguments(forms.Form):
    """Arguments as JSON. A part that was not sent is None in ``arguments``: the task's own."""

    is_json = True
    doc = ""
    signature: Json | None = None
    """What they must fit, if anybody knows."""

    args = JsonField(
        list,
        label=gettext_lazy("Arguments"),
        help_text=gettext_lazy("A JSON list, such as [1, 2]."),
        error_messages={"invalid": gettext_lazy("Arguments must be a JSON list, such as [1, 2].")},
    )
    kwargs = JsonField(
        dict,
        label=gettext_lazy("Keyword arguments"),
        help_text=gettext_lazy("A JSON object."),
        error_messages={
            "invalid": gettext_lazy("Keyword arguments must be a JSON object, such as %(example)s.")
        },
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
    )

    def __init__(
        self,
        data: Mapping[str, str] | None = None,
        *,
        initial: dict[str, str] | None = None,
        can_switch: bool = False,
    ) -> None:
        complete = None if data is None else {**(initial or {}), **data}
        super().__init__(complete, initial=initial, auto_id="st-%s")
        self.can_switch = can_switch
        self._sent = data or {}

    def clean(self) -> None:
        """Refuse what the task could not be called with."""
        if self.errors or not self._sent.keys() >= {"args", "kwargs"}:
            return
        if text := misfit(self.signature, self.cleaned_data["args"], self.cleaned_data["kwargs"]):
            self.add_error("kwargs", text)

    @property
    def arguments(self) -> dict[str, Any]:
        """What was typed."""
        return {name: self.cleaned_data[name] if name in self._sent else None for name in self.fields}

    def by_field(self, **arguments: Any) -> dict[str, Any]:
        """These arguments by the field that shows them."""
        return arguments


class ArgumentForm(forms.Form):
    """Arguments in a field for each parameter. ``base`` is the JSON that it began with.

    An argument that is left empty is not sent: the default of the code applies. With ``is_partial`` required
    ones may be left empty, too. Raises :class:`Unfit`.
    """

    is_json = False
    can_switch = True
    prefix = "argument"

    def __init__(
        self,
        signature: Json,
        base: dict[str, str],
        data: Mapping[str, str] | None = None,
        *,
        is_partial: bool = False,
    ) -> None:
        super().__init__(data, auto_id="st-%s")
        self.base = base
        self.doc: str = signature["doc"]
        self._is_partial = is_partial
        self._parameters: Sequence[Json] = signature["parameters"]
        self._base = _read(base)
        given = bound(self._parameters, **self._base)
        self._slots = {
            each["name"]: slots(each, given.get(each["name"], UNSENT)) for each in self._parameters
        }
        self.fields |= {slot.path: slot.field for each in self._slots.values() for slot in each}

    @property
    def arguments(self) -> dict[str, Any]:
        """What was typed; exactly what the form began with where nothing was."""
        is_untouched = all(text_of(field.data) == text_of(field.initial) for field in self)
        return self._base if is_untouched else self._message

    def by_field(self, **arguments: Any) -> dict[str, Any]:
        """These arguments, shaped like :attr:`arguments`, by the field that shows them."""
        found = bound(self._parameters, **arguments)
        own = (slots(each, found.get(each["name"], UNSENT)) for each in self._parameters)
        return {slot.path: slot.value for each in own for slot in each}

    def clean(self) -> None:
        """Refuse what is missing, and what cannot be sent together."""
        values = {parameter["name"]: self._value_of(parameter) for parameter in self._parameters}
        self._message = self._as_message(
            {name: value for name, value in values.items() if value is not UNSENT}
        )

    def _value_of(self, parameter: Json) -> Any:
        """The argument, or UNSENT."""
        own = self._slots[parameter["name"]]
        values = {slot.path: self._sent(slot) for slot in own}
        if not parameter["required"] and all(value is UNSENT for value in values.values()):
            return UNSENT
        for slot in own:
            if values[slot.path] is UNSENT and slot.told["required"]:
                values[slot.path] = self._missing(slot)
        if [*values] == [parameter["name"]]:
            return values[parameter["name"]]
        sent = {slot.told["name"]: values[slot.path] for slot in own}
        return {name: value for name, value in sent.items() if value is not UNSENT}

    def _sent(self, slot: Slot) -> Any:
        field, value = self.fields[slot.path], self.cleaned_data.get(slot.path)
        if isinstance(field, forms.BooleanField):
            is_default = slot.value is UNSENT and value == slot.told.get("default")
            return UNSENT if is_default else value
        text = self[slot.path].data or ""
        is_empty = not (text if isinstance(field, LineField) else text.strip())
        return UNSENT if is_empty else encoded(value)

    def _missing(self, slot: Slot) -> Any:
        """What stands for an argument that is required."""
        if self._is_partial:
            return UNSENT
        if not slot.told["type"].get("nullable"):
            self.add_error(slot.path, _("This argument is required."))
        return None

    def _as_message(self, values: dict[str, Any]) -> dict[str, Any]:
        """The arguments as Celery takes them. By position go those that must, or did before."""
        by_how = {parameter["how"]: parameter["name"] for parameter in self._parameters}
        more = values.pop(by_how.get("args", ""), None) or []
        others = values.pop(by_how.get("kwargs", ""), None) or {}
        if twice := others.keys() & {parameter["name"] for parameter in self._parameters}:
            text = _("%(name)s has a field of its own.")
            self.add_error(by_how["kwargs"], text % {"name": ", ".join(sorted(twice))})
        args: list[Any] = []
        for parameter in self._by_position:
            must = more or parameter["how"] == "positional"
            if not (must or len(args) < len(self._base["args"])):
                break
            if parameter["name"] not in values:
                self._check_gap(parameter, values, is_certain=bool(more))
                break
            args.append(values.pop(parameter["name"]))
        return {"args": [*args, *more], "kwargs": {**values, **others}}

    @property
    def _by_position(self) -> list[Json]:
        return [each for each in self._parameters if each["how"] in ("positional", "any")]

    def _check_gap(self, empty: Json, left: Json, *, is_certain: bool) -> None:
        """Refuse an argument left empty before another that can only be sent by its position."""
        later = [each for each in self._by_position if each["how"] == "positional" and each["name"] in left]
        path = self._slots[empty["name"]][0].path
        if (later or is_certain) and path not in self.errors:
            self.add_error(path, _("Fill this in, too: a later argument is sent by its position."))


def _read(texts: dict[str, str]) -> dict[str, Any]:
    found = {}
    for name, kind in (("args", list), ("kwargs", dict)):
        try:
            value = load_json(texts[name].strip() or "null")
        except ValueError as error:
            raise Unfit(str(error)) from error
        if not isinstance(value, kind | None):
            raise Unfit(name)
        found[name] = kind() if value is None else value
    return found


def bound(parameters: Sequence[Json], args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by the names of their parameters; raises :class:`Unfit` where they do not fit."""
    by_position = [each["name"] for each in parameters if each["how"] in ("positional", "any")]
    by_name = {each["name"] for each in parameters if each["how"] in ("any", "keyword")}
    more, others = (
        next((each["name"] for each in parameters if each["how"] == how), "") for how in ("args", "kwargs")
    )
    found = dict(zip(by_position, args, strict=False))
    rest = args[len(by_position) :]
    named = {name: value for name, value in kwargs.items() if name in by_name}
    unknown = {name: value for name, value in kwargs.items() if name not in by_name}
    twice = [*(found.keys() & named.keys())]
    if twice or (rest and not more) or (unknown and not others):
        text = _("The task has no parameter for all of these arguments: %(names)s.")
        raise Unfit(text % {"names": printable(", ".join(map(str, [*twice, *rest, *unknown])))[:200]})
    return {**found, **named, **({more: rest} if rest else {}), **({others: unknown} if unknown else {})}


def misfit(signature: Json | None, args: list[Any], kwargs: dict[str, Any]) -> str:
    """Why no task of this signature can be sent with these arguments; empty where it can, or nobody knows."""
    if signature is None:
        return ""
    try:
        given = bound(signature["parameters"], args, kwargs)
    except Unfit as error:
        return str(error)
    missing = [
        each["name"] for each in signature["parameters"] if each["required"] and each["name"] not in given
    ]
    text = _("The task needs these arguments, too: %(names)s.")
    return text % {"names": ", ".join(missing)} if missing else ""


AnyArgumentForm = ArgumentForm | JsonArguments
