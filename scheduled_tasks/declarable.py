"""What a declaration may say: each value is given back checked, or refused in a sentence.

``what`` is the name of the option. Raises ``ValueError`` and ``TypeError``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

GREATEST = 2**31 - 1
LONGEST = timedelta(days=36_500)
"""A grace or retention beyond it would leave the calendar, or the database's column."""
NAME_LENGTH = 200
"""Characters a task's name, its Celery name and its queue may have: django-celery-beat's columns."""


def text(what: str, value: object, *, required: bool = False, longest: int | None = NAME_LENGTH) -> str:
    """A text of at most `longest` characters; with `required` one that is not blank."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be text, not {value!r}.")
    if required and not value.strip():
        raise ValueError(f"{what} is empty; give one.")
    if longest is not None and len(value) > longest:
        raise ValueError(f"{what} has {len(value)} characters; {longest} is the most.")
    return value


def zone(name: object) -> str:
    """The name of a known time zone."""
    try:
        return ZoneInfo(text("timezone", name, required=True)).key
    except (OSError, LookupError, ValueError):  # not found, a directory, an absolute path
        raise ValueError(f'timezone "{name}" is not known; write one such as Europe/Paris.') from None


def flag(what: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be True or False, not {value!r}.")
    return value


def choice(what: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    """One of `choices`, or None."""
    if value is not None and value not in choices:
        raise ValueError(f"{what} {value!r} is not known; choose one of {', '.join(choices)}.")
    return value


def duration(what: str, value: object) -> timedelta | None:
    """A time from none to :data:`LONGEST`, or None."""
    if value is None:
        return None
    if not isinstance(value, timedelta) or not timedelta(0) <= value <= LONGEST:
        raise TypeError(f"{what} must be a timedelta from 0 to {LONGEST.days} days, not {value!r}.")
    return value


def seconds(what: str, value: object) -> int | None:
    """Whole seconds, from a number of them or a ``timedelta``; or None."""
    if value is None:
        return None
    length = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(length, bool) or not isinstance(length, int | float) or not 1 <= length <= GREATEST:
        raise TypeError(f"{what} must be a timedelta or a number of seconds, 1 or more, not {value!r}.")
    return int(length)


def whole(what: str, value: object, least: int, most: int) -> int | None:
    """A whole number from `least` to `most`, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise TypeError(f"{what} must be a whole number from {least} to {most}, not {value!r}.")
    return value


def args(value: object) -> str:
    """A sequence, as JSON."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise TypeError(f"args must be a list or tuple, not {value!r}.")
    return _json("args", list(value))


def kwargs(value: object) -> str:
    """A mapping from texts, as JSON."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"kwargs must be a dict with texts as keys, not {value!r}.")
    return _json("kwargs", dict(value))


def _json(what: str, value: object) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{what} cannot be written as JSON: {error}.") from None
