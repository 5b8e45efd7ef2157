"""Schedules in words: "weekdays at 9:30" to ``30 9 * * 1-5``, in English, German, French and Spanish.

What the labels say is read back as the same schedule. Each word must be known (``vocabulary``), numbers
become times, dates and frequencies (``tokens``), these are gathered by kind (``parts``) and written as one
expression (``assembly``). What is missing or cannot be said by cron is refused with one sentence and the
nearest schedule that works.
"""

from ..expression import CronExpression
from ..grammar import LONGEST, InvalidCron
from .assembly import expression
from .parts import read_parts
from .refusals import EXAMPLE, InvalidPhrase
from .tokens import tokenize
from .vocabulary import LANGUAGES

__all__ = ["EXAMPLE", "InvalidPhrase", "is_phrase", "parse_phrase", "read_schedule"]


def parse_phrase(text: str, language: str) -> str:
    """The canonical cron expression that a phrase says, in the language or in English.

    `language` is a code such as ``"de"`` or ``"de-at"``. Raises :class:`InvalidCron`, usually
    :class:`InvalidPhrase`, as the phrase reads in the language.
    """
    if not text.strip() or len(text) > LONGEST:
        raise InvalidCron("too_long" if text.strip() else "empty")
    code = language.partition("-")[0]
    if code not in LANGUAGES or code == "en":
        return _read(text, "en")
    try:
        return _read(text, code)
    except InvalidCron as refusal:
        try:
            return _read(text, "en")
        except InvalidCron:
            raise refusal from None


def _read(text: str, code: str) -> str:
    parts = read_parts(tokenize(text, code))
    try:
        return CronExpression.parse(expression(parts, twelve_hours=code == "en")).canonical
    except InvalidCron as refusal:
        if refusal.code != "never":
            raise
        raise InvalidPhrase("never") from refusal  # the grammar's sentence quotes a field of cron


def read_schedule(text: str, language: str) -> CronExpression:
    """Read a cron expression, else a phrase.

    Raises :class:`InvalidCron`; what looks like cron gets the sentence of the grammar.
    """
    return CronExpression.parse(parse_phrase(text, language) if is_phrase(text) else text)


def is_phrase(text: str) -> bool:
    """Whether the text is to be read as words: it is no cron expression and does not look like one.

    Cron has a sign of its own, or begins with two fields that have neither a letter nor a colon.
    """
    first = text.split(maxsplit=2)[:2]
    has_fields = len(first) > 1 and all(set(each) <= set("0123456789,-") for each in first)
    return bool(first) and not has_fields and not any(sign in text for sign in "*@?#/")
