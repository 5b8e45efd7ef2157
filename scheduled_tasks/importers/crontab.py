"""The lines of a crontab that call ``manage.py``: the user's (``crontab -l``) or the system's."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from getopt import GetoptError, getopt
from itertools import dropwhile, takewhile
from os.path import expanduser
from pathlib import Path, PurePath
from typing import NamedTuple

from django.core.management import get_commands

from ..validation import Invalid
from .found import Found

BLANKS = " \t\r"
"""What may stand around a line; cron takes nothing but a line feed for its end."""
LONGEST = 10_000
"""Characters of a line; nobody writes more."""
VARIABLE = re.compile(r"(\w+)[ \t]*=[ \t]*(.*)")
LINE = re.compile(r"(@\w+|(?:[^ \t]+[ \t]+){4}[^ \t]+)[ \t]+(.+)")
"""When, and what: in a system's crontab, with the user before it."""
STDIN = re.compile(r"(?<!\\)%")
"""In a crontab all that follows it is the command's standard input."""
TOKEN = re.compile(
    r"""[ \t]+ | (?P<comment>\#.*) | (?P<output>&>>? | \d*>[>|&]?) | (?P<operator>\d*<+ | [&|;()<]+)
        | (?P<word>(?: [^ \t'"\\&|;()<>] | \\. | '[^']*' | "(?:[^"\\]|\\.)*" )+)""",
    re.VERBOSE,
)
"""What a shell reads next."""
EXPANDED = re.compile(r"[$`*?\[{~]")
"""What a shell puts something else in place of."""
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*")
USER = re.compile(r"[\w.-]+")
PYTHON = re.compile(r"python[\d.]*")
FLAG = re.compile(r"-[BEIOSbdsuv]+")
"""Options of Python that take no value and run nothing else."""
STEPS = ("cd", ".", "source")
"""What a shell does before the program, with one word: “cd DIR &&”, “. FILE &&”."""
MANAGE = ("manage.py", "django-admin", "django-admin.py")
OTHERS = {"crontab": "django-crontab", "runcrons": "django-cron"}
"""Commands by which another scheduler runs its own jobs."""


@dataclass(frozen=True)
class Line:
    """A line, and the time zone that lines above it set."""

    text: str
    zone: str


class Token(NamedTuple):
    """A word as the program is given it, or what is special to the shell: ``kind`` is a group of TOKEN."""

    kind: str
    text: str


class Wrapper(NamedTuple):
    """A program that runs another one: its options as :func:`getopt.getopt` takes them, and the words that
    follow these.
    """

    short: str
    long: Sequence[str]
    operands: int = 0
    is_told: bool = True
    """Whether the import says that it is not in the code."""


WRAPPERS = {
    "env": Wrapper("iu:C:", ("ignore-environment", "unset=", "chdir="), is_told=False),
    "nice": Wrapper("0123456789n:", ("adjustment=",)),
    "ionice": Wrapper("c:n:t", ("class=", "classdata=", "ignore")),
    "timeout": Wrapper(
        "fpk:s:v", ("foreground", "preserve-status", "kill-after=", "signal=", "verbose"), operands=1
    ),
    "flock": Wrapper(
        "sxenoFw:E:",
        (
            *("shared", "exclusive", "nonblock", "nb", "close", "no-fork", "verbose"),
            *("timeout=", "wait=", "conflict-exit-code="),
        ),
        operands=1,
    ),
}


def items(place: str, zone: str) -> Iterator[tuple[str, Line]]:
    """The lines of the file at ``place``, or of standard input for ``-``."""
    if not place:
        raise Invalid("name the file, or - to read standard input: crontab -l | manage.py … crontab -")
    try:
        with open(0 if place == "-" else Path(place), newline="\n", closefd=place != "-") as file:
            lines = file.readlines()
    except (OSError, ValueError) as error:
        raise Invalid(f"{place} cannot be read: {error}.") from None
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\n").strip(BLANKS)
        if not text or text.startswith("#"):
            continue
        if variable := VARIABLE.fullmatch(text):
            zone = variable[2].strip("\"'") if variable[1] == "CRON_TZ" else zone
            continue
        yield f"line {number}: {text}", Line(text, zone)


