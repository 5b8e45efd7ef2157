"""The cron grammar: which texts are accepted, what is said about the others, and the canonical form.

Accepted is what beat can run (celery's crontab), what django-celery-beat's validators let through, and what
crontab(5) means by the same characters. Anything one of them reads differently is refused with a sentence
that says what to write instead.
"""

import re
from dataclasses import dataclass

from celery.schedules import crontab_parser
from django.core.exceptions import AppRegistryNotReady, ImproperlyConfigured
from django.utils.translation import gettext


def gettext_noop(text: str) -> str:
    """Mark `text` for translators. Django's function of this name would load the settings at import."""
    return text


LONGEST = 600
"""Characters an expression may have after trimming."""

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

MESSAGES = {
    "type": gettext_noop('A cron expression is text, for example "0 3 * * *".'),
    "empty": gettext_noop("Enter a cron expression."),
    "too_long": gettext_noop("The expression is too long."),
    "newline": gettext_noop("Write the expression on one line."),
    "characters": gettext_noop("Only plain ASCII characters are allowed."),
    "macro": gettext_noop(
        "%(value)s is not supported; use one of @hourly, @daily, @weekly, @monthly, @yearly."
    ),
    "fields": gettext_noop(
        "A cron expression has 5 fields (minute hour day-of-month month day-of-week); this has %(count)d."
    ),
    "fields.many": gettext_noop(
        "A cron expression has 5 fields (minute hour day-of-month month day-of-week); this has %(count)d. "
        "Seconds and years are not supported; separate list values with commas, not spaces."
    ),
    "range": gettext_noop("%(field)s: %(value)s is out of range (%(low)d-%(high)d)."),
    "name": gettext_noop("%(field)s: names are not allowed here (%(value)s)."),
    "name.long": gettext_noop("%(field)s: write %(short)s instead of %(value)s."),
    "step": gettext_noop('%(field)s: "/%(value)s" is not a valid step.'),
    "step.zero": gettext_noop("%(field)s: a step of 0 never advances."),
    "step.large": gettext_noop("%(field)s: step %(value)s is larger than the largest value (%(high)d)."),
    "step_start": gettext_noop(
        '%(field)s: "%(value)s" is not standard cron; write %(start)d-%(high)d/%(step)d.'
    ),
    "backwards": gettext_noop(
        "%(field)s: the range %(value)s goes backwards; write it as two ranges (for example %(example)s)."
    ),
    "backwards.sunday": gettext_noop(
        "%(field)s: the range %(value)s goes backwards; Sunday at the start of a range is 0: "
        "write %(example)s."
    ),
    "extension": gettext_noop('%(field)s: "%(value)s" (L, W, #) is not supported.'),
    "extension.any": gettext_noop('%(field)s: "?" is not supported; use "*".'),
    "extension.random": gettext_noop('%(field)s: random or hashed values ("%(value)s") are not supported.'),
    "syntax": gettext_noop('%(field)s: "%(value)s" is not a valid value.'),
    "syntax.missing": gettext_noop("%(field)s: a value is missing."),
    "never": gettext_noop('This never runs: no month in "%(months)s" has day %(days)s.'),
}
"""The sentence of every reason; the part before a dot is the reason's code."""


class InvalidCron(ValueError):
    """Text that is no cron expression this project runs. ``str()`` is the sentence in the active language."""

    def __init__(self, reason: str, params: dict[str, str | int] | None = None) -> None:
        super().__init__(reason, params)
        self.code = reason.partition(".")[0]
        self._reason = reason
        self._params = params or {}

    def shown_params(self) -> dict[str, str | int]:
        """What the sentence names, each cut to a length for the screen."""
        return {name: _shown(value) for name, value in self._params.items()}

    def __str__(self) -> str:
        params = self.shown_params()
        if "field" in params:
            params["field"] = _translated(str(params["field"]))
        return _translated(MESSAGES[self._reason]) % params


def _translated(text: str) -> str:
    try:
        return gettext(text)
    except (AppRegistryNotReady, ImproperlyConfigured):  # a wrong declaration, met while modules are imported
        return text


@dataclass(frozen=True)
class Column:
    """One of the five columns: its names for people and for ``CrontabSchedule``, its range, its words."""

    key: str
    name: str
    low: int
    high: int
    max_length: int
    words: tuple[str, ...] = ()

    @property
    def last(self) -> int:
        """The largest number that may be typed: Sunday is also 7."""
        return 7 if self.words is WEEKDAYS else self.high

    def values(self, canonical: str) -> frozenset[int]:
        """The numbers that a canonical text matches, as beat reads it."""
        return frozenset(crontab_parser(self.high + 1 - self.low, self.low).parse(canonical))

    def number_of(self, word: str) -> int | None:
        """The number a three-letter name stands for here, in any case."""
        short = [name[:3] for name in self.words]
        return short.index(word.lower()) + self.low if word.lower() in short else None

    def error(self, reason: str, **params: str | int) -> InvalidCron:
        """The error to raise, with this column's name in its message."""
        return InvalidCron(reason, {"field": self.name, **params})


COLUMNS = (
    Column("minute", gettext_noop("minute"), 0, 59, 240),
    Column("hour", gettext_noop("hour"), 0, 23, 96),
    Column("day_of_month", gettext_noop("day of month"), 1, 31, 124),
    Column("month_of_year", gettext_noop("month"), 1, 12, 64, MONTHS),
    Column("day_of_week", gettext_noop("day of week"), 0, 6, 64, WEEKDAYS),
)
FIELDS = tuple(column.key for column in COLUMNS)


