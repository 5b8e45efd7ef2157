"""What a declaration or a setting may say: a value is given back as plain JSON, or refused in a sentence.

``what`` is the name of the option. All raise :class:`Invalid`; ``None`` stands for what was not said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from .cron import CronExpression, known_zone
from .links import has_user, is_web_address

GREATEST = 2**31 - 1
LONGEST = timedelta(days=36_500)
"""A grace or retention beyond it would leave the calendar, or the database's column."""
NAME_LENGTH = 200
"""Characters a task's name, its Celery name and its queue may have: django-celery-beat's columns."""
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""Characters that no database keeps: NUL, and halves of others."""
NOT_OF_URLS = re.compile(r"[\x00-\x20\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Blanks and control characters: browsers drop some of them, and then read another address. Those that change
the direction of writing make people read another one.
"""
OWNER_LENGTH = 100
RUNBOOK_LENGTH = 500
TAGS_LENGTH = 200
TAG = re.compile(r"[^\s,:\"']{1,30}")
"""A word: what stands between blanks in a search, and between commas in the column."""
OVERLAPS = ("skip", "allow", "queue_one")
MISFIRES = ("run_once", "ignore")
ALERT_KINDS = ("failing", "late", "slow")
"""The kinds of trouble of a task that somebody can be told of, in the order in which they are stored."""
NO_KINDS = "none"
"""What is stored for none of them; an empty text leaves the choice to the project."""
ALERT_POLICY = ("alert_after", "recover_after", "max_runtime", "alert_on", "owner", "runbook")
"""The fields of :func:`alert_policy`, in its order."""


class Invalid(ValueError):
    """A value that cannot be declared; the text is one sentence."""


def declared(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the fields of a task, of what ``@scheduled_task`` is given by name: a schedule at least.

    Raises :class:`..cron.InvalidCron` for a schedule that is none.
    """
    cron, get = CronExpression.parse(given["schedule"]), given.get
    queue, arguments = get("queue"), get("kwargs")
    return {
        "schedule": cron.canonical,
        "timezone": zone(get("timezone")),
        "enabled": flag("enabled", get("enabled", True)),
        "overlap": choice("overlap", get("overlap"), OVERLAPS),
        "misfire": choice("misfire", get("misfire"), MISFIRES),
        "grace": duration("grace", get("grace")),
        "spread": spread(get("spread"), cron.shortest_gap),
        "retention": duration("retention", get("retention")),
        "retention_count": whole("retention_count", get("retention_count"), 1),
        **alert_policy(*map(get, ALERT_POLICY)),
        "tags": tags("tags", get("tags", ())),
        "description": text("description", get("description", ""), longest=None),
        "args": args(get("args", ())),
        "kwargs": kwargs({} if arguments is None else arguments),
        "queue": None if queue is None else text("queue", queue, required=True),
        "priority": whole("priority", get("priority"), 0, 255),
        "expires": seconds("expires", get("expires")),
    }


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


def duration(what: str, value: object, *, positive: bool = False) -> float | None:
    """The seconds of a time from none, or with `positive` from more than none, to :data:`LONGEST`."""
    if value is None:
        return None
    least = timedelta.resolution if positive else timedelta(0)
    if not isinstance(value, timedelta) or not least <= value <= LONGEST:
        span = "above 0 and at most" if positive else "from 0 to"
        raise Invalid(f"{what} must be a timedelta {span} {LONGEST.days} days, not {value!r}.")
    return value.total_seconds()


def spread(value: object, gap: timedelta) -> float | None:
    """The seconds of a time within which a run starts; `gap` is the least time from one run to the next."""
    found = duration("spread", value, positive=True)
    if found is not None and found >= gap.total_seconds():
        raise Invalid(f"spread must be shorter than the time from one run to the next, {gap}, not {value!r}.")
    return found


def seconds(what: str, value: object) -> int | None:
    """Whole seconds, from a number of them or a ``timedelta``."""
    length = value.total_seconds() if isinstance(value, timedelta) else value
    if length is None:
        return None
    if isinstance(length, bool) or not isinstance(length, int | float) or not 1 <= length <= GREATEST:
        raise Invalid(f"{what} must be a timedelta or a number of seconds, 1 or more, not {value!r}.")
    return int(length)


def names(what: str, value: object) -> tuple[str, ...]:
    """Names of tasks."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Collection):
        raise Invalid(f"{what} must be a list or tuple of names, not {value!r}.")
    return tuple(text(what, name, required=True) for name in value)


def whole(what: str, value: object, least: int, most: int = GREATEST) -> int | None:
    """A whole number from `least` to `most`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Invalid(f"{what} must be a whole number from {least} to {most}, not {value!r}.")
    return value


def kinds(what: str, value: object) -> str | None:
    """Some of :data:`ALERT_KINDS` or none, as the text that is stored: ``"failing,slow"``, ``"none"``."""
    if value is None:
        return None
    given = None if isinstance(value, str | bytes | Mapping) else value
    if not isinstance(given, Collection) or not all(kind in ALERT_KINDS for kind in given):
        known = ", ".join(ALERT_KINDS)
        raise Invalid(f"{what} must be a list or tuple of some of {known}, or empty, not {value!r}.")
    return ",".join(kind for kind in ALERT_KINDS if kind in given) or NO_KINDS


def tags(what: str, value: object) -> str | None:
    """Short words, each once, as the text that is stored: ``"billing,nightly"``."""
    given = names(what, value)
    if odd := [tag for tag in given if not TAG.fullmatch(tag)]:
        raise Invalid(
            f"{what} must be words of at most 30 characters without commas or colons, not {odd[0]!r}."
        )
    return text(what, ",".join(dict.fromkeys(given)), longest=TAGS_LENGTH) or None


def web_address(what: str, value: object) -> str | None:
    """An http or https address, of which a page may make a link."""
    if value is None:
        return None
    address = text(what, value, longest=RUNBOOK_LENGTH)
    if NOT_OF_URLS.search(address) or not is_web_address(address):
        raise Invalid(f"{what} must be an http or https address.")  # perhaps with a password
    if has_user(address):
        raise Invalid(f"{what} has a user name or a password, which everybody would read.")
    return address


def alert_policy(
    alert_after: object,
    recover_after: object,
    max_runtime: object,
    alert_on: object,
    owner: object,
    runbook: object,
) -> dict[str, Any]:
    """What a task's alert policy says of each of :data:`ALERT_POLICY`; None leaves it to the settings."""
    return {
        "alert_after": whole("alert_after", alert_after, 1),
        "recover_after": whole("recover_after", recover_after, 1),
        "max_runtime": duration("max_runtime", max_runtime, positive=True),
        "alert_on": kinds("alert_on", alert_on),
        "owner": None if owner is None else text("owner", owner, required=True, longest=OWNER_LENGTH),
        "runbook": web_address("runbook", runbook),
    }


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