def find(line: Line) -> Iterator[Found]:
    """The management command that the line calls."""
    if len(line.text) > LONGEST:
        raise Invalid(f"it has {len(line.text)} characters; {LONGEST} is the most.")
    if odd := next((each for each in line.text if not each.isprintable() and each != "\t"), None):
        raise Invalid(f"it has the invisible character {odd!a}; write the task by hand.")
    found = LINE.fullmatch(line.text)
    if found is None:
        raise Invalid("it is no line of a crontab.")
    (command, *arguments), lost = _management_command(found[2])
    if command in OTHERS:
        raise Invalid(f"it runs jobs of {OTHERS[command]}: import that instead.")
    if command not in get_commands():
        raise Invalid(f"this project has no management command {command}.")
    yield Found(
        name=command.replace("_", "-"),
        schedule=found[1],
        path="django.core.management.call_command",
        timezone=line.zone,
        args=[command, *arguments],
        either_day=True,
        note=f"Not in the code: {', '.join(lost)}." if lost else "",
    )


def _management_command(text: str) -> tuple[list[str], list[str]]:
    """The words after ``manage.py``, where that is the program that the line runs, and what it is run by."""
    if STDIN.search(text):
        raise Invalid("its % sends text to the command's standard input, which a task does not have.")
    tokens = _tokens(text.replace("\\%", "%"))
    if not any(name in token.text for token in tokens for name in MANAGE):
        raise Invalid("it does not call manage.py.")
    rest, lost = _without_start(tokens)
    if not rest:
        raise Invalid("it does not call manage.py.")
    if PurePath(rest[0].text).name not in MANAGE:
        raise Invalid(f"“{rest[0].text}” stands before manage.py; write the task by hand.")
    command = list(_without_output(rest[1:]))
    if not command:
        raise Invalid("it calls manage.py without a command.")
    if expanded := next(filter(EXPANDED.search, command), None):
        raise Invalid(f"a shell may read “{expanded}” differently; write the task by hand.")
    return command, lost


def _tokens(text: str) -> list[Token]:
    """The tokens of a line up to its comment. A word that was quoted is a word, whatever is in it."""
    found: list[Token] = []
    place = 0
    while place < len(text):
        token = TOKEN.match(text, place)
        if token is None:
            raise Invalid("a shell would not read it: a quotation mark or a backslash is left open.")
        if token.lastgroup == "comment":
            break
        if token.lastgroup is not None:
            is_word = token.lastgroup == "word"
            found.append(Token(token.lastgroup, shlex.split(token[0])[0] if is_word else token[0]))
        place = token.end()
    return found


def _without_start(tokens: list[Token]) -> tuple[list[Token], list[str]]:
    """The tokens from ``manage.py`` on, or from what is not known to run it; and what was left out that does
    more than find it: without user, :data:`STEPS`, variables, :data:`WRAPPERS` and the interpreter.
    """
    rest = tokens[1:] if _is_user(tokens[0].text) else tokens
    while [each.kind for each in rest[:2]] == ["word", "word"] and rest[0].text in STEPS:
        if rest[2:3] != [Token("operator", "&&")]:
            break
        rest = rest[3:]
    rest, lost = _without_variables(rest), []
    while rest and (name := PurePath(rest[0].text).name) in WRAPPERS:
        inner = _wrapped(rest, WRAPPERS[name])
        if not inner:
            break
        rest = _without_variables(inner) if name == "env" else inner
        lost += [name] if WRAPPERS[name].is_told else []
    if rest and PYTHON.fullmatch(PurePath(rest[0].text).name):
        rest = list(dropwhile(lambda token: FLAG.fullmatch(token.text), rest[1:]))
    return rest, lost


def _without_variables(tokens: list[Token]) -> list[Token]:
    return list(dropwhile(lambda token: ASSIGNMENT.match(token.text), tokens))


def _wrapped(tokens: list[Token], wrapper: Wrapper) -> list[Token]:
    """The tokens from the program on that the first one runs; none where its options are not known."""
    words = [token.text for token in takewhile(lambda token: token.kind == "word", tokens[1:])]
    try:
        _options, after = getopt(words, wrapper.short, wrapper.long)
    except GetoptError:
        return []
    program = after[wrapper.operands :]
    return tokens[1 + len(words) - len(program) :] if program else []


def _is_user(word: str) -> bool:
    """Whether the word is the user that a system's crontab names. Cron refuses one that the host lacks."""
    return bool(USER.fullmatch(word)) and expanduser(f"~{word}") != f"~{word}"


def _without_output(tokens: list[Token]) -> Iterator[str]:
    """The words before the files that the output goes to. Shells disagree on words after ``&>``."""
    rest = iter(tokens)
    is_over = False
    for kind, text in rest:
        if kind == "operator" or (kind == "word" and is_over):
            raise Invalid(f"“{text}” follows the call of manage.py; write the task by hand.")
        is_over = kind == "output"
        if kind == "word":
            yield text
        elif next(rest, Token("", "")).kind != "word":
            raise Invalid(f"a shell would not read it: no file follows “{text}”.")