def tidy(text: object) -> str:
    """`text` without the blanks around it and with its macro written out.

    Raises:
        InvalidCron: when it is not one short line of plain text.
    """
    if text is not None and not isinstance(text, str):
        raise InvalidCron("type")
    line = (text or "").strip(" \t\r\n")
    if not line:
        raise InvalidCron("empty")
    if len(line) > LONGEST:
        raise InvalidCron("too_long")
    if "\n" in line or "\r" in line:
        raise InvalidCron("newline")
    if not re.fullmatch(r"[\t -~]+", line):
        raise InvalidCron("characters")
    if line.startswith("@") and line.lower() not in MACROS:
        raise InvalidCron("macro", {"value": line})
    return MACROS.get(line.lower(), line)


def read(line: str) -> tuple[str, tuple[frozenset[int], ...], tuple[str, str]]:
    """The canonical text of a tidied line, the values each field matches, and both day fields as typed.

    Raises:
        InvalidCron: when it is not five fields that beat can run.
    """
    typed = line.split()
    if len(typed) != 5:
        raise InvalidCron("fields.many" if len(typed) > 5 else "fields", {"count": len(typed)})
    tokens = [canonical_field(column, token) for column, token in zip(COLUMNS, typed, strict=True)]
    values = tuple(column.values(token) for column, token in zip(COLUMNS, tokens, strict=True))
    if not any(day <= DAYS_IN_MONTH[month - 1] for day in values[2] for month in values[3]):
        raise InvalidCron("never", {"days": tokens[2], "months": tokens[3]})
    return " ".join(tokens), values, (typed[2], typed[4])


def canonical_field(column: Column, token: str) -> str:
    """One field in its canonical form. Raises :class:`InvalidCron`."""
    parts = [part for typed in token.split(",") for part in _canonical_part(column, typed)]
    canonical = "*" if "*" in parts else ",".join(dict.fromkeys(parts))
    if len(canonical) > column.max_length:
        raise InvalidCron("too_long")
    return canonical


def _canonical_part(column: Column, part: str) -> list[str]:
    """One item of a list, as the canonical items it stands for."""
    base, slash, typed_step = part.partition("/")
    _refuse_extensions(column, part, base)
    step = _step(column, typed_step) if slash else 1
    if base == "*":
        return ["*" if step == 1 else f"*/{step}"]
    first, dash, last = base.partition("-")
    low, is_weekday = _number(column, first), column.words is WEEKDAYS
    if not dash:
        low = low % 7 if is_weekday else low
        if slash:
            raise column.error("step_start", value=part, start=low, high=column.high, step=step)
        return [str(low)]
    high = _number(column, last)
    if is_weekday and last.isalpha() and high == 0 and low > 0:
        high = 7
    if low > high:
        raise _backwards(column, base, low, high)
    if is_weekday and high == 7:
        return _until_sunday(low, step)
    return [_span(low, high) if step == 1 or low == high else f"{low}-{high}/{step}"]


def _until_sunday(low: int, step: int) -> list[str]:
    """Beat knows no weekday 7: a range that ends there is written with Sunday as 0."""
    if step > 1 or low == 7:
        return [str(day % 7) for day in range(low, 8, step)]
    return ["*"] if low <= 1 else [_span(low, 6), "0"]


def _backwards(column: Column, typed: str, low: int, high: int) -> InvalidCron:
    if column.words is WEEKDAYS and low == 7:
        return column.error("backwards.sunday", value=typed, example=_span(0, high))
    example = f"{_span(low, column.high)},{_span(column.low, high)}"
    return column.error("backwards", value=typed, example=example)


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _step(column: Column, text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text):
        raise column.error("step", value=text)
    if not text.strip("0"):
        raise column.error("step.zero")
    if len(text.lstrip("0")) > 2 or int(text) > column.high:
        raise column.error("step.large", value=text, high=column.high)
    return int(text)


def _number(column: Column, text: str) -> int:
    if not text:
        raise column.error("syntax.missing")
    if text.isalpha():
        return _named(column, text)
    if not text.isdigit():
        raise column.error("syntax", value=text)
    if len(text) > 2 or not column.low <= int(text) <= column.last:
        raise column.error("range", value=text, low=column.low, high=column.last)
    return int(text)


def _named(column: Column, word: str) -> int:
    number = column.number_of(word)
    if number is not None:
        return number
    for name in column.words:
        if len(word) > 3 and name.startswith(word.lower()):
            raise column.error("name.long", short=name[:3].upper(), value=word)
    if any(name.startswith(word.lower()) and len(word) >= 3 for name in MONTHS + WEEKDAYS):
        raise column.error("name", value=word)
    raise column.error("syntax", value=word)


def _refuse_extensions(column: Column, part: str, base: str) -> None:
    """Name the dialects of Quartz and Jenkins, rather than call their signs a wrong value."""
    if base == "?":
        raise column.error("extension.any")
    if re.fullmatch(r"[HR](\(.*\))?", base, re.IGNORECASE):
        raise column.error("extension.random", value=base)
    if re.fullmatch(r"L(-?\d+)?|LW|WL|\d+[LW]|(SUN|MON|TUE|WED|THU|FRI|SAT)L|.*#.*", base, re.IGNORECASE):
        raise column.error("extension", value=part)


def _shown(value: str | int) -> str | int:
    return value if isinstance(value, int) or len(value) <= 60 else f"{value[:59]}…"
