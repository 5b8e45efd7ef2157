"""Why a message could not be sent, in words that give no secret away."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from ..masking import MASK, masked_text, printable

LONGEST = 500
"""Characters kept of a fault."""

SHORTEST_SECRET = 4
"""Shorter parts of an address stay in a text: each would occur in any text, by chance."""


class ChannelError(Exception):
    """A channel did not take a message. The text is one sentence, without secrets."""


def without(text: str, secrets: Iterable[str]) -> str:
    """A text in which each of ``secrets``, also percent-decoded, is masked, and what looks like one."""
    parts = {form for secret in secrets for form in (secret, unquote(secret))}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= SHORTEST_SECRET:
            text = text.replace(part, MASK)
    return masked_text(printable(" ".join(text.split())))[:LONGEST]


def told(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """An exception as a fault: its type and what it says."""
    said = without(str(error), secrets)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
