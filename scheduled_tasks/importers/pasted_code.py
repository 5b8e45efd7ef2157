"""The code by which a function, a class or a management command becomes a scheduled task."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Mapping
from datetime import timedelta
from itertools import count
from typing import Any

from django.utils.text import slugify

from .. import validation
from ..cron import CronExpression, InvalidCron
from ..declarations.fields import FIELDS
from ..masking import masked
from ..schedules import interval, parse_interval
from ..validation import NO_KINDS, Invalid
from .found import Found, cron_of, shown

TEMPLATE = """\
# From {origin}
@scheduled_task({declaration})
def {function}():
    from {module} import {called}

    return {call}
"""

DECORATOR = """\
{imports}from scheduled_tasks import scheduled_task


# Above the function of {task}
@scheduled_task(
    {options},
)
"""

UNDECLARED = ("starts", "ends", "exchange", "routing_key", "headers")
"""Fields of a stored task that ``@scheduled_task`` does not have."""


class Undeclarable(Invalid):
    """A value of a stored task that ``@scheduled_task`` refuses."""


def pasted_code(found: Found, schedule: str, origin: str, taken: set[str]) -> str:
    """A function with ``@scheduled_task``, for a module of tasks that imports the decorator.

    ``schedule`` is the cron expression or the interval. ``taken`` are names of functions, to which its own is
    added.

    Raises:
        Invalid: for an interval that is no cron expression, and for what cannot be written as code.
    """
    module, _, called = found.path.rpartition(".")
    text = TEMPLATE.format(
        origin=shown(origin),
        declaration=_declaration(found, schedule),
        function=_identifier(found.name, taken),
        module=module,
        called=called,
        call=f"{called}({_arguments(found)})" + (f".{found.method}()" if found.method else ""),
    )
    try:
        compile(text, "<pasted>", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise Invalid(f"no code can be written for {found.path} ({error.msg}).") from None
    return text


def decorator(name: str, task: str, values: Mapping[str, Any]) -> str:
    """The lines of ``@scheduled_task`` that declare a stored task, for above the function of a Celery task.

    ``values`` are those of :func:`..declarations.fields.values_of`; secrets among the arguments are masked.

    Raises:
        Invalid: for a schedule that is no cron expression, and for a value that cannot be written as code.
        Undeclarable: for a value that ``@scheduled_task`` refuses.
        NestedTooDeeply: for arguments that are.
    """
    lost = [each for each in UNDECLARED if values[each] != FIELDS[each].blank]
    if lost:
        raise Undeclarable(f"its {', '.join(lost)} cannot be declared.")
    cron = _cron(values["schedule"])
    left_out = {"schedule", *UNDECLARED, *(["spread"] if parse_interval(values["schedule"]) else [])}
    options = {"name": name} | {
        each: _option(each, values[each])
        for each in FIELDS
        if each not in left_out and values[each] != FIELDS[each].blank
    }
    try:
        validation.text("name", name, required=True)
        validation.declared({"schedule": cron, **options})
    except Invalid as error:
        raise Undeclarable(str(error)) from error
    lines = [repr(cron), *(f"{each}={_code(value)}" for each, value in options.items())]
    has_durations = any(isinstance(value, timedelta) for value in options.values())
    imports = "from datetime import timedelta\n\n" if has_durations else ""
    return DECORATOR.format(imports=imports, task=shown(task), options=",\n    ".join(lines))


def _option(name: str, value: Any) -> Any:
    """A field's value as ``@scheduled_task`` takes it."""
    if FIELDS[name].is_duration:
        return timedelta(seconds=value)
    if name == "tags":
        return value.split(",")
    if name == "alert_on":
        return [] if value == NO_KINDS else value.split(",")
    return masked(value) if FIELDS[name].is_json else value


def _code(value: Any) -> str:
    return repr(value).removeprefix("datetime.") if isinstance(value, timedelta) else _literal(value)


def _cron(schedule: str) -> str:
    unit = parse_interval(schedule)
    try:
        return CronExpression.parse(schedule).canonical if unit is None else cron_of(interval(unit))
    except InvalidCron as error:
        raise Invalid(str(error)) from error


def _declaration(found: Found, schedule: str) -> str:
    options = [repr(_cron(schedule)), f"name={found.name!r}"]
    if found.timezone:
        options.append(f"timezone={found.timezone!r}")
    if not found.enabled:
        options.append("enabled=False")
    return ", ".join(options)


def _arguments(found: Found) -> str:
    named = [f"{name}={_literal(value)}" for name, value in found.kwargs.items()]
    if not all(map(_is_plain, found.kwargs)):
        named = [f"**{_literal(dict(found.kwargs))}"]
    return ", ".join([*map(_literal, found.args), *named])


def _literal(value: object) -> str:
    text = repr(value)
    try:
        if ast.literal_eval(text) == value:
            return text
    except (ValueError, SyntaxError):
        pass
    raise Invalid(f"its argument {text} cannot be written as code.")


def _identifier(name: str, taken: set[str]) -> str:
    """A name for the function that no other has, and that hides nothing which the module uses."""
    text = slugify(re.sub(r"[\W_]+", "-", name)).replace("-", "_")
    if not _is_plain(text) or text == "scheduled_task" or hasattr(builtins, text):
        text = f"run_{text}".strip("_")
    free = next(
        each for number in count(1) if (each := f"{text}_{number}" if number > 1 else text) not in taken
    )
    taken.add(free)
    return free


def _is_plain(name: str) -> bool:
    """Whether a name can be written as it is: Python reads some others as a name of other letters (NFKC)."""
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name) and name != "__debug__"
