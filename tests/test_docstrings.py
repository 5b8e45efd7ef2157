"""Docstrings as people read them."""

from __future__ import annotations

import pytest

from scheduled_tasks.docstrings import without_markup


@pytest.mark.parametrize(
    ("docstring", "words"),
    [
        ("Delete ``Session`` rows older than ``days``.", "Delete Session rows older than days."),
        ("Send a :class:`Letter`, as :func:`a.b.send` does.", "Send a Letter, as a.b.send does."),
        ("See :py:meth:`~shop.models.Shop.close` and :setting:`TIME_ZONE`.", "See close and TIME_ZONE."),
        ("Call :func:`this <shop.tasks.that>` or `the docs <https://a.example>`_.", "Call this or the docs."),
        ("Reads `path` from ``~/.config`` and ``a`b``.", "Reads path from ~/.config and a`b."),
        ("It`s 5 o`clock: nothing *to* strip, a :b: c.", "It`s 5 o`clock: nothing *to* strip, a :b: c."),
        ("An ``open one, and `another", "An ``open one, and `another"),
        ("", ""),
    ],
)
def test_docstrings_lose_their_markup(docstring: str, words: str) -> None:
    assert without_markup(docstring) == words
