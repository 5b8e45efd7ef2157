"""Tokens to parts: the times, dates, weekdays and months that a phrase names, and how often it says."""

from dataclasses import dataclass, field
from itertools import pairwise

from ..grammar import COLUMNS
from .refusals import InvalidPhrase
from .tokens import NOTHING, clock, within
from .vocabulary import Word

DATE = COLUMNS[2]
MINUTE = COLUMNS[0]
Spans = list[tuple[int, int]]

SPECIAL: dict[str, tuple[str, Spans]] = {
    "odd": ("date", [(day, day) for day in range(1, 32, 2)]),
    "even": ("date", [(day, day) for day in range(2, 32, 2)]),
    "workdays": ("weekday", [(1, 5)]),
    "weekend": ("weekday", [(6, 0)]),
}
"""Words that stand for several values."""

UNFINISHED = ("and", "to", "at-or-to", "mode", "between", "except", "every")
"""Words that no phrase ends with."""


@dataclass
class Parts:
    """What a phrase says, by kind. A span is its first and its last value; a single value is both."""

    spans: dict[str, Spans] = field(default_factory=dict)
    """Of clock (minute of the day), minute, date, weekday, month, nth (weekday of the month), and of what is
    excepted: "except weekday"."""
    flags: set[str] = field(default_factory=set)
    """daily, weekly, monthly, yearly, anchored (counted from the start), leap, last, every (before an nth
    weekday), bare (an hour without minutes)."""
    frequency: tuple[int, str] | None = None
    """Every so many seconds, minutes or hours."""
    cycle: tuple[int, str] | None = None
    """Every so many days, weeks, months or years: more than one."""


def read_parts(tokens: list[Word]) -> Parts:
    """Raises :class:`InvalidPhrase` for parts that one schedule cannot have."""
    reader = _Reader()
    for token, following in pairwise([*tokens, NOTHING]):
        reader.read(token, following)
        reader.previous = token
    if tokens and tokens[-1].text and tokens[-1].kind in UNFINISHED:
        raise InvalidPhrase("unknown", value=tokens[-1].text)
    return reader.parts


class _Reader:
    def __init__(self) -> None:
        self.parts = Parts()
        self.previous = NOTHING
        self.kind = ""
        """Of the last value: what follows "and" or "to" must be of it, too."""
        self.mode = ""
        """What a bare number means."""
        self.link = ""
        self.between = False
        self.excepted = ""
        self.every = False

    def read(self, token: Word, following: Word) -> None:
        kind = token.kind
        if kind in ("and", "comma", "to", "at-or-to"):
            self._connect(kind)
        elif kind == "mode":
            self.mode = token.name
        elif kind == "between":
            self.mode, self.between = "clock", True
        elif kind == "except":
            self.excepted = "any"
        elif kind == "flag":
            self.parts.flags.add(token.name)
        elif kind == "frequency":
            self._count(token)
        elif kind == "number":
            self._bare(token, following)
        elif kind in SPECIAL:
            self._special(*SPECIAL[kind])
        elif kind == "every":
            self.every = True
        elif kind in ("other", "half"):
            raise InvalidPhrase("unknown", value=token.text)
        else:
            self._value(token)

    def _connect(self, link: str) -> None:
        if link == "at-or-to":
            self.mode = "clock"
        if link == "and" and self.between:
            link, self.between = "to", False
        if not self.link or link != "at-or-to":
            self.link = link

    def _count(self, token: Word) -> None:
        parts, frequency = self.parts, (token.value, token.name)
        if not token.value:
            raise MINUTE.error("step.zero")
        of_each_hour = frequency == (1, "hour") and not token.text  # of "hourly" it has the word
        if parts.frequency is not None and of_each_hour:
            return
        if self.link == "and":
            raise InvalidPhrase("mixed")
        if token.name in ("second", "minute", "hour"):
            known, parts.frequency = parts.frequency, frequency
        else:
            known, parts.cycle = parts.cycle, frequency
        if known is not None:
            raise InvalidPhrase("contradiction")
        self.kind = "frequency"

    def _bare(self, token: Word, following: Word) -> None:
        kind = "date" if following.kind == "month" else self.mode
        if token.value > MINUTE.high:
            raise InvalidPhrase("unknown", value=token.text)
        if kind == "clock":
            self.parts.flags.add("bare")
            self._value(clock(token.value))
        elif kind:
            self._value(token._replace(kind=kind))
        else:
            raise InvalidPhrase("number", value=token.text)

    def _value(self, token: Word) -> None:
        kind, value = token.kind, token.value
        if kind in ("date", "minute"):
            within(DATE if kind == "date" else MINUTE, value)
        if kind == "weekday" and self.previous.kind in ("date", "odd", "even"):
            self._to_nth()
        if kind == "month":
            self.mode = "date"
        self._put(kind, [(value, value)])

    def _special(self, kind: str, spans: Spans) -> None:
        counted = self.previous.kind == "date" or self.previous.name == "last"
        if kind == "weekday" and counted:  # the first working day
            raise InvalidPhrase("workday")
        self._put(kind, spans)

    def _to_nth(self) -> None:
        """The dates right before a weekday count it: the first and third Monday."""
        if "date" not in self.parts.spans:
            raise InvalidPhrase("contradiction")
        self.parts.spans["nth"] = self.parts.spans.pop("date")
        if self.every:
            self.parts.flags.add("every")

    def _put(self, kind: str, spans: Spans) -> None:
        if self.excepted in ("any", kind) and kind in ("date", "weekday", "month"):
            self.excepted, kind = kind, f"except {kind}"
        elif self.excepted == "any":
            raise InvalidPhrase("except")
        else:
            self.excepted = ""
        self._check(kind)
        known = self.parts.spans.setdefault(kind, [])
        if self.link == "to" or (self.link == "at-or-to" and kind == self.kind):
            if len(spans) > 1 or known[-1][0] != known[-1][1]:
                raise InvalidPhrase("contradiction")
            known[-1] = (known[-1][0], spans[0][1])
        else:
            known += spans
        self.kind, self.link, self.every = kind, "", self.every and kind == "date"

    def _check(self, kind: str) -> None:
        """Values of one kind stand together, and only they are linked."""
        if kind == self.kind:
            return
        if {kind, self.kind} == {"date", "weekday"} and self.link in ("and", "comma"):
            raise InvalidPhrase("either")
        if self.link in ("and", "to"):
            raise InvalidPhrase("mixed" if self.kind else "contradiction")
        if kind in self.parts.spans:
            raise InvalidPhrase("contradiction" if kind == "clock" else "mixed")
