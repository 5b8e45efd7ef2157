"""Text to tokens: words by their meaning, and numbers by what is said beside them."""

import re
from collections.abc import Iterator
from itertools import pairwise

from ..grammar import COLUMNS, Column
from .refusals import InvalidPhrase
from .vocabulary import IDIOMS, LANGUAGES, Word, plain, vocabulary

PIECE = re.compile(r"[0-9]+[:.][0-9]+|:[0-9]+|[0-9]+|[a-z]+|\S")
APOSTROPHE, DASHES, ORDINAL_SIGNS = "'\N{RIGHT SINGLE QUOTATION MARK}", "\N{EN DASH}\N{EM DASH}", "ºª"
SAME_SIGN = {
    **dict.fromkeys(map(ord, APOSTROPHE), " "),
    **dict.fromkeys(map(ord, DASHES), "-"),
    **dict.fromkeys(map(ord, ORDINAL_SIGNS)),
}
LONGEST_NUMBER = 4
MINUTE, HOUR = COLUMNS[:2]
NOTHING = Word("")
EACH = {"day": "daily", "week": "weekly", "month": "monthly", "year": "yearly"}
"""What "every" means before a unit that is longer than an hour."""
ALONE = {
    "minute": Word("mode", name="minute"),
    "day": Word("mode", name="date"),
    "week": Word("flag", name="weekly"),
    "month": Word("flag", name="monthly"),
    "year": Word("flag", name="yearly"),
}
"""What a unit means that counts nothing: "minute 5", "the days 1 and 15", "of the month"."""


def tokenize(text: str, code: str) -> list[Word]:
    """The tokens of a phrase in one of ``LANGUAGES``. Raises :class:`InvalidPhrase` at an unknown word."""
    found: list[Word] = []
    for token in _known(text, code):
        if token.kind != "skip":
            _add(found, token)
    return found


def _known(text: str, code: str) -> Iterator[Word]:
    line = f" {' '.join(PIECE.findall(plain(text.translate(SAME_SIGN))))} "
    for idiom, word in IDIOMS[LANGUAGES.index(code)].items():
        line = line.replace(f" {idiom} ", f" {word} ")
    table = vocabulary(code)
    for piece, following in pairwise([*line.split(), ""]):
        if piece[-1].isdecimal():
            is_time = table.get(following, NOTHING).kind in ("meridiem", "hour-sign") and piece[-3:-2] == "."
            yield _number(piece.replace(".", ":") if is_time else piece)
        elif piece in table:
            yield table[piece]._replace(text=piece)
        else:
            raise _unknown(piece)


def _unknown(piece: str) -> InvalidPhrase:
    return InvalidPhrase("unknown", value=piece if piece.isprintable() else f"U+{ord(piece):04X}")


def _number(piece: str) -> Word:
    hour, colon, minute = piece.rpartition(":")
    if not piece.isascii() or "." in piece or len(minute) > LONGEST_NUMBER or (colon and len(minute) != 2):
        raise _unknown(piece)
    if not colon:
        return Word("number", int(piece), text=piece)
    if not hour:
        return Word("minute", within(MINUTE, int(minute)), text=piece)
    return clock(int(hour), int(minute))


def within(column: Column, value: int) -> int:
    """`value` where the column has it. Raises :class:`..grammar.InvalidCron` elsewhere."""
    if not column.low <= value <= column.high:
        raise column.error("range", value=value, low=column.low, high=column.high)
    return value


def clock(hour: int, minute: int = 0, name: str = "exact") -> Word:
    """A time of day, as its minute of the day. Raises :class:`..grammar.InvalidCron` for no such time."""
    return Word("clock", within(HOUR, hour) * 60 + within(MINUTE, minute), name)


def _add(found: list[Word], token: Word) -> None:
    """Append a token, or change the last one by it: 9 and "AM" are one clock time."""
    last = found[-1] if found else NOTHING
    if token.kind == "unit":
        _add_unit(found, token)
    elif token.kind == "meridiem":
        found[-1:] = [_half_day(last, token)]
    elif token.kind == "suffix" and last.kind == "number":
        found[-1] = last._replace(kind="date")
    elif token.kind == "hour-sign":
        found[-1:] = [clock(last.value)] if last.kind == "number" else [last]
    elif token.kind == "number" and last.kind == "half":
        found[-1] = clock(token.value, 30)
    elif token.kind == "number" and last.name == "hours":
        found[-1] = clock(last.value // 60, token.value)
    elif token.kind == "suffix" and token.text != ".":
        raise _unknown(token.text)
    elif (
        token.kind == "weekday" and last.kind in ("number", "other") and (count := _every(found)) is not None
    ):
        found += [Word("frequency", count, "week"), token]
    elif token.kind != "suffix":
        found.append(token)


def _half_day(last: Word, meridiem: Word) -> Word:
    if last.kind not in ("number", "clock"):
        raise _unknown(meridiem.text)
    hour, minute = divmod(last.value, 60) if last.kind == "clock" else (last.value, 0)
    if not 1 <= hour <= 12:
        raise InvalidPhrase("meridiem")
    return clock(hour % 12 + meridiem.value // 60, minute)


def _add_unit(found: list[Word], unit: Word) -> None:
    last = found[-1] if found else NOTHING
    name = "hour" if unit.name == "h" else unit.name
    count = _every(found)
    if count == 1 and name in EACH:
        found.append(Word("flag", name=EACH[name]))
    elif count is not None:
        found.append(Word("frequency", count, name))
    elif last.kind == "number" and unit.name == "h":
        found[-1] = clock(last.value, name="hours")
    elif last.kind == "number" or name not in ALONE or (last.kind == "date" and name in ("week", "minute")):
        raise _unknown(f"{last.text} {unit.text}".strip())
    else:
        found.append(ALONE[name])


def _every(found: list[Word]) -> int | None:
    """Take "every" off the end, with its number: every, every 2, every second, every other. Else None."""
    end, count = len(found), 1
    if found and found[-1].kind in ("number", "date", "other"):
        end, count = end - 1, 2 if found[-1].kind == "other" else found[-1].value
    while end and found[end - 1][::2] == ("mode", "date"):
        end -= 1
    if not end or found[end - 1].kind != "every":
        return None
    del found[end - 1 :]
    return count
