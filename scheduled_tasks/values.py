"""What of a Python value is kept with a run: JSON, without secrets, within bounds, printable."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

MASK = "••••••"
"""Stands for a value whose key looks secret."""

MAX_STORED = 10_000
"""Characters of JSON kept of arguments or a summary."""

MAX_REPR = 500
"""Characters kept of a return value that is not a dict."""

MAX_TEXT = 200_000
"""Characters kept of an error's text or a traceback."""

NAMES = (
    r"passw|passphrase|pwd|secret|token|(?:api|access)[_-]?key|credential|private|signature|authorization"
    r"|cookie|session"
)
SECRET_KEY = re.compile(NAMES, re.IGNORECASE)

SECRET_TEXT = re.compile(
    rf"""((?:{NAMES})[\w-]{{0,60}}['"]?\s{{0,5}}[:=]\s{{0,5}})"""
    r"""(?:b?'(?:[^'\\]|\\.)*(?:'|$)|b?"(?:[^"\\]|\\.)*(?:"|$)"""
    r"""|[\[({].*|(?:(?:bearer|basic)\s{1,5})?[^\s,;)\]}]+)""",
    re.IGNORECASE | re.DOTALL,
)
"""A secret in a text that is not JSON, such as a ``repr``: its name, as a group, and what follows: a quoted
text, all from a bracket on, or a word."""
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class NotKept(ValueError):
    """A stored value that is not the whole original; its text is one sentence that says so."""


def stored(value: Any) -> str:
    """``value`` as JSON text: secrets masked, what JSON lacks as ``repr``, capped with a note."""
    text = json.dumps(masked(value), default=_short_repr, ensure_ascii=False)
    if len(text) <= MAX_STORED:
        return text
    return json.dumps(capped(text, MAX_STORED - 200), ensure_ascii=False)


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
    try:
        return stored(value) if isinstance(value, Mapping) else json.dumps(_short_repr(value))
    except Exception as error:  # noqa: BLE001 - a value may fail in any way while it is read
        note = f"The summary could not be kept: {type(error).__name__}"
        return json.dumps(note, ensure_ascii=False)


def masked(value: Any) -> Any:
    """A copy of plain data with the values of secret-looking keys replaced by :data:`MASK`."""
    if isinstance(value, Mapping):
        return {
            printable(str(key)): MASK if SECRET_KEY.search(str(key)) else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return printable(value) if isinstance(value, str) else value


def masked_text(text: str) -> str:
    """A text with its secrets masked: in JSON the values of secret-looking keys, else what follows one."""
    try:
        value = json.loads(text)
    except ValueError:
        return _masked_words(text)
    shown = masked(value)
    return text if shown == value else json.dumps(shown, ensure_ascii=False)


def unmasked(value: Any, original: Any) -> Any:
    """``value`` with each :data:`MASK` in it replaced by what stands at the same place in ``original``."""
    if value == MASK:
        return original
    if isinstance(value, dict) and isinstance(original, dict):
        return {key: unmasked(item, original.get(key, item)) for key, item in value.items()}
    if isinstance(value, list) and isinstance(original, list):
        kept = original[: len(value)] + value[len(original) :]
        return [unmasked(item, own) for item, own in zip(value, kept, strict=True)]
    return value


def printable(text: str) -> str:
    """``text`` without control characters and lone surrogates, which databases or JSON refuse."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def capped(text: str, limit: int = MAX_TEXT) -> str:
    """At most about ``limit`` printable characters: the beginning and the end, and what was cut between."""
    text = printable(text)
    if len(text) <= limit:
        return text
    cut = f"… {len(text) - limit} characters left out …"
    return f"{text[: limit // 2]}\n{cut}\n{text[-(limit - limit // 2) :]}"


def _short_repr(value: Any) -> str:
    text = printable(repr(value))
    shown = _masked_words(text[:MAX_REPR])
    return shown if len(text) <= MAX_REPR else f"{shown}… ({len(text)} characters)"


def _masked_words(text: str) -> str:
    return SECRET_TEXT.sub(rf"\1{MASK}", text)
