"""Docstrings as people read them on the page."""

from __future__ import annotations

import re

MARKUP = re.compile(r"(?<![\w`])(:[\w:+.-]{1,40}:)?(``|`(?!`))(?=\S)(.+?)\2(?!`)_{0,2}", re.DOTALL)
"""A role, a literal or a link of reStructuredText."""


def without_markup(docstring: str) -> str:
    """A docstring in plain words: ``:class:`~a.Shop``` is ``Shop``."""
    return MARKUP.sub(_plain, docstring)


def _plain(found: re.Match[str]) -> str:
    role, ticks, text = found.groups()
    if ticks == "``":
        return text
    text = re.sub(r"\s*<[^<>]*>$", "", text) or text  # "title <target>"
    return text[1:].rpartition(".")[2] if role and text.startswith("~") else text
