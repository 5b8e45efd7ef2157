"""Rows as HTML, each made of its template once per kind of row.

Rows differ mostly in their texts. So the template is rendered with a hole for each text, once for all rows
alike in everything else, and a row fills the holes: a page of a hundred rows costs what a few did.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from html import escape

from django.template import Context, Template
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from . import words

HOLE = "\x00"
"""Stands around a text's name in a rendered template; no template and no translation has it."""

INDENT = re.compile(r"\n\s+")
"""Space that a template is laid out with, half of a row's bytes."""

Traits = tuple[tuple[str, object], ...]
"""Names and values that many rows have in common."""


def filled(template: Template, texts: Mapping[str, str], traits: Traits) -> SafeString:
    """The template with ``texts``, escaped, and ``traits`` as its variables, and ``w``: the rows' words.

    It may put texts anywhere and ask whether they are empty, but not what they say. ``says`` are the labels
    of a task's controls, made of its ``name`` and ``strip_words``.
    """
    shown = _escaped(texts)
    html = _pieces(template, traits, frozenset(shown), get_language()).copy()
    html[1::2] = [shown[name] for name in html[1::2]]
    return mark_safe("".join(html))  # noqa: S308 - the template's own pieces and escaped texts


def partly_filled(
    template: Template, texts: Mapping[str, str], traits: Traits, left: Collection[str]
) -> list[str]:
    """The same with the holes of some texts left: pieces of HTML and names of those texts in turns."""
    shown = _escaped(texts)
    done: list[str] = []
    html: list[str] = []
    for n, piece in enumerate(_pieces(template, traits, frozenset(shown), get_language())):
        if n % 2 == 0:
            html.append(piece)
        elif piece in left:
            done += ["".join(html), piece]
            html = []
        else:
            html.append(shown[piece])
    return [*done, "".join(html)]


def _escaped(texts: Mapping[str, str]) -> dict[str, str]:
    """Those that are not empty."""
    return {
        name: text if isinstance(text, SafeString) else escape(text) for name, text in texts.items() if text
    }


@lru_cache(maxsize=512)
def _pieces(template: Template, traits: Traits, known: frozenset[str], language: str | None) -> list[str]:
    """Pieces of HTML and names of texts in turns."""
    holes = {name: f"{HOLE}{name}{HOLE}" for name in known}
    named = {"name": holes.get("name", ""), "runs": holes.get("strip_words", "")}
    says = {control: pattern % named for control, pattern in words.row_labels().items()}
    context = {**dict(traits), **holes, "w": words.row_words(), "says": says}
    return INDENT.sub(" ", template.render(Context(context))).split(HOLE)
