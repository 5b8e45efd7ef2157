"""What is kept of a Python value: JSON, without secrets, within bounds, printable."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.utils.translation import gettext as _

from .masking import MASK, masked, masked_text, printable

MAX_STORED = 10_000
"""Characters of JSON kept of arguments or a summary."""

MAX_REPR = 500
"""Characters kept of a return value that is not a dict."""

MAX_TEXT = 200_000
"""Characters kept of an error's text or a traceback."""


class NotKept(ValueError):
    """A stored value that is not the whole original; its text is one sentence that says so."""


def stored(value: Any) -> str:
    """``value`` as JSON text: secrets masked, what JSON lacks as ``repr``, capped with a note.

    A note stands for a value that fails while it is read: nothing is raised but a task's soft time limit.
    """
    text = _encoded(masked, value)
    if len(text) <= MAX_STORED:
        return text
    return json.dumps(_cut(text, MAX_STORED - 200), ensure_ascii=False)


def restored(text: str, empty: Any) -> Any:
    """The value behind a text of :func:`stored`, ``empty`` for none.

    Raises :class:`NotKept` when secrets were masked or the text was capped.
    """
    if not text:
        return empty
    value = json.loads(text)
    if MASK in text or not isinstance(value, type(empty)):
        raise NotKept(_("The arguments of this run were not kept in full. Use Run with arguments."))
    return value


def summary(value: Any) -> str:
    """A task's return value as its run's summary: a dict as JSON, None as nothing, the rest in short."""
    if value is None:
        return ""
    return stored(value) if isinstance(value, Mapping) else _encoded(_short_repr, value)


def capped(text: str, limit: int = MAX_TEXT) -> str:
    """At most about ``limit`` characters of a text, without secrets: the beginning and the end."""
    text = printable(text)
    if len(text) <= 2 * limit:
        return _cut(masked_text(text), limit)
    # Masking twice of what is kept takes the same time for any text, and cuts no secret in two that is kept.
    begin, end = masked_text(text[:limit]), masked_text(text[-limit:])
    return _shortened(begin, end, limit, len(text) - limit)


def _encoded(read: Callable[[Any], Any], value: Any) -> str:
    try:
        return json.dumps(read(value), default=_short_repr, ensure_ascii=False)
    except SoftTimeLimitExceeded:  # it is meant for the task
        raise
    except Exception as error:  # noqa: BLE001 - a value may fail in any way while it is read
        return json.dumps(f"The value could not be kept: {type(error).__name__}")


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else _shortened(text, text, limit, len(text) - limit)


def _shortened(begin: str, end: str, limit: int, left_out: int) -> str:
    return f"{begin[: limit // 2]}\n… {left_out} characters left out …\n{end[-(limit - limit // 2) :]}"


def _short_repr(value: Any) -> str:
    text = printable(repr(value))
    # A secret that is cut in two may not be known by its shape any more.
    shown = masked_text(text[: 20 * MAX_REPR])[:MAX_REPR]
    return shown if len(text) <= MAX_REPR else f"{shown}… ({len(text)} characters)"
