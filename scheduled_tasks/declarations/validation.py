"""What a declaration may say: each value is given back as plain JSON, or refused in a sentence.

``what`` is the name of the option. All raise :class:`Invalid`; ``None`` stands for what was not said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from ..cron import known_zone

GREATEST = 2**31 - 1
LONGEST = timedelta(days=36_500)
"""A grace or retention beyond it would leave the calendar, or the database's column."""
NAME_LENGTH = 200
"""Characters a task's name, its Celery name and its queue may have: django-celery-beat's columns."""
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""Characters that no database keeps: NUL, and halves of others."""


class Invalid(ValueError):
    """A value that cannot be declared; the text is one sentence."""


def text(what: str, value: object, *, required: bool = False, longest: int | None = NAME_LENGTH) -> str:
    """A text of at most `longest` characters; with `required` one that is not blank."""
    if not isinstance(value, str):
        raise Invalid(f"{what} must be text, not {value!r}.")
    if required and not value.strip():
        raise Invalid(f"{what} is empty; give one.")
    if longest is not None and len(value) > longest:
        raise Invalid(f"{what} has {len(value)} characters; {longest} is the most.")
    if UNSTORABLE.search(value):
        raise Invalid(f"{what} has a character that no database keeps: {value!r}.")
    return value


def zone(name: object) -> str | None:
    """The name of a known time zone."""
    if name is None:
        return None
    known = known_zone(text("timezone", name))
    if known is None:
        raise Invalid(f'timezone "{name}" is not known; write one such as Europe/Paris.')
    return known.key


def flag(what: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise Invalid(f"{what} must be True or False, not {value!r}.")
    return value


def choice(what: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    """One of `choices`."""
    if value is not None and value not in choices:
        raise Invalid(f"{what} {value!r} is not known; choose one of {', '.join(choices)}.")
    return value


def duration(what: str, value: object) -> float | None:
    """The seconds of a time from none to :data:`LONGEST`."""
    if value is None:
        return None
    if not isinstance(value, timedelta) or not timedelta(0) <= value <= LONGEST:
        raise Invalid(f"{what} must be a timedelta from 0 to {LONGEST.days} days, not {value!r}.")
    return value.total_seconds()


def seconds(what: str, value: object) -> int | None:
    """Whole seconds, from a number of them or a ``timedelta``."""
    length = value.total_seconds() if isinstance(value, timedelta) else value
    if length is None:
        return None
    if isinstance(length, bool) or not isinstance(length, int | float) or not 1 <= length <= GREATEST:
        raise Invalid(f"{what} must be a timedelta or a number of seconds, 1 or more, not {value!r}.")
    return int(length)


def whole(what: str, value: object, least: int, most: int = GREATEST) -> int | None:
    """A whole number from `least` to `most`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Invalid(f"{what} must be a whole number from {least} to {most}, not {value!r}.")
    return value


def args(value: object) -> Any:
    """Positional arguments."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise Invalid(f"args must be a list or tuple, not {value!r}.")
    return as_stored("args", list(value))


def kwargs(value: object) -> Any:
    """Keyword arguments."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise Invalid(f"kwargs must be a dict with texts as keys, not {value!r}.")
    return as_stored("kwargs", dict(value))


def as_stored(what: str, value: object, encoder: type[json.JSONEncoder] | None = None) -> Any:
    """The value as the database will give it back: written as JSON and read."""
    try:
        return json.loads(json.dumps(value, allow_nan=False, cls=encoder))
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"{what} cannot be written as JSON: {error!r}.") from None
