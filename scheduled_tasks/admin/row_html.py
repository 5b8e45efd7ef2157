"""A row of the list as HTML, made of its template once per kind of row.

Rows differ mostly in their texts. So the template is rendered with a hole for each text, once for all rows
alike in everything else, and a row fills the holes: a page of a hundred rows costs what a few did.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from html import escape
from typing import NamedTuple

from django.template import Template
from django.template.backends.django import Template as LoadedTemplate
from django.template.context import Context
from django.template.loader import get_template
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from . import words
from .row import TaskRow

TEMPLATE = "admin/scheduled_tasks/_row.html"
HOLE = "\x00"
"""Stands around a text's name in a rendered template; no template and no translation has it."""


class Frame(NamedTuple):
    """What the rows of one answer have in common: addresses and rights, see ``_row.html``."""

    list_url: str
    beat_url: str
    can_change: bool
    can_run: bool
    oob: str = ""


def row_html(row: TaskRow, frame: Frame) -> SafeString:
    """The row as its template shows it."""
    texts = row.texts
    filled = frozenset(name for name, text in texts.items() if text)
    loaded = get_template(TEMPLATE)
    assert isinstance(loaded, LoadedTemplate)
    pieces = _pieces(loaded.template, frame, row.traits, filled, get_language())
    html = [piece if n % 2 == 0 else _escaped(texts[piece]) for n, piece in enumerate(pieces)]
    return mark_safe("".join(html))  # noqa: S308 - the template's own pieces and escaped texts


def _escaped(text: str) -> str:
    return text if isinstance(text, SafeString) else escape(text)


@lru_cache(maxsize=512)
def _pieces(
    template: Template,
    frame: Frame,
    traits: tuple[tuple[str, object], ...],
    filled: frozenset[str],
    language: str | None,
) -> list[str]:
    """Pieces of HTML and names of texts in turns."""
    holes = {name: f"{HOLE}{name}{HOLE}" for name in filled}
    context = {
        **frame._asdict(),
        **dict(traits),
        **holes,
        "w": words.row_words(),
        "says": _labels(holes),
    }
    return template.render(Context(context)).split(HOLE)


def _labels(holes: Mapping[str, str]) -> dict[str, str]:
    """What a screen reader says of each control, by the control's name."""
    named = {"name": holes["name"], "runs": holes["strip_words"]}
    return {control: pattern % named for control, pattern in words.row_labels().items()}
