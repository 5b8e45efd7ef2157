"""Tracebacks as they are shown: the project's own frames, with those of libraries folded away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from django.utils.translation import ngettext

FRAME = re.compile(r'  File "([^"]*)", line \d+')
"""How a frame begins; its code follows, further indented."""

OF_LIBRARY = re.compile(
    r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib(?:64)?/python[\d.]+/|[/\\]Python\d+[/\\]Lib[/\\]|^<frozen "
)
"""In the path of a file of an installed package or of Python itself, on Unix and on Windows."""

QUIET = ("Traceback", "  File ", "  …")


def own_frames(traceback: str) -> str:
    """The traceback with a line that counts them in place of each row of library frames.

    Empty where nothing can be folded: it has no library frame, or no other.
    """
    parts = [(bool(OF_LIBRARY.search(path)) if path else None, lines) for path, lines in _parts(traceback)]
    if not {True, False} <= {is_library for is_library, _lines in parts}:
        return ""
    shown: list[str] = []
    for is_library, group in groupby(parts, key=lambda part: part[0]):
        found = list(group)
        if is_library:
            text = ngettext("%(n)s frame of a library", "%(n)s frames of libraries", len(found))
            shown.append(f"  … {text % {'n': len(found)}}")
        else:
            shown += [line for _is_library, lines in found for line in lines]
    return "\n".join(shown)


def _parts(traceback: str) -> Iterator[tuple[str, list[str]]]:
    """Each frame with its lines, and each other line: the path of the file, or an empty text."""
    path, lines = "", list[str]()
    for line in traceback.rstrip().split("\n"):
        found = FRAME.match(line)
        if path and not found and line.startswith("    "):
            lines.append(line)
            continue
        if lines:
            yield path, lines
        path, lines = (found[1] if found else ""), [line]
    yield path, lines


def styled(traceback: str) -> list[tuple[str, str]]:
    """``(css class, line)``: where it went is quiet, what it was is coloured; empty without a traceback."""
    if not traceback:
        return []
    *lines, last = traceback.rstrip().split("\n")
    return [*(("q" if line.startswith(QUIET) else "", line) for line in lines), ("e", last)]
