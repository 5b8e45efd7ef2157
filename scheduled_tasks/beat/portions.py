"""Work on many rows at once, such that a row which Django or the database refuses harms no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from django.db import ProgrammingError

from ..recording.connection import is_outage
from .lease import Fenced

PORTION = 500
"""Rows in one statement or transaction."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_portions(
    work: Callable[[Sequence[Item]], Result],
    items: Sequence[Item],
    refused: Callable[[Item, Exception], object],
) -> Iterator[Result]:
    """Do ``work``, which is all or nothing, on portions of ``items``; what it returns for each.

    A portion that fails is halved until the item is found that is to blame; ``refused`` gets it, with the
    error. Raises errors that are not about data.
    """
    waiting = [items[start : start + PORTION] for start in range(0, len(items), PORTION)]
    waiting.reverse()
    while waiting:
        portion = waiting.pop()
        try:
            result = work(portion)
        except Exception as error:
            if not is_about_data(error):
                raise
            middle = len(portion) // 2
            if middle:
                waiting += portion[middle:], portion[:middle]
            else:
                refused(portion[0], error)
        else:
            yield result


def is_about_data(error: Exception) -> bool:
    """Whether a row's values are to blame, not the database's condition, another leader or its tables."""
    return not is_outage(error) and not isinstance(error, Fenced | ProgrammingError)
