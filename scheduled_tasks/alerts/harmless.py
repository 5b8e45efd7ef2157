"""Texts that chats show: what an error says there calls nobody, and is no link that hides where it leads.

Chats read mentions (``@everyone``, ``<!channel>``, ``<at>all</at>``) and links (``[text](address)``) out of
plain text, each in its own way. All of them have one of a few signs. A zero-width space behind the sign makes
it an ordinary one to all of them, and people see no difference.
"""

from __future__ import annotations

import re

ZERO_WIDTH_SPACE = "\u200b"
SIGNS = re.compile(r"@|<(?=\S)|\](?=\()")


def harmless(text: str) -> str:
    """The text, of which a chat makes neither a mention nor a link with words of its own."""
    return SIGNS.sub(lambda sign: sign[0] + ZERO_WIDTH_SPACE, text)


def harmless_address(url: str) -> str:
    """The same of a web address, which goes on leading to the same place."""
    return url.replace("@", "%40").replace("<", "%3C").replace("](", "]%28")
